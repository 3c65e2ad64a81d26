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
}

pub(super) async fn insert(conn: &mut PgConnection, new: &NewProxy) -> sqlx::Result<()> {
    sqlx::query(
        "insert into proxy (proxy_id, case_id, access_hash, birth_hash, contact, named_by, named_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(new.id)
    .bind(new.case_id)
    .bind(&new.access_hash)
    .bind(&new.birth_hash)
    .bind(&new.contact)
    .bind(new.named_by)
    .bind(new.named_at)
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
pub(super) struct Named {
    pub proxy_id: ProxyId,
    pub named_at: OffsetDateTime,
}

/// A page of a case's proxies that are not dismissed, in the order they were named.
pub(super) async fn page(conn: &mut PgConnection, case: CaseId, after: After, limit: i64) -> sqlx::Result<Vec<Named>> {
    sqlx::query_as(
        "select proxy_id, named_at from proxy
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

/// Dismisses the proxies whom the patient's own access named. Returns them.
pub(crate) async fn dismiss_named_by_patient(
    conn: &mut PgConnection,
    case: CaseId,
    now: OffsetDateTime,
) -> sqlx::Result<Vec<ProxyId>> {
    sqlx::query_scalar(
        "update proxy set dismissed_at = $2 where case_id = $1 and named_by = $1 and dismissed_at is null
         returning proxy_id",
    )
    .bind(case)
    .bind(now)
    .fetch_all(conn)
    .await
}
