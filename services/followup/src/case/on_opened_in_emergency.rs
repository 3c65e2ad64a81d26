//! On `case.opened_in_emergency`: those who look after a person are told that somebody without a relation opened the case (緊急閲覧).

use access::{CaseId, cases};
use data::Failure;
use proto::{followup::TaskKind, registry::CaseOpenedInEmergency};
use runtime::clock::from_proto;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::worklist::{self, NewTask, TaskId};

/// Adds a task for each opening.
pub(super) async fn tell(
    conn: &mut PgConnection,
    openings: &[CaseOpenedInEmergency],
    now: OffsetDateTime,
) -> Result<(), Failure> {
    if openings.is_empty() {
        return Ok(());
    }
    let dead = |_| Failure::Dead("an id is no UUID".to_owned());
    let ids: Vec<CaseId> =
        openings.iter().map(|opening| CaseId::parse(&opening.case_id).map_err(dead)).collect::<Result<_, _>>()?;
    let known = cases::find(conn, &ids).await?;

    let mut tasks = Vec::new();
    for (opening, case_id) in openings.iter().zip(&ids) {
        let since = opening.open_time.as_ref().and_then(from_proto).unwrap_or(now);
        tasks.push(NewTask {
            id: TaskId::parse(&opening.opening_id).map_err(dead)?,
            case_id: *case_id,
            notification_id: None,
            kind: if opening.among_many { TaskKind::EmergencyAccessOfMany } else { TaskKind::EmergencyAccess },
            since,
            source: worklist::source::<CaseOpenedInEmergency>(),
            workers: known.get(case_id).map(|case| worklist::workers(case, since)).unwrap_or_default(),
        });
    }
    worklist::add(conn, &tasks, now).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use data::Failure;
    use proto::{followup::TaskKind, registry::CaseOpenedInEmergency};
    use testing::Outcome;

    use crate::fixture::Scene;

    #[tokio::test]
    async fn an_opening_is_the_most_urgent_task_of_those_who_look_after_the_person() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        scene.alarm(case).await?;
        let opening = scene.open_in_emergency(case).await?;
        let tasks = scene.tasks(&scene.nurse).await?;
        assert_eq!((tasks[0].kind, &tasks[0].task_id), (TaskKind::EmergencyAccess.into(), &opening));
        assert!(scene.tasks(&scene.stranger).await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn one_among_many_comes_before_all_others() -> Outcome {
        let scene = Scene::new().await?;
        let case_id = scene.case().await?;
        let many = CaseOpenedInEmergency {
            case_id: case_id.to_string(),
            opening_id: uuid::Uuid::now_v7().to_string(),
            open_time: None,
            among_many: true,
        };
        scene.world.hear(&scene.hears(), &many).await?;
        scene.open_in_emergency(case_id).await?;
        let kinds: Vec<TaskKind> = scene.tasks(&scene.nurse).await?.iter().map(proto::followup::Task::kind).collect();
        assert_eq!(kinds, [TaskKind::EmergencyAccessOfMany, TaskKind::EmergencyAccess]);
        Ok(())
    }

    #[tokio::test]
    async fn an_opening_without_proper_ids_is_set_aside() -> Outcome {
        let scene = Scene::new().await?;
        let case_id = scene.case().await?.to_string();
        for (case_id, opening_id) in [(case_id.as_str(), "x"), ("x", "x")] {
            let opening = CaseOpenedInEmergency {
                case_id: case_id.to_owned(),
                opening_id: opening_id.to_owned(),
                ..CaseOpenedInEmergency::default()
            };
            let failed = scene.world.hear(&scene.hears(), &opening).await;
            assert!(matches!(failed, Err(Failure::Dead(_))));
        }
        Ok(())
    }
}
