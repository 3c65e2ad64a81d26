//! Filings (届出): what notification tells of them. A filed notification makes a person and a case or joins the open one; a
//! forwarded one has another centre responsible; an amended or withdrawn one replaces what came from it.

#[cfg(test)]
mod fixture;
mod hears;
mod model;
mod on_notification_acknowledged;
mod on_notification_amended;
mod on_notification_filed;
mod on_notification_forwarded;
mod on_notification_withdrawn;
mod store;
mod told;
mod version;
mod work;

#[cfg(test)]
pub(crate) use fixture::{filed, form, held, receipt_number};
pub(crate) use hears::Hears;
pub(crate) use model::{NotificationId, may_go_on};
pub(crate) use store::of_cases as notifications_of;
