//! What follow-up hears: a case was opened or changed, so its plan opens, pauses, goes on or closes.

use std::collections::HashMap;

use access::cases;
use async_trait::async_trait;
use data::{Event, Failure, Projection};
use proto::{
    followup::{PlanState, TaskKind},
    registry::{CaseChanged, CaseOpenedInEmergency},
};
use runtime::{
    Clock,
    clock::{day_in_japan, from_proto},
};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{self, Reason, Wanted},
    due, rules, slots,
    store::{self, PlanChange, PlanRow},
    worklist::{self, Closing, NewTask},
};

/// Hears the registry.
pub(crate) struct Hears;

#[async_trait]
impl Projection for Hears {
    type Fetched = ();

    fn source(&self) -> &'static str {
        "registry"
    }

    async fn fetch(&self, _: &[Event]) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(&self, tx: &mut PgConnection, events: &[Event], (): &()) -> Result<(), Failure> {
        let versions: Vec<CaseChanged> = events
            .iter()
            .filter(|event| event.r#type == "case.changed")
            .map(Event::decode)
            .collect::<Result<_, _>>()?;
        take(tx, &versions, Clock.now()).await?;
        let opened: Vec<CaseOpenedInEmergency> = events
            .iter()
            .filter(|event| event.r#type == "case.opened_in_emergency")
            .map(Event::decode)
            .collect::<Result<_, _>>()?;
        tell_of_emergencies(tx, &opened).await
    }

    /// Plans and reports are follow-up's own record: nothing is thrown away.
    async fn reset(&self, _: &mut PgConnection) -> sqlx::Result<bool> {
        Ok(false)
    }
}

/// Tells those who look after a person that somebody without a relation opened the case (緊急閲覧).
async fn tell_of_emergencies(conn: &mut PgConnection, opened: &[CaseOpenedInEmergency]) -> Result<(), Failure> {
    if opened.is_empty() {
        return Ok(());
    }
    let id = |text: &str| Uuid::try_parse(text).map_err(|_| Failure::Dead("an id is no UUID".to_owned()));
    let ids = opened.iter().map(|event| id(&event.case_id)).collect::<Result<Vec<_>, _>>()?;
    let known = cases::find(conn, &ids).await?;
    let mut tasks = Vec::new();
    for (event, case_id) in opened.iter().zip(&ids) {
        let since = event.at.as_ref().and_then(from_proto).unwrap_or_else(|| Clock.now());
        let workers = known.get(case_id).map(|case| worklist::workers(case, since)).unwrap_or_default();
        let task =
            NewTask { id: id(&event.opening_id)?, case_id: *case_id, kind: TaskKind::EmergencyAccess, since, workers };
        tasks.push(task);
    }
    worklist::add_tasks(conn, &tasks).await?;
    Ok(())
}

/// Takes versions of cases: many with a fixed number of statements.
pub(crate) async fn take(conn: &mut PgConnection, versions: &[CaseChanged], now: OffsetDateTime) -> sqlx::Result<()> {
    let fresh = cases::take(conn, versions).await?;
    if fresh.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = fresh.iter().map(|(id, _)| *id).collect();
    store::lock_plans(conn, &ids).await?;
    let held: HashMap<Uuid, PlanRow> =
        store::plans(conn, &ids).await?.into_iter().map(|plan| (plan.case_id, plan)).collect();
    let mut steps = Steps::default();
    for (id, case) in &fresh {
        steps.plan(*id, case, held.get(id), now);
    }
    if !steps.plans.is_empty() {
        store::save_plans(conn, &steps.plans, &rules::observation().times, now).await?;
    }
    store::void_slots(conn, &steps.void).await?;
    let opened = slots::open(conn, steps.open.clone()).await?;
    let over: Vec<PlanChange> = steps
        .open
        .iter()
        .filter(|slot| !opened.contains_key(&slot.case_id))
        .map(|slot| {
            due::closing(slot.case_id, steps.plans.iter().find(|p| p.case_id == slot.case_id).and_then(|p| p.owner))
        })
        .collect();
    if !over.is_empty() {
        store::save_plans(conn, &over, &[], now).await?;
    }
    worklist::close_tasks(conn, &steps.close, Closing::Everything, now).await?;
    let workers: Vec<(Uuid, Vec<Uuid>)> = fresh
        .iter()
        .filter(|(id, _)| held.contains_key(id))
        .map(|(id, case)| (*id, worklist::workers(case, now)))
        .collect();
    if !workers.is_empty() {
        worklist::relist(conn, &workers).await?;
    }
    Ok(())
}

/// What is to be written for a batch of cases.
#[derive(Default)]
struct Steps {
    plans: Vec<PlanChange>,
    void: Vec<Uuid>,
    open: Vec<slots::Wanted>,
    close: Vec<Uuid>,
}

impl Steps {
    fn plan(&mut self, id: Uuid, case: &CaseChanged, held: Option<&PlanRow>, now: OffsetDateTime) {
        let wanted = domain::wanted(case, day_in_japan(now));
        let (state, reason, last_day) = match wanted {
            Wanted::Active(last_day) => (PlanState::Active, Reason::Registered, last_day),
            Wanted::Paused => (PlanState::Paused, Reason::InHospital, None),
            Wanted::Closed(reason) => (PlanState::Closed, reason, None),
        };
        if held.is_none() && state == PlanState::Closed {
            // An episode that is over when it is first heard of was never observed.
            return;
        }
        let state = number(state);
        let owner = worklist::owner(case);
        if let Some(held) = held
            && (held.state, held.reason, held.owner, held.last_day) == (state, reason as i16, owner, last_day)
        {
            return;
        }
        self.plans.push(PlanChange { case_id: id, state, reason: reason as i16, owner, last_day });
        match wanted {
            Wanted::Active(_) if held.is_none_or(|plan| plan.due_at.is_none()) => {
                let times = held.map_or(&rules::observation().times, |plan| &plan.times);
                self.open.push(slots::Wanted {
                    case_id: id,
                    opens_at: now,
                    due_at: domain::first_due(now, times),
                    times: times.clone(),
                    last_day,
                });
            }
            Wanted::Active(_) => {}
            Wanted::Paused => self.void.push(id),
            Wanted::Closed(reason) => {
                self.void.push(id);
                // What worries outlives a negative test and the last day; the end of the episode ends it.
                if reason == Reason::Ended {
                    self.close.push(id);
                }
            }
        }
    }
}

pub(crate) fn number(state: PlanState) -> i16 {
    i16::try_from(i32::from(state)).unwrap_or(0)
}
