//! On `notification.acknowledged` (受理): the centre has looked at the notification. Whoever filed it, and did not know of the case it
//! belongs to, reports that case from now on.

use access::OrganisationId;
use chassis::Base;
use data::Failure;
use proto::{notification::NotificationAcknowledged, registry::Relation};
use sqlx::PgConnection;

use super::{
    model::{NotificationId, filed_by, may_go_on},
    store,
    version::Version,
    work::unknown,
};
use crate::{case, fact};

pub(super) async fn take(base: &Base, tx: &mut PgConnection, event: &NotificationAcknowledged) -> Result<(), Failure> {
    let no_case = || Failure::Dead("belongs to no case".to_owned());
    let notification = NotificationId::parse(&event.notification_id)
        .map_err(|_| Failure::Dead("carries a malformed id".to_owned()))?;
    let id = store::case_of(tx, notification).await?.ok_or_else(no_case)?;
    let mut case = case::lock_all(tx, &[id]).await?.pop().ok_or_else(no_case)?;
    // The word of the centre that is responsible for the case, and of no other.
    if OrganisationId::parse(&event.centre_id).ok() != case.responsible_centre {
        return Ok(());
    }
    let (now, held) = (base.clock.now(), case::grants_of(tx, &[id]).await?);
    let facts = fact::of_cases(tx, &[id]).await?;
    let Some(reporter) = Version::again(notification, &facts, now).map(|version| version.reporter) else {
        return Ok(());
    };
    let reads_on = |grant: &case::Grant| {
        grant.organisation_id == reporter && grant.until.is_none() && grant.relation == Relation::FormerCentre
    };
    if held.iter().any(|grant| may_go_on(grant, reporter, now) || reads_on(grant)) {
        return Ok(());
    }
    let filer = base.directory.get(reporter).ok_or_else(unknown)?;
    case.step(now);
    case::save_one(tx, &case, &[filed_by(&case, &held, reporter, filer.kind)]).await?;
    Ok(case::audit_heard::<NotificationAcknowledged>(tx, "notification", Relation::ReceivingCentre, &[id]).await?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use data::Failure;
    use proto::{
        identity::Role,
        notification::NotificationAcknowledged,
        registry::{CaseChanged, Relation},
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;
    use uuid::Uuid;

    use crate::fixture::{Scene, form, holders};

    #[tokio::test]
    async fn who_files_for_a_person_whose_case_others_know_sees_it_once_the_centre_has_accepted() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let doctor = scene.hospital.staff(Role::Physician);
        let notification = scene.file(scene.hospital, scene.osaka, None, form()).await?;
        let case = scene.get(&scene.nurse, id).await?;
        assert_eq!(case.notification_ids, [notification.to_string()], "it counts, and the centre sees it at once");
        assert_eq!(holders(&case, Relation::Reporter), [scene.clinic.id.to_string()]);
        assert_eq!(scene.get(&doctor, id).await.refused().code(), Code::NotFound);

        // Another centre has nothing to say about it.
        let elsewhere = NotificationAcknowledged {
            notification_id: notification.to_string(),
            centre_id: scene.tokyo.id.to_string(),
        };
        let elsewhere = [scene.world.event(&elsewhere)?];
        scene.world.hear_with(&scene.filings(), &elsewhere, &HashMap::new()).await?;
        assert_eq!(scene.get(&doctor, id).await.refused().code(), Code::NotFound);

        let accepted = NotificationAcknowledged {
            notification_id: notification.to_string(),
            centre_id: scene.osaka.id.to_string(),
        };
        let accepted = || scene.world.event(&accepted);
        let events = [accepted()?, accepted()?];
        scene.world.hear_with(&scene.filings(), &events, &HashMap::new()).await?;
        assert_eq!(scene.get(&doctor, id).await?.report_date, "2020-06-01");
        assert_eq!(scene.world.announced::<CaseChanged>().await?.len(), 3, "twice accepted is once");
        Ok(())
    }

    #[tokio::test]
    async fn what_cannot_be_handled() -> Outcome {
        let scene = Scene::new().await?;
        for notification_id in ["x".to_owned(), Uuid::now_v7().to_string()] {
            let event = NotificationAcknowledged { notification_id, centre_id: scene.osaka.id.to_string() };
            let events = [scene.world.event(&event)?];
            let failure = scene.world.hear_with(&scene.filings(), &events, &HashMap::new()).await.unwrap_err();
            assert!(matches!(failure, Failure::Dead(_)), "{failure:?}");
        }
        Ok(())
    }
}
