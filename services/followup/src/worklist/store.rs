//! SQL of tasks, and of their places on the lists of those who may do them. What is done leaves the lists, so that they stay as short
//! as the work.
//!
//! Whoever changes both takes the task first, then its places on lists.

use access::{CaseId, OrganisationId, UserId};
use const_format::formatcp;
use data::Code;
use proto::{
    followup::{TaskKind, TaskState},
    registry::Relation,
};
use sqlx::{FromRow, PgConnection};
use time::{Date, OffsetDateTime};

use super::model::{Closing, NewTask, Notice, NotificationId, Task, TaskId};

pub(super) const OPEN: i16 = TaskState::Open as i16;
const DONE: i16 = TaskState::Done as i16;
const MISSED_REPORT: i16 = TaskKind::MissedReport as i16;
/// Tasks of those who look after a person that tell of something, and stay until a centre has seen it.
const NOTICES: &str = formatcp!(
    "({}, {}, {})",
    TaskKind::EmergencyAccess as i16,
    TaskKind::EmergencyAccessOfMany as i16,
    TaskKind::FilingToCheck as i16
);
/// What a [`Row`] reads, of `task t`.
pub(super) const COLUMNS: &str = "t.task_id, t.version, t.kind, t.case_id, t.notification_id, t.desk, t.relation, t.since, t.due_day, \
                       t.source, t.items, t.assigned_to, t.state";

#[derive(FromRow)]
pub(super) struct Row {
    task_id: TaskId,
    version: i64,
    kind: Code<TaskKind>,
    case_id: Option<CaseId>,
    notification_id: Option<NotificationId>,
    desk: Option<OrganisationId>,
    relation: Option<Code<Relation>>,
    since: OffsetDateTime,
    due_day: Option<Date>,
    source: String,
    items: Vec<String>,
    assigned_to: UserId,
    state: Code<TaskState>,
}

impl From<Row> for Task {
    fn from(row: Row) -> Self {
        Self {
            id: row.task_id,
            version: row.version,
            kind: row.kind.0,
            case_id: row.case_id,
            notification_id: row.notification_id,
            desk: row.desk.map(|desk| (desk, row.relation.unwrap_or_default().0)),
            since: row.since,
            due: row.due_day,
            source: row.source,
            items: row.items,
            assigned_to: Some(row.assigned_to).filter(|user| *user != UserId::NIL),
            state: row.state.0,
        }
    }
}

#[derive(FromRow)]
struct NoticeRow {
    case_id: CaseId,
    is_closed: bool,
}

/// Adds tasks of those who look after people, and lists them. A case that is overdue already gets no second task for that.
pub(crate) async fn add(conn: &mut PgConnection, tasks: &[NewTask], now: OffsetDateTime) -> sqlx::Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let added: Vec<TaskId> = sqlx::query_scalar(
        "insert into task (task_id, case_id, notification_id, kind, since, source)
         select * from unnest($1::uuid[], $2::uuid[], $6::uuid[], $3::smallint[], $4::timestamptz[], $5::text[])
         on conflict do nothing returning task_id",
    )
    .bind(tasks.iter().map(|task| task.id).collect::<Vec<_>>())
    .bind(tasks.iter().map(|task| task.case_id).collect::<Vec<_>>())
    .bind(tasks.iter().map(|task| Code(task.kind)).collect::<Vec<_>>())
    .bind(tasks.iter().map(|task| task.since).collect::<Vec<_>>())
    .bind(tasks.iter().map(|task| task.source).collect::<Vec<_>>())
    .bind(tasks.iter().map(|task| task.notification_id).collect::<Vec<_>>())
    .fetch_all(&mut *conn)
    .await?;
    let new = tasks.iter().filter(|task| added.contains(&task.id));
    let pairs: Vec<(OrganisationId, TaskId)> =
        new.flat_map(|task| task.workers.iter().map(|worker| (*worker, task.id))).collect();
    enlist(conn, &pairs, now).await
}

