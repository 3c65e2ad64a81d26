//! Proxies of patients, printed codes, and access that was revoked.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A proxy to be stored.
pub(crate) struct NewProxy<'a> {
    pub id: Uuid,
    pub case_id: Uuid,
    pub access_hash: &'a [u8],
    pub birth_hash: &'a [u8],
    pub contact: &'a [u8],
    pub named_by: Uuid,
}

pub(crate) async fn insert(conn: &mut PgConnection, new: &NewProxy<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "insert into proxy (proxy_id, case_id, access_hash, birth_hash, contact, named_by)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(new.id)
    .bind(new.case_id)
    .bind(new.access_hash)
    .bind(new.birth_hash)
    .bind(new.contact)
    .bind(new.named_by)
    .execute(conn)
    .await?;
    Ok(())
}

/// Proxies of a case in force.
pub(crate) async fn of_case(conn: &mut PgConnection, case_id: Uuid) -> sqlx::Result<Vec<(Uuid, OffsetDateTime)>> {
    sqlx::query_as("select proxy_id, named_at from proxy where case_id = $1 and dismissed_at is null order by named_at")
        .bind(case_id)
        .fetch_all(conn)
        .await
}

/// Dismisses a proxy. `false` where there is none in force.
pub(crate) async fn dismiss(conn: &mut PgConnection, case_id: Uuid, proxy_id: Uuid) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update proxy set dismissed_at = now() where proxy_id = $1 and case_id = $2 and dismissed_at is null",
    )
    .bind(proxy_id)
    .bind(case_id)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Dismisses the proxies whom the patient's own access named. Returns them.
pub(crate) async fn dismiss_named_by(conn: &mut PgConnection, case_id: Uuid) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "update proxy set dismissed_at = now() where case_id = $1 and named_by = $1 and dismissed_at is null
         returning proxy_id",
    )
    .bind(case_id)
    .fetch_all(conn)
    .await
}

/// Sets the printed code. `false` where the patient is not known (yet).
pub(crate) async fn set_code(conn: &mut PgConnection, case_id: Uuid, code_hash: &[u8]) -> sqlx::Result<bool> {
    let done = sqlx::query("update patient set code_hash = $2 where case_id = $1")
        .bind(case_id)
        .bind(code_hash)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Bars a patient's access ID, its printed code, and what was sent and not typed yet.
pub(crate) async fn revoke(conn: &mut PgConnection, case_id: Uuid) -> sqlx::Result<bool> {
    sqlx::query("delete from challenge where subject = $1").bind(case_id).execute(&mut *conn).await?;
    let done =
        sqlx::query("update patient set revoked_at = coalesce(revoked_at, now()), code_hash = null where case_id = $1")
            .bind(case_id)
            .execute(conn)
            .await?;
    Ok(done.rows_affected() == 1)
}
