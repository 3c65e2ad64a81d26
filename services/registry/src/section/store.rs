//! SQL of sections. Versions are added, never changed.

use access::{CaseId, OrganisationId, UserId};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use vault::Place;

/// The answers of a section.
pub(crate) const ANSWERS: Place = Place { table: "case_section", column: "answers" };

/// A version of a section.
#[derive(Clone, FromRow)]
pub(crate) struct Stored {
    pub case_id: CaseId,
    pub section: String,
    /// From 1.
    pub revision: i64,
    /// Sealed.
    pub answers: Vec<u8>,
    pub recorded_at: OffsetDateTime,
    #[sqlx(rename = "organisation_id")]
    pub organisation: OrganisationId,
    #[sqlx(rename = "user_id")]
    pub user: UserId,
    pub on_behalf_of: Option<OrganisationId>,
}

/// The latest versions of the sections of some cases.
pub(crate) async fn of_cases(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as(
        "select distinct on (case_id, section)
                case_id, section, revision, answers, recorded_at, organisation_id, user_id, on_behalf_of
         from case_section where case_id = any($1) order by case_id, section, revision desc",
    )
    .bind(cases)
    .fetch_all(conn)
    .await
}

pub(super) async fn insert(conn: &mut PgConnection, stored: &Stored) -> sqlx::Result<()> {
    sqlx::query(
        "insert into case_section
             (case_id, section, revision, answers, recorded_at, organisation_id, user_id, on_behalf_of)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(stored.case_id)
    .bind(&stored.section)
    .bind(stored.revision)
    .bind(&stored.answers)
    .bind(stored.recorded_at)
    .bind(stored.organisation)
    .bind(stored.user)
    .bind(stored.on_behalf_of)
    .execute(conn)
    .await?;
    Ok(())
}
