//! SQL of proxies.

use access::{CaseId, UserId};
use chassis::page::After;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::ProxyId;

/// A proxy to be stored.
pub(super) struct NewProxy {
    pub id: ProxyId,
    pub case_id: CaseId,
    pub access_hash: Vec<u8>,
    pub birth_hash: Vec<u8>,
    /// Where the codes go, sealed.
    pub contact: Vec<u8>,
    pub named_by: UserId,
    pub named_at: OffsetDateTime,
    /// `None` while it is only proposed.
    pub confirmed_at: Option<OffsetDateTime>,
}

/// Whoever counts the proxies of a case waits for whoever is adding one.
pub(super) async fn lock_proxies_of(conn: &mut PgConnection, case: CaseId) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('proxies ' || $1::text, 0))")
        .bind(case)
        .execute(conn)
        .await
        .map(|_| ())
}

pub(super) async fn insert(conn: &mut PgConnection, new: &NewProxy) -> sqlx::Result<()> {
    sqlx::query(
        "insert into proxy (proxy_id, case_id, access_hash, birth_hash, contact, named_by, named_at, confirmed_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(new.id)
    .bind(new.case_id)
    .bind(&new.access_hash)
    .bind(&new.birth_hash)
    .bind(&new.contact)
    .bind(new.named_by)
    .bind(new.named_at)
    .bind(new.confirmed_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Proxies of a case that are not dismissed.
pub(super) async fn count(conn: &mut PgConnection, case: CaseId) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from proxy where case_id = $1 and dismissed_at is null")
        .bind(case)
        .fetch_one(conn)
        .await
}

/// A proxy that is not dismissed.
#[derive(Clone, Copy, Debug, FromRow)]
pub(super) struct Row {
    pub proxy_id: ProxyId,
    pub named_at: OffsetDateTime,
    /// Whether a centre has confirmed it, or it needed none.
    pub in_force: bool,
}

/// A page of a case's proxies that are not dismissed, in the order they were named.
pub(super) async fn page(conn: &mut PgConnection, case: CaseId, after: After, limit: i64) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(
        "select proxy_id, named_at, confirmed_at is not null as in_force from proxy
         where case_id = $1 and dismissed_at is null and (named_at, proxy_id) > ($2, $3)
         order by named_at, proxy_id limit $4",
    )
    .bind(case)
    .bind(after.moment())
    .bind(after.id)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// Confirms a proxy. `false` where there is none; one that is in force stays so.
pub(super) async fn confirm(
    conn: &mut PgConnection,
    case: CaseId,
    proxy: ProxyId,
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update proxy set confirmed_at = coalesce(confirmed_at, $3)
         where proxy_id = $1 and case_id = $2 and dismissed_at is null",
    )
    .bind(proxy)
    .bind(case)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Dismisses a proxy. `false` where there is none in force.
pub(super) async fn dismiss(
    conn: &mut PgConnection,
    case: CaseId,
    proxy: ProxyId,
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    let done =
        sqlx::query("update proxy set dismissed_at = $3 where proxy_id = $1 and case_id = $2 and dismissed_at is null")
            .bind(proxy)
            .bind(case)
            .bind(now)
            .execute(conn)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// Dismisses the proxies of a case; of those whom others named than the patient only where `all` says so. Returns them.
pub(crate) async fn dismiss_with_the_patient(
    conn: &mut PgConnection,
    case: CaseId,
    all: bool,
    now: OffsetDateTime,
) -> sqlx::Result<Vec<ProxyId>> {
    sqlx::query_scalar(
        "update proxy set dismissed_at = $2
         where case_id = $1 and dismissed_at is null and ($3 or named_by = $1) returning proxy_id",
    )
    .bind(case)
    .bind(now)
    .bind(all)
    .fetch_all(conn)
    .await
}
