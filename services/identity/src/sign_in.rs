//! How a session begins: staff with a password and a one-time code, patients and proxies with their access ID and a code that is
//! sent, other systems with an assertion signed by a key of their own.

mod enrol;
mod exchange_assertion;
mod get_jwks;
mod model;
mod open;
mod start;
mod start_patient;
mod store;
mod verify_otp;
mod verify_patient_code;
mod verify_recovery_code;

pub(crate) use enrol::enrol;
pub(crate) use exchange_assertion::exchange_assertion;
pub(crate) use get_jwks::get_jwks;
pub(crate) use start::start;
pub(crate) use start_patient::start_patient;
pub(crate) use verify_otp::verify_otp;
pub(crate) use verify_patient_code::verify_patient_code;
pub(crate) use verify_recovery_code::verify_recovery_code;

use access::UserId;

use crate::service::Identity;

/// What is kept of a code that was sent: bound to the case or proxy.
fn code_hash(identity: &Identity, subject: UserId, code: &str) -> Vec<u8> {
    identity.hash_of(&format!("{subject}{code}"))
}
