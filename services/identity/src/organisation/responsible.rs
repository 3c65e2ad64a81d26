//! システム利用統括責任者: kept encrypted beside the organisation, never in it.

use access::OrganisationId;
use chassis::Error;
use prost::Message as _;
use proto::identity::ResponsiblePerson;
use vault::{Place, Vault};

/// Where the person responsible lies.
pub(crate) const RESPONSIBLE: Place = Place { table: "organisation", column: "responsible_sealed" };

pub(super) fn seal(
    vault: &Vault,
    id: OrganisationId,
    person: Option<&ResponsiblePerson>,
) -> Result<Option<Vec<u8>>, Error> {
    let sealed = person.map(|person| vault.seal(RESPONSIBLE, id.uuid().as_bytes(), &person.encode_to_vec()));
    Ok(sealed.transpose()?)
}

pub(super) fn open(
    vault: &Vault,
    id: OrganisationId,
    sealed: Option<&[u8]>,
) -> Result<Option<ResponsiblePerson>, Error> {
    let Some(sealed) = sealed else { return Ok(None) };
    let plain = vault.open(RESPONSIBLE, id.uuid().as_bytes(), sealed)?;
    ResponsiblePerson::decode(plain.as_slice()).map(Some).map_err(|error| Error::Internal(error.into()))
}
