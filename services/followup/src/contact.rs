//! Calls and visits to people, and their visits to physicians (受診).

mod attempt;
mod model;
mod store;
mod visit;

pub(crate) use attempt::attempt;
pub(crate) use store::{attempts, visits};
pub(crate) use visit::visit;

use chassis::Error;
use prost::Message as _;
use proto::followup::{CareVisit, ContactAttempt};
use runtime::clock::to_proto;
use vault::{Place, Vault};

use crate::free_text;
use model::{Attempt, Visit};

/// What was said at a call.
pub(crate) const NOTE: Place = Place { table: "contact_attempt", column: "note" };
/// A care visit.
pub(crate) const VISIT: Place = Place { table: "care_visit", column: "sealed" };

/// An attempt as the API shows it.
pub(crate) fn shown_attempt(vault: &Vault, attempt: &Attempt) -> Result<ContactAttempt, Error> {
    Ok(ContactAttempt {
        attempt_time: Some(to_proto(attempt.at)),
        channel: attempt.channel.into(),
        reached: attempt.reached,
        note: free_text::open(vault, NOTE, attempt.id.uuid(), attempt.note.as_deref())?,
        by_organisation_id: attempt.by_organisation.to_string(),
    })
}

/// A care visit as the API shows it.
pub(crate) fn shown_visit(vault: &Vault, visit: &Visit) -> Result<CareVisit, Error> {
    let plain = vault.open(VISIT, visit.id.uuid().as_bytes(), &visit.sealed)?;
    CareVisit::decode(plain.as_slice()).map_err(|error| Error::Internal(error.into()))
}
