//! New access IDs, and old ones opened again.

use access::CaseId;
use chassis::Error;
use getrandom::fill;
use japan::access_id::AccessId;
use vault::Vault;

use super::{
    model::Access,
    store::{INDEX, SEALED_ID},
};
use crate::case::Case;

/// A new access ID for a case.
pub(crate) fn mint(vault: &Vault, case_id: CaseId) -> Result<(AccessId, Access), Error> {
    let mut random = [0; 10];
    fill(&mut random).map_err(|error| Error::Internal(anyhow::anyhow!("draw an access ID: {error}")))?;
    let id = AccessId::from_random(random);
    let sealed = vault.seal(SEALED_ID, case_id.uuid().as_bytes(), id.as_str().as_bytes())?;
    let hash = index(vault, &id);
    Ok((id, Access { sealed, hash }))
}

/// The blind index by which the case of an access ID is found.
pub(crate) fn index(vault: &Vault, id: &AccessId) -> Vec<u8> {
    vault.blind(INDEX, id.as_str())
}

/// The access ID of a case.
pub(crate) fn open(vault: &Vault, case: &Case) -> Result<String, Error> {
    let plain = vault.open(SEALED_ID, case.id.uuid().as_bytes(), &case.access.sealed)?;
    String::from_utf8(plain).map_err(|error| Error::Internal(error.into()))
}
