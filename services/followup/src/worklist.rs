//! Tasks: alerts and overdue reports, listed for those who may do them. SQL and the rule of who may.

use proto::{
    followup::TaskKind,
    registry::{CaseChanged, Placement, Relation},
};
use runtime::clock;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

/// An alert to be stored.
pub(crate) struct NewAlert<'a> {
    pub id: Uuid,
    pub case_id: Uuid,
    pub report_id: Uuid,
    pub level: i16,
    pub reasons: &'a [i16],
    pub raised_at: OffsetDateTime,
    pub owner: Option<Uuid>,
}

/// A stored alert.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct AlertRow {
    pub alert_id: Uuid,
    pub case_id: Uuid,
    pub level: i16,
    pub reasons: Vec<i16>,
    pub raised_at: OffsetDateTime,
    pub owner: Option<Uuid>,
    pub owner_user: Option<Uuid>,
    pub acknowledged_at: Option<OffsetDateTime>,
}

/// A task.
#[derive(Clone, Debug)]
pub(crate) struct NewTask {
    pub id: Uuid,
    pub case_id: Uuid,
    pub kind: TaskKind,
    pub since: OffsetDateTime,
    /// Who may do it.
    pub workers: Vec<Uuid>,
}

/// A task as listed.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct TaskRow {
    pub task_id: Uuid,
    pub case_id: Uuid,
    pub kind: i16,
    pub since: OffsetDateTime,
    pub owner_user: Option<Uuid>,
}

