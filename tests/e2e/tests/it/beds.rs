//! Beds: capacity, admissions, and that nobody gets a bed twice.

use std::time::Duration;

use ctl::{Client, client::patiently};
use e2e::{Refused as _, World, eventually, patient, person, register, request_id};
use futures::{StreamExt as _, stream};
use proto::{
    beds::{
        AcceptAdmissionRequest, Admission, AdmissionState, CancelAdmissionRequest, Capability, ConfirmArrivalRequest,
        DeclineAdmissionRequest, Destination, GetAdmissionRequest, ListAdmissionsRequest, ListAvailabilityRequest,
        OfferBedRequest, RecordLeaveRequest, ReportCapacityRequest, RequestAdmissionRequest,
    },
    identity::Role,
    registry::{
        AcceptTransferRequest, ClinicalState, GetCaseRequest, OfferTransferRequest, Placement, RecordSeverityRequest,
        Relation, Severity,
    },
    statistics::{CareRow, GetCareStatusRequest, GetSummaryRequest},
};
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
    };
    facility.beds().report_capacity(facility.request(request)).await.map(|answer| answer.into_inner().free)
}

async fn ask(who: &Client, case_id: &str, capability: Capability) -> Result<Admission, Status> {
    let request = RequestAdmissionRequest {
        request_id: request_id(),
        case_id: case_id.to_owned(),
        capability: capability.into(),
    };
    who.beds().request_admission(who.request(request)).await.map(tonic::Response::into_inner)
}

async fn offer(who: &Client, admission: &Admission, facility: &str) -> Result<Admission, Status> {
    let request = OfferBedRequest {
        request_id: request_id(),
        admission_id: admission.admission_id.clone(),
        facility_id: facility.to_owned(),
        hold_minutes: 0,
    };
    who.beds().offer_bed(who.request(request)).await.map(tonic::Response::into_inner)
}

async fn accept(who: &Client, admission: &Admission) -> Result<Admission, Status> {
    let request = AcceptAdmissionRequest { request_id: request_id(), admission_id: admission.admission_id.clone() };
    who.beds().accept_admission(who.request(request)).await.map(tonic::Response::into_inner)
}

async fn arrive(who: &Client, admission: &Admission) -> Result<Admission, Status> {
    let request = ConfirmArrivalRequest { request_id: request_id(), admission_id: admission.admission_id.clone() };
    who.beds().confirm_arrival(who.request(request)).await.map(tonic::Response::into_inner)
}

async fn leave(who: &Client, admission: &Admission, destination: Destination) -> Result<Admission, Status> {
    let request = RecordLeaveRequest {
        request_id: request_id(),
        admission_id: admission.admission_id.clone(),
        destination: destination.into(),
    };
    who.beds().record_leave(who.request(request)).await.map(tonic::Response::into_inner)
}

async fn survey(who: &Client) -> anyhow::Result<CareRow> {
    let request = who.request(GetCareStatusRequest { as_of: None });
    Ok(who.statistics().get_care_status(request).await?.into_inner().total.unwrap_or_default())
}

