//! The main job, as the people concerned live it.

use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use e2e::{Refused as _, World, eventually, figures, file, filing, form, notified, person, register, request_id};
use jsonwebtoken::{Algorithm, Validation};
use prost::Message as _;
use proto::{
    identity::{ListMessagesRequest, Role, SignInPatientRequest, VerifyPatientCodeRequest},
    notification::{
        AcknowledgeNotificationRequest, FileNotificationRequest, ForwardNotificationRequest, GetNotificationRequest,
        GetReceiptKeysRequest, ListInboxRequest, NotificationState, Purpose, WatchInboxRequest, WatchInboxResponse,
    },
    registry::{
        DiagnosisClass, GetCaseRequest, Grant, ListCasesRequest, OpenInEmergencyRequest, Outcome as CaseOutcome,
        RecordOutcomeRequest, RecordTestRequest, Relation, Specimen, Test, TestMethod, TestResult,
        open_in_emergency_request,
    },
    statistics::{Dimension, GetSummaryRequest, QueryCasesRequest},
};
use tokio_stream::StreamExt as _;
use tonic::{Code, Streaming};
use uuid::Uuid;

use crate::Outcome;

const SOON: Duration = Duration::from_secs(10);

/// Waits until a watch brings a notification; others may come before it.
async fn brought(watch: &mut Streaming<WatchInboxResponse>, notification_id: &str) -> Outcome {
    loop {
        let message =
            tokio::time::timeout(Duration::from_secs(5), watch.next()).await?.context("the watch goes on")??;
        if message.notifications.iter().any(|brought| brought.notification_id == notification_id) {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn a_notification_travels_from_the_clinic_to_the_national_count() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let analyst = world.at_work("ministry", Role::Analyst).await?;
    let person = person();

    // A day of its own: other journeys file too.
    let day = "2020-04-07";
    let count = || async {
        let request = QueryCasesRequest {
            dimensions: vec![Dimension::ReportDate.into()],
            from_date: day.to_owned(),
            until_date: day.to_owned(),
            prefecture: 27,
            include_empty_days: true,
            ..QueryCasesRequest::default()
        };
        Ok::<_, anyhow::Error>(figures(&analyst, request).await?.rows.first().map_or(0, |row| row.count))
    };
    let before = count().await?;

    let case = register(&clinic, person.clone()).await?;
    assert!(japan::access_id::AccessId::parse(&case.access_id).is_some());
    let seen = clinic.cases().get_case(clinic.request(GetCaseRequest { case_id: case.case_id.clone() })).await?;
    assert_eq!(seen.into_inner().person.unwrap_or_default().name_kanji, person.name_kanji);

    let mut filed = form(&person);
    filed.report_date = "令和2年4月7日".to_owned();
    filed.findings.as_mut().unwrap().diagnoses[0].sampled_date = "2020-04-06".to_owned();
    filed.findings.as_mut().unwrap().onset_date = "2020-04-03".to_owned();
    let mut request = filing(filed);
    request.case_id.clone_from(&case.case_id);
    let receipt = file(&clinic, request).await?;
    assert_eq!(receipt.receiving_centre_name, "大阪市保健所");

    // The centre sees it at once, with the name as it was written.
    let inbox = nurse.inbox().list_inbox(nurse.request(ListInboxRequest::default())).await?.into_inner();
    let arrived = inbox.notifications.iter().find(|n| n.notification_id == receipt.notification_id).unwrap();
    let subject = arrived.form.clone().unwrap().subject.unwrap();
    assert_eq!(subject.name_kanji, person.name_kanji);

    let request = AcknowledgeNotificationRequest {
        request_id: request_id(),
        notification_id: receipt.notification_id.clone(),
        etag: arrived.etag.clone(),
    };
    let acknowledged = nurse.inbox().acknowledge_notification(nurse.request(request)).await?.into_inner();
    assert_eq!(acknowledged.state, i32::from(NotificationState::Acknowledged));
    // The clinic sees that the centre has accepted it (受理).
    let request = GetNotificationRequest { notification_id: receipt.notification_id.clone() };
    let seen = clinic.filing().get_notification(clinic.request(request)).await?.into_inner();
    assert!(seen.acknowledge_time.is_some());

    // The case carries what was filed, and the centre has its relation to it.
    let get = || async {
        let request = nurse.request(GetCaseRequest { case_id: case.case_id.clone() });
        Ok::<_, anyhow::Error>(nurse.cases().get_case(request).await?.into_inner())
    };
    eventually("the filing reaches the case", SOON, || async {
        Ok(get().await?.notification_ids == [receipt.notification_id.clone()])
    })
    .await?;
    let seen = get().await?;
    assert_eq!(seen.diagnosis_class, i32::from(DiagnosisClass::Confirmed));
    assert_eq!((seen.report_date.as_str(), seen.onset_date.as_str()), (day, "2020-04-03"));
    let relations: Vec<i32> = seen.grants.iter().map(|grant| grant.relation).collect();
    for relation in [Relation::ReceivingCentre, Relation::Reporter, Relation::Prefecture] {
        assert!(relations.contains(&relation.into()), "{relation:?}");
    }

    eventually("the nation counts it", SOON, || async { Ok(count().await? == before + 1) }).await
}

#[tokio::test]
async fn a_receipt_proves_what_was_filed() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let receipt = file(&clinic, filing(form(&person()))).await?;
    let request = GetNotificationRequest { notification_id: receipt.notification_id.clone() };
    let stored = clinic.filing().get_notification(clinic.request(request)).await?.into_inner();

    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&URL_SAFE_NO_PAD.decode(&receipt.salt)?);
    context.update(&stored.form.unwrap().encode_to_vec());
    assert_eq!(URL_SAFE_NO_PAD.encode(context.finish()), receipt.content_hash);

    let keys = clinic.filing().get_receipt_keys(GetReceiptKeysRequest {}).await?.into_inner();
    let keys = access::token::keys_of(&keys.jwks_json)?;
    let kid = jsonwebtoken::decode_header(&receipt.signature)?.kid.unwrap();
    let mut rules = Validation::new(Algorithm::ES256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    let proof = jsonwebtoken::decode::<serde_json::Value>(&receipt.signature, &keys[&kid], &rules)?.claims;
    assert_eq!(proof["content_hash"], receipt.content_hash);
    assert_eq!(proof["number"], receipt.number);

    // One changed character and the proof is none.
    let mut forged = receipt.signature.clone();
    let last = if forged.ends_with('A') { 'B' } else { 'A' };
    forged.replace_range(forged.len() - 5..forged.len() - 4, &last.to_string());
    let forged = jsonwebtoken::decode::<serde_json::Value>(&forged, &keys[&kid], &rules);
    assert!(forged.is_err() || receipt.signature.contains(last));
    Ok(())
}

#[tokio::test]
async fn a_centre_watching_its_inbox_sees_a_filing_within_a_second() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic-tokyo", Role::Physician).await?;
    let nurse = world.at_work("minato-centre", Role::Nurse).await?;
    let mut watch = nurse.inbox().watch_inbox(nurse.request(WatchInboxRequest {})).await?.into_inner();
    assert!(watch.next().await.unwrap()?.notifications.is_empty(), "the first message says that the watch stands");

    let mut somebody = person();
    somebody.municipality_code = "131032".to_owned();
    let receipt = file(&clinic, filing(form(&somebody))).await?;
    brought(&mut watch, &receipt.notification_id).await
}

