//! Everything that follow-up knows of a case.

mod get;

pub(crate) use get::get;
