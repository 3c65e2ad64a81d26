//! SQL of an organisation's list.

use access::{CaseId, OrganisationId, UserId};
use chassis::watch::{Arrived, Since};
use const_format::formatcp;
use data::Code;
use proto::followup::TaskKind;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::worklist::{
    model::{After, Task},
    store::{COLUMNS, Row},
};

/// What a page lists. `Some(UserId::NIL)` is nobody's work.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filter {
    pub kind: Option<TaskKind>,
    pub assigned_to: Option<UserId>,
    pub case_id: Option<CaseId>,
    /// No notices.
    pub only_shared: bool,
}

/// Two ranges of one index instead of a comparison in two directions, which no index serves.
macro_rules! page_where {
    ($filter:expr) => {
        formatcp!(
            "select {COLUMNS} from (
                 (select task_id from worklist
                  where organisation_id = $1 and kind = $2
                    and (since, task_id) > (timestamptz 'epoch' + $3 * interval '1 microsecond', $4) and {}
                  order by kind desc, since, task_id limit $5)
                 union all
                 (select task_id from worklist
                  where organisation_id = $1 and kind < $2 and kind >= $6 and {}
                  order by kind desc, since, task_id limit $5)
             ) w join task t using (task_id)
             order by t.kind desc, t.since, t.task_id limit $5",
            $filter,
            $filter
        )
    };
}

/// A page with notices, and one without.
macro_rules! page_of {
    ($filter:literal) => {
        (page_where!($filter), page_where!(concat!($filter, " and is_shared")))
    };
}

/// A page of an organisation's list, most urgent first, then the longest waiting.
pub(super) async fn page(
    conn: &mut PgConnection,
    organisation: OrganisationId,
    filter: Filter,
    after: After,
    limit: i64,
) -> sqlx::Result<Vec<Task>> {
    // Several statements, because each has an index of its own. A case has few tasks: whose they are is looked up.
    let (all, shared) = match filter {
        Filter { case_id: Some(_), .. } => page_of!("case_id = $8 and ($7::uuid is null or assigned_to = $7)"),
        Filter { assigned_to: Some(_), .. } => page_of!("assigned_to = $7 and $8::uuid is null"),
        Filter { .. } => page_of!("$7::uuid is null and $8::uuid is null"),
    };
    let sql = if filter.only_shared { shared } else { all };
    let rows: Vec<Row> = sqlx::query_as(sql)
        .bind(organisation)
        .bind(after.kind)
        .bind(after.micros)
        .bind(after.id)
        .bind(limit)
        .bind(Code(filter.kind.unwrap_or_default()))
        .bind(filter.assigned_to)
        .bind(filter.case_id)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Task::from).collect())
}

/// Tasks of some kinds that came onto an organisation's list since a moment and are not among those known, oldest first.
pub(crate) async fn since(
    conn: &mut PgConnection,
    organisation: OrganisationId,
    kinds: Option<&[TaskKind]>,
    since: &Since,
) -> sqlx::Result<Vec<Arrived>> {
    sqlx::query_as(
        "select task_id, listed_at from worklist
         where organisation_id = $1 and ($2::smallint[] is null or kind = any($2))
           and listed_at >= $3 and task_id <> all($4)
         order by listed_at, task_id limit $5",
    )
    .bind(organisation)
    .bind(kinds.map(|kinds| kinds.iter().map(|kind| Code(*kind)).collect::<Vec<_>>()))
    .bind(since.moment)
    .bind(&since.known)
    .bind(since.limit)
    .fetch_all(conn)
    .await
}

/// Those of some tasks that are on an organisation's list, in the order in which they came onto it.
pub(crate) async fn listed(
    conn: &mut PgConnection,
    organisation: OrganisationId,
    ids: &[Uuid],
) -> sqlx::Result<Vec<Task>> {
    let rows: Vec<Row> = sqlx::query_as(formatcp!(
        "select {COLUMNS} from worklist w join task t using (task_id)
         where w.organisation_id = $1 and w.task_id = any($2) order by w.listed_at, w.task_id"
    ))
    .bind(organisation)
    .bind(ids)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Task::from).collect())
}
