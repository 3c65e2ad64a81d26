//! From the outbox to the bus. One leader per service stamps each row once, in an order that never changes, and
//! publishes it. Stamping does not wait for NATS: the log can be read without it.
//!
//! Who leads holds a lease, renewed by whatever it writes. Each of its writes carries the number of its lease (a fencing token): a
//! leader that was stopped and comes back writes nothing any more.

mod publish;

use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::jetstream;
use runtime::{Clock, Pulses, Shutdown};
use sqlx::{Connection as _, FromRow, PgConnection, PgPool};
use time::{Date, OffsetDateTime};
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

use self::publish::publish;
use crate::{event, outbox::Wake, pool::Database};

/// The most rows stamped in one transaction.
const BATCH: i64 = 1_000;
/// How often to look at the outbox at least: commits of other processes do not wake this one.
const POLL: Duration = Duration::from_millis(100);
/// How often to renew the lease and move the watermark at least.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long a lease lasts that is not renewed. Who leads is replaced within five seconds of its death or stop.
const LEASE: Duration = Duration::from_secs(3);
/// How often the others ask whether it has run out.
const ASK: Duration = Duration::from_millis(500);
/// A leader that is stopped within a transaction loses it, and its locks, before its lease runs out.
const STOPPED: &str = "set idle_in_transaction_session_timeout = '2s'";
/// The delay before a retry.
const RETRY: Duration = Duration::from_secs(1);
/// How long one step may take. The server gives up its statements earlier: whatever takes longer has lost its server.
const STEP: Duration = Duration::from_secs(15);

