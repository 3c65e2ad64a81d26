//! On `notification.amended`: the new version takes the place of the one before.

use std::collections::HashMap;

use access::CaseId;
use chassis::Base;
use data::{Failure, outbox};
use proto::{
    notification::{FiledForm, NotificationAmended, NotificationFiled},
    registry::{FilingDoubt, PersonCorrected, Relation},
};
use sqlx::PgConnection;

use super::{
    model::Filing,
    on_notification_filed::read,
    store,
    told::told,
    work::{to_check, unknown},
};
use crate::{case, fact, person};

pub(super) async fn take(
    base: &Base,
    tx: &mut PgConnection,
    event: &NotificationAmended,
    forms: &HashMap<String, FiledForm>,
) -> Result<(), Failure> {
    let no_case = || Failure::Dead("belongs to no case".to_owned());
    let filing = version(base, event, forms)?;
    let id = store::case_of(tx, filing.notification_id).await?.ok_or_else(no_case)?;
    let mut case = case::lock_all(tx, &[id]).await?.pop().ok_or_else(no_case)?;
    let centre = base.directory.get(filing.centre).ok_or_else(unknown)?;
    let filer = base.directory.get(filing.reporter).ok_or_else(unknown)?;
    let (held, before) = (case::grants_of(tx, &[id]).await?, fact::of_cases(tx, &[id]).await?);

    let now = base.clock.now();
    case.step(now);
    let told = told(&filing, filer.kind, centre.prefecture)?;
    let added = filing.speaks(&case, &held).replace(&case, &before, told);
    let after = [before.clone(), added.facts.clone()].concat();
    case.derive(&after);
    fact::insert(tx, &added.facts).await?;
    let differs = supply(base, tx, id, &filing).await?;
    case::save_one(tx, &case, &case::moved(&case, &before, &after)).await?;

    let doubt = if added.differs {
        Some(FilingDoubt::DiffersFromCorrection)
    } else {
        Some(FilingDoubt::PersonDiffers).filter(|_| differs)
    };
    let checks: Vec<_> = doubt.map(|doubt| to_check(id, filing.notification_id, doubt, now)).into_iter().collect();
    outbox::add_all(tx, &checks).await?;
    Ok(case::audit_heard::<NotificationAmended>(tx, "notification", Relation::ReceivingCentre, &[id]).await?)
}

/// The latest version of the form. One that was amended again since is taken at once.
fn version(base: &Base, event: &NotificationAmended, forms: &HashMap<String, FiledForm>) -> Result<Filing, Failure> {
    let unreadable = || Failure::Dead("notification has no form that can be read".to_owned());
    let held = forms.get(&event.notification_id).ok_or_else(unreadable)?;
    let filed = NotificationFiled {
        notification_id: event.notification_id.clone(),
        reporter_id: held.reporter_id.clone(),
        receiving_centre_id: held.receiving_centre_id.clone(),
        case_id: String::new(),
    };
    read(base, &filed, "", forms)
}

