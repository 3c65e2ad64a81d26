//! Beds: a patient's way through them, and that nobody gets a bed twice.

use std::time::Duration;

use client::{Client, patiently};
use e2e::{Refused as _, World, amount, eventually, notified, register, request_id};
use futures::{StreamExt as _, stream};
use proto::{
    beds::{
        AcceptAdmissionRequest, Admission, AdmissionState, Capability, ConfirmArrivalRequest, Destination,
        GetAdmissionRequest, ListAvailabilityRequest, OfferBedRequest, RecordLeaveRequest, ReportCapacityRequest,
        RequestAdmissionRequest,
    },
    identity::Role,
    registry::{
        AcceptTransferRequest, Case, ClinicalState, GetCaseRequest, Grant, OfferTransferRequest, Placement,
        RecordSeverityRequest, Relation, Severity,
    },
    statistics::{CareRow, GetCareStatusRequest, GetSummaryRequest},
};
use sqlx::Connection as _;
use tonic::{Code, Status};

use crate::Outcome;

const SOON: Duration = Duration::from_secs(10);

async fn capacity(
    facility: &Client,
    id: &str,
    capability: Capability,
    secured: i32,
    ready: i32,
) -> Result<i32, Status> {
    let request = ReportCapacityRequest {
        request_id: request_id(),
        facility_id: id.to_owned(),
        capability: capability.into(),
        secured,
        ready,
        ..ReportCapacityRequest::default()
    };
    facility.capacity().report_capacity(facility.request(request)).await.map(|answer| answer.into_inner().free)
}

async fn ask(who: &Client, case_id: &str, capability: Capability) -> Result<Admission, Status> {
    let request = RequestAdmissionRequest {
        request_id: request_id(),
        case_id: case_id.to_owned(),
        capability: capability.into(),
    };
    // A case is known here a moment after it was registered.
    patiently(|| {
        let (mut admissions, request) = (who.admissions(), who.request(request.clone()));
        async move { admissions.request_admission(request).await }
    })
    .await
}

async fn offer(who: &Client, admission: &Admission, facility: &str) -> Result<Admission, Status> {
    let request = OfferBedRequest {
        request_id: request_id(),
        admission_id: admission.admission_id.clone(),
        facility_id: facility.to_owned(),
        ..OfferBedRequest::default()
    };
    who.admissions().offer_bed(who.request(request)).await.map(tonic::Response::into_inner)
}

async fn accept(who: &Client, admission: &Admission) -> Result<Admission, Status> {
    let request = AcceptAdmissionRequest {
        request_id: request_id(),
        admission_id: admission.admission_id.clone(),
        ..AcceptAdmissionRequest::default()
    };
    who.admissions().accept_admission(who.request(request)).await.map(tonic::Response::into_inner)
}

async fn arrive(who: &Client, admission: &Admission) -> Result<Admission, Status> {
    let request = ConfirmArrivalRequest {
        request_id: request_id(),
        admission_id: admission.admission_id.clone(),
        ..ConfirmArrivalRequest::default()
    };
    who.admissions().confirm_arrival(who.request(request)).await.map(tonic::Response::into_inner)
}

async fn leave(who: &Client, admission: &Admission, destination: Destination) -> Result<Admission, Status> {
    let request = RecordLeaveRequest {
        request_id: request_id(),
        admission_id: admission.admission_id.clone(),
        destination: destination.into(),
        ..RecordLeaveRequest::default()
    };
    who.admissions().record_leave(who.request(request)).await.map(tonic::Response::into_inner)
}

/// A prefecture's row of the survey of care.
async fn survey(analyst: &Client, prefecture: i32) -> anyhow::Result<CareRow> {
    let request = analyst.request(GetCareStatusRequest::default());
    let rows = analyst.statistics().get_care_status(request).await?.into_inner().prefectures;
    Ok(rows.into_iter().find(|row| row.prefecture == prefecture).unwrap_or_default())
}

