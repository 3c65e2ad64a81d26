//! SQL of plans, due reports, reports, attempts and visits. Tasks are in `worklist.rs`.

use sqlx::{FromRow, PgConnection};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

/// A plan as stored, with the slot that is open.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct PlanRow {
    pub case_id: Uuid,
    pub state: i16,
    pub reason: i16,
    pub owner: Option<Uuid>,
    pub last_day: Option<Date>,
    pub times: Vec<String>,
    /// Null where no report is awaited.
    pub due_at: Option<OffsetDateTime>,
    pub opens_at: Option<OffsetDateTime>,
    /// A due report did not come, and nobody has settled it.
    pub overdue: bool,
}

/// What a plan is to be.
#[derive(Clone, Debug)]
pub(crate) struct PlanChange {
    pub case_id: Uuid,
    pub state: i16,
    pub reason: i16,
    pub owner: Option<Uuid>,
    pub last_day: Option<Date>,
}

/// Locks the plans of some cases, in the order of their ids. Whoever changes slots or tasks of a case holds its plan.
pub(crate) async fn lock_plans(conn: &mut PgConnection, cases: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query("select from plan where case_id = any($1) order by case_id for update")
        .bind(cases)
        .execute(conn)
        .await?;
    Ok(())
}

/// Plans of some cases, with the open slot of each.
pub(crate) async fn plans(conn: &mut PgConnection, cases: &[Uuid]) -> sqlx::Result<Vec<PlanRow>> {
    sqlx::query_as(
        "select p.case_id, p.state, p.reason, p.owner, p.last_day, p.times, s.due_at, s.opens_at,
                exists (select from task t where t.case_id = p.case_id and t.kind = 1 and t.closed_at is null) as overdue
         from plan p left join lateral (
             select due_at, opens_at from slot where case_id = p.case_id and state = 1 limit 1
         ) s on true
         where p.case_id = any($1)",
    )
    .bind(cases)
    .fetch_all(conn)
    .await
}

/// A case as announced last, and its plan, locked: what a report needs, in one statement. The slot may have moved on while
/// this waited for the lock; whoever answers it checks that it was still open.
pub(crate) async fn lock_case(conn: &mut PgConnection, case: Uuid) -> sqlx::Result<Option<(Vec<u8>, PlanRow)>> {
    #[derive(FromRow)]
    struct Row {
        facts: Vec<u8>,
        #[sqlx(flatten)]
        plan: PlanRow,
    }
    let row: Option<Row> = sqlx::query_as(
        "select c.facts, p.case_id, p.state, p.reason, p.owner, p.last_day, p.times, s.due_at, s.opens_at,
                exists (select from task t where t.case_id = p.case_id and t.kind = 1 and t.closed_at is null) as overdue
         from plan p join case_copy c using (case_id) left join lateral (
             select due_at, opens_at from slot where case_id = p.case_id and state = 1 limit 1
         ) s on true
         where p.case_id = $1 for update of p",
    )
    .bind(case)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| (row.facts, row.plan)))
}

/// Opens plans and changes them. Agreed times stay.
pub(crate) async fn save_plans(
    conn: &mut PgConnection,
    plans: &[PlanChange],
    times: &[String],
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into plan (case_id, state, reason, owner, last_day, times, opened_at, changed_at)
         select case_id, state, reason, owner, last_day, $6, $7, $7
         from unnest($1::uuid[], $2::smallint[], $3::smallint[], $4::uuid[], $5::date[])
              as p (case_id, state, reason, owner, last_day)
         on conflict (case_id) do update
         set state = excluded.state, reason = excluded.reason, owner = excluded.owner, last_day = excluded.last_day,
             changed_at = excluded.changed_at",
    )
    .bind(plans.iter().map(|p| p.case_id).collect::<Vec<_>>())
    .bind(plans.iter().map(|p| p.state).collect::<Vec<_>>())
    .bind(plans.iter().map(|p| p.reason).collect::<Vec<_>>())
    .bind(plans.iter().map(|p| p.owner).collect::<Vec<_>>())
    .bind(plans.iter().map(|p| p.last_day).collect::<Vec<_>>())
    .bind(times)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn set_times(conn: &mut PgConnection, case: Uuid, times: &[String]) -> sqlx::Result<()> {
    sqlx::query("update plan set times = $2 where case_id = $1").bind(case).bind(times).execute(conn).await?;
    Ok(())
}

/// Nothing is awaited of these cases any more.
pub(crate) async fn void_slots(conn: &mut PgConnection, cases: &[Uuid]) -> sqlx::Result<()> {
    if cases.is_empty() {
        return Ok(());
    }
    sqlx::query("update slot set state = 4 where case_id = any($1) and state = 1").bind(cases).execute(conn).await?;
    Ok(())
}

