//! The coordination of admissions (入院調整): a centre or a prefecture looks for a bed.

mod cancel;
mod offer;
mod request;

pub(crate) use cancel::cancel;
pub(crate) use offer::offer;
pub(crate) use request::request;
