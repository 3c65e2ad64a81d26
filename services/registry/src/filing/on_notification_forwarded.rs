//! On `notification.forwarded`: it was for another centre. With it goes the responsibility, where it was with whoever forwards.

use access::OrganisationId;
use chassis::Base;
use data::{Failure, outbox};
use proto::{
    notification::NotificationForwarded,
    registry::{FilingDoubt, Relation},
};
use sqlx::PgConnection;

use super::{
    model::{NotificationId, forwarded},
    store,
    version::Version,
    work::{to_check, unknown},
};
use crate::{case, fact};

pub(super) async fn take(base: &Base, tx: &mut PgConnection, event: &NotificationForwarded) -> Result<(), Failure> {
    let malformed = |_| Failure::Dead("carries a malformed id".to_owned());
    let no_case = || Failure::Dead("belongs to no case".to_owned());
    let from = OrganisationId::parse(&event.from_centre_id).map_err(malformed)?;
    let to = OrganisationId::parse(&event.to_centre_id).map_err(malformed)?;
    let notification = NotificationId::parse(&event.notification_id).map_err(malformed)?;
    let id = store::case_of(tx, notification).await?.ok_or_else(no_case)?;
    let mut case = case::lock_all(tx, &[id]).await?.pop().ok_or_else(no_case)?;
    let centre = base.directory.get(to).ok_or_else(unknown)?;

    let now = base.clock.now();
    let before = fact::of_cases(tx, &[id]).await?;
    case.forward(from, to);
    case.step(now);
    let here = (to, centre.prefecture);
    let version = Version::again(notification, &before, now);
    let moved = version.map(|version| version.received_by(&case, &before, here)).unwrap_or_default();
    fact::insert(tx, &moved).await?;
    case.derive(&[before, moved].concat());
    let held = case::grants_of(tx, &[id]).await?;
    let mut grants = forwarded(&case, &held, from, to);
    let mut checks = Vec::new();
    if case.responsible_centre != Some(to) {
        let doubt = to_check(id, notification, FilingDoubt::AnotherCentre, now);
        checks.push(doubt);
    }
    grants.extend(case::prefectures(&case, &held, &base.directory));
    case::save_one(tx, &case, &grants).await?;
    outbox::add_all(tx, &checks).await?;
    Ok(case::audit_heard::<NotificationForwarded>(tx, "notification", Relation::ReceivingCentre, &[id]).await?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use access::CaseId;
    use data::Failure;
    use proto::{
        identity::OrganisationKind as Kind,
        notification::NotificationForwarded,
        registry::{
            CaseChanged, CorrectFactRequest, FactContent, FilingDoubt, FilingToCheck, Relation, Report,
            fact_content::Content,
        },
    };
    use testing::{Body, Outcome};
    use uuid::Uuid;

    use crate::{
        fact,
        fixture::{Scene, filed, form, held, holders, request_id},
    };

    fn forwarded(id: Uuid, from: Body, to: Body) -> NotificationForwarded {
        NotificationForwarded {
            notification_id: id.to_string(),
            from_centre_id: from.id.to_string(),
            to_centre_id: to.id.to_string(),
        }
    }

    #[tokio::test]
    async fn the_other_centre_received_it_and_is_responsible_and_the_first_one_reads_on() -> Outcome {
        let scene = Scene::new().await?;
        let id = Uuid::now_v7();
        // Filed and forwarded in one batch: in the order of the log.
        let events = [
            scene.world.event(&filed(id, scene.clinic, scene.osaka, None))?,
            scene.world.event(&forwarded(id, scene.osaka, scene.tokyo))?,
        ];
        scene
            .world
            .hear_with(&scene.filings(), &events, &HashMap::from([held(id, scene.clinic, scene.osaka, form())]))
            .await?;

        let announced: Vec<CaseChanged> = scene.world.announced().await?;
        let changed = announced.last().unwrap();
        let tokyo = scene.tokyo.id.to_string();
        assert_eq!((announced.len(), changed.version, changed.prefecture), (2, 2, 13));
        assert_eq!((&changed.centre_id, &changed.responsible_centre_id), (&tokyo, &tokyo));
        let case = scene.get(&scene.nurse, CaseId::parse(&changed.case_id)?).await?;
        assert_eq!(holders(&case, Relation::ReceivingCentre), std::slice::from_ref(&tokyo));
        assert_eq!(holders(&case, Relation::ResponsibleCentre), [tokyo]);
        assert_eq!(holders(&case, Relation::FormerCentre), [scene.osaka.id.to_string()]);
        assert_eq!(scene.world.audited("notification.forwarded").await?.len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_centre_that_was_responsible_before_is_no_more() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let id = scene.file(scene.clinic, scene.osaka, Some(case), form()).await?;
        let event = scene.world.event(&forwarded(id, scene.osaka, scene.tokyo))?;
        scene.world.hear_with(&scene.filings(), &[event], &HashMap::new()).await?;
        let seen = scene.get(&scene.tokyo_nurse, case).await?;
        assert_eq!(holders(&seen, Relation::ResponsibleCentre), [scene.tokyo.id.to_string()]);
        Ok(())
    }

    #[tokio::test]
    async fn a_notification_that_goes_on_takes_no_case_from_the_centre_that_accepted_it() -> Outcome {
        let scene = Scene::new().await?;
        let third = scene.world.body(Kind::HealthCentre, 14).await?;
        let case = scene.case().await?;
        let id = scene.file(scene.clinic, scene.osaka, Some(case), form()).await?;
        scene.offer(case).await?;
        scene.accept(case).await?;
        let event = scene.world.event(&forwarded(id, scene.osaka, third))?;
        scene.world.hear_with(&scene.filings(), &[event], &HashMap::new()).await?;

        let seen = scene.get(&scene.tokyo_nurse, case).await?;
        assert_eq!(seen.responsible_centre_id, scene.tokyo.id.to_string());
        assert_eq!(holders(&seen, Relation::ResponsibleCentre), [scene.tokyo.id.to_string()]);
        assert_eq!(holders(&seen, Relation::NotifiedCentre), [third.id.to_string()], "it reads along");
        let checks: Vec<FilingToCheck> = scene.world.announced().await?;
        assert_eq!(checks.iter().map(FilingToCheck::doubt).collect::<Vec<_>>(), [FilingDoubt::AnotherCentre]);
        Ok(())
    }

    #[tokio::test]
    async fn what_the_centre_corrected_of_the_report_goes_on_as_a_correction() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.file(scene.clinic, scene.osaka, None, form()).await?;
        let case = CaseId::parse(&scene.last().await?.case_id)?;
        let facts = scene.facts(&scene.nurse, case).await?;
        let is_report = |content: &FactContent| matches!(content.content, Some(Content::Report(_)));
        let report = Report { diagnosis_class: 2, report_date: "2020-05-31".to_owned(), ..Report::default() };
        let corrected = CorrectFactRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            fact_id: facts.iter().find(|fact| fact.content.as_ref().is_some_and(is_report)).unwrap().fact_id.clone(),
            content: Some(FactContent { content: Some(Content::Report(report)) }),
            reason: "電話で確認".to_owned(),
            ..CorrectFactRequest::default()
        };
        scene.ask(&scene.nurse, corrected, fact::correct).await?;
        let event = scene.world.event(&forwarded(id, scene.osaka, scene.tokyo))?;
        scene.world.hear_with(&scene.filings(), &[event], &HashMap::new()).await?;
        let moved = scene.last().await?;
        assert_eq!((moved.report_date.as_str(), moved.prefecture), ("2020-05-31", 13));

        // The same form once more says nothing new, and nobody is asked; another day is another word than the centre's.
        scene.amend_in(scene.tokyo, id, 2, scene.clinic, form()).await?;
        assert!(scene.world.announced::<FilingToCheck>().await?.is_empty());
        let mut later = form();
        later.report_date = "2020-05-30".to_owned();
        scene.amend_in(scene.tokyo, id, 3, scene.clinic, later).await?;
        assert_eq!(scene.last().await?.report_date, "2020-05-31");
        let told: Vec<FilingToCheck> = scene.world.announced().await?;
        assert_eq!(told.iter().map(FilingToCheck::doubt).collect::<Vec<_>>(), [FilingDoubt::DiffersFromCorrection]);
        Ok(())
    }

    #[tokio::test]
    async fn what_cannot_be_handled() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.file(scene.clinic, scene.osaka, None, form()).await?;
        let nobody = NotificationForwarded { to_centre_id: request_id(), ..forwarded(id, scene.osaka, scene.tokyo) };
        let garbled = NotificationForwarded { to_centre_id: "x".to_owned(), ..forwarded(id, scene.osaka, scene.tokyo) };
        for (event, dead) in
            [(forwarded(Uuid::now_v7(), scene.osaka, scene.tokyo), true), (garbled, true), (nobody, false)]
        {
            let event = scene.world.event(&event)?;
            let failure = scene.world.hear_with(&scene.filings(), &[event], &HashMap::new()).await.unwrap_err();
            assert_eq!(matches!(failure, Failure::Dead(_)), dead, "{failure:?}");
        }
        Ok(())
    }
}
