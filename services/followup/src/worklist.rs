//! The one list of tasks: who does what about which case or notification by when. Most urgent first.
//!
//! Tasks of those who look after a person (overdue reports, alerts, openings in an emergency) stand on the list of each of them, and
//! move with the person. Notices are called for by the present state of a case or a notification, each at one desk.

mod assign;
mod complete;
mod list;
mod lock;
mod model;
mod notice;
mod store;
mod view;
mod watch;

pub(crate) use assign::assign;
pub(crate) use complete::complete;
pub(crate) use list::list;
pub(crate) use model::{Closing, NewTask, NotificationId, TaskId, Wanted, is_told, owner, source, workers};
pub(crate) use notice::{of_case, settle};
pub(crate) use store::{add, belong_to_cases, close, close_notice, lock_notice, relist, take};
pub(crate) use watch::{arrived, fresh, watch};
