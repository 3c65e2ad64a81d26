//! On `notification.withdrawn`: nobody amends what should not have been made (取下げ).

use super::model::Filing;

pub(super) fn take(filing: &mut Filing) {
    filing.withdrawn = true;
}

#[cfg(test)]
mod tests {
    use proto::notification::NotificationWithdrawn;
    use testing::Outcome;

    use crate::fixture::{Scene, filed, returned};

    #[tokio::test]
    async fn what_was_withdrawn_is_nobodys_work() -> Outcome {
        let scene = Scene::new().await?;
        let first = filed(&scene, &["7"]);
        scene.hear_of_filing(&first).await?;
        scene.hear_of_filing(&returned(&first)).await?;
        assert_eq!(scene.tasks(&scene.physician).await?.len(), 2);
        let withdrawn = NotificationWithdrawn {
            notification_id: first.notification_id.clone(),
            reporter_id: first.reporter_id.clone(),
            centre_id: first.receiving_centre_id.clone(),
        };
        scene.hear_of_filing(&withdrawn).await?;
        for who in [&scene.physician, &scene.nurse] {
            assert!(scene.tasks(who).await?.is_empty());
        }
        Ok(())
    }
}
