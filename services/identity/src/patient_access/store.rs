//! SQL of printed codes, and of access that is revoked.

use access::CaseId;
use sqlx::PgConnection;
use time::OffsetDateTime;

/// Sets the printed code. `false` where the patient is not known (yet).
pub(super) async fn set_code(conn: &mut PgConnection, case: CaseId, code_hash: &[u8]) -> sqlx::Result<bool> {
    let done = sqlx::query("update patient set code_hash = $2 where case_id = $1")
        .bind(case)
        .bind(code_hash)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Bars a patient's access ID, its printed code, and what was sent and not typed yet. `false` where the patient is not known
/// (yet).
pub(super) async fn revoke(conn: &mut PgConnection, case: CaseId, now: OffsetDateTime) -> sqlx::Result<bool> {
    sqlx::query("delete from challenge where subject = $1").bind(case).execute(&mut *conn).await?;
    let done =
        sqlx::query("update patient set revoked_at = coalesce(revoked_at, $2), code_hash = null where case_id = $1")
            .bind(case)
            .bind(now)
            .execute(conn)
            .await?;
    Ok(done.rows_affected() == 1)
}
