//! ③ Hospital, lodging or home; ④ what the hospital enters, what people report, and what happens when they do not.

use anyhow::Context as _;
use proto::{
    beds::{
        AcceptAdmissionRequest, Admission, Capability, ConfirmArrivalRequest, Destination, GetAdmissionRequest,
        ListAvailabilityRequest, OfferBedRequest, RecordLeaveRequest, RequestAdmissionRequest,
    },
    followup::{
        AcknowledgeAlertRequest, AdjustPlanRequest, Answer, CareVisit, ContactChannel, HealthReport,
        ListWorklistRequest, RecordCareVisitRequest, RecordContactAttemptRequest, SubmitReportRequest, Task, TaskKind,
        WarningSign,
    },
    identity::{ListMessagesRequest, SignInPatientRequest, VerifyPatientCodeRequest},
    registry::{ClinicalState, GetCaseRequest, Placement, RecordPlacementRequest, RecordSeverityRequest, Severity},
};
use runtime::{Clock, clock::to_proto};

use super::{
    Cases, Patient,
    stage::{Stage, Who, request_id},
};
use crate::{Client, client::patiently};

/// Plays the third and fourth step.
pub(crate) async fn play(stage: &mut Stage, cases: &Cases) -> anyhow::Result<()> {
    stage.act("③ 入院・宿泊療養・自宅療養の振り分け", "③ Hospital, lodging or home")?;
    at_home(stage, &cases.home).await?;
    let admission = to_hospital(stage, &cases.hospital).await?;
    to_lodging(stage, &cases.lodging).await?;
    stage.counts(|_, change| change.home >= 1 && change.inpatients >= 1 && change.lodging >= 1).await?;

    stage.act("④ 入院中の状態、療養中の健康観察", "④ Condition in hospital, daily health at home and in lodging")?;
    in_hospital(stage, &cases.hospital).await?;
    stage.counts(|_, change| change.severe >= 1).await?;
    by_phone(stage, &cases.home).await?;
    silent(stage, &cases.lodging).await?;
    discharged(stage, &cases.hospital, &admission).await?;
    stage.counts(|_, change| change.inpatients <= -1 && change.severe <= -1).await
}

async fn at_home(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    let nurse = stage.who("osaka-nurse")?;
    let request = RecordPlacementRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        placement: Placement::Home.into(),
        since: "2020-06-02".to_owned(),
        ..RecordPlacementRequest::default()
    };
    nurse.registry().record_placement(nurse.request(request)).await?;
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
    Ok(who.beds().request_admission(who.request(request)).await?.into_inner())
}

async fn offer(who: &Client, admission: &Admission, facility_id: &str) -> anyhow::Result<Admission> {
    let request = OfferBedRequest {
        request_id: request_id(),
        admission_id: admission.admission_id.clone(),
        facility_id: facility_id.to_owned(),
        hold_minutes: 30,
    };
    Ok(who.beds().offer_bed(who.request(request)).await?.into_inner())
}

async fn take_in(facility: &Client, admission: &Admission) -> anyhow::Result<()> {
    let accept = AcceptAdmissionRequest { request_id: request_id(), admission_id: admission.admission_id.clone() };
    facility.beds().accept_admission(facility.request(accept)).await?;
    let arrive = ConfirmArrivalRequest { request_id: request_id(), admission_id: admission.admission_id.clone() };
    facility.beds().confirm_arrival(facility.request(arrive)).await?;
    Ok(())
}

