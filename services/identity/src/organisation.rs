//! Organisations: created inside the creator's scope, announced whole. Whoever administers one acts on it and on those it
//! supervises, never above.

mod add;
mod create;
mod get;
mod import;
mod item;
mod list;
mod model;
mod responsible;
mod rows;
mod scope;
mod standing;
mod store;
mod update;

pub(crate) use add::add;
pub(crate) use create::create;
pub(crate) use get::get;
pub(crate) use import::import;
pub(crate) use list::list;
pub(crate) use model::Body;
pub(crate) use responsible::RESPONSIBLE;
pub(crate) use rows::ROWS;
pub(crate) use scope::{all_in_scope, in_scope};
pub(crate) use standing::{Standing, standing, standings};
pub(crate) use store::find_body;
pub(crate) use update::update;
