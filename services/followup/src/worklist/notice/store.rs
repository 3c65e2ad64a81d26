//! SQL of notices.

use access::OrganisationId;
use const_format::formatcp;
use data::Code;
use proto::followup::TaskState;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::worklist::model::{TaskId, Wanted};

const OVER: i16 = TaskState::Over as i16;

/// Ends what is called for no more, also what somebody has done already: called for again, it is another task. Returns what was ended.
pub(super) async fn end(
    conn: &mut PgConnection,
    subjects: &[Uuid],
    wanted: &[Wanted],
    at: OffsetDateTime,
) -> sqlx::Result<Vec<TaskId>> {
    sqlx::query_scalar(formatcp!(
        "update task t set state = {OVER}, closed_at = $6, version = version + 1
         where t.subject = any($1) and t.state <> {OVER} and not exists (
             select from unnest($2::uuid[], $3::uuid[], $4::smallint[], $5::timestamptz[]) w (subject, desk, kind, since)
             where w.subject = t.subject and w.desk = t.desk and w.kind = t.kind and w.since = t.since
         )
         returning t.task_id"
    ))
    .bind(subjects)
    .bind(wanted.iter().map(|task| task.subject).collect::<Vec<_>>())
    .bind(wanted.iter().map(|task| task.desk).collect::<Vec<_>>())
    .bind(wanted.iter().map(|task| Code(task.kind)).collect::<Vec<_>>())
    .bind(wanted.iter().map(|task| task.since).collect::<Vec<_>>())
    .bind(at)
    .fetch_all(conn)
    .await
}

/// Adds what is not there yet, and brings up to date what is missing where that changed. Returns what was written, and for whom.
pub(super) async fn add(conn: &mut PgConnection, wanted: &[Wanted]) -> sqlx::Result<Vec<(Uuid, OrganisationId)>> {
    sqlx::query_as(formatcp!(
        "insert into task as t (task_id, subject, case_id, notification_id, desk, relation, kind, since, due_day, source, items)
         select task_id, subject, case_id, notification_id, desk, relation, kind, since, due_day, source,
                coalesce(string_to_array(nullif(items, ''), ','), '{{}}')
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::uuid[], $6::smallint[], $7::smallint[],
                     $8::timestamptz[], $9::date[], $10::text[], $11::text[])
              as w (task_id, subject, case_id, notification_id, desk, relation, kind, since, due_day, source, items)
         on conflict (subject, desk, kind, since) where state <> {OVER} do update
         set items = excluded.items, version = t.version + 1
         where t.items <> excluded.items
         returning task_id, desk"
    ))
    .bind(wanted.iter().map(|_| TaskId::new()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|task| task.subject).collect::<Vec<_>>())
    .bind(wanted.iter().map(|task| task.case_id).collect::<Vec<_>>())
    .bind(wanted.iter().map(|task| task.notification_id).collect::<Vec<_>>())
    .bind(wanted.iter().map(|task| task.desk).collect::<Vec<_>>())
    .bind(wanted.iter().map(|task| Code(task.relation)).collect::<Vec<_>>())
    .bind(wanted.iter().map(|task| Code(task.kind)).collect::<Vec<_>>())
    .bind(wanted.iter().map(|task| task.since).collect::<Vec<_>>())
    .bind(wanted.iter().map(|task| task.due).collect::<Vec<_>>())
    .bind(wanted.iter().map(|task| task.source).collect::<Vec<_>>())
    // Arrays of arrays are rectangles in PostgreSQL. An item is a number, such as `12.method`, and holds no comma.
    .bind(wanted.iter().map(|task| task.items.join(",")).collect::<Vec<_>>())
    .fetch_all(conn)
    .await
}
