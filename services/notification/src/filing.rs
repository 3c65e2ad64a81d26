//! A notification: filed with a receipt that proves it, and read by those it concerns. The trunk of this service.

mod batch_get_forms;
mod centre;
mod file;
mod get;
mod model;
mod receipt;
mod receipt_keys;
mod store;
mod view;

pub(crate) use batch_get_forms::batch_get_forms;
pub(crate) use file::file;
pub(crate) use get::{get, relations};
pub(crate) use model::{Notification, NotificationId};
pub(crate) use receipt_keys::receipt_keys;
pub(crate) use store::{COLUMNS, SEALED, lock};
pub(crate) use view::shown;
