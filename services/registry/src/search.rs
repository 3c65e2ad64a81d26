//! Exact search, by what somebody reads out on the telephone or has on a slip: access ID, receipt number, an institution's own patient
//! number, telephone, name in kana with birth date.
//!
//! Each is kept as a blind index beside what it belongs to, the person or the notification: a correction replaces it with the rest of the
//! row, and two cases that are joined keep what led to each. The index key does not rotate, so nothing is written again after a rotation.

mod find;
mod index;
mod model;
mod store;

pub(crate) use find::find;
pub(crate) use index::{FormKeys, PersonKeys, of_form, of_person};
pub(crate) use store::replace_form;
