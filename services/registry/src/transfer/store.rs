//! SQL of hand-overs.

use access::{CaseId, OrganisationId};
use data::Code;
use proto::registry::TransferState;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use vault::Place;

use super::model::Transfer;

/// Why a case was handed over.
pub(crate) const REASON: Place = Place { table: "case_transfer", column: "reason" };
/// Why the answer was no.
pub(crate) const ANSWER_REASON: Place = Place { table: "case_transfer", column: "answer_reason" };

#[derive(FromRow)]
struct Row {
    case_id: CaseId,
    number: i32,
    from_centre: OrganisationId,
    to_centre: OrganisationId,
    state: Code<TransferState>,
    reason: Vec<u8>,
    offered_at: OffsetDateTime,
    answered_at: Option<OffsetDateTime>,
    answer_reason: Option<Vec<u8>>,
}

impl From<Row> for Transfer {
    fn from(row: Row) -> Self {
        Self {
            case_id: row.case_id,
            number: row.number,
            from_centre: row.from_centre,
            to_centre: row.to_centre,
            state: row.state.0,
            reason: row.reason,
            offered_at: row.offered_at,
            answered_at: row.answered_at,
            answer_reason: row.answer_reason,
        }
    }
}

/// The latest hand-over of each case that had one.
pub(crate) async fn latest_of(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<Vec<Transfer>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select distinct on (case_id) * from case_transfer where case_id = any($1) order by case_id, number desc",
    )
    .bind(cases)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Transfer::from).collect())
}

/// Adds a hand-over, or stores what became of it.
pub(super) async fn save(conn: &mut PgConnection, transfer: &Transfer) -> sqlx::Result<()> {
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
    .bind(Code(transfer.state))
    .bind(&transfer.reason)
    .bind(transfer.offered_at)
    .bind(transfer.answered_at)
    .bind(&transfer.answer_reason)
    .execute(conn)
    .await?;
    Ok(())
}