#[tokio::test]
async fn a_forwarded_notification_belongs_to_the_other_centre_and_both_see_it() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let first = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let second = world.at_work("ibaraki-centre", Role::Nurse).await?;
    let receipt = file(&clinic, filing(form(&person()))).await?;
    let mut watch = second.inbox().watch_inbox(second.request(WatchInboxRequest {})).await?.into_inner();
    watch.next().await.unwrap()?;

    let request = ForwardNotificationRequest {
        request_id: request_id(),
        notification_id: receipt.notification_id.clone(),
        etag: String::new(),
        centre_id: world.organisation("ibaraki-centre")?,
    };
    first.inbox().forward_notification(first.request(request.clone())).await?;
    for centre in [&first, &second] {
        let request = GetNotificationRequest { notification_id: receipt.notification_id.clone() };
        let seen = centre.filing().get_notification(centre.request(request)).await?.into_inner();
        assert_eq!(seen.receiving_centre_name, "大阪府茨木保健所");
    }
    brought(&mut watch, &receipt.notification_id).await.context("the second centre's watch")?;
    // It is no longer the first centre's to act on.
    let again = ForwardNotificationRequest { request_id: request_id(), ..request };
    let refused = first.inbox().forward_notification(first.request(again)).await.refused();
    assert_eq!(refused.code(), Code::PermissionDenied);

    // The registry follows: the second centre is responsible.
    eventually("the second centre has the case", SOON, || async {
        let request = ListCasesRequest { relation: Relation::ResponsibleCentre.into(), ..ListCasesRequest::default() };
        let cases = second.cases().list_cases(second.request(request)).await?.into_inner().cases;
        Ok(cases.iter().any(|case| case.notification_ids.contains(&receipt.notification_id)))
    })
    .await
}

