//! `WatchWorklist`: tasks as they come onto the list of the caller's organisation.

use std::sync::Arc;

use chassis::{
    Call, Error, Reply,
    watch::{Arrived, Since, Stream},
};
use proto::followup::{Task as View, TaskKind, WatchWorklistRequest, WatchWorklistResponse};
use tonic::Request;
use uuid::Uuid;

use super::{list, view};
use crate::service::Followup;

pub(crate) fn watch(
    followup: &Followup,
    request: Request<WatchWorklistRequest>,
) -> Reply<Stream<WatchWorklistResponse>> {
    followup.base.watch(followup, request, &followup.arrivals, look, show)
}

async fn look(followup: Followup, call: Arc<Call<WatchWorklistRequest>>, since: Since) -> Result<Vec<Arrived>, Error> {
    arrived(&followup, &call, None, &since).await
}

async fn show(
    followup: Followup,
    call: Arc<Call<WatchWorklistRequest>>,
    ids: Vec<Uuid>,
) -> Result<WatchWorklistResponse, Error> {
    Ok(WatchWorklistResponse { tasks: fresh(&followup, &call, &ids).await? })
}

/// Tasks of some kinds, or of any, that are new on the list of the caller's organisation.
pub(crate) async fn arrived<M>(
    followup: &Followup,
    call: &Call<M>,
    kinds: Option<&[TaskKind]>,
    since: &Since,
) -> Result<Vec<Arrived>, Error> {
    let mut conn = followup.base.pool.acquire().await?;
    Ok(list::since(&mut conn, call.caller.organisation_id, kinds, since).await?)
}

/// Those tasks as the caller may see them, audited under the caller's own RPC.
pub(crate) async fn fresh<M>(followup: &Followup, call: &Call<M>, ids: &[Uuid]) -> Result<Vec<View>, Error> {
    let mut conn = followup.base.pool.acquire().await?;
    let tasks = list::listed(&mut conn, call.caller.organisation_id, ids).await?;
    drop(conn);
    view::shown(followup, call, &tasks).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chassis::watch::Stream;
    use proto::{
        followup::{TaskKind, WatchWorklistRequest, WatchWorklistResponse},
        registry::Relation,
    };
    use testing::Outcome;
    use tokio::time::timeout;
    use tokio_stream::StreamExt as _;

    use crate::{
        fixture::{Scene, from, grant},
        worklist,
    };

    #[tokio::test]
    async fn what_arises_arrives_and_is_audited() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let mut watch = worklist::watch(&scene.followup, from(&scene.nurse, WatchWorklistRequest {}))?.into_inner();
        let mut next = async || {
            Ok::<_, anyhow::Error>(
                timeout(Duration::from_secs(10), watch.next()).await?.transpose()?.unwrap_or_default().tasks,
            )
        };
        assert!(next().await?.is_empty());
        // Another process hears of it, so nobody wakes the watch: it looks by itself.
        let opening = scene.open_in_emergency(case).await?;
        let tasks = next().await?;
        let tasks: Vec<_> = tasks.iter().map(|task| (task.kind, task.task_id.clone())).collect();
        assert_eq!(tasks, [(TaskKind::EmergencyAccess.into(), opening)]);
        let audited = scene.world.audited("WatchWorklist").await?;
        assert_eq!(audited.iter().map(|row| row.record).collect::<Vec<_>>(), [case.uuid()]);
        Ok(())
    }

    #[tokio::test]
    async fn what_moves_to_a_desk_arrives_there_and_what_stays_does_not_arrive_again() -> Outcome {
        let scene = Scene::new().await?;
        let known = scene.known();
        let case = scene.hear(&known).await?;
        let alert = scene.alarm(case).await?.alert_id;
        scene.world.clock.advance(time::Duration::seconds(30));
        let watch = |who| worklist::watch(&scene.followup, from(who, WatchWorklistRequest {}));
        let (mut here, mut there) = (watch(&scene.nurse)?.into_inner(), watch(&scene.stranger)?.into_inner());
        let next = async |watch: &mut Stream<WatchWorklistResponse>| {
            let message = timeout(Duration::from_secs(10), watch.next()).await?.transpose()?;
            Ok::<_, anyhow::Error>(message.unwrap_or_default().tasks.into_iter().map(|task| task.task_id).collect())
        };
        let (old, none): (Vec<String>, Vec<String>) = (next(&mut here).await?, next(&mut there).await?);
        assert!(old.is_empty() && none.is_empty());

        // The same case again, then another centre looks after the person: the alert is older than the watch, and news there only.
        scene.hear(&known).await?;
        let mut shared = known.clone();
        shared.grants.push(grant(scene.other_centre, Relation::ReceivingCentre));
        scene.hear(&shared).await?;
        let moved: Vec<String> = next(&mut there).await?;
        assert_eq!(moved, [alert]);
        let opening = scene.open_in_emergency(case).await?;
        let arrived: Vec<String> = next(&mut here).await?;
        assert_eq!(arrived, [opening]);
        Ok(())
    }
}