async fn to_hospital(stage: &Stage, patient: &Patient) -> anyhow::Result<Admission> {
    let (nurse, coordinator, hospital) =
        (stage.who("osaka-nurse")?, stage.who("osaka-coordinator")?, stage.who("hospital-physician")?);
    let admission = ask(&nurse, patient, Capability::Icu).await?;
    let list = ListAvailabilityRequest { prefecture: 0, capability: Capability::Icu.into() };
    let ranked = coordinator.beds().list_availability(coordinator.request(list)).await?.into_inner().facilities;
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
    let coded = hospital.beds().get_admission(hospital.request(get)).await?.into_inner();
    let facts = coded.facts.unwrap_or_default();
    let age = proto::registry::AgeBand::try_from(facts.age_band).unwrap_or_default();
    let decade = age.as_str_name().trim_start_matches("AGE_BAND_").trim_end_matches('S').to_owned();
    let get = hospital.request(GetCaseRequest { case_id: patient.case_id.clone() });
    let hidden = hospital.registry().get_case(get).await.is_err();
    anyhow::ensure!(hidden, "the hospital saw a name before it accepted");
    stage.tell(
        Who::Hospital,
        format_args!("受入前に見えるのは「{decade}代」などの区分だけ。氏名は見えません。"),
        format_args!("sees a decade ({decade}s) and other codes, and no name before it accepts."),
    )?;
    take_in(&hospital, &admission).await?;
    let look = || async {
        let request = hospital.request(GetCaseRequest { case_id: patient.case_id.clone() });
        let seen = hospital.registry().get_case(request).await;
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

async fn in_hospital(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    state(stage, patient, "2020-06-04", Severity::Severe, true).await?;
    stage.tell(
        Who::Hospital,
        format_args!("{}さん：重症、ICU、人工呼吸器を入力しました。", patient.name),
        format_args!("{}: severe, in intensive care, on a ventilator.", patient.name),
    )
}

async fn state(stage: &Stage, patient: &Patient, on: &str, severity: Severity, icu: bool) -> anyhow::Result<()> {
    let hospital = stage.who("hospital-physician")?;
    let request = RecordSeverityRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        state: Some(ClinicalState { on: on.to_owned(), severity: severity.into(), icu, ventilator: icu, ecmo: false }),
        ..RecordSeverityRequest::default()
    };
    hospital.registry().record_severity(hospital.request(request)).await?;
    Ok(())
}

async fn discharged(stage: &Stage, patient: &Patient, admission: &Admission) -> anyhow::Result<()> {
    let hospital = stage.who("hospital-physician")?;
    state(stage, patient, "2020-06-14", Severity::Mild, false).await?;
    let leave = RecordLeaveRequest {
        request_id: request_id(),
        admission_id: admission.admission_id.clone(),
        destination: Destination::Discharged.into(),
    };
    hospital.beds().record_leave(hospital.request(leave)).await?;
    stage.tell(
        Who::Hospital,
        format_args!("{}さんは軽快し、退院しました。ベッドはすぐに空きます。", patient.name),
        format_args!("{} is better and leaves; the bed is free at once.", patient.name),
    )
}

/// A patient signs in: access ID, birth date, and the code that comes to the phone.
async fn signed_in(stage: &Stage, patient: &Patient) -> anyhow::Result<Client> {
    let (mut phone, operator) = (stage.nobody(), stage.who("operator")?);
    let look = || async {
        let request =
            SignInPatientRequest { access_id: patient.access_id.clone(), birth_date: patient.birth_date.clone() };
        let challenge = phone.identity().sign_in_patient(request).await?.into_inner().challenge;
        let list = operator.request(ListMessagesRequest { page_size: 200 });
        let messages = operator.identity().list_messages(list).await?.into_inner().messages;
        let mine = messages.into_iter().find(|message| message.destination == patient.phone);
        Ok(mine.map(|message| (challenge, message.text)))
    };
    let ((challenge, text), _) = Stage::until("the code comes to the phone", look).await?;
    let code: String = text.chars().filter(char::is_ascii_digit).take(6).collect();
    let verify = VerifyPatientCodeRequest { challenge, code };
    let tokens = phone.identity().verify_patient_code(verify).await?.into_inner();
    phone.keep(tokens);
    Ok(phone)
}

async fn report(
    phone: &Client,
    patient: &Patient,
    report: HealthReport,
) -> anyhow::Result<proto::followup::SubmitReportResponse> {
    let request = SubmitReportRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        report: Some(report),
        form_version: String::new(),
    };
    Ok(patiently(|| {
        let (mut followup, request) = (phone.followup(), phone.request(request.clone()));
        async move { followup.submit_report(request).await }
    })
    .await?)
}

async fn task_of(client: &Client, patient: &Patient, kind: TaskKind) -> anyhow::Result<Option<Task>> {
    let request = client.request(ListWorklistRequest { page_size: 200, ..ListWorklistRequest::default() });
    let tasks = client.followup().list_worklist(request).await?.into_inner().tasks;
    Ok(tasks.into_iter().find(|task| task.case_id == patient.case_id && task.kind == i32::from(kind)))
}

