//! On `notification.filed`: there is a person and a case, or the open one goes on.

use std::collections::HashMap;

use access::{CaseId, OrganisationId};
use chassis::Base;
use data::Failure;
use proto::{
    notification::{FiledForm, NotificationFiled},
    registry::Relation,
};
use runtime::clock;
use sqlx::PgConnection;

use super::{
    model::{Filing, NotificationId, person_of},
    work::Work,
};
use crate::{case, person, search};

/// Reads the event, with the form that its owner gave for it.
pub(super) fn read(
    base: &Base,
    filed: &NotificationFiled,
    traceparent: &str,
    forms: &HashMap<String, FiledForm>,
) -> Result<Filing, Failure> {
    let malformed = |no: data::NoSuch| Failure::Dead(format!("the id of its {} is malformed", no.0));
    let unreadable = || Failure::Dead("notification has no form that can be read".to_owned());
    let held = forms.get(&filed.notification_id).ok_or_else(unreadable)?;
    let form = held.form.clone().ok_or_else(unreadable)?;
    let filed_at = held.receive_time.as_ref().and_then(clock::from_proto).unwrap_or(base.clock.now());
    let person = person_of(form.subject.clone().unwrap_or_default());
    let reporter = OrganisationId::parse(&filed.reporter_id).map_err(malformed)?;
    Ok(Filing {
        notification_id: NotificationId::parse(&filed.notification_id).map_err(malformed)?,
        reporter,
        centre: OrganisationId::parse(&filed.receiving_centre_id).map_err(malformed)?,
        // Who names no case that can be read has named none: the person decides.
        case_id: CaseId::parse(&filed.case_id).ok(),
        version: held.version,
        filed_at,
        traceparent: traceparent.to_owned(),
        index: person::match_index(&base.vault, &person),
        keys: search::of_form(&base.vault, reporter, &held.number, &form),
        form,
        person,
    })
}

