//! From the outbox to the bus. One leader per service stamps each row once, in an order that never changes, and
//! publishes it. Stamping does not wait for NATS: the log can be read without it.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{self, message::PublishMessage};
use runtime::{
    Clock, Pulses, Shutdown,
    metrics::{LAG, LagLabels},
};
use sqlx::{Connection as _, FromRow, PgConnection, PgPool};
use time::{Date, OffsetDateTime};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{event, log, nats, outbox::Wake, pool::Database, subject};

/// The most rows stamped in one transaction.
const BATCH: i64 = 1_000;
/// How often to look at the outbox at least: commits of other processes do not wake this one.
const POLL: Duration = Duration::from_millis(100);
/// How often to move the watermark at least.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// The delay before a retry.
const RETRY: Duration = Duration::from_secs(1);
/// How long one step may take. The server gives up its statements earlier: whatever takes longer has lost its server.
const STEP: Duration = Duration::from_secs(15);
/// The advisory lock that makes one relay the leader of its database.
const LEADER_LOCK: i64 = 0x4845_5253_5953;

/// Starts stamping and publishing.
pub fn start(
    service: &'static str,
    database: Database,
    pool: PgPool,
    bus: async_nats::Client,
    wake: Wake,
    pulses: Pulses,
    shutdown: &Shutdown,
) {
    let (stamped, to_publish) = watch::channel(0);
    let stop = shutdown.clone();
    shutdown.spawn("relay", async move {
        while !stop.is_requested() {
            let led = tokio::select! {
                () = stop.requested() => return,
                led = lead(&database, &wake, &stamped, &pulses) => led,
            };
            if let Err(error) = led {
                tracing::warn!(error = %format!("{error:#}"), "Relay lost its connection, trying again");
            }
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    });
    let (stop, js) = (shutdown.clone(), jetstream::new(bus));
    shutdown.spawn("publish", async move {
        tokio::select! {
            () = stop.requested() => {}
            () = publish(service, &pool, &js, to_publish) => {}
        }
    });
}

#[derive(FromRow)]
struct Unstamped {
    ordinal: i64,
    id: Uuid,
    created_at: OffsetDateTime,
}

/// Waits to become the leader, then stamps until the connection fails.
async fn lead(database: &Database, wake: &Wake, stamped: &watch::Sender<i64>, pulses: &Pulses) -> anyhow::Result<()> {
    let mut connection = database.connection().await?;
    while !in_time(ask_to_lead(&mut connection)).await? {
        pulses.beat("relay");
        tokio::time::sleep(RETRY).await;
    }
    tracing::info!("Relay became the leader");
    make_partitions(&mut connection, Clock::system().now().date()).await;
    let mut partitions_for: Option<Date> = None;
    loop {
        let woken = wake.0.notified();
        let (count, day, seq) = in_time(stamp(&mut connection)).await?;
        pulses.beat("relay");
        if partitions_for != Some(day) {
            make_partitions(&mut connection, day).await;
            partitions_for = Some(day);
        }
        stamped.send_replace(seq);
        if count < BATCH {
            let _ = tokio::time::timeout(POLL, woken).await;
        }
    }
}

async fn ask_to_lead(connection: &mut PgConnection) -> anyhow::Result<bool> {
    sqlx::query_scalar("select pg_try_advisory_lock($1)")
        .bind(LEADER_LOCK)
        .fetch_one(connection)
        .await
        .context("ask for leadership")
}

/// A server that has vanished never answers: after a while the connection is given up.
async fn in_time<T>(step: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(STEP, step).await.context("the database does not answer")?
}

/// Creates the partitions of this month and the next. A failure is no reason to stop: the default partition takes the
/// rows.
async fn make_partitions(connection: &mut PgConnection, day: Date) {
    for month in [day, day + time::Duration::days(31)] {
        if let Err(error) = sqlx::query("select make_outbox_partition($1)").bind(month).execute(&mut *connection).await
        {
            let code =
                error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(std::borrow::Cow::into_owned);
            tracing::error!(%month, code, "Could not make a partition of the log");
        }
    }
}

/// Stamps the rows that are committed. Returns how many, today's date, and the last seq.
///
/// Whatever a transaction had read was inserted before by others, and is in the same snapshot under smaller ordinals: the order
/// of the log is the order of causes. A transaction that commits later is stamped later, so nobody waits for one that is open.
async fn stamp(connection: &mut PgConnection) -> anyhow::Result<(i64, Date, i64)> {
    let rows: Vec<Unstamped> = sqlx::query_as(
        "select ordinal, id, created_at from outbox
         where seq is null order by ordinal limit $1",
    )
    .bind(BATCH)
    .fetch_all(&mut *connection)
    .await
    .context("read the outbox")?;

    if rows.is_empty() {
        // Only a leader moves the watermark, and only now and then: it costs a commit.
        let (seq, at): (i64, OffsetDateTime) = sqlx::query_as(
            "with moved as (
                 update relay set stamped_at = clock_timestamp()
                 where stamped_at < clock_timestamp() - make_interval(secs => $1)
                 returning stamped_seq, stamped_at
             )
             select stamped_seq, stamped_at from moved
             union all
             select stamped_seq, stamped_at from relay where not exists (select from moved)",
        )
        .bind(HEARTBEAT.as_secs_f64())
        .fetch_one(&mut *connection)
        .await
        .context("move the watermark")?;
        return Ok((0, at.date(), seq));
    }

    let mut tx = connection.begin().await.context("begin stamping")?;
    let (last, at): (i64, OffsetDateTime) = sqlx::query_as(
        "update relay set stamped_seq = stamped_seq + $1,
                          stamped_at = greatest(clock_timestamp(), stamped_at + interval '1 microsecond')
         returning stamped_seq, stamped_at",
    )
    .bind(i64::try_from(rows.len())?)
    .fetch_one(&mut *tx)
    .await
    .context("take numbers")?;
    let first = last - i64::try_from(rows.len())? + 1;
    let ordinals: Vec<i64> = rows.iter().map(|row| row.ordinal).collect();
    let months: Vec<OffsetDateTime> = rows.iter().map(|row| row.created_at).collect();
    let done = sqlx::query(
        "update outbox o set seq = $3 + n - 1, recorded_at = $4
         from unnest($1::bigint[], $2::timestamptz[]) with ordinality as r (ordinal, created_at, n)
         where o.ordinal = r.ordinal and o.created_at = r.created_at and o.seq is null",
    )
    .bind(&ordinals)
    .bind(&months)
    .bind(first)
    .bind(at)
    .execute(&mut *tx)
    .await
    .context("stamp")?;
    anyhow::ensure!(done.rows_affected() == u64::try_from(rows.len())?, "another process stamps this log");
    let hash = rows.iter().fold(0, |hash, row| hash ^ event::hash(row.id));
    sqlx::query(
        "insert into outbox_digest as d (day, count, hash, first_seq, last_seq) values ($1, $2, $3, $4, $5)
         on conflict (day) do update
         set count = d.count + excluded.count, hash = d.hash # excluded.hash, last_seq = excluded.last_seq",
    )
    .bind(at.date())
    .bind(i64::try_from(rows.len())?)
    .bind(hash)
    .bind(first)
    .bind(last)
    .execute(&mut *tx)
    .await
    .context("update the digest")?;
    tx.commit().await.context("commit the stamps")?;
    Ok((i64::try_from(rows.len())?, at.date(), last))
}

