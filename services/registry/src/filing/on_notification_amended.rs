//! On `notification.amended`: the new version takes the place of the one before.

use std::collections::HashMap;

use chassis::Base;
use data::{Failure, outbox};
use proto::{
    notification::{FiledForm, NotificationAmended, NotificationFiled},
    registry::{FilingDoubt, Relation},
};
use sqlx::PgConnection;

use super::{
    model::Filing,
    on_notification_filed::read,
    store,
    told::told,
    work::{to_check, unknown},
};
use crate::{case, fact, person, search};

pub(super) async fn take(
    base: &Base,
    tx: &mut PgConnection,
    event: &NotificationAmended,
    forms: &HashMap<String, FiledForm>,
) -> Result<(), Failure> {
    let no_case = || Failure::Dead("belongs to no case".to_owned());
    let filing = version(base, event, forms)?;
    if forms.get(&event.notification_id).is_some_and(|held| held.withdraw_time.is_some()) {
        // It was withdrawn since: nothing of it comes back.
        return Ok(());
    }
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
    search::replace_form(tx, filing.notification_id, &filing.keys).await?;
    let differs = person::supply(&base.vault, tx, id, &filing.person).await.map_err(case::failure)?;
    let mut grants = case::moved(&case, &before, &after);
    grants.extend(case::prefectures(&case, &held, &base.directory));
    case::save_one(tx, &case, &grants).await?;

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
        ..NotificationFiled::default()
    };
    read(base, &filed, "", forms)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use access::CaseId;
    use data::Failure;
    use proto::{
        identity::{OrganisationKind as Kind, Role},
        notification::{Care, Diagnosis, FiledForm, Findings, Form, NotificationAmended, Severity as Graded},
        registry::{
            Case as View, CorrectFactRequest, CourseDay, DayKind, Fact, FactContent, FactStanding, FilingDoubt,
            FilingToCheck, Outcome as Ended, Placement, Report, Severity, Test, TestMethod, TestResult,
            fact_content::Content,
        },
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;
    use uuid::Uuid;

    use crate::{
        fact,
        fixture::{Scene, filed, form, held, request_id},
    };

    fn ill(onset: &str) -> Form {
        let diagnosis = |result: TestResult, day: &str| Diagnosis {
            method: TestMethod::NucleicAcid.into(),
            result: result.into(),
            sampled_date: day.to_owned(),
            specimen: 0,
            specimen_other: String::new(),
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
    async fn a_test_keeps_what_was_corrected_of_it_wherever_the_form_lists_it_now() -> Outcome {
        let scene = Scene::new().await?;
        let tested = |days: &[&str]| {
            let mut form = ill("2020-05-25");
            let findings = form.findings.as_mut().unwrap();
            let of = |day: &&str| Diagnosis { sampled_date: (*day).to_owned(), ..findings.diagnoses[0].clone() };
            findings.diagnoses = days.iter().map(of).collect();
            form
        };
        let id = scene.file(scene.clinic, scene.osaka, None, tested(&["2020-05-28", "2020-05-30"])).await?;
        let case = CaseId::parse(&scene.last().await?.case_id)?;
        let negative = Test {
            method: TestMethod::NucleicAcid.into(),
            result: TestResult::Negative.into(),
            sampled_date: "2020-05-28".to_owned(),
            ..Test::default()
        };
        // The first one was negative: the centre rang the laboratory.
        correct(
            &scene,
            case,
            |content| matches!(content, Content::Test(test) if test.sampled_date == "2020-05-28"),
            Content::Test(negative),
        )
        .await?;
        let results = async || -> anyhow::Result<Vec<(String, TestResult)>> {
            let tests = scene.get(&scene.nurse, case).await?.tests;
            Ok(tests.iter().map(|test| (test.sampled_date.clone(), test.result())).collect())
        };
        let known = [("2020-05-28".to_owned(), TestResult::Negative), ("2020-05-30".to_owned(), TestResult::Positive)];
        assert_eq!(results().await?, known);
        // The other order, and one more before them: what is known of each stays its own.
        scene.amend(id, 2, scene.clinic, tested(&["2020-05-30", "2020-05-28"])).await?;
        assert_eq!(results().await?, known);
        scene.amend(id, 3, scene.clinic, tested(&["2020-05-27", "2020-05-30", "2020-05-28"])).await?;
        let first = ("2020-05-27".to_owned(), TestResult::Positive);
        assert_eq!(results().await?, [vec![first], known.to_vec()].concat());
        Ok(())
    }

    #[tokio::test]
    async fn a_notification_of_the_centres_own_is_a_notification_and_no_correction() -> Outcome {
        let scene = Scene::new().await?;
        let case = scene.case().await?;
        let id = scene.file(scene.osaka, scene.osaka, Some(case), ill("2020-05-25")).await?;
        let day = CourseDay { kind: DayKind::Onset.into(), date: "2020-05-27".to_owned() };
        correct(&scene, case, |content| matches!(content, Content::Day(_)), Content::Day(day)).await?;
        scene.amend(id, 2, scene.osaka, ill("2020-05-24")).await?;
        assert_eq!(scene.get(&scene.nurse, case).await?.onset_date, "2020-05-27", "the correction still counts");
        Ok(())
    }

    #[tokio::test]
    async fn a_notification_taken_late_that_was_withdrawn_since_counts_nothing() -> Outcome {
        let scene = Scene::new().await?;
        let id = Uuid::now_v7();
        let (key, form) = held(id, scene.clinic, scene.osaka, form());
        let form = FiledForm { withdraw_time: form.receive_time, ..form };
        let forms = HashMap::from([(key, form)]);
        let events = [scene.world.event(&filed(id, scene.clinic, scene.osaka, None))?];
        scene.world.hear_with(&scene.filings(), &events, &forms).await?;
        assert_eq!(scene.last().await?.outcome(), Ended::EnteredInError);
        // What told of the withdrawal finds nothing more to do.
        let versions = scene.world.announced::<proto::registry::CaseChanged>().await?.len();
        scene.withdraw(id).await?;
        assert_eq!(scene.world.announced::<proto::registry::CaseChanged>().await?.len(), versions);
        Ok(())
    }

    #[tokio::test]
    async fn the_prefecture_that_counts_the_case_sees_it_when_another_report_counts() -> Outcome {
        let scene = Scene::new().await?;
        let capital = scene.world.body(Kind::Prefecture, 13).await?;
        let case = scene.case().await?;
        let (mut first, mut later) = (ill("2020-05-25"), form());
        (first.report_date, later.report_date) = ("2020-05-30".to_owned(), "2020-06-01".to_owned());
        let counts = scene.file(scene.clinic, scene.osaka, Some(case), first).await?;
        scene.file(scene.clinic, scene.tokyo, Some(case), later).await?;
        let coordinator = capital.staff(Role::Coordinator);
        assert_eq!(scene.last().await?.prefecture, 27);
        assert_eq!(scene.get(&coordinator, case).await.refused().code(), Code::NotFound);
        scene.withdraw(counts).await?;
        assert_eq!(scene.last().await?.prefecture, 13);
        scene.get(&coordinator, case).await?;
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
        let amended = NotificationAmended { notification_id: id.to_string(), version: 2, ..Default::default() };
        let event = scene.world.event(&amended)?;
        let unreadable = scene.world.hear_with(&scene.filings(), &[event], &HashMap::new()).await;
        assert!(matches!(unreadable, Err(Failure::Dead(_))));
        Ok(())
    }
}
