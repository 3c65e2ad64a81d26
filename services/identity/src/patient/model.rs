//! What is kept of a patient's or proxy's credential.

use std::fmt::Display;

use japan::access_id::AccessId;
use vault::{Place, Vault};

/// Where a patient's code goes.
pub(crate) const CONTACT: Place = Place { table: "patient", column: "contact" };
const ACCESS: Place = Place { table: "patient", column: "access_hash" };

/// What is kept of an access ID.
pub(crate) fn access_hash(vault: &Vault, id: &AccessId) -> Vec<u8> {
    vault.blind(ACCESS, id.as_str())
}

/// What is kept of a birth date: bound to the case or proxy, because dates are few.
pub(crate) fn birth_hash(vault: &Vault, subject: impl Display, birth_date: &str) -> Vec<u8> {
    vault.keyed_hash("birth date", format!("{subject}|{birth_date}").as_bytes())
}

/// What is kept of a printed code: bound to the case.
pub(crate) fn printed_hash(vault: &Vault, subject: impl Display, plain_code: &str) -> Vec<u8> {
    vault.keyed_hash("secret", format!("printed|{subject}|{plain_code}").as_bytes())
}
