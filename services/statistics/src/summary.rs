//! Where the nation and each prefecture stand, as known at a moment.

mod get;
mod model;
mod store;

pub(crate) use get::get;
