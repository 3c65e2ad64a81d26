//! A plan follows what the registry knows of the person: it opens, pauses, goes on and closes.

use std::collections::{HashMap, HashSet};

use access::CaseId;
use proto::{followup::PlanState, registry::CaseChanged};
use runtime::clock::day_in_japan;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{
    model::{Due, Observation, Plan, PlanChange, Reason},
    rules::observation,
    slots, store,
};
use crate::worklist;

/// What became of the plans of a batch of cases.
pub(crate) struct Followed {
    /// Those that had a plan before.
    pub held: HashSet<CaseId>,
    /// Those whose episode has ended.
    pub ended: Vec<CaseId>,
}

/// Lets the plans of some cases follow their new versions: many with a fixed number of statements.
pub(crate) async fn follow(
    conn: &mut PgConnection,
    cases: &[(CaseId, CaseChanged)],
    now: OffsetDateTime,
) -> sqlx::Result<Followed> {
    let ids: Vec<CaseId> = cases.iter().map(|(id, _)| *id).collect();
    store::lock(conn, &ids).await?;
    let held: HashMap<CaseId, Plan> =
        store::find(conn, &ids).await?.into_iter().map(|plan| (plan.case_id, plan)).collect();
    let mut steps = Steps::default();
    for (id, case) in cases {
        steps.take(*id, case, held.get(id), now);
    }

    store::save(conn, &steps.plans, &observation().times, now).await?;
    store::void_slots(conn, &steps.void).await?;
    let due: Vec<CaseId> = steps.open.iter().map(|due| due.case_id).collect();
    let opened = slots::open(conn, steps.open).await?;
    let over: Vec<CaseId> = due.into_iter().filter(|id| !opened.contains_key(id)).collect();
    store::close(conn, &over, now).await?;

    Ok(Followed { held: held.into_keys().collect(), ended: steps.ended })
}

/// What is to be written for a batch of cases.
#[derive(Default)]
struct Steps {
    plans: Vec<PlanChange>,
    void: Vec<CaseId>,
    open: Vec<Due>,
    ended: Vec<CaseId>,
}

impl Steps {
    fn take(&mut self, id: CaseId, case: &CaseChanged, held: Option<&Plan>, now: OffsetDateTime) {
        let wanted = Observation::of(case, day_in_japan(now));
        let plan = wanted.plan(id, worklist::owner(case));
        if held.is_none() && plan.state == PlanState::Closed {
            // An episode that is over when it is first heard of was never observed.
            return;
        }
        if held.is_some_and(|held| is_so(held, &plan)) {
            return;
        }
        self.plans.push(plan);
        match wanted {
            Observation::Active(last_day) => {
                if held.is_none_or(|plan| plan.awaited.is_none()) {
                    let times = held.map_or(&observation().times, |plan| &plan.times);
                    self.open.push(Due::first(id, times, last_day, now));
                }
            }
            Observation::Paused => self.void.push(id),
            Observation::Closed(reason) => {
                self.void.push(id);
                if reason == Reason::Ended {
                    self.ended.push(id);
                }
            }
        }
    }
}

/// Whether a plan is already as it is to be.
fn is_so(held: &Plan, wanted: &PlanChange) -> bool {
    (held.state, held.reason, held.owner, held.last_day) == (wanted.state, wanted.reason, wanted.owner, wanted.last_day)
}
