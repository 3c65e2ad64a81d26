//! `WatchAlerts`: alerts as they are raised for the caller's organisation.

use std::sync::Arc;

use chassis::{
    Call, Error, Reply,
    watch::{Arrived, Since, Stream},
};
use proto::followup::{TaskKind, WatchAlertsRequest, WatchAlertsResponse};
use tonic::Request;
use uuid::Uuid;

use crate::{service::Followup, worklist};

/// What worries, and who opened a case in an emergency.
const ALERTS: [TaskKind; 4] =
    [TaskKind::Caution, TaskKind::Alert, TaskKind::EmergencyAccess, TaskKind::EmergencyAccessOfMany];

pub(crate) fn watch(followup: &Followup, request: Request<WatchAlertsRequest>) -> Reply<Stream<WatchAlertsResponse>> {
    followup.base.watch(followup, request, &followup.arrivals, look, show)
}

async fn look(followup: Followup, call: Arc<Call<WatchAlertsRequest>>, since: Since) -> Result<Vec<Arrived>, Error> {
    worklist::arrived(&followup, &call, Some(&ALERTS), &since).await
}

async fn show(
    followup: Followup,
    call: Arc<Call<WatchAlertsRequest>>,
    ids: Vec<Uuid>,
) -> Result<WatchAlertsResponse, Error> {
    Ok(WatchAlertsResponse { tasks: worklist::fresh(&followup, &call, &ids).await? })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::followup::{TaskKind, WatchAlertsRequest};
    use testing::Outcome;
    use tokio::time::timeout;
    use tokio_stream::StreamExt as _;

    use crate::{
        alert,
        fixture::{Scene, from},
    };

    #[tokio::test]
    async fn what_is_raised_arrives_and_is_audited_as_what_it_is() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        scene.alarm(case).await?;
        let mut watch = alert::watch(&scene.followup, from(&scene.nurse, WatchAlertsRequest {}))?.into_inner();
        let mut next = async || {
            Ok::<_, anyhow::Error>(
                timeout(Duration::from_secs(10), watch.next()).await?.transpose()?.unwrap_or_default().tasks,
            )
        };
        assert!(next().await?.is_empty(), "what was there before is not news");

        let raised = scene.alarm(case).await?;
        let tasks = next().await?;
        let tasks: Vec<_> = tasks.iter().map(|task| (task.kind, task.task_id.clone())).collect();
        assert_eq!(tasks, [(TaskKind::Alert.into(), raised.alert_id)]);
        let audited = scene.world.audited("WatchAlerts").await?;
        assert_eq!(audited.iter().map(|row| row.record).collect::<Vec<_>>(), [case.uuid()]);
        assert!(scene.world.audited("WatchWorklist").await?.is_empty());
        Ok(())
    }
}
