//! Overdue reports become tasks, within a second of their deadline, exactly once, whatever dies in between.

use std::{collections::HashMap, time::Duration};

use access::cases;
use data::outbox;
use proto::{
    followup::{PlanState, ReportMissed, TaskKind},
    registry::CaseChanged,
};
use runtime::clock::to_proto;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{self, Reason},
    events::number,
    rpc::Followups,
    slots::{self, Wanted},
    store::{self, PlanChange, PlanRow},
    worklist::{self, NewTask},
};

/// How often overdue reports are looked for.
const EVERY: Duration = Duration::from_millis(500);
/// Plans handled in one transaction.
const BATCH: i64 = 500;

/// Looks for overdue reports until the process is to stop. Several processes may: each takes what the others do not.
pub(crate) fn start(followup: &Followups) {
    let (this, stop) = (followup.clone(), followup.base.shutdown.clone());
    followup.base.shutdown.spawn("due", async move {
        loop {
            match round(&this).await {
                Ok(BATCH..) => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %error, "Could not look for overdue reports"),
            }
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    });
}

async fn round(this: &Followups) -> sqlx::Result<i64> {
    let now = this.clock.now();
    let mut tx = this.base.pool.begin().await?;
    let overdue = store::lock_overdue(&mut tx, now, BATCH).await?;
    if overdue.is_empty() {
        return Ok(0);
    }
    let missed = store::miss_slots(&mut tx, &overdue, now).await?;
    let found = cases::find(&mut tx, &overdue).await?;
    add_tasks(&mut tx, &missed, &found, now).await?;
    go_on(&mut tx, &missed, &found, now).await?;
    tx.commit().await?;
    this.base.wake.relay();
    this.arrived();
    Ok(i64::try_from(overdue.len()).unwrap_or(BATCH))
}

async fn add_tasks(
    conn: &mut PgConnection,
    missed: &[(Uuid, OffsetDateTime)],
    found: &HashMap<Uuid, CaseChanged>,
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    let tasks: Vec<NewTask> = missed
        .iter()
        .map(|(case_id, _)| NewTask {
            id: Uuid::now_v7(),
            case_id: *case_id,
            kind: TaskKind::MissedReport,
            since: now,
            workers: found.get(case_id).map(|case| worklist::workers(case, now)).unwrap_or_default(),
        })
        .collect();
    worklist::add_tasks(conn, &tasks).await?;
    let events: Vec<ReportMissed> = missed
        .iter()
        .zip(&tasks)
        .map(|((case_id, due_at), task)| ReportMissed {
            task_id: task.id.to_string(),
            case_id: case_id.to_string(),
            due_at: Some(to_proto(*due_at)),
        })
        .collect();
    outbox::add_all(conn, "report.missed", &events).await
}

/// The next report becomes due, or the observation is over.
async fn go_on(
    conn: &mut PgConnection,
    missed: &[(Uuid, OffsetDateTime)],
    found: &HashMap<Uuid, CaseChanged>,
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = missed.iter().map(|(id, _)| *id).collect();
    let plans: HashMap<Uuid, PlanRow> =
        store::plans(conn, &ids).await?.into_iter().map(|plan| (plan.case_id, plan)).collect();
    let wanted: Vec<Wanted> =
        missed.iter().filter_map(|(id, due_at)| Some(next_slot(plans.get(id)?, *due_at, now))).collect();
    let opened = slots::open(conn, wanted).await?;
    let over: Vec<PlanChange> = ids
        .iter()
        .filter(|id| !opened.contains_key(id))
        .map(|id| closing(*id, found.get(id).and_then(worklist::owner)))
        .collect();
    if !over.is_empty() {
        store::save_plans(conn, &over, &[], now).await?;
    }
    Ok(())
}

/// The slot after one.
pub(crate) fn next_slot(plan: &PlanRow, due_at: OffsetDateTime, now: OffsetDateTime) -> Wanted {
    Wanted {
        case_id: plan.case_id,
        opens_at: due_at,
        due_at: domain::next_due(due_at.max(now), &plan.times),
        times: plan.times.clone(),
        last_day: plan.last_day,
    }
}

/// A plan whose days are over.
pub(crate) fn closing(case_id: Uuid, owner: Option<Uuid>) -> PlanChange {
    PlanChange { case_id, state: number(PlanState::Closed), reason: Reason::DaysOver as i16, owner, last_day: None }
}
