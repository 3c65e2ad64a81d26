//! Writing a change of cases: the cases, their lists, and the events that tell it, together.

use std::collections::HashMap;

use chassis::Error;
use data::outbox;
use getrandom::fill;
use japan::access_id::AccessId;
use prost::Message as _;
use proto::registry::{CaseChanged, Person, Relation};
use runtime::trace;
use sqlx::PgConnection;
use uuid::Uuid;
use vault::{Place, Vault};

use crate::{
    domain::{self, Case, CaseId},
    store::{self, GrantRow, NewPerson},
};

/// The particulars of a person.
pub(crate) const PERSON: Place = Place { table: "person", column: "sealed" };
const MATCH: Place = Place { table: "person", column: "match_index" };
pub(crate) const ACCESS: Place = Place { table: "cases", column: "access_sealed" };
const ACCESS_INDEX: Place = Place { table: "cases", column: "access_hash" };

/// The event that tells a version of a case.
pub(crate) const CASE_CHANGED: &str = "case.changed";

/// A person ready to be stored.
pub(crate) fn new_person(vault: &Vault, person: &Person) -> Result<NewPerson, Error> {
    let id = Uuid::now_v7();
    Ok(NewPerson {
        id,
        sealed: vault.seal(PERSON, id.as_bytes(), &person.encode_to_vec())?,
        match_index: match_index(vault, person),
    })
}

/// Stores corrected particulars of a person.
pub(crate) async fn replace_person(
    conn: &mut PgConnection,
    vault: &Vault,
    id: Uuid,
    person: &Person,
) -> Result<(), Error> {
    let sealed = vault.seal(PERSON, id.as_bytes(), &person.encode_to_vec())?;
    let new = NewPerson { id, sealed, match_index: match_index(vault, person) };
    Ok(store::update_person(conn, &new).await?)
}

/// The blind index by which a person is found again.
pub(crate) fn match_index(vault: &Vault, person: &Person) -> Option<Vec<u8>> {
    domain::match_key(person).map(|key| vault.blind(MATCH, &key))
}

/// A new patient access ID for a case: itself, sealed, and its blind index.
pub(crate) fn mint_access_id(vault: &Vault, case_id: CaseId) -> Result<(AccessId, Vec<u8>, Vec<u8>), Error> {
    let mut random = [0; 10];
    fill(&mut random).map_err(|error| Error::Internal(anyhow::anyhow!("draw an access ID: {error}")))?;
    let id = AccessId::from_random(random);
    let sealed = vault.seal(ACCESS, case_id.uuid().as_bytes(), id.as_str().as_bytes())?;
    let hash = access_index(vault, &id);
    Ok((id, sealed, hash))
}

/// The blind index of an access ID.
pub(crate) fn access_index(vault: &Vault, id: &AccessId) -> Vec<u8> {
    vault.blind(ACCESS_INDEX, id.as_str())
}

/// The access ID of a case.
pub(crate) fn open_access_id(vault: &Vault, case: &Case) -> Result<String, Error> {
    let plain = vault.open(ACCESS, case.id.uuid().as_bytes(), &case.access_sealed)?;
    String::from_utf8(plain).map_err(|error| Error::Internal(error.into()))
}

/// The particulars of a person.
pub(crate) fn open_person(vault: &Vault, person_id: Uuid, sealed: &[u8]) -> Result<Person, Error> {
    let plain = vault.open(PERSON, person_id.as_bytes(), sealed)?;
    Person::decode(plain.as_slice()).map_err(|error| Error::Internal(error.into()))
}

/// A version of a case, and the trace of what made it.
pub(crate) struct Version {
    pub case: Case,
    pub traceparent: String,
}

/// Stores a changed case, refreshes the lists, and announces it.
pub(crate) async fn save_one(conn: &mut PgConnection, case: &Case, grants: &[GrantRow]) -> Result<(), Error> {
    let version = Version { case: case.clone(), traceparent: trace::current().header() };
    save_and_announce(conn, std::slice::from_ref(case), &[version], grants).await
}

/// Stores cases in their last version, refreshes the lists, and announces every version given, in order.
pub(crate) async fn save_and_announce(
    conn: &mut PgConnection,
    last: &[Case],
    versions: &[Version],
    grants: &[GrantRow],
) -> Result<(), Error> {
    store::save_cases(conn, last).await?;
    store::save_grants(conn, grants).await?;
    let ids: Vec<Uuid> = last.iter().map(|case| case.id.uuid()).collect();
    store::refresh_lists(conn, &ids).await?;
    let mut of_case: HashMap<CaseId, Vec<proto::registry::Grant>> = HashMap::new();
    for grant in store::grants_of(conn, &ids).await? {
        of_case.entry(grant.case_id).or_default().push(grant.into());
    }
    let events: Vec<CaseChanged> = versions
        .iter()
        .map(|version| version.case.changed(of_case.get(&version.case.id).cloned().unwrap_or_default()))
        .collect();
    let traced: Vec<(&str, &CaseChanged)> =
        versions.iter().map(|version| version.traceparent.as_str()).zip(&events).collect();
    outbox::add_traced(conn, CASE_CHANGED, &traced).await?;
    Ok(())
}

/// A grant from now on.
pub(crate) fn grant(case: &Case, organisation_id: Uuid, relation: Relation) -> GrantRow {
    GrantRow { case_id: case.id, organisation_id, relation, since: case.updated_at, until: None }
}
