//! SQL of tasks, and of the list of those who may do them. What is done leaves the list, so that it stays as short as the work.

use access::{CaseId, OrganisationId, UserId};
use chassis::watch::{Arrived, Since};
use const_format::formatcp;
use data::Code;
use proto::followup::TaskKind;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::{After, Closing, NewTask, Notice, Task, TaskId};

const MISSED_REPORT: i16 = TaskKind::MissedReport as i16;
/// Tasks that tell of something, and stay until a centre has seen it.
const NOTICES: &str = formatcp!(
    "({}, {}, {})",
    TaskKind::EmergencyAccess as i16,
    TaskKind::EmergencyAccessOfMany as i16,
    TaskKind::FilingToCheck as i16
);

#[derive(FromRow)]
struct Row {
    task_id: TaskId,
    case_id: CaseId,
    kind: Code<TaskKind>,
    since: OffsetDateTime,
    owner_user: Option<UserId>,
}

impl From<Row> for Task {
    fn from(row: Row) -> Self {
        Self { id: row.task_id, case_id: row.case_id, kind: row.kind.0, since: row.since, taken_by: row.owner_user }
    }
}

#[derive(FromRow)]
struct NoticeRow {
    case_id: CaseId,
    is_closed: bool,
}

/// Adds tasks and lists them. A case that is overdue already gets no second task for that.
pub(crate) async fn add(conn: &mut PgConnection, tasks: &[NewTask]) -> sqlx::Result<()> {
    if tasks.is_empty() {
        return Ok(());
    }
    let added: Vec<TaskId> = sqlx::query_scalar(
        "insert into task (task_id, case_id, kind, since)
         select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::timestamptz[])
         on conflict do nothing returning task_id",
    )
    .bind(tasks.iter().map(|task| task.id).collect::<Vec<_>>())
    .bind(tasks.iter().map(|task| task.case_id).collect::<Vec<_>>())
    .bind(tasks.iter().map(|task| Code(task.kind)).collect::<Vec<_>>())
    .bind(tasks.iter().map(|task| task.since).collect::<Vec<_>>())
    .fetch_all(&mut *conn)
    .await?;
    let new = tasks.iter().filter(|task| added.contains(&task.id));
    let pairs: Vec<(OrganisationId, TaskId)> =
        new.flat_map(|task| task.workers.iter().map(|worker| (*worker, task.id))).collect();
    enlist(conn, &pairs).await
}

async fn enlist(conn: &mut PgConnection, pairs: &[(OrganisationId, TaskId)]) -> sqlx::Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into worklist (organisation_id, task_id, case_id, kind, since)
         select w.organisation_id, t.task_id, t.case_id, t.kind, t.since
         from unnest($1::uuid[], $2::uuid[]) as w (organisation_id, task_id) join task t using (task_id)
         on conflict do nothing",
    )
    .bind(pairs.iter().map(|(organisation, _)| *organisation).collect::<Vec<_>>())
    .bind(pairs.iter().map(|(_, task)| *task).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Lists the open tasks of some cases for those who look after them now, and for nobody else.
pub(crate) async fn relist(conn: &mut PgConnection, cases: &[(CaseId, Vec<OrganisationId>)]) -> sqlx::Result<()> {
    if cases.is_empty() {
        return Ok(());
    }
    let ids: Vec<CaseId> = cases.iter().map(|(id, _)| *id).collect();
    let open: Vec<(CaseId, TaskId)> =
        sqlx::query_as("select case_id, task_id from task where case_id = any($1) and closed_at is null")
            .bind(&ids)
            .fetch_all(&mut *conn)
            .await?;
    if open.is_empty() {
        return Ok(());
    }
    sqlx::query("delete from worklist where case_id = any($1)").bind(&ids).execute(&mut *conn).await?;
    let workers = |case: CaseId| cases.iter().find(|(id, _)| *id == case).map_or(&[][..], |(_, workers)| workers);
    let pairs: Vec<(OrganisationId, TaskId)> =
        open.iter().flat_map(|(case, task)| workers(*case).iter().map(|worker| (*worker, *task))).collect();
    enlist(conn, &pairs).await
}

/// Closes tasks of some cases. Returns how many.
pub(crate) async fn close(
    conn: &mut PgConnection,
    cases: &[CaseId],
    closing: Closing,
    at: OffsetDateTime,
) -> sqlx::Result<usize> {
    if cases.is_empty() {
        return Ok(0);
    }
    let worker = match closing {
        Closing::Everything => None,
        Closing::By(user) => Some(user),
    };
    let closed: Vec<TaskId> = sqlx::query_scalar(formatcp!(
        "update task set closed_at = $3
         where case_id = any($1) and closed_at is null and kind not in {NOTICES}
           and ($2::uuid is null or kind = {MISSED_REPORT} or owner_user = $2)
         returning task_id"
    ))
    .bind(cases)
    .bind(worker)
    .bind(at)
    .fetch_all(&mut *conn)
    .await?;
    if !closed.is_empty() {
        sqlx::query("delete from worklist where case_id = any($1) and task_id = any($2)")
            .bind(cases)
            .bind(&closed)
            .execute(conn)
            .await?;
    }
    Ok(closed.len())
}

/// A task that tells of something, locked.
pub(crate) async fn lock_notice(conn: &mut PgConnection, id: TaskId) -> sqlx::Result<Option<Notice>> {
    let row: Option<NoticeRow> = sqlx::query_as(formatcp!(
        "select case_id, closed_at is not null as is_closed from task
         where task_id = $1 and kind in {NOTICES} for update"
    ))
    .bind(id)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Notice { case_id: row.case_id, is_closed: row.is_closed }))
}

