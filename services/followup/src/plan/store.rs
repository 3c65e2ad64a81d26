//! SQL of plans and their slots.

use access::{CaseId, OrganisationId};
use const_format::formatcp;
use data::Code;
use proto::{
    followup::{PlanState, TaskKind, TaskState},
    registry::CaseChanged,
};
use sqlx::{FromRow, PgConnection};
use time::{Date, OffsetDateTime};

use super::model::{Due, Plan, PlanChange, Reason, Slot, SlotState};

const OPEN: i16 = SlotState::Open as i16;
const MISSED: i16 = SlotState::Missed as i16;
const VOID: i16 = SlotState::Void as i16;
const CLOSED: i16 = PlanState::Closed as i16;
const DAYS_OVER: i16 = Reason::DaysOver as i16;
const MISSED_REPORT: i16 = TaskKind::MissedReport as i16;
const TO_DO: i16 = TaskState::Open as i16;

#[derive(FromRow)]
struct Row {
    case_id: CaseId,
    version: i64,
    state: Code<PlanState>,
    reason: Code<Reason>,
    owner: Option<OrganisationId>,
    last_day: Option<Date>,
    times: Vec<String>,
    due_at: Option<OffsetDateTime>,
    opens_at: Option<OffsetDateTime>,
    overdue: bool,
}

impl From<Row> for Plan {
    fn from(row: Row) -> Self {
        Self {
            case_id: row.case_id,
            version: row.version,
            state: row.state.0,
            reason: row.reason.0,
            owner: row.owner,
            last_day: row.last_day,
            times: row.times,
            awaited: row.opens_at.zip(row.due_at).map(|(opens_at, due_at)| Slot { opens_at, due_at }),
            overdue: row.overdue,
        }
    }
}

/// The columns of a plan `p` with its open slot `s`.
const COLUMNS: &str = formatcp!(
    "p.case_id, p.version, p.state, p.reason, p.owner, p.last_day, p.times, s.due_at, s.opens_at,
     exists (
         select from task t where t.case_id = p.case_id and t.kind = {MISSED_REPORT} and t.state = {TO_DO}
     ) as overdue"
);
const AWAITED: &str = formatcp!(
    "left join lateral (
         select due_at, opens_at from slot where case_id = p.case_id and state = {OPEN} limit 1
     ) s on true"
);

/// Locks the plans of some cases, in the order of their ids.
pub(crate) async fn lock(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<()> {
    sqlx::query("select from plan where case_id = any($1) order by case_id for update")
        .bind(cases)
        .execute(conn)
        .await?;
    Ok(())
}

/// Plans of some cases, with the open slot of each.
pub(crate) async fn find(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<Vec<Plan>> {
    let rows: Vec<Row> = sqlx::query_as(formatcp!("select {COLUMNS} from plan p {AWAITED} where p.case_id = any($1)"))
        .bind(cases)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Plan::from).collect())
}

/// A case as announced last, and its plan, locked: what a report needs, in one statement. The slot may have moved on while this
/// waited for the lock; whoever answers it checks that it was still open.
pub(crate) async fn lock_with_case(conn: &mut PgConnection, case: CaseId) -> sqlx::Result<Option<(CaseChanged, Plan)>> {
    #[derive(FromRow)]
    struct Locked {
        facts: Vec<u8>,
        #[sqlx(flatten)]
        plan: Row,
    }
    let row: Option<Locked> = sqlx::query_as(formatcp!(
        "select c.facts, {COLUMNS} from plan p join case_copy c using (case_id) {AWAITED}
         where p.case_id = $1 for update of p"
    ))
    .bind(case)
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let case = prost::Message::decode(row.facts.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok((case, row.plan.into()))
    })
    .transpose()
}