#[tokio::test]
async fn a_patient_gets_a_bed_and_the_count_follows_at_each_step() -> Outcome {
    let world = World::shared()?;
    let (here, there) = (world.prefecture(28).await?, world.prefecture(14).await?);
    let (clinic, _) = world.employ(&here.clinic, Role::Physician).await?;
    let (nurse, _) = world.employ(&here.centre, Role::Nurse).await?;
    let (coordinator, _) = world.employ(&here.id, Role::Coordinator).await?;
    let (hospital, _) = world.employ(&here.hospital, Role::Physician).await?;
    let (lodging, _) = world.employ(&here.lodging, Role::LodgingOfficer).await?;
    let analyst = world.at_work("ministry", Role::Analyst).await?;
    assert_eq!(capacity(&hospital, &here.hospital, Capability::General, 10, 2).await?, 2);
    assert_eq!(capacity(&lodging, &here.lodging, Capability::LodgingRoom, 50, 1).await?, 1);
    let case_id = notified(&clinic, &nurse, &here.person()).await?;
    let get = |who: &Client| {
        let (who, request) = (who.clone(), who.request(GetCaseRequest { case_id: case_id.clone() }));
        async move { who.cases().get_case(request).await.map(tonic::Response::into_inner) }
    };
    let counted = |what: &'static str, holds: fn(&CareRow) -> bool| {
        let (analyst, number) = (analyst.clone(), here.number);
        async move { eventually(what, SOON, || async { Ok(holds(&survey(&analyst, number).await?)) }).await }
    };
    counted("waiting", |row| row.under_care == 1 && row.waiting == 1 && row.secured_beds == 10).await?;

    let admission = ask(&nurse, &case_id, Capability::General).await?;
    assert_eq!(admission.state, i32::from(AdmissionState::Requested));
    let list = ListAvailabilityRequest {
        capability: Capability::General.into(),
        prefecture: here.number,
        ..ListAvailabilityRequest::default()
    };
    let ranked = coordinator.capacity().list_availability(coordinator.request(list.clone())).await?.into_inner();
    assert_eq!((ranked.facilities[0].facility_id.as_str(), ranked.facilities[0].free), (here.hospital.as_str(), 2));
    let offered = offer(&coordinator, &admission, &here.hospital).await?;
    assert!(offered.hold_expire_time.is_some());

    // Before it accepts, the hospital sees codes and no person; another one sees nothing.
    let coded = GetAdmissionRequest { admission_id: admission.admission_id.clone() };
    let seen = hospital.admissions().get_admission(hospital.request(coded.clone())).await?.into_inner();
    assert!(seen.facts.as_ref().is_some_and(|facts| facts.age_band != 0));
    assert_eq!(get(&hospital).await.refused().code(), Code::NotFound);
    let north = world.at_work("hospital-north", Role::Physician).await?;
    assert_eq!(north.admissions().get_admission(north.request(coded)).await.refused().code(), Code::NotFound);

    accept(&hospital, &admission).await?;
    eventually("the hospital sees who comes", SOON, || async {
        let named = |case: Case| case.person.is_some_and(|person| !person.name_kanji.is_empty());
        Ok(get(&hospital).await.is_ok_and(named))
    })
    .await?;
    arrive(&hospital, &admission).await?;
    counted("inpatient", |row| row.inpatients == 1 && row.waiting == 0).await?;
    let placed = get(&nurse).await?;
    assert_eq!(placed.placement, i32::from(Placement::Hospital));
    assert_eq!(placed.stays.last().map(|stay| stay.facility_id.clone()), Some(here.hospital.clone()));

    let severe = RecordSeverityRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        state: Some(ClinicalState {
            observation_date: "2020-06-03".to_owned(),
            severity: Severity::Severe.into(),
            icu: true,
            ventilator: true,
            ..ClinicalState::default()
        }),
        ..RecordSeverityRequest::default()
    };
    hospital.course().record_severity(hospital.request(severe)).await?;
    counted("severe", |row| row.severe == 1 && row.icu == 1 && row.ventilator == 1 && row.ecmo == 0).await?;

    // To lodging: the arrival there frees the bed here.
    let moving = ask(&nurse, &case_id, Capability::LodgingRoom).await?;
    offer(&nurse, &moving, &here.lodging).await?;
    accept(&lodging, &moving).await?;
    arrive(&lodging, &moving).await?;
    counted("lodging", |row| row.lodging == 1 && row.inpatients == 0).await?;
    let ranked = coordinator.capacity().list_availability(coordinator.request(list)).await?.into_inner();
    assert_eq!(ranked.facilities[0].free, 2);
    leave(&lodging, &moving, Destination::Home).await?;
    counted("home", |row| row.home == 1 && row.lodging == 0).await?;
    eventually("lodging sees its residents only", SOON, || async { Ok(get(&lodging).await.is_err()) }).await?;

    // Handed over to another prefecture, the patient is that one's to care for, and stays counted where the notification was
    // received.
    let (next, _) = world.employ(&there.centre, Role::Nurse).await?;
    let hand_over = OfferTransferRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        etag: String::new(),
        to_centre_id: there.centre.clone(),
        reason: "転居".to_owned(),
    };
    nurse.transfers().offer_transfer(nurse.request(hand_over)).await?;
    let yes = AcceptTransferRequest { request_id: request_id(), case_id: case_id.clone(), etag: String::new() };
    next.transfers().accept_transfer(next.request(yes)).await?;
    eventually("the row of the survey moves", SOON, || async {
        Ok(survey(&analyst, here.number).await?.home == 0 && survey(&analyst, there.number).await?.home == 1)
    })
    .await?;
    let summary = analyst.request(GetSummaryRequest::default());
    let summary = analyst.statistics().get_summary(summary).await?.into_inner().prefectures;
    let positive = |prefecture| summary.iter().find(|row| row.prefecture == prefecture).map_or(0, |row| row.positive);
    assert_eq!((positive(here.number), positive(there.number)), (1, 0));
    // The hospital goes on writing about the stay it had.
    let treating =
        |grant: &&Grant| grant.relation == i32::from(Relation::TreatingInstitution) && grant.until_time.is_none();
    assert_eq!(get(&nurse).await?.grants.iter().filter(treating).count(), 1);
    Ok(())
}