#[tokio::test]
async fn a_negative_test_is_counted_as_tested_and_not_as_positive() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic-tokyo", Role::Physician).await?;
    let coordinator = world.at_work("tokyo", Role::Coordinator).await?;
    let summary = || async {
        let request = coordinator.request(GetSummaryRequest { as_of_time: None });
        let summary = coordinator.statistics().get_summary(request).await?.into_inner();
        Ok::<_, anyhow::Error>(summary.prefectures.first().map_or((0, 0), |row| (row.tested, row.positive)))
    };
    let mut somebody = person();
    somebody.municipality_code = "131032".to_owned();
    let case = register(&clinic, somebody.clone()).await?;
    let (tested_before, _) = summary().await?;
    let request = RecordTestRequest {
        request_id: request_id(),
        case_id: case.case_id.clone(),
        etag: case.etag,
        test: Some(Test {
            method: TestMethod::NucleicAcid.into(),
            specimen: Specimen::Saliva.into(),
            result: TestResult::Negative.into(),
            sampled_date: "2020-06-01".to_owned(),
            ..Test::default()
        }),
        ..RecordTestRequest::default()
    };
    let tested = clinic.course().record_test(clinic.request(request)).await?.into_inner();
    assert_eq!(tested.etag, "2");
    let mut report = form(&somebody);
    report.purpose = Purpose::TestReport.into();
    report.diagnosis_class = DiagnosisClass::Suspected.into();
    report.findings.as_mut().unwrap().diagnoses[0].result = TestResult::Negative.into();
    report.findings.as_mut().unwrap().onset_date.clear();
    file(&clinic, filing(report)).await?;
    eventually("it is counted as tested", SOON, || async { Ok(summary().await?.0 > tested_before) }).await?;
    let get = clinic.request(GetCaseRequest { case_id: case.case_id });
    let seen = clinic.cases().get_case(get).await?.into_inner();
    assert_ne!(seen.diagnosis_class, i32::from(DiagnosisClass::Confirmed));
    Ok(())
}

#[tokio::test]
async fn a_reinfection_is_a_new_case_of_the_same_person() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let somebody = person();
    let cases = || async { file_ids(&mut world.sql("registry").await?).await };
    let first = file(&clinic, filing(form(&somebody))).await?;
    eventually("the first case stands", SOON, || async { Ok(cases().await?.contains_key(&first.notification_id)) })
        .await?;
    let first_case = cases().await?[&first.notification_id].clone();

    // A second report of the same illness joins the open case.
    let second = file(&clinic, filing(form(&somebody))).await?;
    eventually("the second report joins", SOON, || async {
        Ok(cases().await?.get(&second.notification_id) == Some(&first_case))
    })
    .await?;

    let request = RecordOutcomeRequest {
        request_id: request_id(),
        case_id: first_case.clone(),
        etag: String::new(),
        outcome: CaseOutcome::Released.into(),
        outcome_date: "2020-06-15".to_owned(),
        entry: None,
    };
    clinic.course().record_outcome(clinic.request(request)).await?;
    let third = file(&clinic, filing(form(&somebody))).await?;
    eventually("the re-infection is a case of its own", SOON, || async {
        Ok(cases().await?.get(&third.notification_id).is_some_and(|case| *case != first_case))
    })
    .await
}

