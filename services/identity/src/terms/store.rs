//! SQL of the terms.

use access::UserId;
use sqlx::PgConnection;
use time::OffsetDateTime;

/// Notes the version a person accepted, unless it was a later one.
pub(super) async fn accept(conn: &mut PgConnection, id: UserId, version: i32, now: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query(
        "update account set terms_version = $2, terms_accepted_at = $3 where user_id = $1 and terms_version < $2",
    )
    .bind(id)
    .bind(version)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}
