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
mod receipt_place;
mod standing;
mod store;
mod versions;
mod view;
mod withdraw;

pub(crate) use amend::{amend, withdrawn};
pub(crate) use batch_get_forms::batch_get_forms;
pub(crate) use file::file;
pub(crate) use get::get;
pub(crate) use hears::Hears;
pub(crate) use list::list;
pub(crate) use model::{Notification, NotificationId};
pub(crate) use receipt_keys::receipt_keys;
pub(crate) use receipt_place::receipt_place;
pub(crate) use standing::{Standing, learn, learn_what_is_told, relations, standings, visible};
pub(crate) use store::{COLUMNS, REASON, SEALED, lock, lock_all, save};
pub(crate) use versions::versions;
pub(crate) use view::shown;
pub(crate) use withdraw::withdraw;
