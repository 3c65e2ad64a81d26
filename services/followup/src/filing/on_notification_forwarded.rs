//! On `notification.forwarded`: another centre watches what is missing, and what was returned is filed again.

use access::OrganisationId;
use data::Failure;
use proto::notification::NotificationForwarded;

use super::{hears::dead, model::Filing};

pub(super) fn take(filing: &mut Filing, forwarded: &NotificationForwarded) -> Result<(), Failure> {
    filing.centre = Some(OrganisationId::parse(&forwarded.to_centre_id).map_err(dead)?);
    filing.returned_at = None;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto::{
        followup::{Task, TaskKind},
        notification::NotificationForwarded,
    };
    use testing::Outcome;

    use crate::fixture::{Scene, filed, returned};

    #[tokio::test]
    async fn the_new_centre_watches_and_the_old_one_does_not() -> Outcome {
        let scene = Scene::new().await?;
        let first = filed(&scene, &["7"]);
        scene.hear_of_filing(&first).await?;
        scene.hear_of_filing(&returned(&first)).await?;
        let task = scene.tasks(&scene.physician).await?.pop().unwrap();
        let forwarded = NotificationForwarded {
            notification_id: first.notification_id.clone(),
            from_centre_id: scene.centre.id.to_string(),
            to_centre_id: scene.other_centre.id.to_string(),
        };
        scene.hear_of_filing(&forwarded).await?;
        assert!(scene.tasks(&scene.nurse).await?.is_empty());
        let theirs = scene.tasks(&scene.stranger).await?;
        assert_eq!(theirs.iter().map(Task::kind).collect::<Vec<_>>(), [TaskKind::ItemsMissing]);
        let left = scene.tasks(&scene.physician).await?;
        assert_eq!(left.iter().map(|left| &left.task_id).collect::<Vec<_>>(), [&task.task_id], "it is asked as before");
        Ok(())
    }
}
