//! A task, locked for a change by somebody on whose organisation's list it is.

use access::cases;
use chassis::{Call, Error, Held, Seen};
use proto::{
    followup::{Task as View, TaskState},
    registry::Relation,
};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{
    model::{Task, TaskId, workers},
    store,
    view::Stands,
};
use crate::{case::may_work, service::Followup};

/// For everybody else it does not exist. One that is closed is no longer changed; whoever closed it may repeat that.
pub(super) async fn lock<M>(
    followup: &Followup,
    call: &Call<M>,
    conn: &mut PgConnection,
    id: TaskId,
) -> Result<Held<Task, View>, Error> {
    let none = || Error::NotFound("task");
    let task = store::lock(conn, id).await?.ok_or_else(none)?;
    // A task is on a list because this service knows the case: there is nothing to ask the registry for.
    let case = match task.case_id {
        Some(case) => cases::find(conn, &[case]).await?.remove(&case),
        None => None,
    };
    // Behind the lock: a relation may have ended while this waited.
    let (own, now) = (call.caller.organisation_id, followup.base.clock.now());
    let stands = Stands::of(followup, &call.caller, &task, case.as_ref(), now);
    let relations = &stands.relations;

    if let Some((desk, _)) = task.desk {
        // A notice outlives its relation for the moment until the next version of the case is heard.
        if desk != own || relations.is_empty() {
            return Err(none());
        }
    } else {
        let looks_after = case.as_ref().is_some_and(|case| workers(case, now).contains(&own));
        if !looks_after && !relations.contains(&Relation::Contractor) {
            return Err(none());
        }
        if !relations.iter().copied().any(may_work) {
            return Err(Error::Denied(why(
                "RELATION_DOES_NOT_ALLOW",
                "この方の健康観察に対してこの操作を行う権限がありません。",
                "Your relation to this person does not allow this.",
            )));
        }
    }
    let (version, is_open) = (task.version, task.state == TaskState::Open);
    let task = stands.narrow(task);
    let seen = Seen::by(&stands.relations, [task.record()]);
    let held = Held::new(task, seen).version(version);
    Ok(if is_open { held } else { held.only_repeats(closed()) })
}

fn closed() -> Error {
    Error::Precondition(why("TASK_CLOSED", "この業務は既に終わっています。", "This task is closed already."))
}
