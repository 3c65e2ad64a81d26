//! Repeated requests: the same id and body give the same answer; another body under the same id is refused.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A request as its caller identified it.
#[derive(Clone, Debug)]
pub struct Key {
    /// The caller. Ids are per caller: nobody can repeat another's request and read its answer.
    pub user_id: Uuid,
    /// Chosen by the client.
    pub request_id: Uuid,
    /// The RPC that was called, as its rule in the contract names it.
    pub rpc: &'static str,
    /// Keyed hash of the request body, 32 bytes.
    pub body_hash: Vec<u8>,
}

/// Whether a request was seen before.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is new and now ours, if the transaction commits.
    First,
    /// It was answered before, with these sealed bytes.
    Repeated(Vec<u8>),
    /// The id was used with another body or RPC.
    Conflict,
    /// It was carried out, but its answer is no longer kept.
    Forgotten,
}

/// Claims a request id in the caller's transaction. Waits for a concurrent request with the same id to commit or fail.
///
/// # Errors
/// When the database refuses.
pub async fn claim(
    conn: &mut PgConnection,
    key: &Key,
    response: Option<&[u8]>,
    now: OffsetDateTime,
) -> sqlx::Result<Claim> {
    let done = sqlx::query(
        "insert into request (user_id, request_id, rpc, body_hash, response, created_at)
         values ($1, $2, $3, $4, $5, $6) on conflict do nothing",
    )
    .bind(key.user_id)
    .bind(key.request_id)
    .bind(key.rpc)
    .bind(&key.body_hash)
    .bind(response)
    .bind(now)
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 1 {
        return Ok(Claim::First);
    }
    let (rpc, hash, response): (String, Vec<u8>, Option<Vec<u8>>) =
        sqlx::query_as("select rpc, body_hash, response from request where user_id = $1 and request_id = $2")
            .bind(key.user_id)
            .bind(key.request_id)
            .fetch_one(conn)
            .await?;
    if rpc != key.rpc || hash != key.body_hash {
        return Ok(Claim::Conflict);
    }
    // Every request that commits has an answer: one without has lost it.
    Ok(response.map_or(Claim::Forgotten, Claim::Repeated))
}

/// Keeps the answer of a claimed request, in the same transaction.
///
/// # Errors
/// When the database refuses.
pub async fn answer(conn: &mut PgConnection, key: &Key, response: &[u8]) -> sqlx::Result<()> {
    sqlx::query("update request set response = $3 where user_id = $1 and request_id = $2")
        .bind(key.user_id)
        .bind(key.request_id)
        .bind(response)
        .execute(conn)
        .await
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;
    use testing::{NOW, Outcome, World};
    use uuid::Uuid;

    use super::{Claim, Key, answer, claim};

    fn key(user: u128, rpc: &'static str, body: u8) -> Key {
        Key { user_id: Uuid::from_u128(user), request_id: Uuid::from_u128(7), rpc, body_hash: vec![body] }
    }

    #[tokio::test]
    async fn an_id_stands_for_one_body_of_one_rpc_of_one_user() -> Outcome {
        let world = World::new("statistics", &[]).await?;
        let mut conn = world.base.pool.acquire().await?;
        let first = key(1, "Ask", 1);
        assert_eq!(claim(&mut conn, &first, None, NOW).await?, Claim::First);
        assert_eq!(claim(&mut conn, &first, None, NOW).await?, Claim::Forgotten, "it has no answer any more");
        answer(&mut conn, &first, b"yes").await?;
        assert_eq!(claim(&mut conn, &first, None, NOW).await?, Claim::Repeated(b"yes".to_vec()));
        assert_eq!(claim(&mut conn, &key(1, "Ask", 2), None, NOW).await?, Claim::Conflict);
        assert_eq!(claim(&mut conn, &key(1, "Tell", 1), None, NOW).await?, Claim::Conflict);
        assert_eq!(claim(&mut conn, &key(2, "Ask", 1), Some(b"no"), NOW).await?, Claim::First);
        assert_eq!(claim(&mut conn, &key(2, "Ask", 1), None, NOW).await?, Claim::Repeated(b"no".to_vec()));
        Ok(())
    }

    #[tokio::test]
    async fn a_claim_that_does_not_commit_is_none() -> Outcome {
        let world = World::new("statistics", &[]).await?;
        let mut conn = world.base.pool.acquire().await?;
        let mut tx = conn.begin().await?;
        assert_eq!(claim(&mut tx, &key(1, "Ask", 1), None, NOW).await?, Claim::First);
        tx.rollback().await?;
        assert_eq!(claim(&mut conn, &key(1, "Ask", 1), None, NOW).await?, Claim::First);
        Ok(())
    }
}
