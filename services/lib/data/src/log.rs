//! Reading a service's own event log, for the services that listen to it.

use proto::operations::{Digest, EventRecord, Head};
use runtime::clock;
use sqlx::{FromRow, PgPool};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::Event;

#[derive(FromRow)]
struct EventRow {
    id: Uuid,
    seq: i64,
    recorded_at: OffsetDateTime,
    r#type: String,
    payload: Vec<u8>,
    traceparent: String,
}

impl From<EventRow> for Event {
    fn from(row: EventRow) -> Self {
        let EventRow { id, seq, recorded_at, r#type, payload, traceparent } = row;
        Self { id, seq, recorded_at, r#type, payload, traceparent }
    }
}

#[derive(FromRow)]
struct DigestRow {
    day: Date,
    count: i64,
    hash: i64,
    first_seq: i64,
    last_seq: i64,
}

/// The number of the last event, and the moment up to which the log is complete.
///
/// # Errors
/// When the database refuses.
pub async fn head(pool: &PgPool) -> sqlx::Result<Head> {
    let (seq, at): (i64, OffsetDateTime) =
        sqlx::query_as("select stamped_seq, stamped_at from relay").fetch_one(pool).await?;
    Ok(Head { seq, watermark_time: Some(clock::to_proto(at)) })
}

/// Events after a place in the log, in order.
pub(crate) async fn read(pool: &PgPool, after_seq: i64, limit: i64) -> sqlx::Result<Vec<Event>> {
    let rows: Vec<EventRow> = sqlx::query_as(
        "select id, seq, recorded_at, type, payload, traceparent from outbox
         where seq > $1 and seq <= $1 + $2 order by seq limit $2",
    )
    .bind(after_seq)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Event::from).collect())
}

/// Events after a place in the log, in order, as the contract carries them.
///
/// # Errors
/// When the database refuses.
pub async fn records(pool: &PgPool, after_seq: i64, limit: i64) -> sqlx::Result<Vec<EventRecord>> {
    Ok(read(pool, after_seq, limit).await?.into_iter().map(EventRecord::from).collect())
}

/// Count and hash of the log's events, day by day.
///
/// # Errors
/// When the database refuses.
pub async fn digests(pool: &PgPool) -> sqlx::Result<Vec<Digest>> {
    let rows: Vec<DigestRow> =
        sqlx::query_as("select day, count, hash, first_seq, last_seq from outbox_digest order by day")
            .fetch_all(pool)
            .await?;
    Ok(rows
        .into_iter()
        .map(|row| Digest {
            digest_date: row.day.to_string(),
            count: row.count,
            hash: row.hash,
            first_seq: row.first_seq,
            last_seq: row.last_seq,
        })
        .collect())
}
