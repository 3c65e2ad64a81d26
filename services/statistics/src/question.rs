//! Cases by up to four dimensions, as known at a moment.

mod model;
mod query;
mod store;

pub(crate) use query::query;
