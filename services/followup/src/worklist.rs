//! What an organisation has to do: missed reports, alerts, openings in an emergency. Most urgent first.

mod list;
mod model;
mod store;
mod view;
mod watch;

pub(crate) use list::list;
pub(crate) use model::{Closing, NewTask, TaskId, owner, workers};
pub(crate) use store::{add, close, close_notice, lock_notice, relist};
pub(crate) use watch::{arrived, fresh, watch};
