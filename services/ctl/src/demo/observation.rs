//! ④ What the hospital enters, what people report, and what happens when they do not.

use client::{Client, patiently};
use proto::{
    beds::{Admission, Destination, RecordLeaveRequest},
    followup::{
        AcknowledgeAlertRequest, AdjustPlanRequest, Answer, CareVisit, ContactChannel, HealthReport,
        ListWorklistRequest, RecordCareVisitRequest, RecordContactAttemptRequest, SubmitReportRequest,
        SubmitReportResponse, Task, TaskKind, WarningSign,
    },
    identity::{ListMessagesRequest, SignInPatientRequest, VerifyPatientCodeRequest},
    registry::{ClinicalState, RecordSeverityRequest, Severity},
};
use runtime::{Clock, clock::to_proto};

use super::{
    Cases, Patient,
    stage::{Stage, Who, request_id},
};

/// Plays the fourth step.
pub(crate) async fn play(stage: &mut Stage, cases: &Cases, admission: &Admission) -> anyhow::Result<()> {
    stage.act("④ 入院中の状態、療養中の健康観察", "④ Condition in hospital, daily health at home and in lodging")?;
    in_hospital(stage, &cases.hospital).await?;
    stage.counts(|_, change| change.severe >= 1).await?;
    by_phone(stage, &cases.home).await?;
    silent(stage, &cases.lodging).await?;
    discharged(stage, &cases.hospital, admission).await?;
    stage.counts(|_, change| change.inpatients <= -1 && change.severe <= -1).await
}

async fn in_hospital(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    state(stage, patient, "2020-06-04", Severity::Severe, true).await?;
    stage.tell(
        Who::Hospital,
        format_args!("{}さん：重症、ICU、人工呼吸器を入力しました。", patient.name),
        format_args!("{}: severe, in intensive care, on a ventilator.", patient.name),
    )
}

async fn state(stage: &Stage, patient: &Patient, day: &str, severity: Severity, icu: bool) -> anyhow::Result<()> {
    let hospital = stage.who("hospital-physician")?;
    let request = RecordSeverityRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        state: Some(ClinicalState {
            observation_date: day.to_owned(),
            severity: severity.into(),
            icu,
            ventilator: icu,
            ..ClinicalState::default()
        }),
        ..RecordSeverityRequest::default()
    };
    hospital.course().record_severity(hospital.request(request)).await?;
    Ok(())
}

async fn discharged(stage: &Stage, patient: &Patient, admission: &Admission) -> anyhow::Result<()> {
    let hospital = stage.who("hospital-physician")?;
    state(stage, patient, "2020-06-14", Severity::Mild, false).await?;
    let leave = RecordLeaveRequest {
        request_id: request_id(),
        admission_id: admission.admission_id.clone(),
        destination: Destination::Discharged.into(),
        etag: String::new(),
        entry: None,
    };
    hospital.admissions().record_leave(hospital.request(leave)).await?;
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
        let challenge = phone.sign_ins().sign_in_patient(request).await?.into_inner().challenge;
        let list = operator.request(ListMessagesRequest { page_size: 200, page_token: String::new() });
        let messages = operator.messages().list_messages(list).await?.into_inner().messages;
        let mine = messages.into_iter().find(|message| message.destination == patient.phone);
        Ok(mine.map(|message| (challenge, message.text)))
    };
    let ((challenge, text), _) = Stage::until("the code comes to the phone", look).await?;
    let code: String = text.chars().filter(char::is_ascii_digit).take(6).collect();
    let verify = VerifyPatientCodeRequest { challenge, code };
    let tokens = phone.sign_ins().verify_patient_code(verify).await?.into_inner();
    phone.keep(tokens);
    Ok(phone)
}

async fn report(phone: &Client, patient: &Patient, report: HealthReport) -> anyhow::Result<SubmitReportResponse> {
    let request = SubmitReportRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        report: Some(report),
        form_version: String::new(),
    };
    Ok(patiently(|| {
        let (mut reports, request) = (phone.reports(), phone.request(request.clone()));
        async move { reports.submit_report(request).await }
    })
    .await?)
}

pub(super) async fn task_of(client: &Client, patient: &Patient, kind: TaskKind) -> anyhow::Result<Option<Task>> {
    let request = client.request(ListWorklistRequest { page_size: 200, ..ListWorklistRequest::default() });
    let tasks = client.worklist().list_worklist(request).await?.into_inner().tasks;
    Ok(tasks.into_iter().find(|task| task.case_id == patient.case_id && task.kind == i32::from(kind)))
}

async fn by_phone(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    let phone = signed_in(stage, patient).await?;
    let well = HealthReport {
        temperature_decicelsius: Some(372),
        spo2_percent: Some(97),
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
        temperature_decicelsius: Some(386),
        spo2_percent: Some(92),
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
    let take = AcknowledgeAlertRequest { request_id: request_id(), alert_id: task.task_id, etag: String::new() };
    nurse.alerts().acknowledge_alert(nurse.request(take)).await?;
    call(&nurse, patient, "受診を手配した。酸素投与後に改善").await?;
    visit(&nurse, patient, "なにわ診療所").await?;
    let better = HealthReport {
        temperature_decicelsius: Some(366),
        spo2_percent: Some(98),
        relief_date: "2020-06-08".to_owned(),
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
    let done = client.contacts().record_contact_attempt(client.request(request)).await?;
    Ok(done.into_inner().settled_tasks)
}

async fn visit(client: &Client, patient: &Patient, institution: &str) -> anyhow::Result<()> {
    let visit = CareVisit {
        visit_date: "2020-06-05".to_owned(),
        institution: institution.to_owned(),
        note: "処方".to_owned(),
        emergency_destination: String::new(),
    };
    let request =
        RecordCareVisitRequest { request_id: request_id(), case_id: patient.case_id.clone(), visit: Some(visit) };
    client.contacts().record_care_visit(client.request(request)).await?;
    Ok(())
}

async fn silent(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    let officer = stage.who("osaka-lodging")?;
    // The placement has to be known before the prefecture's officer is the one who works.
    let nurse = stage.who("osaka-nurse")?;
    let due = || AdjustPlanRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        next_due_time: Some(to_proto(Clock::system().now() + time::Duration::seconds(2))),
        times_of_day: Vec::new(),
        etag: String::new(),
    };
    let look = || async {
        let adjusted = officer.plans().adjust_plan(officer.request(due())).await;
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
