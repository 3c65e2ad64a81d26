//! Facts without names: what is counted, when it happened, and when we learned it. The trunk of this service.

mod model;
mod moment;
mod on_capacity_reported;
mod on_case_changed;
mod store;

pub(crate) use model::{Area, POSITIVE, as_of};
pub(crate) use moment::{BEDS, REGISTRY, moment};
pub(crate) use on_capacity_reported::HearsBeds;
pub(crate) use on_case_changed::HearsCases;
pub(crate) use store::POSITIVE_CLASSES;