#[tokio::test]
async fn of_many_claims_at_once_each_bed_is_given_to_one() -> Outcome {
    let (beds, claims) = amount((20, 200), (40, 1_000));
    let world = World::shared()?;
    let here = world.prefecture(40).await?;
    let (clinic, _) = world.employ(&here.clinic, Role::Physician).await?;
    let (nurse, _) = world.employ(&here.centre, Role::Nurse).await?;
    let (hospital, _) = world.employ(&here.hospital, Role::Physician).await?;
    capacity(&hospital, &here.hospital, Capability::General, beds, beds).await?;
    let admissions: Vec<Admission> = stream::iter(0..claims)
        .map(|_| async { ask(&nurse, &register(&clinic, here.person()).await?.case_id, Capability::General).await })
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;
    // All at once.
    let answers: Vec<Result<Admission, Status>> = stream::iter(&admissions)
        .map(|admission| offer(&nurse, admission, &here.hospital))
        .buffer_unordered(claims)
        .collect()
        .await;
    let won: Vec<i32> = answers.iter().filter_map(|answer| answer.as_ref().ok()).map(|a| a.bed_number).collect();
    let mut distinct = won.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(won.len(), usize::try_from(beds)?, "every bed was given");
    assert_eq!(distinct.len(), won.len(), "none twice");
    assert!(answers.iter().filter_map(|answer| answer.as_ref().err()).all(|e| e.code() == Code::FailedPrecondition));

    // What holds when the queue at the capacity row is gone too: the constraint. And the control: without it, nothing.
    let mut sql = world.sql("beds").await?;
    let double = "insert into stay (stay_id, admission_id, bed_id, during)
                  select gen_random_uuid(), admission_id, bed_id, during from stay limit 1";
    let refused = sqlx::query(double).execute(&mut sql).await.err();
    let constraint = refused.as_ref().and_then(|e| e.as_database_error()?.constraint());
    assert_eq!(constraint, Some("stay_no_overlap"));
    let mut tx = sql.begin().await?;
    sqlx::query("alter table stay drop constraint stay_no_overlap").execute(&mut *tx).await?;
    assert_eq!(sqlx::query(double).execute(&mut *tx).await?.rows_affected(), 1);
    tx.rollback().await?;
    Ok(())
}
