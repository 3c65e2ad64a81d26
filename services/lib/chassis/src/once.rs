//! A mutating RPC takes effect once per `request_id`, however often it is sent.

use access::Caller;
use data::request::{self, Claim, Key};
use prost::Message;
use sqlx::PgConnection;
use uuid::Uuid;
use vault::{Place, Vault};

use crate::Error;

const ANSWER: Place = Place { table: "request", column: "response" };

/// A request as its caller identified it. The body counts by a keyed hash, so that nothing of it is kept.
///
/// # Errors
/// When the request id is no UUID.
pub fn key(
    vault: &Vault,
    caller: &Caller,
    rpc: &'static str,
    request_id: &str,
    body: &impl Message,
) -> Result<Key, Error> {
    let request_id = Uuid::try_parse(request_id)
        .map_err(|_| Error::invalid("request_id", "UUID を指定してください", "must be a UUID"))?;
    // A patient has no organisation: the ids are the patient's own.
    let organisation_id = if caller.organisation_id.is_nil() { caller.user_id } else { caller.organisation_id };
    Ok(Key { organisation_id, request_id, rpc, body_hash: vault.keyed_hash(rpc, &body.encode_to_vec()) })
}

/// Claims the request in the caller's transaction. `Some` is the answer it got before.
///
/// # Errors
/// [`Error::RequestIdReused`] where the id stands for another body.
pub async fn claim<R: Message + Default>(
    conn: &mut PgConnection,
    vault: &Vault,
    key: &Key,
) -> Result<Option<R>, Error> {
    let claim = request::claim(conn, key, None).await?;
    repeated(vault, key, claim)
}

/// Keeps the answer, sealed, in the same transaction.
///
/// # Errors
/// When the vault or the database refuses.
pub async fn answer(conn: &mut PgConnection, vault: &Vault, key: &Key, response: &impl Message) -> Result<(), Error> {
    let sealed = vault.seal(ANSWER, key.request_id.as_bytes(), &response.encode_to_vec())?;
    Ok(request::answer(conn, key, &sealed).await?)
}

/// Claims the request and keeps its answer in one statement, for an RPC that knows the answer beforehand.
///
/// # Errors
/// [`Error::RequestIdReused`] where the id stands for another body.
pub async fn claim_with<R: Message + Default>(
    conn: &mut PgConnection,
    vault: &Vault,
    key: &Key,
    response: &R,
) -> Result<Option<R>, Error> {
    let sealed = vault.seal(ANSWER, key.request_id.as_bytes(), &response.encode_to_vec())?;
    let claim = request::claim(conn, key, Some(&sealed)).await?;
    repeated(vault, key, claim)
}

fn repeated<R: Message + Default>(vault: &Vault, key: &Key, claim: Claim) -> Result<Option<R>, Error> {
    match claim {
        Claim::First => Ok(None),
        Claim::Conflict => Err(Error::RequestIdReused),
        Claim::Repeated(sealed) => {
            let plain = vault.open(ANSWER, key.request_id.as_bytes(), &sealed)?;
            R::decode(plain.as_slice()).map(Some).map_err(|error| Error::Internal(error.into()))
        }
    }
}