/// Puts open tasks on lists.
pub(super) async fn enlist(
    conn: &mut PgConnection,
    pairs: &[(OrganisationId, TaskId)],
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    sqlx::query(formatcp!(
        "insert into worklist (organisation_id, task_id, case_id, kind, since, assigned_to, is_shared, listed_at)
         select w.organisation_id, t.task_id, t.case_id, t.kind, t.since, t.assigned_to, t.desk is null, $3
         from unnest($1::uuid[], $2::uuid[]) as w (organisation_id, task_id) join task t using (task_id)
         where t.task_id = any($2) and t.state = {OPEN}
         on conflict do nothing"
    ))
    .bind(pairs.iter().map(|(organisation, _)| *organisation).collect::<Vec<_>>())
    .bind(pairs.iter().map(|(_, task)| *task).collect::<Vec<_>>())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes tasks off every list.
pub(super) async fn unlist(conn: &mut PgConnection, tasks: &[TaskId]) -> sqlx::Result<()> {
    if !tasks.is_empty() {
        sqlx::query("delete from worklist where task_id = any($1)").bind(tasks).execute(conn).await?;
    }
    Ok(())
}

/// Lists the open tasks of those who look after some people for those who do now, and for nobody else. Whoever had a task listed
/// before keeps it as it is: what is not new does not arrive again. A task that is being closed meanwhile is waited for.
pub(crate) async fn relist(
    conn: &mut PgConnection,
    cases: &[(CaseId, Vec<OrganisationId>)],
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    if cases.is_empty() {
        return Ok(());
    }
    let pairs: Vec<(CaseId, OrganisationId)> =
        cases.iter().flat_map(|(case, workers)| workers.iter().map(|worker| (*case, *worker))).collect();
    sqlx::query(formatcp!(
        "with shared as materialized (
             select t.* from task t where t.case_id = any($1) and t.desk is null and t.state = {OPEN} for share
         ), worker as materialized (
             select * from unnest($2::uuid[], $3::uuid[]) as k (case_id, organisation_id)
         ), gone as (
             delete from worklist w using shared t
             where w.task_id = t.task_id and not exists (
                 select from worker k where k.case_id = t.case_id and k.organisation_id = w.organisation_id
             )
         )
         insert into worklist (organisation_id, task_id, case_id, kind, since, assigned_to, is_shared, listed_at)
         select k.organisation_id, t.task_id, t.case_id, t.kind, t.since, t.assigned_to, true, $4
         from shared t join worker k using (case_id)
         on conflict do nothing"
    ))
    .bind(cases.iter().map(|(case, _)| *case).collect::<Vec<_>>())
    .bind(pairs.iter().map(|(case, _)| *case).collect::<Vec<_>>())
    .bind(pairs.iter().map(|(_, worker)| *worker).collect::<Vec<_>>())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Closes tasks of those who look after some people. Returns how many.
pub(crate) async fn close(
    conn: &mut PgConnection,
    cases: &[CaseId],
    closing: Closing<'_>,
    at: OffsetDateTime,
) -> sqlx::Result<usize> {
    if cases.is_empty() {
        return Ok(0);
    }
    // Who reached the person has done it; an episode that ended is a later fact.
    let (worker, state, void): (_, _, &[CaseId]) = match closing {
        Closing::Everything { void } => (None, TaskState::Over, void),
        Closing::By(user) => (Some(user), TaskState::Done, &[]),
    };
    let closed: Vec<TaskId> = sqlx::query_scalar(formatcp!(
        "update task set state = $4, closed_at = $3, assigned_to = coalesce($2, assigned_to), version = version + 1
         where case_id = any($1) and state = {OPEN} and desk is null and kind not in {NOTICES}
           and ($2::uuid is null or kind = {MISSED_REPORT} or assigned_to = $2)
           and not (case_id = any($5) and exists (
               select from alert a where a.alert_id = task_id and a.acknowledged_at is null
           ))
         returning task_id"
    ))
    .bind(cases)
    .bind(worker)
    .bind(at)
    .bind(Code(state))
    .bind(void)
    .fetch_all(&mut *conn)
    .await?;
    unlist(conn, &closed).await?;
    Ok(closed.len())
}

/// A task of those who look after a person that tells of something, locked.
pub(crate) async fn lock_notice(conn: &mut PgConnection, id: TaskId) -> sqlx::Result<Option<Notice>> {
    let row: Option<NoticeRow> = sqlx::query_as(formatcp!(
        "select case_id, state <> {OPEN} as is_closed from task
         where task_id = $1 and kind in {NOTICES} for no key update"
    ))
    .bind(id)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Notice { case_id: row.case_id, is_closed: row.is_closed }))
}

