//! Filings (届出): what notification tells of them. A filed notification makes a person and a case or joins the open one; a
//! forwarded one has another centre responsible.

mod hears;
mod model;
mod on_notification_filed;
mod on_notification_forwarded;
mod store;
mod work;

pub(crate) use hears::Hears;
pub(crate) use model::NotificationId;
pub(crate) use store::of_cases as notifications_of;
