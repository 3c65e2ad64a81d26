//! Persons sealed and opened.

use chassis::Error;
use prost::Message as _;
use proto::registry::Person;
use vault::Vault;

use super::{
    model::{PersonId, match_key},
    store::{MATCH, PARTICULARS, SealedPerson},
};
use crate::search;

/// A new person, ready to be stored.
pub(crate) fn seal_new(vault: &Vault, person: &Person) -> Result<SealedPerson, Error> {
    seal(vault, PersonId::new(), person)
}

pub(crate) fn seal(vault: &Vault, id: PersonId, person: &Person) -> Result<SealedPerson, Error> {
    let sealed = vault.seal(PARTICULARS, id.uuid().as_bytes(), &person.encode_to_vec())?;
    Ok(SealedPerson { id, sealed, match_index: match_index(vault, person), keys: search::of_person(vault, person) })
}

/// The particulars of a person.
pub(crate) fn open(vault: &Vault, person: &SealedPerson) -> Result<Person, Error> {
    let plain = vault.open(PARTICULARS, person.id.uuid().as_bytes(), &person.sealed)?;
    Person::decode(plain.as_slice()).map_err(|error| Error::Internal(error.into()))
}

/// The blind index by which a person is found again.
pub(crate) fn match_index(vault: &Vault, person: &Person) -> Option<Vec<u8>> {
    match_key(person).map(|key| vault.blind(MATCH, &key))
}
