//! The terms of use (利用規約) and the security leaflet, as dated data. Everybody at work accepts each version once.

mod accept;
mod get;
mod model;
mod store;

pub(crate) use accept::accept;
pub(crate) use get::get;
pub(crate) use model::due;
