//! On `notification.amended`: what was supplied is missing no more, and what was returned is answered.

use access::OrganisationId;
use data::Failure;
use proto::notification::NotificationAmended;
use time::OffsetDateTime;

use super::{hears::dead, model::Filing};

pub(super) fn take(filing: &mut Filing, amended: &NotificationAmended, at: OffsetDateTime) -> Result<(), Failure> {
    filing.reporter = Some(OrganisationId::parse(&amended.reporter_id).map_err(dead)?);
    filing.centre = Some(OrganisationId::parse(&amended.centre_id).map_err(dead)?);
    filing.lack(&amended.missing_items, at);
    filing.returned_at = None;
    Ok(())
}

#[cfg(test)]
mod tests {
    use testing::Outcome;
    use time::Duration;

    use crate::fixture::{Scene, amended, filed};

    #[tokio::test]
    async fn what_was_supplied_is_asked_for_no_more_and_the_day_stays() -> Outcome {
        let scene = Scene::new().await?;
        let first = filed(&scene, &["7", "12.method"]);
        scene.hear_of_filing(&first).await?;
        let before = scene.tasks(&scene.physician).await?.remove(0);
        scene.world.clock.advance(Duration::days(2));
        scene.hear_of_filing(&amended(&first, 2, &["12.method"])).await?;
        let after = scene.tasks(&scene.physician).await?.remove(0);
        assert_eq!((&after.task_id, &after.due_date), (&before.task_id, &before.due_date));
        assert_eq!((after.missing_items, after.etag.as_str()), (vec!["12.method".to_owned()], "2"));

        scene.hear_of_filing(&amended(&first, 3, &[])).await?;
        for who in [&scene.physician, &scene.nurse] {
            assert!(scene.tasks(who).await?.is_empty());
        }
        // An amendment that takes something away asks for it anew.
        scene.hear_of_filing(&amended(&first, 4, &["8"])).await?;
        let again = scene.tasks(&scene.physician).await?.remove(0);
        assert_eq!((again.missing_items, again.due_date.as_str()), (vec!["8".to_owned()], "2020-06-10"));
        assert_ne!(again.task_id, before.task_id);
        Ok(())
    }
}