/// How far a leader has stamped.
#[derive(Clone, Copy, Debug)]
struct Stamped {
    /// The number of its lease.
    fence: i64,
    seq: i64,
}

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
    let (stamped, to_publish) = watch::channel(None);
    let stop = shutdown.clone();
    shutdown.spawn("relay", async move {
        while !stop.is_requested() {
            let led = lead(&database, &wake, &stamped, &pulses, &stop).await;
            stamped.send_replace(None);
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

/// Waits to become the leader, then stamps until the connection or the lease is lost, or until the process is to stop. Then it gives
/// the lease back: nobody has to wait for its end.
async fn lead(
    database: &Database,
    wake: &Wake,
    stamped: &watch::Sender<Option<Stamped>>,
    pulses: &Pulses,
    stop: &Shutdown,
) -> anyhow::Result<()> {
    let mut connection = database.connection().await?;
    in_time(async { Ok(sqlx::query(STOPPED).execute(&mut connection).await?) }).await?;
    let fence = loop {
        if let Some(fence) = in_time(ask_to_lead(&mut connection)).await? {
            break fence;
        }
        pulses.beat("relay");
        tokio::select! {
            () = stop.requested() => return Ok(()),
            () = tokio::time::sleep(ASK) => {}
        }
    };
    tracing::info!(fence, "Relay became the leader");
    make_partitions(&mut connection, Clock::system().now().date()).await;
    let mut partitions_for: Option<Date> = None;
    let mut written = None;
    loop {
        let woken = wake.0.notified();
        let mut count = 0;
        let mut wrote = in_time(stamp(&mut connection, fence)).await?;
        if let Some((stamped_now, ..)) = wrote {
            count = stamped_now;
        } else if written.is_none_or(|at: Instant| at.elapsed() >= HEARTBEAT) {
            wrote = Some(in_time(renew(&mut connection, fence)).await?);
        }
        pulses.beat("relay");
        if let Some((_, day, seq)) = wrote {
            written = Some(Instant::now());
            if partitions_for != Some(day) {
                make_partitions(&mut connection, day).await;
                partitions_for = Some(day);
            }
            stamped.send_replace(Some(Stamped { fence, seq }));
        }
        if stop.is_requested() {
            return in_time(give_back(&mut connection, fence)).await;
        }
        if count < BATCH {
            let _ = tokio::time::timeout(POLL, woken).await;
        }
    }
}

/// Takes the lease if it has run out. Returns its number.
async fn ask_to_lead(connection: &mut PgConnection) -> anyhow::Result<Option<i64>> {
    // The row is not touched while somebody leads: the leader's own writes would wait for us.
    sqlx::query_scalar(
        "update relay set fence = fence + 1, held_until = clock_timestamp() + make_interval(secs => $1)
         where held_until < clock_timestamp() returning fence",
    )
    .bind(LEASE.as_secs_f64())
    .fetch_optional(connection)
    .await
    .context("ask for leadership")
}

async fn give_back(connection: &mut PgConnection, fence: i64) -> anyhow::Result<()> {
    let back =
        sqlx::query("update relay set held_until = '-infinity' where fence = $1").bind(fence).execute(connection);
    back.await.context("give the lease back")?;
    Ok(())
}

/// Renews the lease and moves the watermark while there is nothing to stamp.
async fn renew(connection: &mut PgConnection, fence: i64) -> anyhow::Result<(i64, Date, i64)> {
    let renewed: Option<(i64, OffsetDateTime)> = sqlx::query_as(
        "update relay set stamped_at = greatest(clock_timestamp(), stamped_at),
                          held_until = clock_timestamp() + make_interval(secs => $2)
         where fence = $1 returning stamped_seq, stamped_at",
    )
    .bind(fence)
    .bind(LEASE.as_secs_f64())
    .fetch_optional(connection)
    .await
    .context("renew the lease")?;
    let Some((seq, at)) = renewed else { bail!("another process leads") };
    Ok((0, at.date(), seq))
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

/// Stamps the rows that are committed. Returns how many, today's date, and the last seq; `None` if there were none.
///
/// Whatever a transaction had read was inserted before by others, and is in the same snapshot under smaller ordinals: the order
/// of the log is the order of causes. A transaction that commits later is stamped later, so nobody waits for one that is open.
async fn stamp(connection: &mut PgConnection, fence: i64) -> anyhow::Result<Option<(i64, Date, i64)>> {
    let rows: Vec<Unstamped> = sqlx::query_as(
        "select ordinal, id, created_at from outbox
         where seq is null order by ordinal limit $1",
    )
    .bind(BATCH)
    .fetch_all(&mut *connection)
    .await
    .context("read the outbox")?;

    if rows.is_empty() {
        return Ok(None);
    }

    let mut tx = connection.begin().await.context("begin stamping")?;
    let taken: Option<(i64, OffsetDateTime)> = sqlx::query_as(
        "update relay set stamped_seq = stamped_seq + $1,
                          stamped_at = greatest(clock_timestamp(), stamped_at + interval '1 microsecond'),
                          held_until = clock_timestamp() + make_interval(secs => $3)
         where fence = $2 returning stamped_seq, stamped_at",
    )
    .bind(i64::try_from(rows.len())?)
    .bind(fence)
    .bind(LEASE.as_secs_f64())
    .fetch_optional(&mut *tx)
    .await
    .context("take numbers")?;
    let Some((last, at)) = taken else { bail!("another process leads") };
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
    Ok(Some((i64::try_from(rows.len())?, at.date(), last)))
}

#[cfg(test)]
mod tests {
    use proto::registry::PersonCorrected;
    use runtime::clock::from_proto;
    use testing::{Outcome, World};

    use super::{ask_to_lead, give_back, renew, stamp};
    use crate::{log, outbox, pipeline};

    #[tokio::test]
    async fn what_was_committed_is_stamped_once_without_gaps_and_nothing_else_is() -> Outcome {
        let world = World::new("statistics", &[]).await?;
        let pool = &world.base.pool;
        let event = |number: i32| PersonCorrected { case_id: number.to_string() };
        let mut open = pool.begin().await?;
        outbox::add(&mut open, &event(1)).await?;
        let mut conn = pool.acquire().await?;
        let fence = ask_to_lead(&mut conn).await?.unwrap();
        outbox::add_all(&mut conn, &[event(2), event(3)]).await?;
        // Nobody waits for a transaction that is open: what it commits comes later in the log.
        assert_eq!(stamp(&mut conn, fence).await?.unwrap().0, 2);
        let before = log::head(pool).await?.watermark_time.as_ref().and_then(from_proto).unwrap();
        open.commit().await?;
        let (count, _, last) = stamp(&mut conn, fence).await?.unwrap();
        assert_eq!((count, last), (1, 3));
        assert!(log::read(pool, 2, 1).await?[0].recorded_at > before, "and was recorded later");
        assert!(stamp(&mut conn, fence).await?.is_none());
        assert_eq!(renew(&mut conn, fence).await?.2, 3);

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

    #[tokio::test]
    async fn a_leader_that_was_stopped_writes_nothing_once_another_leads() -> Outcome {
        let world = World::new("statistics", &[]).await?;
        let pool = &world.base.pool;
        let (mut first, mut second) = (pool.acquire().await?, pool.acquire().await?);
        let old = ask_to_lead(&mut first).await?.unwrap();
        assert!(ask_to_lead(&mut second).await?.is_none(), "one leads");
        outbox::add(&mut first, &PersonCorrected { case_id: "1".to_owned() }).await?;
        assert!(stamp(&mut first, old).await?.is_some());

        // It is stopped, and its lease runs out.
        sqlx::query("update relay set held_until = clock_timestamp() - interval '1 microsecond'").execute(pool).await?;
        let new = ask_to_lead(&mut second).await?.unwrap();
        assert!(new > old);
        outbox::add(&mut first, &PersonCorrected { case_id: "2".to_owned() }).await?;
        assert!(renew(&mut first, old).await.is_err() && stamp(&mut first, old).await.is_err());
        assert_eq!(log::head(pool).await?.seq, 1, "nothing was stamped");
        assert_eq!(stamp(&mut second, new).await?.unwrap().2, 2);

        // Who was replaced gives back nothing; who leads does, and is followed at once.
        give_back(&mut first, old).await?;
        assert!(ask_to_lead(&mut first).await?.is_none());
        give_back(&mut second, new).await?;
        assert!(ask_to_lead(&mut first).await?.is_some());
        Ok(())
    }
}
