//! On `notification.acknowledged`: the centre accepts it after all, and nobody is to amend what was returned. What is missing is missing
//! all the same.

use super::model::Filing;

pub(super) fn take(filing: &mut Filing) {
    filing.returned_at = None;
}

#[cfg(test)]
mod tests {
    use proto::{
        followup::{Task, TaskKind},
        notification::NotificationAcknowledged,
    };
    use testing::Outcome;

    use crate::fixture::{Scene, filed, returned};

    #[tokio::test]
    async fn what_was_returned_is_work_no_more_once_it_is_accepted_and_what_is_missing_is() -> Outcome {
        let scene = Scene::new().await?;
        let (first, other) = (filed(&scene, &["7"]), filed(&scene, &[]));
        for filed in [&first, &other] {
            scene.hear_of_filing(filed).await?;
            scene.hear_of_filing(&returned(filed)).await?;
        }
        let accepted = NotificationAcknowledged {
            notification_id: first.notification_id.clone(),
            centre_id: first.receiving_centre_id.clone(),
        };
        scene.hear_of_filing(&accepted).await?;
        let left = scene.tasks(&scene.physician).await?;
        let left: Vec<(TaskKind, &String)> = left.iter().map(|task| (task.kind(), &task.notification_id)).collect();
        assert_eq!(
            left,
            [(TaskKind::FilingReturned, &other.notification_id), (TaskKind::ItemsMissing, &first.notification_id)]
        );
        let watched = scene.tasks(&scene.nurse).await?;
        assert_eq!(watched.iter().map(Task::kind).collect::<Vec<_>>(), [TaskKind::ItemsMissing]);

        // Returned once more, it is asked once more.
        scene.hear_of_filing(&returned(&first)).await?;
        assert_eq!(scene.tasks(&scene.physician).await?.len(), 3);
        Ok(())
    }
}
