//! Referral, entry on behalf of others, and hand-over between centres.

use std::time::Duration;

use client::Client;
use e2e::{Refused as _, World, eventually, file, filing, form, patient, person, register, request_id};
use proto::{
    identity::Role,
    notification::{AcknowledgeNotificationRequest, GetNotificationRequest, Notification},
    registry::{
        AcceptTransferRequest, AdmissionNecessity, Case, DeclineTransferRequest, Entry, GetCaseRequest,
        JudgeAdmissionRequest, ListCasesRequest, OfferTransferRequest, RecordTestRequest, ReferCaseRequest,
        RegisterCaseRequest, Relation, Specimen, Test, TestMethod, TestResult, TransferState,
    },
};
use tonic::{Code, Status};

use crate::Outcome;

const SOON: Duration = Duration::from_secs(10);

async fn get(who: &Client, case_id: &str) -> Result<Case, Status> {
    who.cases()
        .get_case(who.request(GetCaseRequest { case_id: case_id.to_owned() }))
        .await
        .map(tonic::Response::into_inner)
}

fn test(case_id: &str) -> RecordTestRequest {
    RecordTestRequest {
        request_id: request_id(),
        case_id: case_id.to_owned(),
        etag: String::new(),
        test: Some(Test {
            method: TestMethod::NucleicAcid.into(),
            specimen: Specimen::Saliva.into(),
            result: TestResult::Negative.into(),
            sampled_date: "2020-06-01".to_owned(),
            ..Test::default()
        }),
        ..RecordTestRequest::default()
    }
}

#[tokio::test]
async fn a_consultation_becomes_a_referral_that_the_clinic_works_on() -> Outcome {
    let world = World::shared()?;
    let consultation = world.at_work("consultation", Role::ConsultationOperator).await?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let case_id = register(&consultation, person()).await?.case_id;
    assert_eq!(get(&clinic, &case_id).await.refused().code(), Code::NotFound);
    let refer = ReferCaseRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        etag: String::new(),
        institution_id: world.organisation("clinic")?,
    };
    let referred = consultation.referrals().refer_case(consultation.request(refer)).await?.into_inner();
    assert_eq!(referred.referred_to_id, world.organisation("clinic")?);
    let tested = clinic.course().record_test(clinic.request(test(&case_id))).await?.into_inner();
    assert_eq!(tested.tests.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_centre_enters_for_a_clinic_without_rights_and_both_are_on_record() -> Outcome {
    let world = World::shared()?;
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let fax = world.organisation("clinic-fax")?;
    let request = RegisterCaseRequest {
        request_id: request_id(),
        person: Some(person()),
        entry: Some(Entry { on_behalf_of_id: fax.clone(), ..Entry::default() }),
        ..RegisterCaseRequest::default()
    };
    let made = nurse.cases().register_case(nurse.request(request)).await?.into_inner();
    assert!(!made.access_id.is_empty(), "the centre hands over the ID");
    let seen = get(&nurse, &made.case_id).await?;
    let reporter =
        |g: &&proto::registry::Grant| g.relation == i32::from(Relation::Reporter) && g.organisation_id == fax;
    assert_eq!(seen.grants.iter().filter(reporter).count(), 1);
    let mut sql = world.sql("registry").await?;
    let on_record: i64 = sqlx::query_scalar(
        "select count(*) from audit where record = $1::uuid and on_behalf_of = $2::uuid and user_id is not null",
    )
    .bind(&made.case_id)
    .bind(&fax)
    .fetch_one(&mut sql)
    .await?;
    assert_eq!(on_record, 1);
    Ok(())
}

#[tokio::test]
async fn a_hand_over_has_one_responsible_centre_at_every_moment() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let osaka = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let minato = world.at_work("minato-centre", Role::Nurse).await?;
    let third = world.at_work("ibaraki-centre", Role::Nurse).await?;
    let case_id = patient(&clinic, &osaka).await?;
    let judged = JudgeAdmissionRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        etag: String::new(),
        necessity: AdmissionNecessity::NotNeeded.into(),
        ..JudgeAdmissionRequest::default()
    };
    let judged = osaka.course().judge_admission(osaka.request(judged)).await?.into_inner();
    assert_eq!(judged.admission_necessity, i32::from(AdmissionNecessity::NotNeeded));

    let offer = OfferTransferRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        etag: String::new(),
        to_centre_id: world.organisation("minato-centre")?,
        reason: "東京の実家へ移動".to_owned(),
    };
    assert_eq!(get(&minato, &case_id).await.refused().code(), Code::NotFound);
    osaka.transfers().offer_transfer(osaka.request(offer.clone())).await?;
    let seen = get(&minato, &case_id).await?;
    let transfer = seen.transfer.clone().unwrap_or_default();
    assert_eq!((transfer.state, transfer.reason.as_str()), (i32::from(TransferState::Offered), "東京の実家へ移動"));
    // Before it accepts, the incoming centre reads and does not write.
    minato.course().record_test(minato.request(test(&case_id))).await.refused();

    let no = DeclineTransferRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        etag: String::new(),
        reason: "所在地の確認を求む".to_owned(),
    };
    minato.transfers().decline_transfer(minato.request(no)).await?;
    assert_eq!(get(&minato, &case_id).await.refused().code(), Code::NotFound, "what was declined is out of sight");
    let request = minato.request(ListCasesRequest { page_size: 200, ..Default::default() });
    let list = minato.cases().list_cases(request).await?.into_inner();
    assert!(list.cases.iter().all(|case| case.case_id != case_id));

    osaka.transfers().offer_transfer(osaka.request(OfferTransferRequest { request_id: request_id(), ..offer })).await?;
    let yes = AcceptTransferRequest { request_id: request_id(), case_id: case_id.clone(), etag: String::new() };
    let taken = minato.transfers().accept_transfer(minato.request(yes)).await?.into_inner();
    assert_eq!(taken.responsible_centre_id, world.organisation("minato-centre")?);
    let responsible = |case: &Case| {
        case.grants
            .iter()
            .filter(|g| g.relation == i32::from(Relation::ResponsibleCentre) && g.until_time.is_none())
            .count()
    };
    assert_eq!(responsible(&taken), 1);
    minato.course().record_test(minato.request(test(&case_id))).await?;
    // The old centre keeps sight and writes no more; a third one never saw anything.
    assert_eq!(responsible(&get(&osaka, &case_id).await?), 1);
    let late = osaka.course().record_test(osaka.request(test(&case_id))).await.refused();
    assert_eq!(late.code(), Code::PermissionDenied);
    assert_eq!(get(&third, &case_id).await.refused().code(), Code::NotFound);
    // Follow-up moves with it.
    eventually("the new centre's work", SOON, || async {
        let request = proto::followup::GetFollowupRequest { case_id: case_id.clone() };
        let plan = minato.followup().get_followup(minato.request(request)).await?.into_inner().plan.unwrap_or_default();
        Ok(plan.owner_organisation_id == taken.responsible_centre_id)
    })
    .await
}

