//! Seals the audit trail. One process per service chains committed rows within a second, and signs the chain again half
//! a minute after the last signature if it has grown. Writers never wait for it.

use std::time::Duration;

use runtime::{Clock, Pulses, Shutdown};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use vault::Signer;

use crate::{
    seal::{self, Checkpoint, GENESIS, TYPE},
    store::{COLUMNS, Stored},
};

/// How often to look for new rows.
const LOOK: Duration = Duration::from_millis(500);
/// How long a round may take.
const STEP: Duration = Duration::from_secs(15);
/// The most rows sealed in one transaction.
const BATCH: i64 = 2_000;
/// A process that is stopped within a round loses it after two seconds: another goes on.
const ALONE: &str = "begin; set local idle_in_transaction_session_timeout = '2s'";
/// A chain that has grown is signed again after this long.
const SIGN: time::Duration = time::Duration::seconds(30);

/// A transaction's whole id: sessions show 32 bits of 64. It lies on either side of `next`: whoever began since then has a later one.
const WHOLE: &str = "next - (((next - xid + 2147483648) & 4294967295) - 2147483648)";

/// The oldest transaction of this database's service that is open and has written, or the next one there will be. What is open in
/// other databases of the server, or by other roles, writes nothing here.
fn oldest_writer() -> String {
    format!(
        "select least(next, coalesce(min({WHOLE}), next))::text
         from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next) n
         left join (select backend_xid::text::bigint as xid from pg_stat_activity
                    where datname = current_database() and backend_xid is not null and pid <> pg_backend_pid()) a
                on true
         group by next"
    )
}

/// Seals until shutdown.
pub fn start(service: &'static str, pool: PgPool, signer: Signer, clock: Clock, pulses: Pulses, shutdown: &Shutdown) {
    let stop = shutdown.clone();
    shutdown.spawn("sealer", async move {
        let mut known = None;
        loop {
            let sealed = tokio::time::timeout(STEP, go_on(service, &pool, &signer, &clock, &mut known)).await;
            pulses.beat("sealer");
            match sealed {
                // More rows are waiting.
                Ok(Ok(sealed)) if sealed == BATCH && !stop.is_requested() => continue,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(error = %format!("{error:#}"), "Could not seal the audit trail"),
                Err(_elapsed) => tracing::warn!("The database does not answer"),
            }
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    });
}

/// One round, for whoever waits for it: seals what is committed and signs when it is time.
///
/// # Errors
/// When the database does not answer, or the chain was tampered with.
pub async fn once(service: &str, pool: &PgPool, signer: &Signer, clock: &Clock) -> anyhow::Result<()> {
    go_on(service, pool, signer, clock, &mut None).await.map(|_| ())
}

/// Seals the next rows and signs when it is time. Returns how many were sealed.
///
/// `known` is the end of the chain as this process last saw it. If the chain no longer contains it, somebody tampered
/// with it: nothing more is sealed or signed, so that it shows.
async fn go_on(
    service: &str,
    pool: &PgPool,
    signer: &Signer,
    clock: &Clock,
    known: &mut Option<(i64, Vec<u8>)>,
) -> anyhow::Result<i64> {
    let mut tx = pool.begin_with(ALONE).await?;
    // One sealer per service: the other replicas look again later.
    let alone: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock(9)").fetch_one(&mut *tx).await?;
    if !alone {
        return Ok(0);
    }
    // Only rows older than every transaction that is open in this database: no other row can still appear among them. Asked in
    // a statement of its own: whoever has ended by then is seen by the next one.
    let fence: String = sqlx::query_scalar(sqlx::AssertSqlSafe(oldest_writer())).fetch_one(&mut *tx).await?;
    let rows: Vec<Stored> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "select {COLUMNS} from audit a, audit_sealed s
         where (a.xid, a.id) > (s.xid, s.audit_id) and a.xid < $2::xid8
         order by a.xid, a.id limit $1"
    )))
    .bind(BATCH)
    .bind(fence)
    .fetch_all(&mut *tx)
    .await?;
    if let Some((place, seal)) = known.as_ref().filter(|(place, _)| *place > 0) {
        let stored: Option<Vec<u8>> = sqlx::query_scalar("select seal from audit_seal where place = $1")
            .bind(place)
            .fetch_optional(&mut *tx)
            .await?;
        anyhow::ensure!(stored.as_ref() == Some(seal), "the chain was changed at or before place {place}");
    }
    let (place, before) = end_of_chain(&mut tx).await?;
    if rows.is_empty() {
        sign(service, &mut tx, signer, clock.now(), (place, &before)).await?;
        tx.commit().await?;
        *known = Some((place, before));
        return Ok(0);
    }
    let count = i64::try_from(rows.len())?;
    let (mut places, mut ids, mut seals) = (Vec::new(), Vec::new(), Vec::new());
    let (mut last, mut last_place) = (before, place);
    for row in rows {
        last_place += 1;
        let id = row.id;
        last = seal::seal(&last, last_place, &row.shown()).to_vec();
        places.push(last_place);
        ids.push(id);
        seals.push(last.clone());
    }
    sqlx::query(
        "insert into audit_seal (place, audit_id, seal) select * from unnest($1::bigint[], $2::bigint[], $3::bytea[])",
    )
    .bind(&places)
    .bind(&ids)
    .bind(&seals)
    .execute(&mut *tx)
    .await?;
    sqlx::query("update audit_sealed s set xid = a.xid, audit_id = a.id from audit a where a.id = $1")
        .bind(ids.last())
        .execute(&mut *tx)
        .await?;
    sign(service, &mut tx, signer, clock.now(), (last_place, &last)).await?;
    tx.commit().await?;
    *known = Some((last_place, last));
    Ok(count)
}