/// Overdue plans, locked; those another process is at are skipped.
pub(crate) async fn lock_overdue(conn: &mut PgConnection, now: OffsetDateTime, most: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "select p.case_id from slot s join plan p using (case_id)
         where s.state = 1 and s.due_at <= $1 order by s.due_at limit $2 for update of p skip locked",
    )
    .bind(now)
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Marks overdue slots of locked plans as missed, and returns them.
pub(crate) async fn miss_slots(
    conn: &mut PgConnection,
    cases: &[Uuid],
    now: OffsetDateTime,
) -> sqlx::Result<Vec<(Uuid, OffsetDateTime)>> {
    sqlx::query_as(
        "update slot set state = 3 where case_id = any($1) and state = 1 and due_at <= $2 returning case_id, due_at",
    )
    .bind(cases)
    .bind(now)
    .fetch_all(conn)
    .await
}

/// A report to be stored.
pub(crate) struct NewReport<'a> {
    pub id: Uuid,
    pub case_id: Uuid,
    pub at: OffsetDateTime,
    pub by_organisation: Option<Uuid>,
    pub form_version: &'a str,
    pub answers: Vec<u8>,
    pub message: Option<Vec<u8>>,
    /// The version of the case it was judged by.
    pub version: i64,
    /// The slot it answers.
    pub answers_slot: Option<OffsetDateTime>,
}

/// Stores a report and, in the same statement, settles the slot it answers and the overdue task it comes after. `false`
/// where the slot is no longer open or the case has changed meanwhile: the caller must not commit then.
pub(crate) async fn insert_report(conn: &mut PgConnection, report: &NewReport<'_>) -> sqlx::Result<bool> {
    let (answered, version): (i64, Option<i64>) = sqlx::query_as(
        "with answered as (
             update slot set state = 2 where case_id = $2 and due_at = $8 and state = 1 returning 1
         ), settled as (
             update task set closed_at = $3 where case_id = $2 and kind = 1 and closed_at is null returning task_id
         ), listed as (
             delete from worklist where case_id = $2 and task_id in (select task_id from settled)
         ), stored as (
             insert into report (report_id, case_id, at, by_organisation, form_version, answers, message)
             values ($1, $2, $3, $4, $5, $6, $7)
         )
         select (select count(*) from answered), (select version from case_copy where case_id = $2)",
    )
    .bind(report.id)
    .bind(report.case_id)
    .bind(report.at)
    .bind(report.by_organisation)
    .bind(report.form_version)
    .bind(&report.answers)
    .bind(&report.message)
    .bind(report.answers_slot)
    .fetch_one(conn)
    .await?;
    Ok((report.answers_slot.is_none() || answered == 1) && version == Some(report.version))
}

/// A stored report.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct ReportRow {
    pub report_id: Uuid,
    pub at: OffsetDateTime,
    pub by_organisation: Option<Uuid>,
    pub form_version: String,
    pub answers: Vec<u8>,
    pub message: Option<Vec<u8>>,
}

/// The latest reports of a case, newest first.
pub(crate) async fn reports(conn: &mut PgConnection, case: Uuid, limit: i64) -> sqlx::Result<Vec<ReportRow>> {
    sqlx::query_as(
        "select report_id, at, by_organisation, form_version, answers, message from report
         where case_id = $1 order by at desc, report_id desc limit $2",
    )
    .bind(case)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// A call or a visit.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct AttemptRow {
    pub attempt_id: Uuid,
    pub case_id: Uuid,
    pub at: OffsetDateTime,
    pub channel: i16,
    pub reached: bool,
    pub note: Option<Vec<u8>>,
    pub by_organisation: Uuid,
}

pub(crate) async fn insert_attempt(conn: &mut PgConnection, attempt: &AttemptRow) -> sqlx::Result<()> {
    sqlx::query(
        "insert into contact_attempt (attempt_id, case_id, at, channel, reached, note, by_organisation)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(attempt.attempt_id)
    .bind(attempt.case_id)
    .bind(attempt.at)
    .bind(attempt.channel)
    .bind(attempt.reached)
    .bind(&attempt.note)
    .bind(attempt.by_organisation)
    .execute(conn)
    .await?;
    Ok(())
}

/// The latest attempts of a case, newest first.
pub(crate) async fn attempts(conn: &mut PgConnection, case: Uuid, limit: i64) -> sqlx::Result<Vec<AttemptRow>> {
    sqlx::query_as("select * from contact_attempt where case_id = $1 order by at desc limit $2")
        .bind(case)
        .bind(limit)
        .fetch_all(conn)
        .await
}

pub(crate) async fn insert_visit(
    conn: &mut PgConnection,
    id: Uuid,
    case: Uuid,
    at: OffsetDateTime,
    sealed: &[u8],
) -> sqlx::Result<()> {
    sqlx::query("insert into care_visit (visit_id, case_id, at, sealed) values ($1, $2, $3, $4)")
        .bind(id)
        .bind(case)
        .bind(at)
        .bind(sealed)
        .execute(conn)
        .await?;
    Ok(())
}

/// The latest care visits of a case, newest first, sealed.
pub(crate) async fn visits(conn: &mut PgConnection, case: Uuid, limit: i64) -> sqlx::Result<Vec<(Uuid, Vec<u8>)>> {
    sqlx::query_as("select visit_id, sealed from care_visit where case_id = $1 order by at desc limit $2")
        .bind(case)
        .bind(limit)
        .fetch_all(conn)
        .await
}
