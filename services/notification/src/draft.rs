//! A draft of a notification: what was typed so far, for whoever goes on with it at another desk.

mod discard;
#[cfg(test)]
mod fixture;
mod get;
mod list;
mod model;
mod save;
mod store;
mod take;
mod view;

pub(crate) use discard::discard;
pub(crate) use get::get;
pub(crate) use list::list;
pub(crate) use model::{DraftId, KEPT};
pub(crate) use save::save;
pub(crate) use store::SEALED;
pub(crate) use take::take;
