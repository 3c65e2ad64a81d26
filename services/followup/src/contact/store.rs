//! SQL of contact attempts and care visits.

use access::{CaseId, OrganisationId};
use data::Code;
use proto::followup::ContactChannel;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::{Attempt, AttemptId, Visit, VisitId};

#[derive(FromRow)]
struct AttemptRow {
    attempt_id: AttemptId,
    case_id: CaseId,
    at: OffsetDateTime,
    channel: Code<ContactChannel>,
    reached: bool,
    note: Option<Vec<u8>>,
    by_organisation: OrganisationId,
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        Self {
            id: row.attempt_id,
            case_id: row.case_id,
            at: row.at,
            channel: row.channel.0,
            reached: row.reached,
            note: row.note,
            by_organisation: row.by_organisation,
        }
    }
}

#[derive(FromRow)]
struct VisitRow {
    visit_id: VisitId,
    case_id: CaseId,
    at: OffsetDateTime,
    sealed: Vec<u8>,
}

impl From<VisitRow> for Visit {
    fn from(row: VisitRow) -> Self {
        Self { id: row.visit_id, case_id: row.case_id, at: row.at, sealed: row.sealed }
    }
}

pub(crate) async fn insert_attempt(conn: &mut PgConnection, attempt: &Attempt) -> sqlx::Result<()> {
    sqlx::query(
        "insert into contact_attempt (attempt_id, case_id, at, channel, reached, note, by_organisation)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(attempt.id)
    .bind(attempt.case_id)
    .bind(attempt.at)
    .bind(Code(attempt.channel))
    .bind(attempt.reached)
    .bind(&attempt.note)
    .bind(attempt.by_organisation)
    .execute(conn)
    .await?;
    Ok(())
}

/// The latest attempts of a case, newest first.
pub(crate) async fn attempts(conn: &mut PgConnection, case: CaseId, limit: i64) -> sqlx::Result<Vec<Attempt>> {
    let rows: Vec<AttemptRow> =
        sqlx::query_as("select * from contact_attempt where case_id = $1 order by at desc limit $2")
            .bind(case)
            .bind(limit)
            .fetch_all(conn)
            .await?;
    Ok(rows.into_iter().map(Attempt::from).collect())
}

pub(crate) async fn insert_visit(conn: &mut PgConnection, visit: &Visit) -> sqlx::Result<()> {
    sqlx::query("insert into care_visit (visit_id, case_id, at, sealed) values ($1, $2, $3, $4)")
        .bind(visit.id)
        .bind(visit.case_id)
        .bind(visit.at)
        .bind(&visit.sealed)
        .execute(conn)
        .await?;
    Ok(())
}

/// The latest care visits of a case, newest first.
pub(crate) async fn visits(conn: &mut PgConnection, case: CaseId, limit: i64) -> sqlx::Result<Vec<Visit>> {
    let rows: Vec<VisitRow> = sqlx::query_as("select * from care_visit where case_id = $1 order by at desc limit $2")
        .bind(case)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Visit::from).collect())
}
