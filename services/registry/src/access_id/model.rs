//! An access ID as a case keeps it.

/// An access ID: itself, sealed, and its blind index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub sealed: Vec<u8>,
    pub hash: Vec<u8>,
}
