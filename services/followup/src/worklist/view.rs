//! Tasks with the names their callers may see.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use access::{Caller, CaseId, Relations, cases, classes};
use chassis::{Call, Error, Seen};
use proto::{
    followup::Task as View,
    registry::{BatchGetPersonHeadersRequest, CaseChanged, Person, Relation},
};
use runtime::clock::{day_in_japan, to_proto};
use time::OffsetDateTime;
use uuid::Uuid;

use super::model::Task;
use crate::service::Followup;

/// How long names may keep a worklist waiting.
const NAMES: Duration = Duration::from_secs(1);

/// How a caller stands to what a task is about.
pub(super) struct Stands {
    pub relations: Relations,
    /// By the case, and not by the desk alone: only then are case and person the caller's to see.
    by_case: bool,
}

impl Stands {
    /// A notice about a filing shows its desk what it says, before the filing belongs to a case and whatever becomes of that. It is
    /// coded, and names nobody.
    pub(super) fn of(
        followup: &Followup,
        caller: &Caller,
        task: &Task,
        case: Option<&CaseChanged>,
        now: OffsetDateTime,
    ) -> Self {
        let by_case = case
            .map(|case| cases::relations(case, caller, &followup.base.directory, now))
            .filter(|held| !held.is_empty());
        if let Some(relations) = by_case {
            return Self { relations, by_case: true };
        }
        // The id of a stranger's case would tell when that was opened.
        let at_desk = task.desk.filter(|(desk, _)| task.notification_id.is_some() && *desk == caller.organisation_id);
        let list = at_desk.map(|(_, relation)| relation).into_iter().collect();
        Self { relations: Relations::new(list, caller), by_case: false }
    }

    /// The task as far as the caller may know to which case it belongs.
    pub(super) fn narrow(&self, task: Task) -> Task {
        if self.by_case { task } else { Task { case_id: None, ..task } }
    }
}

/// Tasks as the caller may see them, audited. Those to which the caller does not stand in any way are left out.
pub(super) async fn shown<M>(followup: &Followup, call: &Call<M>, tasks: &[Task]) -> Result<Vec<View>, Error> {
    let ids: BTreeSet<CaseId> = tasks.iter().filter_map(|task| task.case_id).collect();
    let ids: Vec<CaseId> = ids.into_iter().collect();
    let names = names(followup, &ids).await;

    let mut tx = followup.base.pool.begin().await?;
    let known = cases::find(&mut tx, &ids).await?;
    // Now, not when the call came in: a watch is an old call, and a relation may have ended while names were asked for.
    let now = followup.base.clock.now();
    let (mut views, mut seen) = (Vec::new(), BTreeSet::<Relation>::new());
    let mut records = BTreeSet::<Uuid>::new();
    for task in tasks {
        let case = task.case_id.and_then(|id| known.get(&id));
        let stands = Stands::of(followup, &call.caller, task, case, now);
        if stands.relations.is_empty() {
            continue;
        }
        let task = stands.narrow(task.clone());
        let person = task.case_id.and_then(|id| names.get(&id)).cloned();
        let view = view(&task, person.unwrap_or_default(), now);
        views.push(classes::mask(&view, &stands.relations).map_err(Error::Internal)?);
        seen.extend(stands.relations.iter().copied());
        records.insert(task.record());
    }
    let relations = Relations::new(seen.into_iter().collect(), &call.caller);
    call.record(&mut tx, &Seen::by(&relations, records)).await?;
    tx.commit().await?;
    Ok(views)
}

/// A task, with the name of the person where it may be shown.
pub(super) fn view(task: &Task, person: Person, now: OffsetDateTime) -> View {
    let today = day_in_japan(now);
    View {
        task_id: task.id.to_string(),
        case_id: data::text(task.case_id),
        kind: task.kind.into(),
        since_time: Some(to_proto(task.since)),
        name_kanji: person.name_kanji,
        name_kana: person.name_kana,
        phone: person.phone,
        assignee_user_id: data::text(task.assigned_to),
        notification_id: data::text(task.notification_id),
        due_date: data::text(task.due),
        is_overdue: task.due.is_some_and(|due| due < today),
        source: task.source.clone(),
        state: task.state.into(),
        missing_items: task.items.clone(),
        etag: task.version.to_string(),
    }
}

/// Names of some cases' persons. They live with their owner; without it the work goes on by number.
async fn names(followup: &Followup, ids: &[CaseId]) -> HashMap<CaseId, Person> {
    if ids.is_empty() {
        return HashMap::new();
    }
    let request = BatchGetPersonHeadersRequest { case_ids: ids.iter().map(CaseId::to_string).collect() };
    let mut registry = followup.registry.clone();
    let Ok(Ok(answer)) = tokio::time::timeout(NAMES, registry.batch_get_person_headers(request)).await else {
        tracing::warn!("The registry does not tell names");
        return HashMap::new();
    };
    let headers = answer.into_inner().headers.into_iter();
    headers.filter_map(|header| Some((CaseId::parse(&header.case_id).ok()?, header.person?))).collect()
}