/// Somebody has seen what a task tells.
pub(crate) async fn close_notice(
    conn: &mut PgConnection,
    id: TaskId,
    user: UserId,
    at: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query(
        "with done as (update task set owner_user = $2, closed_at = $3 where task_id = $1 and closed_at is null)
         delete from worklist where task_id = $1",
    )
    .bind(id)
    .bind(user)
    .bind(at)
    .execute(conn)
    .await?;
    Ok(())
}

/// A page of an organisation's list, most urgent first, then the longest waiting.
pub(crate) async fn page(
    conn: &mut PgConnection,
    organisation: OrganisationId,
    after: After,
    limit: i64,
) -> sqlx::Result<Vec<Task>> {
    // Two ranges of one index instead of a comparison in two directions, which no index serves.
    let rows: Vec<Row> = sqlx::query_as(
        "select w.task_id, w.case_id, w.kind, w.since, t.owner_user from (
             (select * from worklist
              where organisation_id = $1 and kind = $2
                and (since, task_id) > (timestamptz 'epoch' + $3 * interval '1 microsecond', $4)
              order by kind desc, since, task_id limit $5)
             union all
             (select * from worklist where organisation_id = $1 and kind < $2
              order by kind desc, since, task_id limit $5)
         ) w join task t using (task_id)
         order by w.kind desc, w.since, w.task_id limit $5",
    )
    .bind(organisation)
    .bind(after.kind)
    .bind(after.micros)
    .bind(after.id)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Task::from).collect())
}

/// Tasks of an organisation from a kind on that arose since a moment and are not among those known, oldest first.
pub(crate) async fn since(
    conn: &mut PgConnection,
    organisation: OrganisationId,
    kind: TaskKind,
    since: &Since,
) -> sqlx::Result<Vec<Arrived>> {
    sqlx::query_as(
        "select task_id, since from worklist
         where organisation_id = $1 and kind >= $2 and since >= $3 and task_id <> all($4)
         order by since, task_id limit $5",
    )
    .bind(organisation)
    .bind(Code(kind))
    .bind(since.moment)
    .bind(&since.known)
    .bind(since.limit)
    .fetch_all(conn)
    .await
}

/// Those of some tasks that are on an organisation's list, oldest first.
pub(crate) async fn listed(
    conn: &mut PgConnection,
    organisation: OrganisationId,
    ids: &[Uuid],
) -> sqlx::Result<Vec<Task>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select w.task_id, w.case_id, w.kind, w.since, t.owner_user from worklist w join task t using (task_id)
         where w.organisation_id = $1 and w.task_id = any($2) order by w.since, w.task_id",
    )
    .bind(organisation)
    .bind(ids)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Task::from).collect())
}
