//! `WatchWorklist`: tasks as they arise for the caller's organisation.

use std::sync::Arc;

use chassis::{
    Call, Error, Reply,
    watch::{Arrived, Since, Stream},
};
use proto::followup::{Task as View, TaskKind, WatchWorklistRequest, WatchWorklistResponse};
use tonic::Request;
use uuid::Uuid;

use super::{store, view};
use crate::service::Followup;

pub(crate) fn watch(
    followup: &Followup,
    request: Request<WatchWorklistRequest>,
) -> Reply<Stream<WatchWorklistResponse>> {
    followup.base.watch(followup, request, &followup.arrivals, look, show)
}

async fn look(followup: Followup, call: Arc<Call<WatchWorklistRequest>>, since: Since) -> Result<Vec<Arrived>, Error> {
    arrived(&followup, &call, TaskKind::Unspecified, &since).await
}

async fn show(
    followup: Followup,
    call: Arc<Call<WatchWorklistRequest>>,
    ids: Vec<Uuid>,
) -> Result<WatchWorklistResponse, Error> {
    Ok(WatchWorklistResponse { tasks: fresh(&followup, &call, &ids).await? })
}

/// Tasks from a kind on that are new on the caller's list.
pub(crate) async fn arrived<M>(
    followup: &Followup,
    call: &Call<M>,
    from: TaskKind,
    since: &Since,
) -> Result<Vec<Arrived>, Error> {
    let mut conn = followup.base.pool.acquire().await?;
    Ok(store::since(&mut conn, call.caller.organisation_id, from, since).await?)
}

/// Those tasks as the caller may see them, audited under the caller's own RPC.
pub(crate) async fn fresh<M>(followup: &Followup, call: &Call<M>, ids: &[Uuid]) -> Result<Vec<View>, Error> {
    let mut conn = followup.base.pool.acquire().await?;
    let tasks = store::listed(&mut conn, call.caller.organisation_id, ids).await?;
    drop(conn);
    view::shown(followup, call, &tasks).await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::followup::{TaskKind, WatchWorklistRequest};
    use testing::Outcome;
    use tokio::time::timeout;
    use tokio_stream::StreamExt as _;

    use crate::{
        fixture::{Scene, from},
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
}
