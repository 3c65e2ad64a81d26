//! An alert is raised, with a task for those who look after the person.

use data::outbox;
use proto::{
    followup::{AlertLevel, AlertRaised, TaskKind},
    registry::CaseChanged,
};
use sqlx::PgConnection;

use super::{model::Alert, store};
use crate::{
    report::ReportId,
    worklist::{self, NewTask},
};

pub(crate) async fn raise(
    conn: &mut PgConnection,
    alert: &Alert,
    report: ReportId,
    case: &CaseChanged,
) -> sqlx::Result<()> {
    store::insert(conn, alert, report).await?;
    let task = NewTask {
        id: alert.id.uuid().into(),
        case_id: alert.case_id,
        notification_id: None,
        kind: if alert.level == AlertLevel::Urgent { TaskKind::Alert } else { TaskKind::Caution },
        since: alert.raised_at,
        source: worklist::source::<AlertRaised>(),
        workers: worklist::workers(case, alert.raised_at),
    };
    worklist::add(conn, &[task], alert.raised_at).await?;

    let raised =
        AlertRaised { alert_id: alert.id.to_string(), case_id: alert.case_id.to_string(), level: alert.level.into() };
    outbox::add(conn, &raised).await
}

#[cfg(test)]
mod tests {
    use proto::{
        followup::{AlertRaised, HealthReport, TaskKind},
        registry::Relation,
    };
    use testing::{Outcome, patient};

    use crate::fixture::{Scene, grant, purple_lips, reporting, well};

    #[tokio::test]
    async fn a_warning_sign_alerts_those_who_look_after_the_person() -> Outcome {
        let scene = Scene::new().await?;
        let mut known = scene.known();
        known.grants.push(grant(scene.lodging, Relation::LodgingFacility));
        let case = scene.hear(&known).await?;
        let urgent = scene.submit(&patient(case), reporting(case, purple_lips())).await?;
        let caution = HealthReport { spo2_percent: Some(95), ..well() };
        let caution = scene.submit(&patient(case), reporting(case, caution)).await?;
        assert!(urgent.advice.contains("119") && !caution.advice.contains("119"));

        for who in [&scene.nurse, &scene.officer] {
            let tasks = scene.tasks(who).await?;
            let tasks: Vec<_> = tasks.iter().map(|task| (task.kind, &task.task_id)).collect();
            let wanted = [(TaskKind::Alert.into(), &urgent.alert_id), (TaskKind::Caution.into(), &caution.alert_id)];
            assert!(tasks.starts_with(&wanted[..1]) && tasks.ends_with(&wanted[1..]));
        }
        assert!(scene.tasks(&scene.stranger).await?.is_empty());
        let raised: Vec<AlertRaised> = scene.world.announced().await?;
        assert_eq!(raised.len(), 2);
        let alerts = scene.overview(&scene.nurse, case).await?.alerts;
        assert_eq!(alerts.len(), 2);
        assert!(alerts.iter().all(|alert| alert.reasons.len() == 1 && alert.etag == "1"));
        Ok(())
    }
}
