//! On `notification.returned`: whoever filed it is to amend it (返戻).

use access::OrganisationId;
use data::Failure;
use proto::notification::NotificationReturned;
use time::OffsetDateTime;

use super::{hears::dead, model::Filing};

pub(super) fn take(filing: &mut Filing, returned: &NotificationReturned, at: OffsetDateTime) -> Result<(), Failure> {
    filing.reporter = Some(OrganisationId::parse(&returned.reporter_id).map_err(dead)?);
    filing.centre = Some(OrganisationId::parse(&returned.centre_id).map_err(dead)?);
    filing.returned_at = Some(at);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto::followup::{Task, TaskKind};
    use testing::Outcome;
    use time::Duration;

    use crate::fixture::{Scene, amended, filed, returned};

    #[tokio::test]
    async fn whoever_filed_it_is_told_each_time_until_it_is_amended() -> Outcome {
        let scene = Scene::new().await?;
        let first = filed(&scene, &[]);
        scene.hear_of_filing(&first).await?;
        assert!(scene.tasks(&scene.physician).await?.is_empty());
        let mut known: Vec<Task> = Vec::new();
        for version in [2, 3] {
            scene.hear_of_filing(&returned(&first)).await?;
            let mut tasks = scene.tasks(&scene.physician).await?;
            assert_eq!(tasks.iter().map(Task::kind).collect::<Vec<_>>(), [TaskKind::FilingReturned]);
            assert_eq!(
                (&tasks[0].notification_id, tasks[0].source.as_str()),
                (&first.notification_id, "notification.returned")
            );
            assert!(known.iter().all(|before| before.task_id != tasks[0].task_id), "each time it is another task");
            assert!(scene.tasks(&scene.nurse).await?.is_empty(), "the centre waits for it");
            known.append(&mut tasks);
            scene.world.clock.advance(Duration::minutes(1));
            scene.hear_of_filing(&amended(&first, version, &[])).await?;
            assert!(scene.tasks(&scene.physician).await?.is_empty());
        }
        Ok(())
    }
}