async fn file_ids(sql: &mut sqlx::PgConnection) -> anyhow::Result<std::collections::HashMap<String, String>> {
    let rows: Vec<(Uuid, Uuid)> =
        sqlx::query_as("select notification_id, case_id from case_notification").fetch_all(sql).await?;
    Ok(rows.into_iter().map(|(n, c)| (n.to_string(), c.to_string())).collect())
}

#[tokio::test]
async fn a_patient_gets_in_with_id_birth_date_and_code_and_sees_only_the_own_case() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let operator = world.at_work("ministry", Role::Operator).await?;
    let (somebody, other) = (person(), register(&clinic, person()).await?);
    let case = register(&clinic, somebody.clone()).await?;

    let mut patient = world.stack.client()?;
    let code = || async {
        let request = SignInPatientRequest { access_id: case.access_id.clone(), birth_date: "S55.1.31".to_owned() };
        let challenge = patient.sign_ins().sign_in_patient(request).await?.into_inner().challenge;
        let messages = operator
            .messages()
            .list_messages(operator.request(ListMessagesRequest { page_size: 200, ..ListMessagesRequest::default() }))
            .await?;
        let messages = messages.into_inner().messages;
        let mine = messages.into_iter().find(|message| message.destination == somebody.phone);
        Ok::<_, anyhow::Error>(mine.map(|message| (challenge, message.text)))
    };
    // The credential is activated by event and claim check, within a moment of the registration.
    let mut sent = None;
    for _ in 0..100 {
        sent = code().await?;
        if sent.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (challenge, text) = sent.unwrap();
    assert!(!text.contains(&somebody.name_kanji));
    let code: String = text.chars().filter(char::is_ascii_digit).take(6).collect();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    let request = |code: &str| VerifyPatientCodeRequest { challenge: challenge.clone(), code: code.to_owned() };
    let refused = patient.sign_ins().verify_patient_code(request(wrong)).await.refused();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let tokens = patient.sign_ins().verify_patient_code(request(&code)).await?.into_inner();
    // A code works once.
    assert!(patient.sign_ins().verify_patient_code(request(&code)).await.is_err());

    patient.keep(tokens);
    let get = |id: &str| patient.request(GetCaseRequest { case_id: id.to_owned() });
    let own = patient.cases().get_case(get(&case.case_id)).await?.into_inner();
    assert_eq!(own.person.unwrap().name_kanji, somebody.name_kanji);
    assert_eq!(own.report_date, "", "administrative facts are not shown");
    let refused = patient.cases().get_case(get(&other.case_id)).await.refused();
    assert_eq!(refused.code(), Code::NotFound);
    Ok(())
}

#[tokio::test]
async fn figures_of_a_past_moment_stay_what_they_were() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let analyst = world.at_work("ministry", Role::Analyst).await?;
    let ask = |as_of_time| {
        let request = QueryCasesRequest {
            dimensions: vec![Dimension::AgeBand.into(), Dimension::Sex.into()],
            from_date: "2020-02-11".to_owned(),
            until_date: "2020-02-11".to_owned(),
            as_of_time,
            ..QueryCasesRequest::default()
        };
        figures(&analyst, request)
    };
    let mut early = form(&person());
    early.report_date = "2020-02-11".to_owned();
    early.findings.as_mut().unwrap().diagnoses[0].sampled_date = "2020-02-10".to_owned();
    early.findings.as_mut().unwrap().onset_date.clear();
    file(&clinic, filing(early.clone())).await?;
    eventually("the first is counted", SOON, || async { Ok(!ask(None).await?.rows.is_empty()) }).await?;
    let then = ask(None).await?;

    early.subject.as_mut().unwrap().name_kana = "ベツジン".to_owned();
    file(&clinic, filing(early)).await?;
    let total = |answer: &proto::statistics::QueryCasesResponse| answer.rows.iter().map(|row| row.count).sum::<i64>();
    eventually("the second is counted", SOON, || async { Ok(total(&ask(None).await?) > total(&then)) }).await?;
    assert!(ask(then.as_of_time).await?.rows == then.rows);
    Ok(())
}