/// The organisations that look after a person now: the responsible centre, contractors, and for residents of lodging the
/// facility and the prefecture.
pub(crate) fn workers(case: &CaseChanged, now: OffsetDateTime) -> Vec<Uuid> {
    let resident = case.placement == i32::from(Placement::Lodging);
    let mut found: Vec<Uuid> = case
        .grants
        .iter()
        .filter(|grant| grant.to.as_ref().and_then(clock::from_proto).is_none_or(|until| now < until))
        .filter(|grant| match Relation::try_from(grant.relation).unwrap_or_default() {
            Relation::ResponsibleCentre
            | Relation::ReceivingCentre
            | Relation::Contractor
            | Relation::LodgingFacility => true,
            Relation::Prefecture => resident,
            _ => false,
        })
        .filter_map(|grant| Uuid::try_parse(&grant.organisation_id).ok())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The organisation that owns what arises: the lodging for its residents, else the responsible centre.
pub(crate) fn owner(case: &CaseChanged) -> Option<Uuid> {
    let facility = Some(&case.facility_id).filter(|_| case.placement == i32::from(Placement::Lodging));
    facility
        .and_then(|id| Uuid::try_parse(id).ok())
        .or_else(|| Uuid::try_parse(&case.responsible_centre_id).ok())
        .or_else(|| Uuid::try_parse(&case.centre_id).ok())
}

pub(crate) async fn insert_alert(conn: &mut PgConnection, alert: &NewAlert<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "insert into alert (alert_id, case_id, report_id, level, reasons, raised_at, owner)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(alert.id)
    .bind(alert.case_id)
    .bind(alert.report_id)
    .bind(alert.level)
    .bind(alert.reasons)
    .bind(alert.raised_at)
    .bind(alert.owner)
    .execute(conn)
    .await?;
    Ok(())
}

/// The latest alerts of a case, newest first.
pub(crate) async fn alerts(conn: &mut PgConnection, case: Uuid, limit: i64) -> sqlx::Result<Vec<AlertRow>> {
    sqlx::query_as(
        "select alert_id, case_id, level, reasons, raised_at, owner, owner_user, acknowledged_at from alert
         where case_id = $1 order by raised_at desc limit $2",
    )
    .bind(case)
    .bind(limit)
    .fetch_all(conn)
    .await
}

pub(crate) async fn find_alert(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<AlertRow>> {
    sqlx::query_as(
        "select alert_id, case_id, level, reasons, raised_at, owner, owner_user, acknowledged_at from alert
         where alert_id = $1 for update",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// A worker takes an alert, unless another did.
pub(crate) async fn take_alert(conn: &mut PgConnection, id: Uuid, user: Uuid, at: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query(
        "with taken as (
             update alert set owner_user = $2, acknowledged_at = $3 where alert_id = $1 and owner_user is null
         )
         update task set owner_user = $2 where task_id = $1 and owner_user is null",
    )
    .bind(id)
    .bind(user)
    .bind(at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds tasks and lists them. A case that is overdue already gets no second task for that.
pub(crate) async fn add_tasks(conn: &mut PgConnection, tasks: &[NewTask]) -> sqlx::Result<Vec<Uuid>> {
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    let number = |kind: TaskKind| i16::try_from(i32::from(kind)).unwrap_or(0);
    let added: Vec<Uuid> = sqlx::query_scalar(
        "insert into task (task_id, case_id, kind, since)
         select * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::timestamptz[])
         on conflict do nothing returning task_id",
    )
    .bind(tasks.iter().map(|t| t.id).collect::<Vec<_>>())
    .bind(tasks.iter().map(|t| t.case_id).collect::<Vec<_>>())
    .bind(tasks.iter().map(|t| number(t.kind)).collect::<Vec<_>>())
    .bind(tasks.iter().map(|t| t.since).collect::<Vec<_>>())
    .fetch_all(&mut *conn)
    .await?;
    let new = || tasks.iter().filter(|task| added.contains(&task.id));
    let pairs: Vec<(Uuid, Uuid)> = new().flat_map(|task| task.workers.iter().map(|w| (*w, task.id))).collect();
    list(conn, &pairs).await?;
    Ok(added)
}

async fn list(conn: &mut PgConnection, pairs: &[(Uuid, Uuid)]) -> sqlx::Result<()> {
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
pub(crate) async fn relist(conn: &mut PgConnection, cases: &[(Uuid, Vec<Uuid>)]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = cases.iter().map(|(id, _)| *id).collect();
    let open: Vec<(Uuid, Uuid)> =
        sqlx::query_as("select case_id, task_id from task where case_id = any($1) and closed_at is null")
            .bind(&ids)
            .fetch_all(&mut *conn)
            .await?;
    if open.is_empty() {
        return Ok(());
    }
    sqlx::query("delete from worklist where case_id = any($1)").bind(&ids).execute(&mut *conn).await?;
    let workers = |case: Uuid| cases.iter().find(|(id, _)| *id == case).map_or(&[][..], |(_, workers)| workers);
    let pairs: Vec<(Uuid, Uuid)> =
        open.iter().flat_map(|(case, task)| workers(*case).iter().map(|worker| (*worker, *task))).collect();
    list(conn, &pairs).await
}

/// Which tasks are closed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Closing {
    /// The episode has ended. What tells of an emergency access stays until the centre has seen it.
    Everything,
    /// Somebody reached the person: overdue reports, and the alerts this worker has taken.
    By(Uuid),
}

/// Closes tasks of some cases. Returns how many.
pub(crate) async fn close_tasks(
    conn: &mut PgConnection,
    cases: &[Uuid],
    closing: Closing,
    at: OffsetDateTime,
) -> sqlx::Result<u64> {
    if cases.is_empty() {
        return Ok(0);
    }
    let worker = match closing {
        Closing::Everything => None,
        Closing::By(user) => Some(user),
    };
    let closed: Vec<Uuid> = sqlx::query_scalar(
        "update task set closed_at = $3
         where case_id = any($1) and closed_at is null and kind <> 4
           and ($2::uuid is null or kind = 1 or owner_user = $2)
         returning task_id",
    )
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
    Ok(u64::try_from(closed.len()).unwrap_or(0))
}

/// The case of an open task that tells of an emergency access, locked.
pub(crate) async fn lock_emergency(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar("select case_id from task where task_id = $1 and kind = $2 and closed_at is null for update")
        .bind(id)
        .bind(i16::try_from(i32::from(TaskKind::EmergencyAccess)).unwrap_or(0))
        .fetch_optional(conn)
        .await
}

/// Closes one task as done by somebody.
pub(crate) async fn close_one(conn: &mut PgConnection, id: Uuid, user: Uuid, at: OffsetDateTime) -> sqlx::Result<()> {
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

/// Where a page begins: after this task, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct After {
    kind: i16,
    micros: i64,
    id: Uuid,
}

impl After {
    const START: Self = Self { kind: i16::MAX, micros: 0, id: Uuid::nil() };

    /// Reads a `page_token`; empty is the first page.
    pub(crate) fn parse(token: &str) -> Option<Self> {
        if token.is_empty() {
            return Some(Self::START);
        }
        let mut parts = token.split('_');
        let after = Self {
            kind: parts.next()?.parse().ok()?,
            micros: parts.next()?.parse().ok().filter(|micros| (0..i64::MAX / 2_000).contains(micros))?,
            id: Uuid::try_parse(parts.next()?).ok()?,
        };
        parts.next().is_none().then_some(after)
    }

    /// As a `page_token`, after a row.
    pub(crate) fn token(row: &TaskRow) -> String {
        let micros = row.since.unix_timestamp_nanos() / 1_000;
        format!("{}_{micros}_{}", row.kind, row.task_id.simple())
    }
}

/// A page of an organisation's list, most urgent first, then the longest waiting.
pub(crate) async fn page(
    conn: &mut PgConnection,
    organisation: Uuid,
    after: After,
    limit: i64,
) -> sqlx::Result<Vec<TaskRow>> {
    // Two ranges of one index instead of a comparison in two directions, which no index serves.
    sqlx::query_as(
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
    .await
}

/// Tasks of an organisation from a kind on that arose since a moment and are not among those known, oldest first.
pub(crate) async fn since(
    conn: &mut PgConnection,
    organisation: Uuid,
    kind: TaskKind,
    since: OffsetDateTime,
    known: &[Uuid],
    limit: i64,
) -> sqlx::Result<Vec<TaskRow>> {
    sqlx::query_as(
        "select w.task_id, w.case_id, w.kind, w.since, t.owner_user
         from worklist w join task t using (task_id)
         where w.organisation_id = $1 and w.kind >= $2 and w.since >= $3 and w.task_id <> all($4)
         order by w.since, w.task_id limit $5",
    )
    .bind(organisation)
    .bind(i16::try_from(i32::from(kind)).unwrap_or(0))
    .bind(since)
    .bind(known)
    .bind(limit)
    .fetch_all(conn)
    .await
}

#[cfg(test)]
mod tests {
    use proto::registry::{CaseChanged, Grant, Placement, Relation};
    use time::{OffsetDateTime, macros::datetime};
    use uuid::Uuid;

    use super::{After, TaskRow, owner, workers};

    const NOW: OffsetDateTime = datetime!(2020-06-01 12:00 UTC);

    fn grant(organisation: u128, relation: Relation) -> Grant {
        Grant {
            organisation_id: Uuid::from_u128(organisation).to_string(),
            relation: relation.into(),
            ..Grant::default()
        }
    }

    #[test]
    fn the_prefecture_works_for_residents_of_lodging_only() {
        let mut case = CaseChanged {
            grants: vec![
                grant(1, Relation::ResponsibleCentre),
                grant(2, Relation::Prefecture),
                grant(3, Relation::LodgingFacility),
                grant(4, Relation::Reporter),
            ],
            responsible_centre_id: Uuid::from_u128(1).to_string(),
            facility_id: Uuid::from_u128(3).to_string(),
            ..CaseChanged::default()
        };
        let ids = |numbers: &[u128]| numbers.iter().map(|n| Uuid::from_u128(*n)).collect::<Vec<_>>();
        assert_eq!(workers(&case, NOW), ids(&[1, 3]));
        assert_eq!(owner(&case), Some(Uuid::from_u128(1)));
        case.placement = Placement::Lodging.into();
        assert_eq!(workers(&case, NOW), ids(&[1, 2, 3]));
        assert_eq!(owner(&case), Some(Uuid::from_u128(3)));
    }

    #[test]
    fn a_page_token_survives_the_round_trip_and_nonsense_does_not() {
        let row = TaskRow { task_id: Uuid::now_v7(), case_id: Uuid::nil(), kind: 3, since: NOW, owner_user: None };
        let after = After::parse(&After::token(&row)).unwrap();
        assert_eq!((after.kind, after.id), (3, row.task_id));
        for token in
            ["x", "1_2", "1_2_3", "3_-1_01890a5dac96774bbcceb302099a8057", "3_1_01890a5dac96774bbcceb302099a8057_"]
        {
            assert!(After::parse(token).is_none(), "{token}");
        }
    }
}
