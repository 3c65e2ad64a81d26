//! SQL of messages.

use chassis::page::After;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::MessageId;

pub(super) async fn insert(
    conn: &mut PgConnection,
    id: MessageId,
    sealed: &[u8],
    now: OffsetDateTime,
    expires_at: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into message (message_id, sealed, next_at, created_at, expires_at) values ($1, $2, $3, $3, $4)",
    )
    .bind(id)
    .bind(sealed)
    .bind(now)
    .bind(expires_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// A message that waits.
#[derive(Clone, Debug, FromRow)]
pub(super) struct Waiting {
    pub message_id: MessageId,
    pub sealed: Vec<u8>,
    pub created_at: OffsetDateTime,
    /// How often the courier tried.
    pub tries: i32,
}

/// A page of those that are of use still, newest first.
pub(super) async fn page(
    conn: &mut PgConnection,
    after: After,
    limit: i64,
    now: OffsetDateTime,
) -> sqlx::Result<Vec<Waiting>> {
    sqlx::query_as(
        "select message_id, sealed, created_at, tries from message
         where (created_at, message_id) < (timestamptz 'epoch' + $1 * interval '1 microsecond', $2) and expires_at > $4
         order by created_at desc, message_id desc limit $3",
    )
    .bind(after.micros)
    .bind(after.id)
    .bind(limit)
    .bind(now)
    .fetch_all(conn)
    .await
}

/// The next message that is due, locked; those that another courier has are passed over.
pub(super) async fn lock_due(conn: &mut PgConnection, most: i32, now: OffsetDateTime) -> sqlx::Result<Option<Waiting>> {
    sqlx::query_as(
        "select message_id, sealed, created_at, tries from message
         where next_at <= $2 and tries < $1 and expires_at > $2
         order by next_at limit 1 for update skip locked",
    )
    .bind(most)
    .bind(now)
    .fetch_optional(conn)
    .await
}

/// Counts a try before it is made, and sets the next one ahead.
pub(super) async fn count_try(
    conn: &mut PgConnection,
    id: MessageId,
    tries: i32,
    next_at: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query("update message set tries = $2, next_at = $3 where message_id = $1")
        .bind(id)
        .bind(tries)
        .bind(next_at)
        .execute(conn)
        .await?;
    Ok(())
}

/// A message that the provider took, or that nobody waits for: nothing of it is kept.
pub(super) async fn delete(conn: &mut PgConnection, id: MessageId) -> sqlx::Result<()> {
    sqlx::query("delete from message where message_id = $1").bind(id).execute(conn).await?;
    Ok(())
}
