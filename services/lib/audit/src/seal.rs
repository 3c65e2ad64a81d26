//! The chain over the audit trail. Each row's seal covers the seal before it: changing, moving, removing or inserting a
//! row changes every later seal. Pure functions; the sealer and the verifier compute the same.

use aws_lc_rs::digest::{Context, SHA256};
use prost::Message as _;
use proto::operations::AuditRow;
use serde::{Deserialize, Serialize};

/// The `typ` of a checkpoint's signature, so that no token or receipt can pass for one.
pub const TYPE: &str = "audit+jwt";

/// The seal before the first one.
pub const GENESIS: [u8; 32] = [0; 32];

/// What a checkpoint's signature says: up to this place the chain of this service ended in this seal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The service whose trail it is.
    pub iss: String,
    /// The place of the last sealed row in the chain, counted from 1.
    pub place: i64,
    /// The seal at that place, in hexadecimal digits.
    pub seal: String,
    /// When it was signed, in Unix seconds.
    pub iat: i64,
}

/// The seal of a row: SHA-256 over the previous seal, the place, and the row's protobuf encoding with fields in order.
pub fn seal(before: &[u8], place: i64, row: &AuditRow) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(before);
    context.update(&place.to_be_bytes());
    context.update(&row.encode_to_vec());
    let mut seal = [0; 32];
    seal.copy_from_slice(context.finish().as_ref());
    seal
}

/// A seal in hexadecimal digits.
pub fn hex(seal: &[u8]) -> String {
    seal.iter().fold(String::with_capacity(64), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proto::operations::AuditRow;

    use super::{GENESIS, seal};

    #[test]
    fn a_seal_depends_on_the_row_the_place_and_everything_before() {
        let row = AuditRow { id: 1, rpc: "GetCase".to_owned(), ..AuditRow::default() };
        let other = AuditRow { rpc: "ListCases".to_owned(), ..row.clone() };
        let first = seal(&GENESIS, 1, &row);
        assert_eq!(first, seal(&GENESIS, 1, &row));
        for different in [seal(&GENESIS, 1, &other), seal(&GENESIS, 2, &row), seal(&first, 1, &row)] {
            assert_ne!(first, different);
        }
    }
}
