//! SQL of access IDs: two columns of `cases`.

use access::CaseId;
use sqlx::PgConnection;
use vault::Place;

use super::model::Access;

pub(crate) const SEALED_ID: Place = Place { table: "cases", column: "access_sealed" };
pub(super) const INDEX: Place = Place { table: "cases", column: "access_hash" };

/// The case whose access ID has this index.
pub(crate) async fn case_of(conn: &mut PgConnection, hash: &[u8]) -> sqlx::Result<Option<CaseId>> {
    sqlx::query_scalar("select case_id from cases where access_hash = $1").bind(hash).fetch_optional(conn).await
}

pub(super) async fn replace(conn: &mut PgConnection, case: CaseId, access: &Access) -> sqlx::Result<()> {
    sqlx::query("update cases set access_sealed = $2, access_hash = $3 where case_id = $1")
        .bind(case)
        .bind(&access.sealed)
        .bind(&access.hash)
        .execute(conn)
        .await?;
    Ok(())
}
