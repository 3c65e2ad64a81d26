//! SQL of what facilities answered.

use access::OrganisationId;
use data::Code;
use proto::{beds::AdmissionState, registry::Channel};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use crate::admission::AdmissionId;

/// Stores why a facility declined, sealed.
pub(crate) async fn insert_refusal(
    conn: &mut PgConnection,
    admission: AdmissionId,
    facility: OrganisationId,
    at: OffsetDateTime,
    reason: &[u8],
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into refusal (admission_id, number, facility_id, at, reason)
         select $1, count(*) + 1, $2, $3, $4 from refusal where admission_id = $1",
    )
    .bind(admission)
    .bind(facility)
    .bind(at)
    .bind(reason)
    .execute(conn)
    .await?;
    Ok(())
}

/// A facility's answer, and who entered it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub admission_id: AdmissionId,
    /// Of the admission, with this answer.
    pub version: i64,
    pub state: AdmissionState,
    pub facility_id: OrganisationId,
    pub entered_by: OrganisationId,
    pub channel: Channel,
    pub told_at: Option<OffsetDateTime>,
    pub entered_at: OffsetDateTime,
}

#[derive(FromRow)]
struct AnswerRow {
    admission_id: AdmissionId,
    version: i64,
    state: Code<AdmissionState>,
    facility_id: OrganisationId,
    entered_by: OrganisationId,
    channel: Code<Channel>,
    told_at: Option<OffsetDateTime>,
    entered_at: OffsetDateTime,
}

impl From<AnswerRow> for Answer {
    fn from(row: AnswerRow) -> Self {
        Self {
            admission_id: row.admission_id,
            version: row.version,
            state: row.state.0,
            facility_id: row.facility_id,
            entered_by: row.entered_by,
            channel: row.channel.0,
            told_at: row.told_at,
            entered_at: row.entered_at,
        }
    }
}

pub(crate) async fn insert_answer(conn: &mut PgConnection, answer: &Answer) -> sqlx::Result<()> {
    sqlx::query(
        "insert into facility_answer
             (admission_id, version, state, facility_id, entered_by, channel, told_at, entered_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(answer.admission_id)
    .bind(answer.version)
    .bind(Code(answer.state))
    .bind(answer.facility_id)
    .bind(answer.entered_by)
    .bind(Code(answer.channel))
    .bind(answer.told_at)
    .bind(answer.entered_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// What facilities answered to some admissions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// Oldest first.
    pub refusals: Vec<RefusalRow>,
    /// Oldest first, refusals included.
    pub all: Vec<Answer>,
}

pub(crate) async fn of(conn: &mut PgConnection, ids: &[AdmissionId]) -> sqlx::Result<Answers> {
    let refusals = refusals(conn, ids).await?;
    let rows: Vec<AnswerRow> =
        sqlx::query_as("select * from facility_answer where admission_id = any($1) order by admission_id, version")
            .bind(ids)
            .fetch_all(conn)
            .await?;
    Ok(Answers { refusals, all: rows.into_iter().map(Answer::from).collect() })
}

/// A refusal.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct RefusalRow {
    pub admission_id: AdmissionId,
    pub facility_id: OrganisationId,
    pub at: OffsetDateTime,
    pub reason: Vec<u8>,
}

/// The refusals of some admissions, oldest first.
async fn refusals(conn: &mut PgConnection, ids: &[AdmissionId]) -> sqlx::Result<Vec<RefusalRow>> {
    sqlx::query_as(
        "select admission_id, facility_id, at, reason from refusal where admission_id = any($1)
         order by admission_id, number",
    )
    .bind(ids)
    .fetch_all(conn)
    .await
}
