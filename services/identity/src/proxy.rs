//! Proxies (代理人) of patients, ten at most. The patient names and dismisses them, and so does whoever works on the case.

mod confirm;
mod dismiss;
mod list;
mod model;
mod name;
mod store;

pub(crate) use confirm::confirm;
pub(crate) use dismiss::dismiss;
pub(crate) use list::list;
pub(crate) use name::name;
pub(crate) use store::dismiss_with_the_patient;

use vault::Place;

/// Where a proxy's code goes.
pub(crate) const CONTACT: Place = Place { table: "proxy", column: "contact" };
