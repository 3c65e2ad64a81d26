//! What opens the door for patients and proxies: the access ID alone opens nothing; there is the birth date, and a code to the
//! registered phone or mail, or the one printed for people with neither.

mod model;
mod on_case_changed;
mod store;

pub(crate) use model::{CONTACT, access_hash, birth_hash, printed_hash};
pub(crate) use on_case_changed::Hears;
pub(crate) use store::{Credential, Let, count_attempt, let_in, printed_code};