#[tokio::test]
async fn a_patient_gets_a_bed_and_the_count_follows_at_each_step() -> Outcome {
    let world = World::private().await?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let coordinator = world.staff("osaka", Role::Coordinator).await?;
    let hospital = world.staff("hospital", Role::Physician).await?;
    let lodging = world.staff("lodging", Role::LodgingOfficer).await?;
    let analyst = world.staff("ministry", Role::Analyst).await?;
    let (hospital_id, lodging_id) = (world.organisation("hospital")?, world.organisation("lodging")?);
    assert_eq!(capacity(&hospital, &hospital_id, Capability::General, 10, 2).await?, 2);
    assert_eq!(capacity(&lodging, &lodging_id, Capability::LodgingRoom, 50, 1).await?, 1);
    let case_id = patient(&clinic, &nurse).await?;
    let case = || async {
        let seen = nurse.registry().get_case(nurse.request(GetCaseRequest { case_id: case_id.clone() })).await?;
        Ok::<_, anyhow::Error>(seen.into_inner())
    };
    let counted = |what: &'static str, holds: fn(&CareRow) -> bool| {
        let analyst = analyst.clone();
        async move { eventually(what, SOON, || async { Ok(holds(&survey(&analyst).await?)) }).await }
    };
    counted("waiting", |row| row.under_care == 1 && row.waiting == 1 && row.secured_beds == 10).await?;

    let admission = ask(&nurse, &case_id, Capability::General).await?;
    assert_eq!(admission.state, i32::from(AdmissionState::Requested));
    let twice = ask(&coordinator, &case_id, Capability::General).await.refused();
    assert_eq!(twice.code(), Code::FailedPrecondition, "one bed is looked for at a time");
    let list = ListAvailabilityRequest { prefecture: 0, capability: Capability::General.into() };
    let ranked = coordinator.beds().list_availability(coordinator.request(list)).await?.into_inner().facilities;
    assert_eq!((ranked[0].facility_id.as_str(), ranked[0].free), (hospital_id.as_str(), 2));
    let wrong = offer(&coordinator, &admission, &lodging_id).await.refused();
    assert_eq!(wrong.code(), Code::InvalidArgument, "a hotel has no hospital beds");
    let offered = offer(&coordinator, &admission, &hospital_id).await?;
    assert!(offered.held_until.is_some());

    // Before it accepts, the hospital sees codes and no person.
    let get = GetAdmissionRequest { admission_id: admission.admission_id.clone() };
    let seen = hospital.beds().get_admission(hospital.request(get.clone())).await?.into_inner();
    assert!(seen.facts.as_ref().is_some_and(|facts| facts.age_band != 0));
    let hidden = hospital.registry().get_case(hospital.request(GetCaseRequest { case_id: case_id.clone() })).await;
    assert_eq!(hidden.refused().code(), Code::NotFound);
    let north = world.staff("hospital-north", Role::Physician).await?;
    assert_eq!(north.beds().get_admission(north.request(get)).await.refused().code(), Code::NotFound);
    assert_eq!(accept(&north, &admission).await.refused().code(), Code::NotFound);

    accept(&hospital, &admission).await?;
    eventually("the hospital sees who comes", SOON, || async {
        let seen = hospital.registry().get_case(hospital.request(GetCaseRequest { case_id: case_id.clone() })).await;
        Ok(seen.is_ok_and(|case| case.into_inner().person.is_some_and(|person| !person.name_kanji.is_empty())))
    })
    .await?;
    arrive(&hospital, &admission).await?;
    counted("inpatient", |row| row.inpatients == 1 && row.waiting == 0).await?;
    let placed = case().await?;
    assert_eq!(placed.placement, i32::from(Placement::Hospital));
    assert_eq!(placed.stays.last().map(|stay| stay.facility_id.clone()), Some(hospital_id.clone()));

    let severe = RecordSeverityRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        state: Some(ClinicalState {
            on: "2020-06-03".to_owned(),
            severity: Severity::Severe.into(),
            icu: true,
            ventilator: true,
            ecmo: false,
        }),
        ..RecordSeverityRequest::default()
    };
    hospital.registry().record_severity(hospital.request(severe.clone())).await?;
    counted("severe", |row| row.severe == 1 && row.icu == 1 && row.ventilator == 1 && row.ecmo == 0).await?;
    let contradiction = RecordSeverityRequest {
        request_id: request_id(),
        state: severe.state.map(|state| ClinicalState { severity: Severity::Mild.into(), ..state }),
        ..severe
    };
    let refused = hospital.registry().record_severity(hospital.request(contradiction)).await.refused();
    assert_eq!(refused.code(), Code::FailedPrecondition);

    // To lodging: the arrival there frees the bed here.
    let moving = ask(&nurse, &case_id, Capability::LodgingRoom).await?;
    offer(&nurse, &moving, &lodging_id).await?;
    accept(&lodging, &moving).await?;
    arrive(&lodging, &moving).await?;
    counted("lodging", |row| row.lodging == 1 && row.inpatients == 0).await?;
    let list = ListAvailabilityRequest { prefecture: 27, capability: Capability::General.into() };
    let ranked = coordinator.beds().list_availability(coordinator.request(list)).await?.into_inner().facilities;
    assert_eq!(ranked[0].free, 2);
    leave(&lodging, &moving, Destination::Home).await?;
    counted("home", |row| row.home == 1 && row.lodging == 0).await?;
    eventually("lodging sees its residents only", SOON, || async {
        let seen = lodging.registry().get_case(lodging.request(GetCaseRequest { case_id: case_id.clone() })).await;
        Ok(seen.is_err())
    })
    .await?;
    // Handed over to Tokyo, the patient is Tokyo's to care for, and stays counted where the notification was received.
    let minato = world.staff("minato-centre", Role::Nurse).await?;
    let offer = OfferTransferRequest {
        request_id: request_id(),
        case_id: case_id.clone(),
        etag: String::new(),
        to_centre_id: world.organisation("minato-centre")?,
        reason: "転居".to_owned(),
    };
    nurse.registry().offer_transfer(nurse.request(offer)).await?;
    let yes = AcceptTransferRequest { request_id: request_id(), case_id: case_id.clone(), etag: String::new() };
    minato.registry().accept_transfer(minato.request(yes)).await?;
    eventually("the row of the survey moves", SOON, || async {
        let osaka = survey(&coordinator).await?;
        let request = analyst.request(GetCareStatusRequest { as_of: None });
        let rows = analyst.statistics().get_care_status(request).await?.into_inner().prefectures;
        let tokyo = rows.iter().find(|row| row.prefecture == 13).map_or(0, |row| row.home);
        Ok(osaka.home == 0 && tokyo == 1)
    })
    .await?;
    let summary = coordinator.request(GetSummaryRequest { as_of: None });
    let summary = coordinator.statistics().get_summary(summary).await?.into_inner();
    assert_eq!(summary.nation.map(|row| row.positive), Some(1));
    // The hospital goes on writing about the stay it had.
    let relations = case().await?.grants;
    let treating =
        |g: &&proto::registry::Grant| g.relation == i32::from(Relation::TreatingInstitution) && g.to.is_none();
    assert_eq!(relations.iter().filter(treating).count(), 1);
    Ok(())
}