/// Opens plans and changes them. Agreed times stay; a new plan gets `times`.
pub(crate) async fn save(
    conn: &mut PgConnection,
    plans: &[PlanChange],
    times: &[String],
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    if plans.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into plan (case_id, version, state, reason, owner, last_day, times, opened_at, changed_at)
         select case_id, 1, state, reason, owner, last_day, $6, $7, $7
         from unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::uuid[], $5::date[])
              as p (case_id, state, reason, owner, last_day)
         on conflict (case_id) do update
         set version = plan.version + 1, state = excluded.state, reason = excluded.reason, owner = excluded.owner,
             last_day = excluded.last_day, changed_at = excluded.changed_at",
    )
    .bind(plans.iter().map(|plan| plan.case_id).collect::<Vec<_>>())
    .bind(plans.iter().map(|plan| Code(plan.state)).collect::<Vec<_>>())
    .bind(plans.iter().map(|plan| Code(plan.reason)).collect::<Vec<_>>())
    .bind(plans.iter().map(|plan| plan.owner).collect::<Vec<_>>())
    .bind(plans.iter().map(|plan| plan.last_day).collect::<Vec<_>>())
    .bind(times)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Closes plans whose days are over.
pub(crate) async fn close(conn: &mut PgConnection, cases: &[CaseId], now: OffsetDateTime) -> sqlx::Result<()> {
    if cases.is_empty() {
        return Ok(());
    }
    sqlx::query(formatcp!(
        "update plan set version = version + 1, state = {CLOSED}, reason = {DAYS_OVER}, last_day = null, changed_at = $2
         where case_id = any($1)"
    ))
    .bind(cases)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps what was agreed, as a new version.
pub(crate) async fn agree(
    conn: &mut PgConnection,
    case: CaseId,
    times: &[String],
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query("update plan set version = version + 1, times = $2, changed_at = $3 where case_id = $1")
        .bind(case)
        .bind(times)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Opens slots, unless the moment was answered or missed before. Returns those that are open now.
pub(crate) async fn open_slots(conn: &mut PgConnection, due: &[Due]) -> sqlx::Result<Vec<(CaseId, OffsetDateTime)>> {
    sqlx::query_as(formatcp!(
        "insert into slot (case_id, opens_at, due_at, state)
         select *, {OPEN} from unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[])
         on conflict (case_id, due_at) do update
         set state = {OPEN}, opens_at = excluded.opens_at where slot.state = {VOID}
         returning case_id, due_at"
    ))
    .bind(due.iter().map(|due| due.case_id).collect::<Vec<_>>())
    .bind(due.iter().map(|due| due.slot.opens_at).collect::<Vec<_>>())
    .bind(due.iter().map(|due| due.slot.due_at).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
}

/// Nothing is awaited of these cases any more.
pub(crate) async fn void_slots(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<()> {
    if cases.is_empty() {
        return Ok(());
    }
    sqlx::query(formatcp!("update slot set state = {VOID} where case_id = any($1) and state = {OPEN}"))
        .bind(cases)
        .execute(conn)
        .await?;
    Ok(())
}

/// Overdue plans, locked; those another process is at are skipped.
pub(crate) async fn lock_overdue(conn: &mut PgConnection, now: OffsetDateTime, most: i64) -> sqlx::Result<Vec<CaseId>> {
    sqlx::query_scalar(formatcp!(
        "select p.case_id from slot s join plan p using (case_id)
         where s.state = {OPEN} and s.due_at <= $1 order by s.due_at limit $2 for update of p skip locked"
    ))
    .bind(now)
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Marks overdue slots of locked plans as missed, and returns them.
pub(crate) async fn miss_slots(
    conn: &mut PgConnection,
    cases: &[CaseId],
    now: OffsetDateTime,
) -> sqlx::Result<Vec<(CaseId, OffsetDateTime)>> {
    sqlx::query_as(formatcp!(
        "update slot set state = {MISSED} where case_id = any($1) and state = {OPEN} and due_at <= $2
         returning case_id, due_at"
    ))
    .bind(cases)
    .bind(now)
    .fetch_all(conn)
    .await
}
