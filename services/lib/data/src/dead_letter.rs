//! Events that could not be handled, kept with the reason until somebody mends it.

use proto::operations::DeadLetter;
use runtime::clock;
use sqlx::{FromRow, PgConnection, PgPool};
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

pub(crate) async fn find(pool: &PgPool, id: Uuid) -> sqlx::Result<Option<(String, Event)>> {
    let row: Option<Row> =
        sqlx::query_as("select * from dead_letter where event_id = $1").bind(id).fetch_optional(pool).await?;
    Ok(row.map(|row| {
        let Row { event_id: id, source, seq, r#type, payload, traceparent, recorded_at, .. } = row;
        (source, Event { id, seq, recorded_at, r#type, payload, traceparent })
    }))
}

pub(crate) async fn list(pool: &PgPool, limit: i64) -> sqlx::Result<Vec<DeadLetter>> {
    let rows: Vec<Row> =
        sqlx::query_as("select * from dead_letter order by at, event_id limit $1").bind(limit).fetch_all(pool).await?;
    Ok(rows
        .into_iter()
        .map(|row| DeadLetter {
            event_id: row.event_id.to_string(),
            source: row.source,
            r#type: row.r#type,
            reason: row.reason,
            at: Some(clock::to_proto(row.at)),
        })
        .collect())
}

pub(crate) async fn count(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from dead_letter").fetch_one(pool).await
}