#[tokio::test]
async fn a_declined_patient_is_offered_elsewhere_and_an_offer_runs_out() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let north = world.staff("hospital-north", Role::Physician).await?;
    let north_id = world.organisation("hospital-north")?;
    capacity(&north, &north_id, Capability::Ecmo, 1, 1).await?;
    // Before any result is known.
    let first = register(&clinic, person()).await?.case_id;
    let second = register(&clinic, person()).await?.case_id;
    let (first, second) = (ask(&nurse, &first, Capability::Ecmo).await?, ask(&nurse, &second, Capability::Ecmo).await?);
    offer(&nurse, &first, &north_id).await?;
    let full = offer(&nurse, &second, &north_id).await.refused();
    assert_eq!(full.code(), Code::FailedPrecondition, "the only one is held");
    let no = DeclineAdmissionRequest {
        request_id: request_id(),
        admission_id: first.admission_id.clone(),
        reason: "体外循環の技士が不在".to_owned(),
    };
    let declined = north.beds().decline_admission(north.request(no)).await?.into_inner();
    assert_eq!(declined.state, i32::from(AdmissionState::Requested));
    let seen = GetAdmissionRequest { admission_id: first.admission_id.clone() };
    let seen = nurse.beds().get_admission(nurse.request(seen)).await?.into_inner();
    assert!(seen.refusals[0].reason.contains("技士"));
    offer(&nurse, &second, &north_id).await?;

    // The hold runs out: as if an hour had passed.
    let mut sql = world.sql("beds").await?;
    sqlx::query("update admission set held_until = now() - interval '1 second' where admission_id = $1::uuid")
        .bind(&second.admission_id)
        .execute(&mut sql)
        .await?;
    sqlx::query("update stay set during = tstzrange(lower(during), now()) where admission_id = $1::uuid and upper(during) > now()")
        .bind(&second.admission_id)
        .execute(&mut sql)
        .await?;
    assert_eq!(accept(&north, &second).await.refused().code(), Code::FailedPrecondition);
    let request = north.request(ListAdmissionsRequest { page_size: 200, ..Default::default() });
    let mine = north.beds().list_admissions(request).await?.into_inner();
    assert!(mine.admissions.iter().all(|a| a.admission_id != second.admission_id));
    offer(&nurse, &first, &north_id).await?;
    accept(&north, &first).await?;
    // The one whose offer ran out is a request again, is listed as one, and can be called off although its bed is another's.
    let request = nurse.request(ListAdmissionsRequest {
        page_size: 200,
        state: AdmissionState::Requested.into(),
        ..Default::default()
    });
    let waiting = nurse.beds().list_admissions(request).await?.into_inner().admissions;
    assert!(waiting.iter().any(|a| a.admission_id == second.admission_id));
    let cancel = CancelAdmissionRequest { request_id: request_id(), admission_id: second.admission_id.clone() };
    let cancelled = nurse.beds().cancel_admission(nurse.request(cancel)).await?.into_inner();
    assert_eq!(cancelled.state, i32::from(AdmissionState::Cancelled));
    ask(&nurse, &second.case_id, Capability::General).await?;
    Ok(())
}

