//! A notification: filed with a receipt that proves it, and read by those it concerns. The trunk of this service.

mod amend;
mod batch_get_forms;
mod centre;
mod file;
mod get;
mod hears;
mod list;
mod model;
mod receipt;
mod receipt_keys;
mod store;
mod versions;
mod view;
mod withdraw;

pub(crate) use amend::{amend, withdrawn};
pub(crate) use batch_get_forms::batch_get_forms;
pub(crate) use file::file;
pub(crate) use get::{get, relations};
pub(crate) use hears::Hears;
pub(crate) use list::list;
pub(crate) use model::{Notification, NotificationId};
pub(crate) use receipt_keys::receipt_keys;
pub(crate) use store::{COLUMNS, REASON, SEALED, lock, save};
pub(crate) use versions::versions;
pub(crate) use view::shown;
pub(crate) use withdraw::withdraw;
