//! What people write is sealed: it may name anybody.

use chassis::Error;
use uuid::Uuid;
use vault::{Place, Vault};

/// Seals a text of a row. An empty one is not stored.
pub(crate) fn seal(vault: &Vault, place: Place, row: Uuid, text: &str) -> Result<Option<Vec<u8>>, Error> {
    if text.is_empty() { Ok(None) } else { Ok(Some(vault.seal(place, row.as_bytes(), text.as_bytes())?)) }
}

/// Opens it again.
pub(crate) fn open(vault: &Vault, place: Place, row: Uuid, sealed: Option<&[u8]>) -> Result<String, Error> {
    let Some(sealed) = sealed else { return Ok(String::new()) };
    let plain = vault.open(place, row.as_bytes(), sealed)?;
    String::from_utf8(plain).map_err(|error| Error::Internal(error.into()))
}
