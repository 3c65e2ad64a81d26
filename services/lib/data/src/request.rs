//! Repeated requests: the same id and body give the same answer, another body under an id is refused.

use sqlx::PgConnection;
use uuid::Uuid;

/// A request as its caller identified it.
#[derive(Clone, Debug)]
pub struct Key {
    /// The calling organisation: ids are its own to choose.
    pub organisation_id: Uuid,
    /// Chosen by the client.
    pub request_id: Uuid,
    /// The RPC.
    pub rpc: &'static str,
    /// Keyed hash of the body.
    pub body_hash: Vec<u8>,
}

/// Whether a request was seen before.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is new and now ours, if the transaction commits.
    First,
    /// It was answered before, with this.
    Repeated(Vec<u8>),
    /// The id was used for something else.
    Conflict,
}

/// Claims a request id in the caller's transaction. Waits for a twin under way to commit or to give up.
///
/// # Errors
/// When the database refuses.
pub async fn claim(conn: &mut PgConnection, key: &Key, response: Option<&[u8]>) -> sqlx::Result<Claim> {
    let done = sqlx::query(
        "insert into request (organisation_id, request_id, rpc, body_hash, response) values ($1, $2, $3, $4, $5)
         on conflict do nothing",
    )
    .bind(key.organisation_id)
    .bind(key.request_id)
    .bind(key.rpc)
    .bind(&key.body_hash)
    .bind(response)
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(Claim::First);
    }
    let (rpc, hash, response): (String, Vec<u8>, Option<Vec<u8>>) =
        sqlx::query_as("select rpc, body_hash, response from request where organisation_id = $1 and request_id = $2")
            .bind(key.organisation_id)
            .bind(key.request_id)
            .fetch_one(conn)
            .await?;
    Ok(match response {
        Some(response) if rpc == key.rpc && hash == key.body_hash => Claim::Repeated(response),
        _ => Claim::Conflict,
    })
}

/// Keeps the answer of a claimed request, in the same transaction.
///
/// # Errors
/// When the database refuses.
pub async fn answer(conn: &mut PgConnection, key: &Key, response: &[u8]) -> sqlx::Result<()> {
    sqlx::query("update request set response = $3 where organisation_id = $1 and request_id = $2")
        .bind(key.organisation_id)
        .bind(key.request_id)
        .bind(response)
        .execute(conn)
        .await
        .map(|_| ())
}