async fn by_phone(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    let phone = signed_in(stage, patient).await?;
    let well = HealthReport {
        temperature_decicelsius: 372,
        spo2_percent: 97,
        cough: Answer::Yes.into(),
        ..HealthReport::default()
    };
    let sent = report(&phone, patient, well).await?;
    stage.tell(
        Who::Patient,
        format_args!("ID・生年月日・届いた確認コードで入り、37.2℃・97％と報告。「{}」", sent.advice),
        format_args!("signs in with ID, birth date and a code, and reports 37.2 °C, 97 %. “{}”", sent.advice),
    )?;
    let ill = HealthReport {
        temperature_decicelsius: 386,
        spo2_percent: 92,
        breathless: Answer::Yes.into(),
        warning_signs: vec![WarningSign::PurpleLips.into()],
        ..HealthReport::default()
    };
    let sent = report(&phone, patient, ill).await?;
    stage.tell(
        Who::Patient,
        format_args!("唇が紫色、92％と報告。「{}」", sent.advice),
        format_args!("reports purple lips and 92 %. “{}”", sent.advice),
    )?;
    let nurse = stage.who("osaka-nurse")?;
    let look = || async { task_of(&nurse, patient, TaskKind::Alert).await };
    let (task, took) = Stage::until("the alert", look).await?;
    stage.tell(
        Who::Centre,
        format_args!(
            "{} ミリ秒後に警報「{}さん {}」。担当を引き受け、電話します。",
            took.as_millis(),
            task.name_kanji,
            task.phone
        ),
        format_args!(
            "has the alert {} ms later, takes it and calls {} at {}.",
            took.as_millis(),
            task.name_kanji,
            task.phone
        ),
    )?;
    let take = AcknowledgeAlertRequest { request_id: request_id(), alert_id: task.task_id };
    nurse.followup().acknowledge_alert(nurse.request(take)).await?;
    call(&nurse, patient, "受診を手配した。酸素投与後に改善").await?;
    visit(&nurse, patient, "なにわ診療所").await?;
    let better = HealthReport {
        temperature_decicelsius: 366,
        spo2_percent: 98,
        relieved_on: "2020-06-08".to_owned(),
        ..HealthReport::default()
    };
    report(&phone, patient, better).await?;
    stage.tell(Who::Patient, "6月8日に症状が軽快したと報告しました。", "reports that symptoms were relieved on 8 June.")
}

async fn call(client: &Client, patient: &Patient, note: &str) -> anyhow::Result<i32> {
    let request = RecordContactAttemptRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        reached: true,
        note: note.to_owned(),
        channel: ContactChannel::Phone.into(),
    };
    let done = client.followup().record_contact_attempt(client.request(request)).await?;
    Ok(done.into_inner().settled_tasks)
}

async fn visit(client: &Client, patient: &Patient, institution: &str) -> anyhow::Result<()> {
    let visit = CareVisit {
        on: "2020-06-05".to_owned(),
        institution: institution.to_owned(),
        note: "処方".to_owned(),
        emergency_destination: String::new(),
    };
    let request =
        RecordCareVisitRequest { request_id: request_id(), case_id: patient.case_id.clone(), visit: Some(visit) };
    client.followup().record_care_visit(client.request(request)).await?;
    Ok(())
}

async fn silent(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    let officer = stage.who("osaka-lodging")?;
    // The placement has to be known before the prefecture's officer is the one who works.
    let nurse = stage.who("osaka-nurse")?;
    let due = || AdjustPlanRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        next_due_at: Some(to_proto(Clock.now() + time::Duration::seconds(2))),
        times: Vec::new(),
    };
    let look = || async {
        let adjusted = officer.followup().adjust_plan(officer.request(due())).await;
        Ok(adjusted.ok().map(tonic::Response::into_inner))
    };
    let (_, _) = Stage::until("the officer looks after residents", look).await?;
    stage.tell(
        Who::LodgingOfficer,
        format_args!("{}さんと次の報告の時刻を約束しましたが、入力がありません。", patient.name),
        format_args!("agreed with {} when the next report is due; nothing comes.", patient.name),
    )?;
    let look = || async { task_of(&officer, patient, TaskKind::MissedReport).await };
    let (task, took) = Stage::until("the missed report", look).await?;
    anyhow::ensure!(task_of(&nurse, patient, TaskKind::MissedReport).await?.is_some(), "the centre does not see it");
    let settled = call(&officer, patient, "電話に出た。入力を忘れていた。体調に変わりなし").await?;
    visit(&officer, patient, "宿泊施設の往診").await?;
    stage.tell(
        Who::LodgingOfficer,
        format_args!(
            "期限から約{}秒で「{}さん 未入力」が一覧に。電話して記録し（{settled}件解消）、往診も追記しました。",
            took.as_secs().saturating_sub(2).max(1),
            task.name_kanji
        ),
        format_args!(
            "finds {} on the list about {} s after the deadline, calls, records it ({settled} settled) and adds a care visit.",
            task.name_kanji,
            took.as_secs().saturating_sub(2).max(1)
        ),
    )
}
