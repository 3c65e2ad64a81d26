//! Tasks with the names their callers may see.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use access::{CaseId, Relations, cases, classes};
use chassis::{Call, Error, Seen};
use proto::{
    followup::Task as View,
    registry::{BatchGetPersonHeadersRequest, Person, Relation},
};
use runtime::clock::to_proto;

use super::model::Task;
use crate::service::Followup;

/// How long names may keep a worklist waiting.
const NAMES: Duration = Duration::from_secs(1);

/// Tasks as the caller may see them, audited.
pub(super) async fn shown<M>(followup: &Followup, call: &Call<M>, tasks: &[Task]) -> Result<Vec<View>, Error> {
    let ids: BTreeSet<CaseId> = tasks.iter().map(|task| task.case_id).collect();
    let ids: Vec<CaseId> = ids.into_iter().collect();
    let names = names(followup, &ids).await;

    let mut tx = followup.base.pool.begin().await?;
    let known = cases::find(&mut tx, &ids).await?;
    // Now, not when the call came in: a watch is an old call, and a relation may have ended while names were asked for.
    let now = followup.base.clock.now();
    let (mut views, mut seen) = (Vec::new(), BTreeSet::<Relation>::new());
    for task in tasks {
        let case = known.get(&task.case_id);
        let relations =
            case.map(|case| cases::relations(case, &call.caller, &followup.base.directory, now)).unwrap_or_default();
        let view = view(task, names.get(&task.case_id).cloned().unwrap_or_default());
        views.push(classes::mask(&view, &relations).map_err(Error::Internal)?);
        seen.extend(relations.iter().copied());
    }
    let relations = Relations::new(seen.into_iter().collect(), &call.caller);
    call.record(&mut tx, &Seen::by(&relations, ids)).await?;
    tx.commit().await?;
    Ok(views)
}

fn view(task: &Task, person: Person) -> View {
    View {
        task_id: task.id.to_string(),
        case_id: task.case_id.to_string(),
        kind: task.kind.into(),
        since_time: Some(to_proto(task.since)),
        name_kanji: person.name_kanji,
        name_kana: person.name_kana,
        phone: person.phone,
        owner_user_id: data::text(task.taken_by),
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
