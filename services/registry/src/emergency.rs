//! Emergency access (緊急閲覧): somebody who treats or protects opens a case that the organisation has no relation to, with a reason,
//! for three hours. The responsible centre is told at once and reads the reason.

mod list;
mod model;
mod open;
mod store;

pub(crate) use list::list;
pub(crate) use open::open;
pub(crate) use store::REASON;
