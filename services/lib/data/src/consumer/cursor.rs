//! SQL of the cursor: how far a log has been handled, with count and hash per day.

use sqlx::{FromRow, PgConnection, PgPool};
use time::{Date, OffsetDateTime};

use crate::Event;

/// Count and hash of the handled events of one day, and how far the whole log has been handled.
#[derive(Clone, Copy, Debug, FromRow)]
pub(super) struct DayRow {
    pub handled_seq: i64,
    pub day: Date,
    pub count: i64,
    pub hash: i64,
}

/// Moves the cursor over a batch. `false` if another process of this service has already done so.
pub(super) async fn advance(tx: &mut PgConnection, source: &str, batch: &[Event]) -> sqlx::Result<bool> {
    let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(false) };
    let moved = sqlx::query("update cursor set handled_seq = $3 where source = $1 and handled_seq = $2 - 1")
        .bind(source)
        .bind(first.seq)
        .bind(last.seq)
        .execute(&mut *tx)
        .await?;
    if moved.rows_affected() == 0 {
        return Ok(false);
    }
    let mut days: Vec<Date> = batch.iter().map(|event| event.recorded_at.date()).collect();
    days.dedup();
    for day in days {
        let of_day = || batch.iter().filter(|event| event.recorded_at.date() == day);
        sqlx::query(
            "insert into cursor_digest as d (source, day, count, hash) values ($1, $2, $3, $4)
             on conflict (source, day) do update set count = d.count + excluded.count, hash = d.hash # excluded.hash",
        )
        .bind(source)
        .bind(day)
        .bind(i64::try_from(of_day().count()).unwrap_or(i64::MAX))
        .bind(of_day().fold(0, |hash, event| hash ^ event.hash()))
        .execute(&mut *tx)
        .await?;
    }
    Ok(true)
}

/// How far the log has been handled. Creates the cursor if there is none.
pub(super) async fn handled(pool: &PgPool, source: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "with made as (insert into cursor (source) values ($1) on conflict do nothing)
         select coalesce((select handled_seq from cursor where source = $1), 0)",
    )
    .bind(source)
    .fetch_one(pool)
    .await
}

/// How far a log has been handled.
#[derive(Clone, Copy, Debug, FromRow)]
pub(super) struct Reached {
    pub handled_seq: i64,
    /// Everything that was recorded up to this moment has been handled.
    pub watermark: OffsetDateTime,
}

/// Moves the watermark if everything up to `seq` has been handled.
pub(super) async fn move_watermark(pool: &PgPool, source: &str, seq: i64, at: OffsetDateTime) -> sqlx::Result<Reached> {
    sqlx::query_as(
        "update cursor set watermark = case when handled_seq >= $2 then greatest(watermark, $3) else watermark end
         where source = $1 returning handled_seq, watermark",
    )
    .bind(source)
    .bind(seq)
    .bind(at)
    .fetch_one(pool)
    .await
}

/// What has been handled, day by day. In one statement: another process of this service may be moving both.
pub(super) async fn days(pool: &PgPool, source: &str) -> sqlx::Result<Vec<DayRow>> {
    sqlx::query_as(
        "select c.handled_seq, d.day, d.count, d.hash from cursor c join cursor_digest d using (source)
         where source = $1",
    )
    .bind(source)
    .fetch_all(pool)
    .await
}

/// Puts the cursor back to the start of the log.
pub(super) async fn rewind(tx: &mut PgConnection, source: &str) -> sqlx::Result<()> {
    sqlx::query("update cursor set handled_seq = 0, watermark = '-infinity' where source = $1")
        .bind(source)
        .execute(&mut *tx)
        .await?;
    sqlx::query("delete from cursor_digest where source = $1").bind(source).execute(&mut *tx).await?;
    sqlx::query("delete from dead_letter where source = $1").bind(source).execute(tx).await?;
    Ok(())
}

/// Lifts the statement timeout: deleting millions of rows takes longer than a request may.
pub(super) async fn take_any_time(tx: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("set local statement_timeout = 0").execute(tx).await.map(|_| ())
}