/// Takes filings in order, many with a fixed number of statements.
pub(super) async fn take(base: &Base, tx: &mut PgConnection, filings: &[Filing]) -> Result<(), Failure> {
    if filings.is_empty() {
        return Ok(());
    }
    let now = base.clock.now();
    let mut work = Work::load(tx, &base.vault, filings).await?;
    for filing in filings {
        work.take(&base.vault, &base.directory, filing, now)?;
    }
    let changed = work.save(tx).await?;
    Ok(case::audit_heard::<NotificationFiled>(tx, "notification", Relation::ReceivingCentre, &changed).await?)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use access::CaseId;
    use data::{Failure, Projection as _};
    use japan::access_id::AccessId;
    use proto::{
        identity::Role,
        notification::{Diagnosis, Findings, Form, NotificationFiled},
        registry::{
            CaseChanged, DiagnosisClass, FilingDoubt, FilingToCheck, GetAccessIdRequest, Outcome as Ended,
            RecordOutcomeRequest, RecordTestRequest, Relation, Test, TestMethod, TestResult,
        },
    };
    use testing::{Body, Outcome, Refused as _, World};
    use time::Duration;
    use tonic::Code;
    use uuid::Uuid;

    use crate::{
        case::Grant,
        course,
        fixture::{Scene, filed, form, held, holders, request_id},
    };

    /// The case of the last event.
    async fn last(scene: &Scene) -> anyhow::Result<CaseChanged> {
        Ok(scene.world.announced::<CaseChanged>().await?.pop().unwrap())
    }

    fn somebody_else() -> Form {
        let mut form = form();
        form.subject.as_mut().unwrap().phone = "09099999999".to_owned();
        form
    }

    /// Another person at the same address: neither name is the same.
    fn relative() -> Form {
        let mut form = form();
        let subject = form.subject.as_mut().unwrap();
        (subject.name_kanji, subject.name_kana) = ("別人 花子".to_owned(), "ベツジン ハナコ".to_owned());
        form
    }

    #[tokio::test]
    async fn a_filing_makes_a_person_and_a_case() -> Outcome {
        let scene = Scene::new().await?;
        let notification = scene.file(scene.clinic, scene.osaka, None, form()).await?;
        let changed = last(&scene).await?;
        assert_eq!((changed.version, changed.report_date.as_str(), changed.prefecture), (1, "2020-06-01", 27));
        let case = scene.get(&scene.nurse, CaseId::parse(&changed.case_id)?).await?;
        assert_eq!(case.notification_ids, [notification.to_string()]);
        assert_eq!(case.person.as_ref().unwrap().name_kanji, "山田 太郎");
        assert_eq!(holders(&case, Relation::ReceivingCentre), [scene.osaka.id.to_string()]);
        assert_eq!(holders(&case, Relation::Reporter), [scene.clinic.id.to_string()]);
        assert_eq!(holders(&case, Relation::Prefecture), [scene.prefecture.id.to_string()]);
        assert_eq!(scene.world.audited("notification.filed").await?.len(), 1);
        Ok(())
    }

    #[tokio::test]
    async fn a_filing_joins_the_open_case_of_the_same_person_and_no_other() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        scene.file(scene.hospital, scene.osaka, None, form()).await?;
        assert_eq!(last(&scene).await?.case_id, id.to_string(), "by both names, birth date and telephone");
        scene.file(scene.hospital, scene.osaka, None, somebody_else()).await?;
        assert_ne!(last(&scene).await?.case_id, id.to_string());

        let released = RecordOutcomeRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            outcome: Ended::Released.into(),
            ..RecordOutcomeRequest::default()
        };
        scene.ask(&scene.nurse, released, course::record_outcome).await?;
        scene.file(scene.hospital, scene.osaka, None, form()).await?;
        let again = last(&scene).await?.case_id;
        assert_ne!(again, id.to_string(), "an episode that ended is another one");

        // 再感染: the centre knows of the illness before, and who only reports this one does not.
        let again = CaseId::parse(&again)?;
        let seen = scene.get(&scene.nurse, again).await?;
        assert_eq!(seen.previous_case_id, id.to_string());
        let old = GetAccessIdRequest { case_id: id.to_string() };
        let old = scene.ask(&scene.nurse, old, crate::access_id::get).await?.access_id;
        assert_eq!(AccessId::parse(&seen.previous_access_id), AccessId::parse(&old));
        let reporter = scene.get(&scene.hospital.staff(Role::Physician), again).await?;
        assert_eq!((reporter.previous_case_id.as_str(), reporter.previous_access_id.as_str()), ("", ""));
        Ok(())
    }

    #[tokio::test]
    async fn a_filing_goes_into_the_case_that_whoever_files_knows_and_not_into_one_that_a_stranger_registered()
    -> Outcome {
        let scene = Scene::new().await?;
        let known = CaseId::parse(&scene.register(&scene.physician).await?.case_id)?;
        scene.world.clock.advance(Duration::minutes(1));
        let stranger = scene.hospital.staff(Role::Physician);
        let again = CaseId::parse(&scene.register(&stranger).await?.case_id)?;
        assert_ne!(again, known);
        scene.file(scene.clinic, scene.osaka, None, form()).await?;
        assert_eq!(last(&scene).await?.case_id, known.to_string());
        assert_eq!(scene.get(&stranger, again).await?.report_date, "", "nothing of it is told to the stranger");
        assert_eq!(scene.get(&scene.physician, known).await?.report_date, "2020-06-01");
        // Who knows neither joins the one that was notified.
        scene.file(scene.lodging, scene.osaka, None, form()).await?;
        assert_eq!(last(&scene).await?.case_id, known.to_string());
        Ok(())
    }

    /// The doubts that were announced, with the case of each.
    async fn doubts(scene: &Scene) -> anyhow::Result<Vec<(FilingDoubt, String)>> {
        let announced: Vec<FilingToCheck> = scene.world.announced().await?;
        Ok(announced.into_iter().map(|check| (check.doubt(), check.case_id)).collect())
    }

    #[tokio::test]
    async fn a_filing_joins_the_case_it_names_where_the_filer_may_and_the_person_is_the_same() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        // Another telephone: the blind index does not find the person, the name and the birth date agree.
        let moved = somebody_else();
        scene.file(scene.clinic, scene.osaka, Some(id), moved.clone()).await?;
        assert_eq!(last(&scene).await?.case_id, id.to_string());
        assert_eq!(doubts(&scene).await?, [(FilingDoubt::PersonDiffers, id.to_string())], "which number is right?");

        scene.file(scene.clinic, scene.osaka, Some(id), relative()).await?;
        let other = last(&scene).await?.case_id;
        assert_ne!(other, id.to_string(), "another person is another case");
        scene.file(scene.hospital, scene.osaka, Some(id), moved.clone()).await?;
        let strange = last(&scene).await?.case_id;
        assert_ne!(strange, id.to_string(), "a stranger to the case opens none of it");
        scene.end(id, scene.clinic, Relation::Reporter).await?;
        scene.file(scene.clinic, scene.osaka, Some(id), moved).await?;
        assert_ne!(last(&scene).await?.case_id, id.to_string(), "nor does one whose relation has ended");
        let told = doubts(&scene).await?;
        assert_eq!(told[1..3], [(FilingDoubt::AnotherPerson, other), (FilingDoubt::NotRelated, strange)]);
        assert_eq!(told.len(), 4);
        Ok(())
    }

    #[tokio::test]
    async fn a_look_for_three_hours_or_along_lets_nobody_file_into_a_case() -> Outcome {
        let scene = Scene::new().await?;
        for relation in [
            Relation::Emergency,
            Relation::IncomingCentre,
            Relation::FormerCentre,
            Relation::NotifiedCentre,
            Relation::LodgingFacility,
            Relation::Prefecture,
        ] {
            let id = scene.case().await?;
            scene.regrant(id, |case| Grant::begun(case, scene.hospital.id, relation)).await?;
            let mut form = relative();
            form.findings = Some(Findings { death_date: "2020-05-31".to_owned(), ..Findings::default() });
            scene.file(scene.hospital, scene.tokyo, Some(id), form).await?;
            let case = scene.get(&scene.nurse, id).await?;
            assert_eq!(case.outcome, 0, "{relation:?}");
            assert_eq!(case.responsible_centre_id, scene.osaka.id.to_string());
            assert!(holders(&case, Relation::Reporter) == [scene.clinic.id.to_string()]);
        }
        Ok(())
    }

    #[tokio::test]
    async fn the_centre_that_gave_a_case_away_does_not_get_it_back_by_filing() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.handed_over().await?;
        let tokyo = scene.tokyo.id.to_string();
        // The clinic of the old area files once more, and the old centre itself does.
        for reporter in [scene.clinic, scene.osaka] {
            scene.file(reporter, scene.osaka, None, form()).await?;
            let changed = last(&scene).await?;
            assert_eq!((&changed.case_id, &changed.responsible_centre_id), (&id.to_string(), &tokyo));
        }
        let case = scene.get(&scene.tokyo_nurse, id).await?;
        assert_eq!(holders(&case, Relation::ResponsibleCentre), [tokyo]);
        assert_eq!(holders(&case, Relation::NotifiedCentre), [scene.osaka.id.to_string()]);
        assert!(holders(&case, Relation::ReceivingCentre).is_empty());
        let recorded = RecordTestRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            etag: String::new(),
            test: Some(Test { method: 2, result: 2, sampled_date: "2020-05-30".to_owned(), ..Test::default() }),
            ..RecordTestRequest::default()
        };
        let written = scene.ask(&scene.nurse, recorded, course::record_test).await;
        assert_eq!(written.refused().code(), Code::PermissionDenied);
        assert_eq!(doubts(&scene).await?, vec![(FilingDoubt::AnotherCentre, id.to_string()); 2]);
        Ok(())
    }

    #[tokio::test]
    async fn a_centre_that_is_responsible_by_a_filing_is_so_by_its_relation_too() -> Outcome {
        let scene = Scene::new().await?;
        scene.file(scene.clinic, scene.osaka, None, form()).await?;
        let id = CaseId::parse(&last(&scene).await?.case_id)?;
        let case = scene.get(&scene.nurse, id).await?;
        assert_eq!(holders(&case, Relation::ResponsibleCentre), [scene.osaka.id.to_string()]);
        // The database refuses a second one.
        let second = scene.regrant(id, |case| Grant::begun(case, scene.tokyo.id, Relation::ResponsibleCentre)).await;
        assert!(format!("{:#}", second.unwrap_err()).contains("case_grant_responsible"));
        Ok(())
    }

    #[tokio::test]
    async fn one_batch_counts_each_filing_as_a_version_of_its_case() -> Outcome {
        let scene = Scene::new().await?;
        let filing = |reporter: Body, form: Form| {
            let id = Uuid::now_v7();
            let event = scene.world.event(&filed(id, reporter, scene.osaka, None)).unwrap();
            (event, held(id, reporter, scene.osaka, form))
        };
        let suspected = Form { diagnosis_class: DiagnosisClass::Suspected.into(), ..form() };
        let filings =
            [filing(scene.clinic, suspected), filing(scene.hospital, form()), filing(scene.clinic, somebody_else())];
        let (events, forms): (Vec<_>, HashMap<_, _>) = filings.into_iter().unzip();
        scene.world.hear_with(&scene.filings(), &events, &forms).await?;

        let announced: Vec<CaseChanged> = scene.world.announced().await?;
        assert_eq!(announced.iter().map(|changed| changed.version).collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!(announced[0].case_id, announced[1].case_id);
        assert_eq!(announced[1].diagnosis_class, i32::from(DiagnosisClass::Confirmed));
        Ok(())
    }

    #[tokio::test]
    async fn a_test_that_the_site_recorded_already_is_not_counted_twice() -> Outcome {
        let scene = Scene::new().await?;
        let id = scene.case().await?;
        let (method, result) = (TestMethod::NucleicAcid.into(), TestResult::Positive.into());
        let recorded = RecordTestRequest {
            request_id: request_id(),
            case_id: id.to_string(),
            etag: String::new(),
            test: Some(Test { method, result, sampled_date: "2020-05-30".to_owned(), ..Test::default() }),
            ..RecordTestRequest::default()
        };
        scene.ask(&scene.physician, recorded, course::record_test).await?;
        let diagnosis = |day: &str| Diagnosis { method, result, sampled_date: day.to_owned(), ..Diagnosis::default() };
        let findings =
            Findings { diagnoses: vec![diagnosis("2020-05-30"), diagnosis("2020-05-31")], ..Findings::default() };
        scene.world.clock.advance(Duration::minutes(1));
        scene.file(scene.clinic, scene.osaka, None, Form { findings: Some(findings), ..form() }).await?;
        assert_eq!(last(&scene).await?.test_count, 2);
        assert_eq!(scene.get(&scene.nurse, id).await?.tests.len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn a_thousand_filings_later_a_filing_reads_as_many_rows_as_the_first_ones() -> Outcome {
        let scene = Scene::new().await?;
        let mut read = Vec::new();
        for batch in 0..20 {
            let mut events = Vec::new();
            let mut forms = HashMap::new();
            for number in 0..50 {
                let id = Uuid::now_v7();
                let mut form = form();
                form.subject.as_mut().unwrap().phone = format!("0905{batch:03}{number:04}");
                events.push(scene.world.event(&filed(id, scene.clinic, scene.osaka, None))?);
                forms.extend([held(id, scene.clinic, scene.osaka, form)]);
            }
            let mut tx = scene.world.base.pool.begin().await?;
            // The server adds up what a connection did within a second.
            let before = World::rows_read(&mut tx).await?;
            scene.filings().apply(&mut tx, &events, &forms).await?;
            let mut rows = World::rows_read(&mut tx).await?;
            for (table, rows) in &mut rows {
                *rows -= before.get(table).copied().unwrap_or_default();
            }
            read.push(rows);
            tx.commit().await?;
        }
        // Nobody has analysed anything: the tables are as fresh as on the first day of a surge.
        let (before, last) = (&read[9], &read[19]);
        for (table, rows) in last {
            let at_half = before.get(table).copied().unwrap_or_default();
            assert!(
                *rows <= at_half + at_half / 5,
                "{table}: {rows}, at half {at_half}; {:?} {before:?} {last:?}",
                read[1]
            );
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_cannot_be_handled() -> Outcome {
        let scene = Scene::new().await?;
        let good = || filed(Uuid::now_v7(), scene.clinic, scene.osaka, None);
        let undated = Form { report_date: String::new(), ..form() };
        let misdated = Form { report_date: "2020-02-30".to_owned(), ..form() };
        // The directory may learn of an organisation in a moment; what is malformed stays so.
        for (event, form, dead) in [
            (good(), Some(undated), true),
            (good(), Some(misdated), true),
            (good(), None, true),
            (NotificationFiled { reporter_id: "x".to_owned(), ..good() }, Some(form()), true),
            (NotificationFiled { receiving_centre_id: "x".to_owned(), ..good() }, Some(form()), true),
            (NotificationFiled { reporter_id: request_id(), ..good() }, Some(form()), false),
            (NotificationFiled { receiving_centre_id: request_id(), ..good() }, Some(form()), false),
        ] {
            let id = Uuid::try_parse(&event.notification_id)?;
            let forms: HashMap<_, _> = form.into_iter().map(|form| held(id, scene.clinic, scene.osaka, form)).collect();
            let event = scene.world.event(&event)?;
            let failure = scene.world.hear_with(&scene.filings(), &[event], &forms).await.unwrap_err();
            assert_eq!(matches!(failure, Failure::Dead(_)), dead, "{failure:?}");
        }
        assert!(scene.world.announced::<CaseChanged>().await?.is_empty());
        Ok(())
    }
}