/// Publishes stamped events in order, and records how far the bus has confirmed them.
async fn publish(service: &'static str, pool: &PgPool, js: &jetstream::Context, mut stamped: watch::Receiver<i64>) {
    let mut published = None;
    loop {
        let target = *stamped.borrow_and_update();
        if let Err(error) = publish_some(service, pool, js, target, &mut published).await {
            tracing::warn!(error = %format!("{error:#}"), "Bus does not accept events, trying again");
            tokio::time::sleep(RETRY).await;
            continue;
        }
        let lag = target - published.unwrap_or(0);
        LAG.get_or_create(&LagLabels { stage: "outbox".to_owned() }).set(lag);
        if lag <= 0 && stamped.changed().await.is_err() {
            return;
        }
    }
}

async fn publish_some(
    service: &'static str,
    pool: &PgPool,
    js: &jetstream::Context,
    stamped: i64,
    published: &mut Option<i64>,
) -> anyhow::Result<()> {
    let from = if let Some(seq) = *published {
        seq
    } else {
        let seq = sqlx::query_scalar("select published_seq from relay").fetch_one(pool).await?;
        *published = Some(seq);
        seq
    };
    if from >= stamped {
        return Ok(());
    }
    let events = log::read(pool, from, BATCH.min(stamped - from)).await.context("read the log")?;
    let last = events.last().map_or(from, |event| event.seq);
    let mut acks = Vec::with_capacity(events.len());
    for event in events {
        if !nats::can_carry(&event) {
            // The others go on. Consumers see the gap and read what is there from the log.
            tracing::error!(seq = event.seq, event.id = %event.id, "The bus cannot carry an event of the log");
            continue;
        }
        let message = PublishMessage::build()
            .payload(event.payload.clone().into())
            .headers(nats::headers(service, &event))
            .message_id(event.id.to_string())
            .expected_stream(subject::stream(service));
        acks.push((event.seq, js.send_publish(subject::event(service, &event.r#type), message).await?));
    }
    for (seq, ack) in acks {
        if let Err(error) = ack.await {
            // From where the table says, and not before the deployment has made the stream again if the server's storage is gone.
            *published = None;
            return Err(error).context("publish");
        }
        *published = Some(seq);
    }
    *published = Some(last);
    sqlx::query("update relay set published_seq = greatest(published_seq, $1)")
        .bind(published.unwrap_or(from))
        .execute(pool)
        .await
        .context("remember what is published")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto::registry::PersonCorrected;
    use runtime::clock::from_proto;
    use testing::{Outcome, World};

    use super::stamp;
    use crate::{log, outbox, pipeline};

    #[tokio::test]
    async fn what_was_committed_is_stamped_once_without_gaps_and_nothing_else_is() -> Outcome {
        let world = World::new("statistics", &[]).await?;
        let pool = &world.base.pool;
        let event = |number: i32| PersonCorrected { case_id: number.to_string() };
        let mut open = pool.begin().await?;
        outbox::add(&mut open, &event(1)).await?;
        let mut conn = pool.acquire().await?;
        outbox::add_all(&mut conn, &[event(2), event(3)]).await?;
        // Nobody waits for a transaction that is open: what it commits comes later in the log.
        assert_eq!(stamp(&mut conn).await?.0, 2);
        let before = log::head(pool).await?.watermark_time.as_ref().and_then(from_proto).unwrap();
        open.commit().await?;
        let (count, _, last) = stamp(&mut conn).await?;
        assert_eq!((count, last), (1, 3));
        assert!(log::read(pool, 2, 1).await?[0].recorded_at > before, "and was recorded later");
        assert_eq!(stamp(&mut conn).await?.0, 0);

        let events = log::read(pool, 1, 10).await?;
        assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(log::records(pool, 0, 2).await?.len(), 2);
        let digests = log::digests(pool).await?;
        assert_eq!(digests.iter().map(|digest| (digest.count, digest.last_seq)).collect::<Vec<_>>(), [(3, 3)]);
        assert_eq!(log::head(pool).await?.seq, 3);
        let state = pipeline::state(&mut conn).await?;
        assert_eq!((state.stamped_seq, state.unstamped, state.dead_letters), (3, 0, 0));
        Ok(())
    }
}
