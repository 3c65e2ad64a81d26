//! SQL of signing in that is no factor's: assertions that were used.

use sqlx::PgConnection;
use time::OffsetDateTime;

/// Uses an assertion up. `false` where it was used before. Those that have expired are forgotten.
pub(super) async fn use_assertion(
    conn: &mut PgConnection,
    jti: &[u8],
    expires_at: OffsetDateTime,
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "insert into used_assertion (jti_hash, expires_at) values ($1, $2) on conflict (jti_hash) do nothing",
    )
    .bind(jti)
    .bind(expires_at)
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("delete from used_assertion where expires_at < $1").bind(now).execute(conn).await?;
    Ok(true)
}
