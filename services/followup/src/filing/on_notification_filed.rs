//! On `notification.filed`: items that are missing are asked of whoever filed it, and watched by the centre.

use access::OrganisationId;
use data::Failure;
use proto::notification::NotificationFiled;
use time::OffsetDateTime;

use super::{hears::dead, model::Filing};

pub(super) fn take(filing: &mut Filing, filed: &NotificationFiled, at: OffsetDateTime) -> Result<(), Failure> {
    filing.reporter = Some(OrganisationId::parse(&filed.reporter_id).map_err(dead)?);
    filing.centre = Some(OrganisationId::parse(&filed.receiving_centre_id).map_err(dead)?);
    filing.lack(&filed.missing_items, at);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto::{
        followup::{CompleteTaskRequest, TaskKind, TaskState},
        identity::{OrganisationKind as Kind, Role},
        registry::{CaseChanged, Relation},
    };
    use testing::Outcome;
    use time::Duration;
    use tonic::Code;

    use crate::{
        fixture::{PREFECTURE, Scene, assert_refused, filed, grant, request_id},
        worklist,
    };

    #[tokio::test]
    async fn missing_items_are_a_task_of_whoever_filed_and_of_the_centre_with_a_day_and_a_reminder() -> Outcome {
        let scene = Scene::new().await?;
        let first = filed(&scene, &["7", "12.method"]);
        scene.hear_of_filing(&first).await?;
        for who in [&scene.physician, &scene.nurse] {
            let tasks = scene.tasks(who).await?;
            assert_eq!(tasks.len(), 1);
            let task = &tasks[0];
            assert_eq!((task.kind(), task.state()), (TaskKind::ItemsMissing, TaskState::Open));
            assert_eq!((&task.notification_id, task.case_id.as_str()), (&first.notification_id, ""));
            assert_eq!((task.due_date.as_str(), task.is_overdue), ("2020-06-08", false));
            assert_eq!(task.missing_items, ["7", "12.method"]);
            assert_eq!(task.source, "notification.filed");
            assert_eq!(task.name_kanji, "", "it names nobody");
        }
        assert!(scene.tasks(&scene.stranger).await?.is_empty());
        scene.hear_of_filing(&first).await?;
        assert_eq!(scene.tasks(&scene.physician).await?.len(), 1, "heard again, one task");
        let audited = scene.world.audited("ListWorklist").await?;
        assert!(audited.iter().all(|row| row.record.to_string() == first.notification_id));

        scene.world.clock.advance(Duration::days(7));
        assert!(!scene.tasks(&scene.physician).await?[0].is_overdue, "the day itself is in time");
        scene.world.clock.advance(Duration::days(1));
        assert!(scene.tasks(&scene.physician).await?[0].is_overdue);
        Ok(())
    }

    #[tokio::test]
    async fn it_is_about_the_case_once_the_registry_says_so_whichever_is_heard_first() -> Outcome {
        let scene = Scene::new().await?;
        for case_first in [false, true] {
            let first = filed(&scene, &["7"]);
            let known = CaseChanged { notification_ids: vec![first.notification_id.clone()], ..scene.known() };
            if case_first {
                scene.hear(&known).await?;
                scene.hear_of_filing(&first).await?;
            } else {
                scene.hear_of_filing(&first).await?;
                scene.hear(&known).await?;
            }
            for who in [&scene.physician, &scene.nurse] {
                let tasks = scene.tasks(who).await?;
                let task = tasks.iter().find(|task| task.notification_id == first.notification_id).unwrap();
                assert_eq!(task.case_id, known.case_id);
                assert_eq!((task.kind(), task.missing_items.len()), (TaskKind::ItemsMissing, 1));
            }
            // The case is the clinic's to see no more, and what it filed still lacks the item.
            let closed = CaseChanged { grants: vec![grant(scene.centre, Relation::ResponsibleCentre)], ..known };
            scene.hear(&closed).await?;
            let tasks = scene.tasks(&scene.physician).await?;
            let task = tasks.iter().find(|task| task.notification_id == first.notification_id).unwrap();
            assert_eq!((task.case_id.as_str(), task.name_kanji.as_str()), ("", ""));
            assert_eq!(task.missing_items, ["7"]);
        }
        Ok(())
    }

    #[tokio::test]
    async fn nobody_closes_it_but_an_amendment_and_a_centre_that_filed_has_it_once() -> Outcome {
        let scene = Scene::new().await?;
        let city = scene.world.body(Kind::City, PREFECTURE).await?;
        let clerk = city.staff(Role::Clerk);
        let own = proto::notification::NotificationFiled {
            reporter_id: city.id.to_string(),
            receiving_centre_id: city.id.to_string(),
            ..filed(&scene, &["7"])
        };
        scene.hear_of_filing(&own).await?;
        let tasks = scene.tasks(&clerk).await?;
        assert_eq!(tasks.len(), 1);
        let close =
            CompleteTaskRequest { request_id: request_id(), task_id: tasks[0].task_id.clone(), etag: String::new() };
        let refused = scene.world.ask(&scene.followup, &clerk, close, worklist::complete).await;
        assert_refused(refused, Code::FailedPrecondition, "補完");
        Ok(())
    }
}