#[tokio::test]
async fn fewer_ready_beds_take_nobody_in_before_enough_have_left() -> Outcome {
    let world = World::shared()?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let north = world.staff("hospital-north", Role::Physician).await?;
    let north_id = world.organisation("hospital-north")?;
    capacity(&north, &north_id, Capability::Ventilator, 3, 3).await?;
    let mut lying = Vec::new();
    for _ in 0..3 {
        let case_id = register(&clinic, person()).await?.case_id;
        let admission = ask(&nurse, &case_id, Capability::Ventilator).await?;
        offer(&nurse, &admission, &north_id).await?;
        accept(&north, &admission).await?;
        arrive(&north, &admission).await?;
        lying.push(admission);
    }
    assert_eq!(capacity(&north, &north_id, Capability::Ventilator, 3, 2).await?, 0);
    leave(&north, &lying[0], Destination::Home).await?;
    let case_id = register(&clinic, person()).await?.case_id;
    let next = ask(&nurse, &case_id, Capability::Ventilator).await?;
    let full = offer(&nurse, &next, &north_id).await.refused();
    assert_eq!(full.code(), Code::FailedPrecondition, "two lie there, and two are ready");
    leave(&north, &lying[1], Destination::Home).await?;
    offer(&nurse, &next, &north_id).await?;
    Ok(())
}

#[tokio::test]
async fn a_thousand_claims_at_once_give_each_bed_to_one() -> Outcome {
    const BEDS: i32 = 40;
    const CLAIMS: usize = 1_000;
    let world = World::private().await?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let hospital = world.staff("hospital", Role::Physician).await?;
    let hospital_id = world.organisation("hospital")?;
    capacity(&hospital, &hospital_id, Capability::General, BEDS, BEDS).await?;
    let admissions: Vec<Admission> = stream::iter(0..CLAIMS)
        .map(|_| async {
            let case_id = register(&clinic, person()).await?.case_id;
            let request =
                RequestAdmissionRequest { request_id: request_id(), case_id, capability: Capability::General.into() };
            patiently(|| {
                let (mut beds, request) = (nurse.beds(), nurse.request(request.clone()));
                async move { beds.request_admission(request).await }
            })
            .await
        })
        .buffer_unordered(32)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;
    // All at once.
    let claims: Vec<Result<Admission, Status>> = stream::iter(&admissions)
        .map(|admission| offer(&nurse, admission, &hospital_id))
        .buffer_unordered(CLAIMS)
        .collect()
        .await;
    let won: Vec<i32> = claims.iter().filter_map(|claim| claim.as_ref().ok()).map(|a| a.bed_number).collect();
    let mut distinct = won.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(won.len(), usize::try_from(BEDS)?, "every bed was given");
    assert_eq!(distinct.len(), won.len(), "none twice");
    assert!(claims.iter().filter_map(|claim| claim.as_ref().err()).all(|e| e.code() == Code::FailedPrecondition));

    // What holds when the queue at the capacity row is gone too: the constraint. And the control: without it, nothing.
    let mut sql = world.sql("beds").await?;
    let double = "insert into stay (stay_id, admission_id, bed_id, during)
                  select gen_random_uuid(), admission_id, bed_id, during from stay limit 1";
    let refused = sqlx::query(double).execute(&mut sql).await.err();
    let constraint = refused.as_ref().and_then(|e| e.as_database_error()?.constraint());
    assert_eq!(constraint, Some("stay_no_overlap"));
    sqlx::query("alter table stay drop constraint stay_no_overlap").execute(&mut sql).await?;
    assert_eq!(sqlx::query(double).execute(&mut sql).await?.rows_affected(), 1);
    Ok(())
}