/// What the form knows of the person and the registry does not, it learns. Tells whether the form says something else.
async fn supply(base: &Base, tx: &mut PgConnection, case: CaseId, filing: &Filing) -> Result<bool, Failure> {
    let Some((_, sealed)) = person::of_cases(tx, &[case]).await?.pop() else { return Ok(false) };
    let known = person::open(&base.vault, &sealed).map_err(case::failure)?;
    let more = person::supplied(&known, &filing.person);
    if let Some(more) = &more {
        let sealed = person::seal_again(&base.vault, sealed.id, more).map_err(case::failure)?;
        person::replace(tx, &sealed).await?;
        outbox::add(tx, &PersonCorrected { case_id: case.to_string() }).await?;
    }
    Ok(person::differs(more.as_ref().unwrap_or(&known), &filing.person))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use access::CaseId;
    use data::Failure;
    use proto::{
        notification::{Care, Diagnosis, Findings, Form, NotificationAmended, Severity as Graded},
        registry::{
            Case as View, CorrectFactRequest, CourseDay, DayKind, Fact, FactContent, FactStanding, FilingDoubt,
            FilingToCheck, Outcome as Ended, Placement, Report, Severity, TestMethod, TestResult,
            fact_content::Content,
        },
    };
    use testing::Outcome;
    use uuid::Uuid;

    use crate::{
        fact,
        fixture::{Scene, form, request_id},
    };

    fn ill(onset: &str) -> Form {
        let diagnosis = |result: TestResult, day: &str| Diagnosis {
            method: TestMethod::NucleicAcid.into(),
            result: result.into(),
            sampled_date: day.to_owned(),
            specimen: 0,
        };
        Form {
            findings: Some(Findings {
                onset_date: onset.to_owned(),
                diagnoses: vec![diagnosis(TestResult::Positive, "2020-05-30")],
                ..Findings::default()
            }),
            care: Some(Care {
                admitted: Some(true),
                admission_date: "2020-05-31".to_owned(),
                severity: Graded::ModerateIi.into(),
                admission_needed: Some(true),
                ..Care::default()
            }),
            ..form()
        }
    }

    /// The centre corrects the first fact of a kind.
    async fn correct(scene: &Scene, case: CaseId, of: fn(&Content) -> bool, content: Content) -> anyhow::Result<View> {
        let facts = scene.facts(&scene.nurse, case).await?;
        let says = |fact: &&Fact| fact.content.as_ref().and_then(|said| said.content.as_ref()).is_some_and(of);
        let request = CorrectFactRequest {
            request_id: request_id(),
            case_id: case.to_string(),
            etag: String::new(),
            fact_id: facts.iter().find(says).unwrap().fact_id.clone(),
            content: Some(FactContent { content: Some(content) }),
            reason: "本人に確認".to_owned(),
        };
        Ok(scene.ask(&scene.nurse, request, fact::correct).await?)
    }

    #[tokio::test]
    async fn an_amendment_replaces_exactly_what_came_from_the_notification() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.file(scene.hospital, scene.osaka, None, ill("2020-05-25")).await?;
        let case = CaseId::parse(&scene.last().await?.case_id)?;
        let seen = scene.get(&scene.nurse, case).await?;
        assert_eq!(
            (seen.severity(), seen.placement()),
            (Severity::ModerateIi, Placement::Hospital),
            "nobody types it again"
        );
        assert_eq!(seen.stays[0].facility_id, scene.hospital.id.to_string());
        assert_eq!((seen.admission_necessity, seen.onset_date.as_str()), (1, "2020-05-25"));

        let mut amended = ill("2020-05-26");
        amended.findings.as_mut().unwrap().diagnoses[0].sampled_date = "2020-05-29".to_owned();
        amended.care = None;
        amended.subject.as_mut().unwrap().address = "大阪市北区".to_owned();
        scene.amend(id, 2, scene.hospital, amended).await?;
        let seen = scene.get(&scene.nurse, case).await?;
        assert_eq!((seen.onset_date.as_str(), seen.tests.len(), seen.stays.len()), ("2020-05-26", 1, 0));
        assert_eq!(seen.tests[0].sampled_date, "2020-05-29");
        assert_eq!((seen.severity, seen.placement, seen.admission_necessity), (0, 0, 0), "it says so no more");
        assert_eq!(seen.person.unwrap().address, "大阪市北区", "what was missing was supplied");
        assert_eq!(scene.world.audited("notification.amended").await?.len(), 1);

        // Every word is kept.
        let facts = scene.facts(&scene.nurse, case).await?;
        let onsets: Vec<(i32, FactStanding)> = facts
            .iter()
            .filter(|fact| matches!(fact.content.as_ref().and_then(|c| c.content.as_ref()), Some(Content::Day(_))))
            .map(|fact| (fact.source_version, fact.standing()))
            .collect();
        assert_eq!(onsets, [(1, FactStanding::Replaced), (2, FactStanding::Stands)]);
        assert!(facts.iter().any(|fact| fact.content.is_none() && fact.standing() == FactStanding::Withdrawn));
        Ok(())
    }

    #[tokio::test]
    async fn what_the_centre_corrected_stays_and_the_centre_is_told_of_the_difference() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.file(scene.clinic, scene.osaka, None, ill("2020-05-25")).await?;
        let case = CaseId::parse(&scene.last().await?.case_id)?;
        let day = CourseDay { kind: DayKind::Onset.into(), date: "2020-05-27".to_owned() };
        let seen = correct(&scene, case, |content| matches!(content, Content::Day(_)), Content::Day(day)).await?;
        assert_eq!(seen.onset_date, "2020-05-27");

        let told = async || -> anyhow::Result<Vec<FilingDoubt>> {
            let told: Vec<FilingToCheck> = scene.world.announced().await?;
            Ok(told.iter().map(FilingToCheck::doubt).collect())
        };
        // The same again, or what the centre says: nothing to ask.
        scene.amend(id, 2, scene.clinic, ill("2020-05-25")).await?;
        scene.amend(id, 3, scene.clinic, ill("2020-05-27")).await?;
        assert!(told().await?.is_empty());
        scene.amend(id, 4, scene.clinic, ill("2020-05-24")).await?;
        assert_eq!(told().await?, [FilingDoubt::DiffersFromCorrection]);
        assert_eq!(scene.get(&scene.nurse, case).await?.onset_date, "2020-05-27");
        Ok(())
    }

    #[tokio::test]
    async fn a_withdrawn_notification_leaves_the_counts_and_nothing_of_others() -> Outcome {
        let scene = Scene::new().await?;
        let first = scene.file(scene.clinic, scene.osaka, None, ill("2020-05-25")).await?;
        let case = scene.last().await?.case_id;
        let second = scene.file(scene.hospital, scene.osaka, None, form()).await?;
        assert_eq!(scene.last().await?.case_id, case);
        scene.withdraw(first).await?;
        let left = scene.last().await?;
        assert_eq!((left.onset_date.as_str(), left.report_date.as_str(), left.test_count), ("", "2020-06-01", 0));
        assert_eq!(left.outcome, i32::from(Ended::Unspecified));
        scene.withdraw(second).await?;
        let gone = scene.last().await?;
        assert_eq!((gone.report_date.as_str(), gone.diagnosis_class), ("", 0), "counted no more");
        assert_eq!(gone.outcome, i32::from(Ended::EnteredInError), "and nobody waits for the person");
        let again = scene.file(scene.clinic, scene.osaka, None, form()).await?;
        assert_ne!(scene.last().await?.case_id, case, "what was an error is not joined");
        assert_eq!(scene.last().await?.notification_ids, [again.to_string()]);

        // A case that was registered is there without its notification.
        let registered = scene.case().await?;
        let filed = scene.file(scene.clinic, scene.osaka, Some(registered), form()).await?;
        scene.withdraw(filed).await?;
        assert_eq!(scene.last().await?.outcome, i32::from(Ended::Unspecified));
        Ok(())
    }

    #[tokio::test]
    async fn what_the_centre_corrected_of_a_withdrawn_notification_counts_no_report_and_the_centre_is_asked() -> Outcome
    {
        let scene = Scene::new().await?;
        let id = scene.file(scene.clinic, scene.osaka, None, ill("2020-05-25")).await?;
        let case = CaseId::parse(&scene.last().await?.case_id)?;
        let report = Report { diagnosis_class: 2, report_date: "2020-05-31".to_owned(), ..Report::default() };
        correct(&scene, case, |content| matches!(content, Content::Report(_)), Content::Report(report)).await?;
        assert_eq!(scene.last().await?.report_date, "2020-05-31");
        scene.withdraw(id).await?;
        let left = scene.last().await?;
        assert_eq!((left.report_date.as_str(), left.outcome()), ("", Ended::EnteredInError), "it is counted no more");
        assert!(scene.world.announced::<FilingToCheck>().await?.is_empty());

        let id = scene.file(scene.clinic, scene.osaka, None, ill("2020-05-25")).await?;
        let case = CaseId::parse(&scene.last().await?.case_id)?;
        let day = CourseDay { kind: DayKind::Onset.into(), date: "2020-05-27".to_owned() };
        correct(&scene, case, |content| matches!(content, Content::Day(_)), Content::Day(day)).await?;
        scene.withdraw(id).await?;
        let left = scene.last().await?;
        assert_eq!(
            (left.report_date.as_str(), left.onset_date.as_str()),
            ("", "2020-05-27"),
            "the centre's word stands"
        );
        assert_eq!(left.outcome(), Ended::Unspecified, "and the centre is asked what it means");
        let told: Vec<FilingToCheck> = scene.world.announced().await?;
        assert_eq!(told.iter().map(FilingToCheck::doubt).collect::<Vec<_>>(), [FilingDoubt::DiffersFromCorrection]);
        Ok(())
    }

    #[tokio::test]
    async fn another_person_on_the_form_is_for_somebody_to_look_at() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.file(scene.clinic, scene.osaka, None, form()).await?;
        let mut other = form();
        other.subject.as_mut().unwrap().phone = "09099999999".to_owned();
        scene.amend(id, 2, scene.clinic, other).await?;
        let told: Vec<FilingToCheck> = scene.world.announced().await?;
        assert_eq!(told.iter().map(FilingToCheck::doubt).collect::<Vec<_>>(), [FilingDoubt::PersonDiffers]);
        let case = CaseId::parse(&scene.last().await?.case_id)?;
        assert_eq!(
            scene.get(&scene.nurse, case).await?.person.unwrap().phone,
            "09010000000",
            "nothing known is overwritten"
        );
        Ok(())
    }

    #[tokio::test]
    async fn what_cannot_be_handled() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.file(scene.clinic, scene.osaka, None, form()).await?;
        assert!(matches!(scene.amend(Uuid::now_v7(), 2, scene.clinic, form()).await, Err(Failure::Dead(_))));
        assert!(matches!(scene.withdraw(Uuid::now_v7()).await, Err(Failure::Dead(_))));
        let event = scene.world.event(&NotificationAmended { notification_id: id.to_string(), version: 2 })?;
        let unreadable = scene.world.hear_with(&scene.filings(), &[event], &HashMap::new()).await;
        assert!(matches!(unreadable, Err(Failure::Dead(_))));
        Ok(())
    }
}
