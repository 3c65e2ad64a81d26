//! The raw ceiling: the rows of a filing committed straight into the same PostgreSQL, with nothing of ours in between.

use std::time::Duration;

use e2e::World;
use sqlx::{Executor as _, PgPool, postgres::PgPoolOptions};
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;

/// Bytes of a sealed form, as the service stores them.
const FORM: usize = 330;
/// Bytes of a sealed answer.
const ANSWER: usize = 900;

/// Filings' rows committed per second over this many connections.
pub(crate) async fn measure(world: &World, connections: u32, length: Duration) -> anyhow::Result<f64> {
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .connect_with(world.stack.postgres.superuser("notification")?)
        .await?;
    // Copies of the tables a filing writes, with their indexes.
    pool.execute(
        "drop table if exists raw_request, raw_notification, raw_audit, raw_outbox;
         create table raw_request (like request including all);
         create table raw_notification (like notification including all);
         create table raw_audit (like audit including all);
         create table raw_outbox (like outbox including all);",
    )
    .await?;
    let until = Instant::now() + length;
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(commit_until(pool.clone(), until));
    }
    let mut committed = 0;
    while let Some(done) = tasks.join_next().await {
        committed += done??;
    }
    pool.execute("drop table raw_request, raw_notification, raw_audit, raw_outbox").await?;
    Ok(f64::from(committed) / length.as_secs_f64())
}

async fn commit_until(pool: PgPool, until: Instant) -> anyhow::Result<u32> {
    let mut committed = 0;
    let organisation = Uuid::now_v7();
    let (form, answer, event, hash) = (vec![7_u8; FORM], vec![7_u8; ANSWER], vec![7_u8; 120], vec![7_u8; 32]);
    while Instant::now() < until {
        let id = Uuid::now_v7();
        let mut tx = pool.begin().await?;
        sqlx::query(
            "insert into raw_request (user_id, request_id, rpc, body_hash, response, created_at)
             values ($1, $2, 'FileNotification', $3, $4, now())",
        )
        .bind(organisation)
        .bind(id)
        .bind(&hash)
        .bind(&answer)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into raw_notification
                 (notification_id, number, state, form_sealed, form_version, missing, reporter_id, receiving_centre,
                  prefecture, salt, content_hash, received_at, arrived_at, filed_at, channel, placed_at, counted_by)
             values ($1, $2, 1, $3, '2020-05-13', '{}', $4, $4, 27, $5, $5, now(), now(), now(), 0, now(), $4)",
        )
        .bind(id)
        .bind(id.to_string())
        .bind(&form)
        .bind(organisation)
        .bind(&hash)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into raw_audit (user_id, organisation_id, rpc, record, field_groups, request_id, trace_id)
             values ($1, $1, 'FileNotification', $2, '{2,3,4,5,6,7}', $2, '0123456789abcdef0123456789abcdef')",
        )
        .bind(organisation)
        .bind(id)
        .execute(&mut *tx)
        .await?;
        sqlx::query(
            "insert into raw_outbox (id, type, payload, traceparent) values ($1, 'notification.filed', $2, 'x')",
        )
        .bind(id)
        .bind(&event)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        committed += 1;
    }
    Ok(committed)
}
