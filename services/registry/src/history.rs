//! SQL of what happened to a case besides its tests: where the person was, how ill, and hand-overs between centres.

use proto::registry::TransferState;
use sqlx::{FromRow, PgConnection};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::{
    domain::{CaseId, ClinicalState, Stay},
    store::{code, number},
};

/// A hand-over.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct TransferRow {
    pub case_id: Uuid,
    pub number: i32,
    pub from_centre: Uuid,
    pub to_centre: Uuid,
    pub state: i16,
    pub reason: Vec<u8>,
    pub offered_at: OffsetDateTime,
    pub answered_at: Option<OffsetDateTime>,
    pub answer_reason: Option<Vec<u8>>,
}

impl TransferRow {
    pub(crate) fn is_open(&self) -> bool {
        i32::from(self.state) == i32::from(TransferState::Offered)
    }
}

pub(crate) async fn add_stay(conn: &mut PgConnection, case: CaseId, stay: &Stay) -> sqlx::Result<()> {
    sqlx::query(
        "insert into case_stay (case_id, number, placement, since, facility_id)
         select $1, coalesce(max(number), 0) + 1, $2, $3, $4 from case_stay where case_id = $1",
    )
    .bind(case.uuid())
    .bind(number(stay.placement))
    .bind(stay.since)
    .bind(stay.facility_id)
    .execute(conn)
    .await?;
    Ok(())
}

/// Where the persons of some cases were, in the order it was recorded.
pub(crate) async fn stays_of(conn: &mut PgConnection, cases: &[Uuid]) -> sqlx::Result<Vec<(CaseId, Stay)>> {
    let rows: Vec<(Uuid, i16, Date, Option<Uuid>)> = sqlx::query_as(
        "select case_id, placement, since, facility_id from case_stay where case_id = any($1) order by case_id, number",
    )
    .bind(cases)
    .fetch_all(conn)
    .await?;
    let stay = |placement, since, facility_id| Stay { placement: code(placement), since, facility_id };
    Ok(rows
        .into_iter()
        .map(|(case, placement, since, facility)| (case.into(), stay(placement, since, facility)))
        .collect())
}

pub(crate) async fn add_state(conn: &mut PgConnection, case: CaseId, state: &ClinicalState) -> sqlx::Result<()> {
    sqlx::query(
        "insert into case_state (case_id, number, state_on, severity, icu, ventilator, ecmo)
         select $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5, $6 from case_state where case_id = $1",
    )
    .bind(case.uuid())
    .bind(state.on)
    .bind(number(state.severity))
    .bind(state.icu)
    .bind(state.ventilator)
    .bind(state.ecmo)
    .execute(conn)
    .await?;
    Ok(())
}

/// How ill the persons of some cases were, in the order it was recorded.
pub(crate) async fn states_of(conn: &mut PgConnection, cases: &[Uuid]) -> sqlx::Result<Vec<(CaseId, ClinicalState)>> {
    let rows: Vec<(Uuid, Date, i16, bool, bool, bool)> = sqlx::query_as(
        "select case_id, state_on, severity, icu, ventilator, ecmo from case_state
         where case_id = any($1) order by case_id, number",
    )
    .bind(cases)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(case, on, severity, icu, ventilator, ecmo)| {
            (case.into(), ClinicalState { on, severity: code(severity), icu, ventilator, ecmo })
        })
        .collect())
}

/// The latest hand-over of each case that had one.
pub(crate) async fn transfers_of(conn: &mut PgConnection, cases: &[Uuid]) -> sqlx::Result<Vec<TransferRow>> {
    sqlx::query_as(
        "select distinct on (case_id) * from case_transfer where case_id = any($1) order by case_id, number desc",
    )
    .bind(cases)
    .fetch_all(conn)
    .await
}

/// Adds a hand-over, or stores what became of it.
pub(crate) async fn save_transfer(conn: &mut PgConnection, transfer: &TransferRow) -> sqlx::Result<()> {
    sqlx::query(
        "insert into case_transfer
             (case_id, number, from_centre, to_centre, state, reason, offered_at, answered_at, answer_reason)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (case_id, number) do update
         set state = excluded.state, answered_at = excluded.answered_at, answer_reason = excluded.answer_reason",
    )
    .bind(transfer.case_id)
    .bind(transfer.number)
    .bind(transfer.from_centre)
    .bind(transfer.to_centre)
    .bind(transfer.state)
    .bind(&transfer.reason)
    .bind(transfer.offered_at)
    .bind(transfer.answered_at)
    .bind(&transfer.answer_reason)
    .execute(conn)
    .await?;
    Ok(())
}
