//! The coordination of admissions (入院調整): a centre or a prefecture looks for a bed.

mod cancel;
mod end;
mod offer;
mod on_case_changed;
mod request;

pub(crate) use cancel::cancel;
pub(crate) use offer::offer;
pub(crate) use on_case_changed::Hears;
pub(crate) use request::request;