async fn form_of(who: &Client, notification_id: &str) -> Result<Notification, Status> {
    let request = GetNotificationRequest { notification_id: notification_id.to_owned() };
    who.filing().get_notification(who.request(request)).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_form_is_judged_by_its_case_also_where_the_copy_of_the_case_is_missing() -> Outcome {
    let world = World::shared()?;
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let osaka = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let minato = world.at_work("minato-centre", Role::Nurse).await?;
    let third = world.at_work("ibaraki-centre", Role::Nurse).await?;
    let id = file(&clinic, filing(form(&person()))).await?.notification_id;
    eventually("the case is known", SOON, || async { Ok(!form_of(&osaka, &id).await?.case_id.is_empty()) }).await?;
    let case_id = form_of(&osaka, &id).await?.case_id;

    let offer = OfferTransferRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        etag: String::new(),
        to_centre_id: world.organisation("minato-centre")?,
        reason: "東京の実家へ移動".to_owned(),
    };
    osaka.transfers().offer_transfer(osaka.request(offer)).await?;
    let yes = AcceptTransferRequest { request_id: request_id(), case_id: case_id.clone(), etag: String::new() };
    minato.transfers().accept_transfer(minato.request(yes)).await?;

    let version = async |database: &str, table: &str| -> anyhow::Result<i64> {
        let mut sql = world.sql(database).await?;
        let select = format!("select version from {table} where case_id = $1::uuid");
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(select)).bind(&case_id).fetch_one(&mut sql).await?)
    };
    // Nothing that is on its way brings an older copy back.
    eventually("the hand-over is heard", SOON, || async {
        Ok(version("notification", "case_copy").await? == version("registry", "cases").await?)
    })
    .await?;

    let mut sql = world.sql("notification").await?;
    let mut forget = async || -> anyhow::Result<()> {
        let forget = sqlx::query("delete from case_copy where case_id = $1::uuid").bind(&case_id);
        forget.execute(&mut sql).await?;
        Ok(())
    };
    // It lies in the old centre's inbox, and is not its work any more.
    forget().await?;
    assert_eq!(form_of(&osaka, &id).await?.case_id, case_id, "it reads on");
    forget().await?;
    let accept =
        AcknowledgeNotificationRequest { request_id: request_id(), notification_id: id.clone(), etag: String::new() };
    let refused = osaka.inbox().acknowledge_notification(osaka.request(accept.clone())).await.refused();
    assert_eq!(refused.code(), Code::PermissionDenied);
    forget().await?;
    assert_eq!(form_of(&third, &id).await.refused().code(), Code::NotFound);
    forget().await?;
    minato.inbox().acknowledge_notification(minato.request(accept)).await?;
    Ok(())
}
