//! ③ Hospital, lodging or home.

use anyhow::Context as _;
use client::Client;
use proto::{
    beds::{
        AcceptAdmissionRequest, Admission, Capability, ConfirmArrivalRequest, GetAdmissionRequest,
        ListAvailabilityRequest, OfferBedRequest, RequestAdmissionRequest,
    },
    registry::{AgeBand, GetCaseRequest, Placement, RecordPlacementRequest},
};

use super::{
    Cases, Patient,
    stage::{Stage, Who, request_id},
};

/// Plays the third step. Returns the admission of the patient in hospital.
pub(crate) async fn play(stage: &mut Stage, cases: &Cases) -> anyhow::Result<Admission> {
    stage.act("③ 入院・宿泊療養・自宅療養の振り分け", "③ Hospital, lodging or home")?;
    at_home(stage, &cases.home).await?;
    let admission = to_hospital(stage, &cases.hospital).await?;
    to_lodging(stage, &cases.lodging).await?;
    stage.counts(|_, change| change.home >= 1 && change.inpatients >= 1 && change.lodging >= 1).await?;
    Ok(admission)
}

async fn at_home(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    let nurse = stage.who("osaka-nurse")?;
    let request = RecordPlacementRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        placement: Placement::Home.into(),
        since_date: "2020-06-02".to_owned(),
        ..RecordPlacementRequest::default()
    };
    nurse.course().record_placement(nurse.request(request)).await?;
    stage.tell(
        Who::Centre,
        format_args!("{}さんは自宅療養。健康観察が始まります。", patient.name),
        format_args!("{} stays at home; the daily reports begin.", patient.name),
    )
}

async fn ask(who: &Client, patient: &Patient, capability: Capability) -> anyhow::Result<Admission> {
    let request = RequestAdmissionRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        capability: capability.into(),
    };
    Ok(who.admissions().request_admission(who.request(request)).await?.into_inner())
}

async fn offer(who: &Client, admission: &Admission, facility_id: &str) -> anyhow::Result<Admission> {
    let request = OfferBedRequest {
        request_id: request_id(),
        admission_id: admission.admission_id.clone(),
        facility_id: facility_id.to_owned(),
        hold_minutes: Some(30),
        etag: String::new(),
    };
    Ok(who.admissions().offer_bed(who.request(request)).await?.into_inner())
}

async fn take_in(facility: &Client, admission: &Admission) -> anyhow::Result<()> {
    let accept = AcceptAdmissionRequest {
        request_id: request_id(),
        admission_id: admission.admission_id.clone(),
        etag: String::new(),
        entry: None,
    };
    facility.admissions().accept_admission(facility.request(accept)).await?;
    let arrive = ConfirmArrivalRequest {
        request_id: request_id(),
        admission_id: admission.admission_id.clone(),
        etag: String::new(),
        entry: None,
    };
    facility.admissions().confirm_arrival(facility.request(arrive)).await?;
    Ok(())
}

async fn to_hospital(stage: &Stage, patient: &Patient) -> anyhow::Result<Admission> {
    let (nurse, coordinator, hospital) =
        (stage.who("osaka-nurse")?, stage.who("osaka-coordinator")?, stage.who("hospital-physician")?);
    let admission = ask(&nurse, patient, Capability::Icu).await?;
    let list = ListAvailabilityRequest { capability: Capability::Icu.into(), ..ListAvailabilityRequest::default() };
    let ranked = coordinator.capacity().list_availability(coordinator.request(list)).await?.into_inner().facilities;
    let best = ranked.first().context("no hospital declared a bed")?.clone();
    let held = offer(&coordinator, &admission, &best.facility_id).await?;
    stage.tell(
        Who::Prefecture,
        format_args!(
            "{}（空き{}床）の {} 番のベッドを30分仮押さえしました。",
            best.facility_name, best.free, held.bed_number
        ),
        format_args!(
            "holds bed {} of {} for 30 minutes ({} were free).",
            held.bed_number, best.facility_name, best.free
        ),
    )?;
    let get = GetAdmissionRequest { admission_id: admission.admission_id.clone() };
    let coded = hospital.admissions().get_admission(hospital.request(get)).await?.into_inner();
    let facts = coded.facts.unwrap_or_default();
    let age = AgeBand::try_from(facts.age_band).unwrap_or_default();
    let decade = age.as_str_name().trim_start_matches("AGE_BAND_").trim_end_matches('S').to_owned();
    let get = hospital.request(GetCaseRequest { case_id: patient.case_id.clone() });
    let hidden = hospital.cases().get_case(get).await.is_err();
    anyhow::ensure!(hidden, "the hospital saw a name before it accepted");
    stage.tell(
        Who::Hospital,
        format_args!("受入前に見えるのは「{decade}代」などの区分だけ。氏名は見えません。"),
        format_args!("sees a decade ({decade}s) and other codes, and no name before it accepts."),
    )?;
    take_in(&hospital, &admission).await?;
    let look = || async {
        let request = hospital.request(GetCaseRequest { case_id: patient.case_id.clone() });
        let seen = hospital.cases().get_case(request).await;
        Ok(seen.ok().and_then(|case| case.into_inner().person).map(|person| person.name_kanji))
    };
    let (name, _) = Stage::until("the hospital sees its patient", look).await?;
    stage.tell(
        Who::Hospital,
        format_args!("受け入れを承諾し、{name}さんが到着しました。"),
        format_args!("accepts, and {name} arrives."),
    )?;
    Ok(admission)
}

async fn to_lodging(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    let (nurse, lodging) = (stage.who("osaka-nurse")?, stage.who("lodging-staff")?);
    let admission = ask(&nurse, patient, Capability::LodgingRoom).await?;
    let held = offer(&nurse, &admission, &stage.organisation("lodging")?).await?;
    take_in(&lodging, &admission).await?;
    stage.tell(
        Who::LodgingStaff,
        format_args!("{}さんが {} 号室に入所しました。", patient.name, held.bed_number),
        format_args!("{} moves into room {}.", patient.name, held.bed_number),
    )
}
