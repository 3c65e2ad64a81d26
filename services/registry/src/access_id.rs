//! The access ID (スマホ入力ID) with which the person of a case signs in. Printed once for the person; kept sealed, with a blind
//! index to find the case by.

mod batch_get;
mod get;
mod mint;
mod model;
mod reissue;
mod store;

pub(crate) use batch_get::batch_get;
pub(crate) use get::get;
pub(crate) use mint::{index, mint, open};
pub(crate) use model::Access;
pub(crate) use reissue::reissue;
pub(crate) use store::{SEALED_ID, case_of};