/// Somebody has seen what a task tells, and nothing else is to be done about it.
pub(crate) async fn close_notice(
    conn: &mut PgConnection,
    id: TaskId,
    user: UserId,
    at: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query(formatcp!(
        "update task set assigned_to = $2, state = {DONE}, closed_at = $3, version = version + 1
         where task_id = $1 and state = {OPEN}"
    ))
    .bind(id)
    .bind(user)
    .bind(at)
    .execute(&mut *conn)
    .await?;
    unlist(conn, &[id]).await
}

/// A task, locked for a change.
pub(super) async fn lock(conn: &mut PgConnection, id: TaskId) -> sqlx::Result<Option<Task>> {
    let row: Option<Row> =
        sqlx::query_as(formatcp!("select {COLUMNS} from task t where t.task_id = $1 for no key update"))
            .bind(id)
            .fetch_optional(conn)
            .await?;
    Ok(row.map(Task::from))
}

/// Keeps what was changed of a locked task. One that is not open leaves the lists.
pub(super) async fn save(conn: &mut PgConnection, task: &Task, now: OffsetDateTime) -> sqlx::Result<()> {
    let open = task.state == TaskState::Open;
    sqlx::query("update task set version = $2, assigned_to = $3, state = $4, closed_at = $5 where task_id = $1")
        .bind(task.id)
        .bind(task.version)
        .bind(task.assigned_to.unwrap_or(UserId::NIL))
        .bind(Code(task.state))
        .bind((!open).then_some(now))
        .execute(&mut *conn)
        .await?;
    if open { belongs(conn, task.id, task.assigned_to).await } else { unlist(conn, &[task.id]).await }
}

/// An open task is somebody's work from now on, unless it was somebody's already.
pub(crate) async fn take(conn: &mut PgConnection, id: TaskId, user: UserId) -> sqlx::Result<()> {
    let taken = sqlx::query(formatcp!(
        "update task set assigned_to = $2, version = version + 1
         where task_id = $1 and state = {OPEN} and assigned_to = $3"
    ))
    .bind(id)
    .bind(user)
    .bind(UserId::NIL)
    .execute(&mut *conn)
    .await?;
    if taken.rows_affected() > 0 { belongs(conn, id, Some(user)).await } else { Ok(()) }
}

async fn belongs(conn: &mut PgConnection, id: TaskId, user: Option<UserId>) -> sqlx::Result<()> {
    sqlx::query("update worklist set assigned_to = $2 where task_id = $1")
        .bind(id)
        .bind(user.unwrap_or(UserId::NIL))
        .execute(conn)
        .await?;
    Ok(())
}

/// Notices about notifications are about their cases, too, from now on.
pub(crate) async fn belong_to_cases(conn: &mut PgConnection, filings: &[(NotificationId, CaseId)]) -> sqlx::Result<()> {
    if filings.is_empty() {
        return Ok(());
    }
    sqlx::query(formatcp!(
        "with moved as (
             update task t set case_id = f.case_id, version = t.version + 1
             from unnest($1::uuid[], $2::uuid[]) as f (notification_id, case_id)
             where t.notification_id = any($1) and t.notification_id = f.notification_id and t.state = {OPEN}
               and t.desk is not null and t.case_id is distinct from f.case_id
             returning t.task_id, t.case_id
         )
         update worklist w set case_id = m.case_id from moved m where w.task_id = m.task_id"
    ))
    .bind(filings.iter().map(|(notification, _)| *notification).collect::<Vec<_>>())
    .bind(filings.iter().map(|(_, case)| *case).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}
