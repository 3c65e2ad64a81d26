//! Recovery codes: ten of 120 random bits each, in groups a person can copy. Only keyed hashes are kept.

use access::UserId;
use chassis::Error;

use super::code::{drawn_code, plain_code};
use crate::service::Identity;

/// New recovery codes.
pub(crate) struct RecoveryCodes {
    /// As they are shown, once.
    pub shown: Vec<String>,
    /// As they are kept.
    pub hashes: Vec<Vec<u8>>,
}

impl RecoveryCodes {
    pub(crate) fn drawn(identity: &Identity, user: UserId) -> Result<Self, Error> {
        let shown = (0..10).map(|_| drawn_code(24)).collect::<Result<Vec<_>, _>>()?;
        let hashes = shown.iter().map(|code| recovery_hash(identity, user, code)).collect();
        Ok(Self { shown, hashes })
    }
}

/// What is kept of a recovery code.
pub(crate) fn recovery_hash(identity: &Identity, user: UserId, code: &str) -> Vec<u8> {
    identity.hash_of(&format!("recovery|{user}|{}", plain_code(code)))
}