async fn end_of_chain(conn: &mut PgConnection) -> sqlx::Result<(i64, Vec<u8>)> {
    let end: Option<(i64, Vec<u8>)> =
        sqlx::query_as("select place, seal from audit_seal order by place desc limit 1").fetch_optional(conn).await?;
    Ok(end.unwrap_or_else(|| (0, GENESIS.to_vec())))
}

/// Signs the end of the chain, unless it was signed recently or has not grown.
async fn sign(
    service: &str,
    conn: &mut PgConnection,
    signer: &Signer,
    now: OffsetDateTime,
    (place, end): (i64, &[u8]),
) -> anyhow::Result<()> {
    let newest: Option<(i64, OffsetDateTime)> =
        sqlx::query_as("select place, at from audit_checkpoint order by place desc limit 1")
            .fetch_optional(&mut *conn)
            .await?;
    if newest.map_or(place == 0, |(last, at)| last >= place || now - at < SIGN) {
        return Ok(());
    }
    let claims = Checkpoint { iss: service.to_owned(), place, seal: seal::hex(end), iat: now.unix_timestamp() };
    sqlx::query("insert into audit_checkpoint (place, signature) values ($1, $2)")
        .bind(place)
        .bind(signer.sign(TYPE, &claims)?)
        .execute(conn)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, PgConnection};
    use testing::{Outcome, World};

    use super::{WHOLE, oldest_writer};

    async fn fence(conn: &mut PgConnection) -> anyhow::Result<i64> {
        let fence: String = sqlx::query_scalar(AssertSqlSafe(oldest_writer())).fetch_one(conn).await?;
        Ok(fence.parse()?)
    }

    #[tokio::test]
    async fn nothing_is_sealed_past_a_writer_that_is_open_whoever_began_since() -> Outcome {
        let world = World::new("statistics", &[]).await?;
        let pool = &world.base.pool;
        let whole = format!("select {WHOLE} from (values ($1::bigint, $2::bigint)) v (next, xid)");
        let epoch = 1_i64 << 32;
        for (next, shown, full) in [
            (1_000, 990, 990),
            // Began after the snapshot.
            (1_000, 1_005, 1_005),
            (epoch + 10, 5, epoch + 5),
            (epoch + 10, 15, epoch + 15),
            // The counter of sessions has come round.
            (epoch + 5, epoch - 6, epoch - 6),
        ] {
            let found: i64 =
                sqlx::query_scalar(AssertSqlSafe(whole.clone())).bind(next).bind(shown).fetch_one(pool).await?;
            assert_eq!(found, full, "{shown} at {next}");
        }

        let mut looks = pool.acquire().await?;
        let begins = "select pg_current_xact_id()::text::bigint";
        let mut first = pool.begin().await?;
        let open: i64 = sqlx::query_scalar(begins).fetch_one(&mut *first).await?;
        let mut second = pool.begin().await?;
        let later: i64 = sqlx::query_scalar(begins).fetch_one(&mut *second).await?;
        assert!(later > open);
        assert_eq!(fence(&mut looks).await?, open);
        first.commit().await?;
        // A database's other sessions have begun transactions of their own meanwhile, or none.
        assert!((open + 1..=later).contains(&fence(&mut looks).await?));
        Ok(())
    }
}
