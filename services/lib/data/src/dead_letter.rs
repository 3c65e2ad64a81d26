//! Events that could not be handled, kept with the reason until an operator replays or rebuilds.

use proto::operations::DeadLetter;
use runtime::clock;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::Event;

#[derive(FromRow)]
struct Row {
    event_id: Uuid,
    source: String,
    seq: i64,
    r#type: String,
    payload: Vec<u8>,
    traceparent: String,
    recorded_at: OffsetDateTime,
    reason: String,
    at: OffsetDateTime,
}

pub(crate) async fn add(conn: &mut PgConnection, source: &str, event: &Event, reason: &str) -> sqlx::Result<()> {
    sqlx::query(
        "insert into dead_letter (event_id, source, seq, type, payload, traceparent, recorded_at, reason)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (event_id) do update set reason = excluded.reason",
    )
    .bind(event.id)
    .bind(source)
    .bind(event.seq)
    .bind(&event.r#type)
    .bind(&event.payload)
    .bind(&event.traceparent)
    .bind(event.recorded_at)
    .bind(reason)
    .execute(conn)
    .await
    .map(|_| ())
}

pub(crate) async fn remove(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<bool> {
    let done = sqlx::query("delete from dead_letter where event_id = $1").bind(id).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}

/// A dead letter: the service that sent the event, and the event.
///
/// # Errors
/// When the database refuses.
pub async fn find(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<(String, Event)>> {
    let row: Option<Row> =
        sqlx::query_as("select * from dead_letter where event_id = $1").bind(id).fetch_optional(conn).await?;
    Ok(row.map(|row| {
        let Row { event_id: id, source, seq, r#type, payload, traceparent, recorded_at, .. } = row;
        (source, Event { id, seq, recorded_at, r#type, payload, traceparent })
    }))
}

/// A page of dead letters, oldest first, after a given (time, event id).
///
/// # Errors
/// When the database refuses.
pub async fn list(
    conn: &mut PgConnection,
    after: (OffsetDateTime, Uuid),
    limit: i64,
) -> sqlx::Result<Vec<(OffsetDateTime, Uuid, DeadLetter)>> {
    let rows: Vec<Row> =
        sqlx::query_as("select * from dead_letter where (at, event_id) > ($1, $2) order by at, event_id limit $3")
            .bind(after.0)
            .bind(after.1)
            .bind(limit)
            .fetch_all(conn)
            .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let letter = DeadLetter {
                event_id: row.event_id.to_string(),
                source: row.source,
                r#type: row.r#type,
                reason: row.reason,
                set_aside_time: Some(clock::to_proto(row.at)),
            };
            (row.at, row.event_id, letter)
        })
        .collect())
}

pub(crate) async fn count(conn: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from dead_letter").fetch_one(conn).await
}
