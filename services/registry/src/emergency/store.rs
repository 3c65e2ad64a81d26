//! SQL of openings in an emergency.

use access::{CaseId, OrganisationId, UserId};
use chassis::page::After;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use vault::Place;

use super::model::OpeningId;

/// Why a case was opened, bound to the opening.
pub(crate) const REASON: Place = Place { table: "emergency_opening", column: "reason" };

/// An opening as stored.
#[derive(FromRow)]
pub(super) struct Opening {
    #[sqlx(rename = "opening_id")]
    pub id: OpeningId,
    pub case_id: CaseId,
    pub user_id: UserId,
    pub organisation_id: OrganisationId,
    pub at: OffsetDateTime,
    pub until: OffsetDateTime,
    pub reason: Vec<u8>,
}

pub(super) async fn insert(conn: &mut PgConnection, opening: &Opening) -> sqlx::Result<()> {
    sqlx::query(
        "insert into emergency_opening (opening_id, case_id, user_id, organisation_id, at, until, reason)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(opening.id)
    .bind(opening.case_id)
    .bind(opening.user_id)
    .bind(opening.organisation_id)
    .bind(opening.at)
    .bind(opening.until)
    .bind(&opening.reason)
    .execute(conn)
    .await?;
    Ok(())
}

/// How many cases a user has opened since a moment, each counted once, at most `limit`.
pub(super) async fn opened_by(
    conn: &mut PgConnection,
    user: UserId,
    since: OffsetDateTime,
    limit: i64,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from (
             select distinct case_id from emergency_opening where user_id = $1 and at > $2 limit $3
         ) opened",
    )
    .bind(user)
    .bind(since)
    .bind(limit)
    .fetch_one(conn)
    .await
}

/// A page of a case's openings, newest first.
pub(super) async fn of_case(
    conn: &mut PgConnection,
    case: CaseId,
    after: After,
    limit: i64,
) -> sqlx::Result<Vec<Opening>> {
    sqlx::query_as(
        "select opening_id, case_id, user_id, organisation_id, at, until, reason from emergency_opening
         where case_id = $1 and (at, opening_id) < ($2, $3) order by at desc, opening_id desc limit $4",
    )
    .bind(case)
    .bind(after.moment())
    .bind(after.id)
    .bind(limit)
    .fetch_all(conn)
    .await
}
