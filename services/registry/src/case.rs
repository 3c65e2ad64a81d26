//! A case: one episode of illness of one person, in versions. The trunk of this service.
//!
//! Every change makes one version and announces it, complete in its coded facts and grants. Who may do what follows from the
//! grants: dated relations of organisations, which end and are never deleted. A case is open until it has an outcome (転帰).

mod batch_get;
mod change;
mod get;
mod grants;
mod list;
mod model;
mod parse;
mod register;
mod save;
mod store;
mod view;
mod watch;

pub(crate) use batch_get::batch_get;
pub(crate) use change::{Locked, change, change_as, lock, may_end, may_enter, may_record, moved};
pub(crate) use get::get;
pub(crate) use grants::{Grant, Listed, of_cases as grants_of, prefectures, relations};
pub(crate) use list::list;
pub(crate) use model::{Case, age_band, relation_of_filer};
pub(crate) use parse::{optional_date, organisation, required_date};
pub(crate) use register::register;
pub(crate) use save::{Version, audit_heard, failure, save_all, save_one};
pub(crate) use store::{ended_of, find, find_all, lock_all, lock_open_of};
pub(crate) use view::{view, views};
pub(crate) use watch::watch;