#[tokio::test]
async fn a_watch_ends_with_its_deadline_and_with_its_session() -> Outcome {
    let world = World::shared()?;
    let nurse = world.staff("minato-centre", Role::Nurse).await?;
    let last_of = |timeout: Option<Duration>| {
        let (mut inbox, mut request) = (nurse.inbox(), nurse.request(WatchInboxRequest {}));
        if let Some(timeout) = timeout {
            request.set_timeout(timeout);
        }
        async move {
            let mut watch = inbox.watch_inbox(request).await?.into_inner();
            loop {
                match watch.next().await {
                    Some(Ok(_)) => {}
                    Some(Err(status)) => return Ok::<_, anyhow::Error>(status.code()),
                    None => return Ok(Code::Ok),
                }
            }
        }
    };
    let patience = Duration::from_secs(8);
    let ended = tokio::time::timeout(patience, last_of(Some(Duration::from_millis(300)))).await??;
    assert_eq!(ended, Code::DeadlineExceeded);
    // Without a deadline it goes on, until the session is over.
    let watch = last_of(None);
    let sign_out = async {
        nurse.sessions().sign_out(nurse.request(proto::identity::SignOutRequest {})).await?;
        Ok::<_, anyhow::Error>(())
    };
    let (ended, signed_out) = tokio::join!(tokio::time::timeout(patience, watch), sign_out);
    signed_out?;
    assert_eq!(ended??, Code::Unauthenticated);
    Ok(())
}

/// A look of three hours was once a way to file into the case for good.
#[tokio::test]
async fn a_look_in_an_emergency_becomes_no_relation_by_filing() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let (somebody, somebody_else) = (person(), person());
    let case_id = notified(&clinic, &nurse, &somebody).await?;
    let stranger = world.staff("clinic-tokyo", Role::Physician).await?;
    let open = OpenInEmergencyRequest {
        request_id: request_id(),
        case: Some(open_in_emergency_request::Case::CaseId(case_id.clone())),
        reason: "救急搬送のため経過の確認が必要".to_owned(),
    };
    stranger.emergency().open_in_emergency(stranger.request(open)).await?;

    // About somebody else, naming the case; and with a death.
    let mut dead = form(&somebody_else);
    dead.diagnosis_class = DiagnosisClass::Deceased.into();
    dead.findings.get_or_insert_default().death_date = "2020-06-01".to_owned();
    let named = FileNotificationRequest { case_id: case_id.clone(), ..filing(dead) };
    let receipt = file(&stranger, named).await?;
    let id = Uuid::try_parse(&receipt.notification_id)?;
    let case_of = async || {
        sqlx::query_scalar::<_, Uuid>("select case_id from case_notification where notification_id = $1")
            .bind(id)
            .fetch_optional(&mut world.sql("registry").await?)
            .await
            .map_err(anyhow::Error::from)
    };
    eventually("the registry hears of it", SOON, || async { Ok(case_of().await?.is_some()) }).await?;
    let other = case_of().await?;
    assert_ne!(other.context("the registry heard of it")?.to_string(), case_id, "another person is another case");

    let request = nurse.request(GetCaseRequest { case_id: case_id.clone() });
    let case = nurse.cases().get_case(request).await?.into_inner();
    assert_eq!((case.outcome, case.diagnosis_class), (0, DiagnosisClass::Confirmed.into()));
    let centre = world.organisation("osaka-city-centre")?;
    assert_eq!(case.responsible_centre_id, centre);
    let held = |relation: Relation| {
        let of = |grant: &&Grant| grant.relation == i32::from(relation);
        case.grants.iter().filter(of).map(|grant| grant.organisation_id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(held(Relation::Reporter), [world.organisation("clinic")?]);
    assert_eq!(held(Relation::ResponsibleCentre), [centre]);
    Ok(())
}
