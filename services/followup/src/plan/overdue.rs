//! Overdue reports become tasks, within a second of their deadline, exactly once, whatever dies in between.

use std::{collections::HashMap, time::Duration};

use access::{CaseId, cases};
use data::{outbox, pool};
use proto::{
    followup::{ReportMissed, TaskKind},
    registry::CaseChanged,
};
use runtime::clock::to_proto;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{
    model::{Due, Plan},
    slots, store,
};
use crate::{
    service::Followup,
    worklist::{self, NewTask, TaskId},
};

/// How often overdue reports are looked for.
const EVERY: Duration = Duration::from_millis(500);
/// Plans handled in one transaction.
const BATCH: u16 = 500;

/// Looks for overdue reports until the process is to stop. Several processes may: each takes what the others do not.
pub(crate) fn start(followup: &Followup) {
    let (followup, stop) = (followup.clone(), followup.base.shutdown.clone());
    stop.clone().spawn("overdue", async move {
        loop {
            let passed = if followup.base.pulses.may_act() { pass(&followup).await } else { Ok(0) };
            match passed {
                Ok(handled) if handled >= usize::from(BATCH) => continue,
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

/// Turns what is overdue now into tasks, one batch of it, each in one transaction with the slot that follows. Returns how many
/// plans it handled.
pub(crate) async fn pass(followup: &Followup) -> sqlx::Result<usize> {
    let now = followup.base.clock.now();
    let mut tx = pool::begin_task(&followup.base.pool).await?;
    let overdue = store::lock_overdue(&mut tx, now, i64::from(BATCH)).await?;
    if overdue.is_empty() {
        return Ok(0);
    }
    let missed = store::miss_slots(&mut tx, &overdue, now).await?;
    let known = cases::find(&mut tx, &overdue).await?;
    add_tasks(&mut tx, &missed, &known, now).await?;
    go_on(&mut tx, &missed, now).await?;
    tx.commit().await?;

    followup.base.wake.relay();
    followup.arrivals.came();
    Ok(overdue.len())
}

async fn add_tasks(
    conn: &mut PgConnection,
    missed: &[(CaseId, OffsetDateTime)],
    known: &HashMap<CaseId, CaseChanged>,
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    let task = |(case_id, _): &(CaseId, OffsetDateTime)| NewTask {
        id: TaskId::new(),
        case_id: *case_id,
        notification_id: None,
        kind: TaskKind::MissedReport,
        since: now,
        source: worklist::source::<ReportMissed>(),
        workers: known.get(case_id).map(|case| worklist::workers(case, now)).unwrap_or_default(),
    };
    let tasks: Vec<NewTask> = missed.iter().map(task).collect();
    worklist::add(conn, &tasks, now).await?;

    let event = |((case_id, due_at), task): (&(CaseId, OffsetDateTime), &NewTask)| ReportMissed {
        task_id: task.id.to_string(),
        case_id: case_id.to_string(),
        due_time: Some(to_proto(*due_at)),
    };
    let events: Vec<ReportMissed> = missed.iter().zip(&tasks).map(event).collect();
    outbox::add_all(conn, &events).await
}

/// The next report becomes due, or the observation is over.
async fn go_on(conn: &mut PgConnection, missed: &[(CaseId, OffsetDateTime)], now: OffsetDateTime) -> sqlx::Result<()> {
    let ids: Vec<CaseId> = missed.iter().map(|(id, _)| *id).collect();
    let plans: HashMap<CaseId, Plan> =
        store::find(conn, &ids).await?.into_iter().map(|plan| (plan.case_id, plan)).collect();
    let due: Vec<Due> =
        missed.iter().filter_map(|(id, due_at)| Some(Due::after(plans.get(id)?, *due_at, now))).collect();
    let opened = slots::open(conn, due).await?;
    let over: Vec<CaseId> = ids.into_iter().filter(|id| !opened.contains_key(id)).collect();
    store::close(conn, &over, now).await
}

#[cfg(test)]
mod tests {
    use proto::{
        followup::{PlanState, ReportMissed, TaskKind},
        registry::{CaseChanged, CaseRole},
    };
    use testing::Outcome;
    use time::Duration;

    use super::pass;
    use crate::fixture::Scene;

    #[tokio::test]
    async fn a_missed_report_becomes_a_task_when_it_was_due_and_not_before() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let due = scene.plan(case).await?.next_due_time;
        // From the afternoon of the first day to a minute before half past eight of the second.
        scene.world.clock.advance(Duration::minutes(18 * 60 + 29));
        assert_eq!(pass(&scene.followup).await?, 0);
        scene.world.clock.advance(Duration::minutes(1));
        assert_eq!(pass(&scene.followup).await?, 1);
        assert_eq!(pass(&scene.followup).await?, 0, "exactly once");

        let tasks = scene.tasks(&scene.nurse).await?;
        let kinds: Vec<_> = tasks.iter().map(|task| (task.kind, task.case_id.clone())).collect();
        assert_eq!(kinds, [(TaskKind::MissedReport.into(), case.to_string())]);
        let announced: Vec<ReportMissed> = scene.world.announced().await?;
        assert_eq!((announced.len(), announced[0].due_time, &announced[0].task_id), (1, due, &tasks[0].task_id));
        let next = scene.plan(case).await?.next_due_time.unwrap_or_default();
        assert_eq!(next.seconds, due.unwrap_or_default().seconds + 24 * 60 * 60, "the next one is awaited");
        Ok(())
    }

    #[tokio::test]
    async fn one_task_is_enough_to_call_whatever_else_is_missed() -> Outcome {
        let scene = Scene::new().await?;
        scene.case().await?;
        scene.miss().await?;
        scene.world.clock.advance(Duration::days(1));
        assert_eq!(pass(&scene.followup).await?, 1);
        assert_eq!(scene.tasks(&scene.nurse).await?.len(), 1);
        let announced: Vec<ReportMissed> = scene.world.announced().await?;
        assert_eq!(announced.len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn a_plan_closes_when_a_report_of_the_last_day_is_missed() -> Outcome {
        let scene = Scene::new().await?;
        let contact = CaseChanged {
            role: CaseRole::CloseContact.into(),
            last_contact_date: "2020-05-19".to_owned(),
            ..scene.known()
        };
        let case = scene.hear(&contact).await?;
        assert_eq!(scene.plan(case).await?.last_date, "2020-06-02");
        scene.miss().await?;
        let plan = scene.plan(case).await?;
        assert_eq!((plan.state, plan.next_due_time, plan.last_date.as_str()), (PlanState::Closed.into(), None, ""));
        assert_eq!(scene.tasks(&scene.nurse).await?.len(), 1, "somebody still calls");
        Ok(())
    }
}
