//! On `filing.to_check`: those who look after a person are told that a notification was taken into the case, and that somebody should
//! look whether it belongs there.

use access::{CaseId, cases};
use data::Failure;
use proto::{followup::TaskKind, registry::FilingToCheck};
use runtime::clock::from_proto;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::worklist::{self, NewTask, NotificationId, TaskId};

/// Adds a task for each.
pub(super) async fn tell(
    conn: &mut PgConnection,
    checks: &[FilingToCheck],
    now: OffsetDateTime,
) -> Result<(), Failure> {
    if checks.is_empty() {
        return Ok(());
    }
    let dead = |_| Failure::Dead("an id is no UUID".to_owned());
    let ids: Vec<CaseId> =
        checks.iter().map(|check| CaseId::parse(&check.case_id).map_err(dead)).collect::<Result<_, _>>()?;
    let known = cases::find(conn, &ids).await?;

    let mut tasks = Vec::new();
    for (check, case_id) in checks.iter().zip(&ids) {
        let since = check.take_time.as_ref().and_then(from_proto).unwrap_or(now);
        tasks.push(NewTask {
            id: TaskId::parse(&check.check_id).map_err(dead)?,
            case_id: *case_id,
            notification_id: NotificationId::optional(&check.notification_id).map_err(dead)?,
            kind: TaskKind::FilingToCheck,
            since,
            source: worklist::source::<FilingToCheck>(),
            workers: known.get(case_id).map(|case| worklist::workers(case, since)).unwrap_or_default(),
        });
    }
    Ok(worklist::add(conn, &tasks, now).await?)
}

#[cfg(test)]
mod tests {
    use data::Failure;
    use proto::{
        followup::{AcknowledgeAlertRequest, TaskKind},
        registry::{FilingDoubt, FilingToCheck},
    };
    use testing::Outcome;
    use uuid::Uuid;

    use crate::{
        alert,
        fixture::{Scene, request_id},
    };

    #[tokio::test]
    async fn the_centre_is_told_and_has_seen_it_when_it_says_so() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let check_id = Uuid::now_v7().to_string();
        let check = FilingToCheck {
            check_id: check_id.clone(),
            case_id: case.to_string(),
            notification_id: Uuid::now_v7().to_string(),
            doubt: FilingDoubt::AnotherPerson.into(),
            take_time: None,
        };
        scene.world.hear(&scene.hears(), &check).await?;
        let tasks = scene.tasks(&scene.nurse).await?;
        assert_eq!((tasks[0].kind, &tasks[0].task_id), (TaskKind::FilingToCheck.into(), &check_id));
        assert_eq!((&tasks[0].notification_id, tasks[0].source.as_str()), (&check.notification_id, "filing.to_check"));
        assert!(scene.tasks(&scene.stranger).await?.is_empty());

        let seen = AcknowledgeAlertRequest {
            request_id: request_id(),
            alert_id: check_id,
            ..AcknowledgeAlertRequest::default()
        };
        scene.world.ask(&scene.followup, &scene.nurse, seen, alert::acknowledge).await?;
        assert!(scene.tasks(&scene.nurse).await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn a_check_without_proper_ids_is_set_aside() -> Outcome {
        let scene = Scene::new().await?;
        let case_id = scene.case().await?.to_string();
        for (case_id, check_id) in [(case_id.as_str(), "x"), ("x", "x")] {
            let check = FilingToCheck {
                case_id: case_id.to_owned(),
                check_id: check_id.to_owned(),
                ..FilingToCheck::default()
            };
            let failed = scene.world.hear(&scene.hears(), &check).await;
            assert!(matches!(failed, Err(Failure::Dead(_))));
        }
        Ok(())
    }
}
