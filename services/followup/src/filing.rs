//! Notifications (発生届), as far as they make work: items that are missing, and what was returned (返戻).

mod belong;
mod hears;
mod model;
mod on_notification_acknowledged;
mod on_notification_amended;
mod on_notification_filed;
mod on_notification_forwarded;
mod on_notification_returned;
mod on_notification_withdrawn;
mod rules;
mod store;

pub(crate) use belong::belong;
pub(crate) use hears::Hears;
