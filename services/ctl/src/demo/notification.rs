//! ② Results, the notification, its receipt and the inbox.

use client::Client;
use proto::{
    notification::{
        AcknowledgeNotificationRequest, AmendNotificationRequest, Care, Diagnosis, FileNotificationRequest, Findings,
        Form, GetNotificationRequest, ListInboxRequest, Notification, Purpose, Receipt, SaveDraftRequest, Subject,
        Symptom,
    },
    registry::{
        AdmissionNecessity, Answer, Case, CaseRole, DiagnosisClass, Entry, GetCaseRequest, JudgeAdmissionRequest,
        RecordTestRequest, RegisterCaseRequest, Sex, Specimen, Test, TestMethod, TestResult, UpdateSectionRequest,
    },
};

use super::{
    Cases, Patient, registration,
    stage::{Stage, Who, request_id},
};

/// Plays the second step.
pub(crate) async fn play(stage: &mut Stage, cases: &Cases, negative: &Patient) -> anyhow::Result<()> {
    let Cases { home, lodging, hospital } = cases;
    stage.act("② 検査結果と発生届", "② Results and the notification")?;
    negative_result(stage, negative).await?;
    stage.counts(|_, change| change.tested >= 1).await?;
    positive_result(stage, home).await?;

    let nurse = stage.who("osaka-nurse")?;
    file(&nurse, lodging, stage.organisation("clinic-fax")?).await?;
    until_notified(&nurse, lodging).await?;
    file(&stage.who("clinic-physician")?, hospital, String::new()).await?;
    until_notified(&nurse, hospital).await?;
    stage.tell(
        Who::Centre,
        "天満医院の患者の届出を代行入力し、重田さんの届出も受理しました。",
        "entered the other clinic's notification on its behalf, and has the third one too.",
    )?;
    stage.counts(|_, change| change.positive >= 3).await?;
    contact(stage, home).await
}

fn test(result: TestResult) -> Test {
    Test {
        method: TestMethod::NucleicAcid.into(),
        specimen: Specimen::Saliva.into(),
        result: result.into(),
        sampled_date: "2020-06-01".to_owned(),
        ..Test::default()
    }
}

async fn negative_result(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    let clinic = stage.who("clinic-physician")?;
    let request = RecordTestRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        etag: String::new(),
        test: Some(test(TestResult::Negative)),
        ..RecordTestRequest::default()
    };
    clinic.course().record_test(clinic.request(request)).await?;
    stage.tell(
        Who::Clinic,
        format_args!("{}さんは陰性。陰性も検査実施数に数えます。", patient.name),
        format_args!("{} is negative, and counts as tested.", patient.name),
    )
}

/// Files the notification of a patient, from the minimum a physician has to know.
async fn file(filer: &Client, patient: &Patient, on_behalf_of_id: String) -> anyhow::Result<Receipt> {
    let seen = filer.cases().get_case(filer.request(GetCaseRequest { case_id: patient.case_id.clone() })).await?;
    let person = seen.into_inner().person.unwrap_or_default();
    let form = Form {
        purpose: Purpose::Notification.into(),
        report_date: "2020-06-02".to_owned(),
        diagnosis_class: DiagnosisClass::Confirmed.into(),
        subject: Some(Subject {
            name_kanji: person.name_kanji,
            name_kana: person.name_kana,
            sex: person.sex,
            birth_date: person.birth_date,
            whereabouts: person.address,
            whereabouts_code: person.municipality_code,
            phone: person.phone,
            ..Subject::default()
        }),
        findings: Some(Findings {
            diagnoses: vec![Diagnosis {
                method: TestMethod::NucleicAcid.into(),
                specimen: Specimen::Saliva.into(),
                result: TestResult::Positive.into(),
                sampled_date: "2020-06-01".to_owned(),
                specimen_other: String::new(),
            }],
            diagnosis_date: "2020-06-02".to_owned(),
            onset_date: "2020-05-30".to_owned(),
            ..Findings::default()
        }),
        ..Form::default()
    };
    // Typed in between two patients: the draft waits on the server, and is gone when it is filed.
    let draft = SaveDraftRequest {
        request_id: request_id(),
        form: Some(form.clone()),
        case_id: patient.case_id.clone(),
        ..SaveDraftRequest::default()
    };
    let draft = filer.drafts().save_draft(filer.request(draft)).await?.into_inner();
    let request = FileNotificationRequest {
        request_id: request_id(),
        form: Some(form),
        case_id: patient.case_id.clone(),
        entry: Some(Entry { on_behalf_of_id, ..Entry::default() }),
        confirmed_warnings: Vec::new(),
        draft_id: draft.draft_id,
        draft_etag: draft.etag,
    };
    Ok(filer.filing().file_notification(filer.request(request)).await?.into_inner())
}

/// What was missing is supplied by an amendment, and what the clinic cannot know the centre writes and corrects.
async fn supplied(stage: &Stage, patient: &Patient, receipt: &Receipt) -> anyhow::Result<()> {
    let (clinic, nurse) = (stage.who("clinic-physician")?, stage.who("osaka-nurse")?);
    let asked = GetNotificationRequest { notification_id: receipt.notification_id.clone() };
    let seen = clinic.filing().get_notification(clinic.request(asked)).await?.into_inner();
    let mut form = seen.form.unwrap_or_default();
    if let Some(findings) = &mut form.findings {
        findings.symptoms = vec![Symptom::Fever.into(), Symptom::Cough.into()];
        "2020-06-01".clone_into(&mut findings.first_visit_date);
    }
    form.care = Some(Care { severity: proto::notification::Severity::Mild.into(), ..Care::default() });
    let amend = AmendNotificationRequest {
        request_id: request_id(),
        notification_id: receipt.notification_id.clone(),
        etag: String::new(),
        form: Some(form),
        entry: None,
        confirmed_warnings: Vec::new(),
    };
    let amended = clinic.filing().amend_notification(clinic.request(amend)).await?.into_inner();
    stage.tell(
        Who::Clinic,
        format_args!(
            "未記入だった症状・初診日・重症度を補いました（第{}版、控えも新しく届きました）。",
            amended.version
        ),
        format_args!(
            "supplies symptoms, first visit and severity: version {}, with a receipt of its own.",
            amended.version
        ),
    )?;
    let look = || async {
        let request = nurse.request(GetCaseRequest { case_id: patient.case_id.clone() });
        let case = nurse.cases().get_case(request).await?.into_inner();
        Ok(Some(case).filter(|case| case.severity != 0))
    };
    let (case, _): (Case, _) = Stage::until("the case carries the amendment", look).await?;
    let section = UpdateSectionRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        section_id: "source".to_owned(),
        section_etag: "0".to_owned(),
        answers: vec![Answer { item: "infection_link".to_owned(), values: vec!["unknown".to_owned()] }],
        entry: None,
    };
    let after = nurse.sections().update_section(nurse.request(section)).await?.into_inner();
    stage.tell(
        Who::Centre,
        format_args!(
            "症例に重症度がそのまま載りました。感染リンクを記入し、必須項目の未記入は {} 件から {} 件になりました。",
            case.missing_items.len(),
            after.missing_items.len()
        ),
        format_args!(
            "finds the severity on the case, notes the link; required items still empty: {}, before: {}.",
            after.missing_items.len(),
            case.missing_items.len()
        ),
    )
}

async fn until_notified(nurse: &Client, patient: &Patient) -> anyhow::Result<()> {
    let look = || async {
        let request = nurse.request(GetCaseRequest { case_id: patient.case_id.clone() });
        let case = nurse.cases().get_case(request).await?.into_inner();
        Ok(Some(()).filter(|()| !case.report_date.is_empty()))
    };
    Stage::until("the case carries the notification", look).await.map(|_| ())
}

async fn positive_result(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    let clinic = stage.who("clinic-physician")?;
    let receipt = file(&clinic, patient, String::new()).await?;
    stage.tell(
        Who::Clinic,
        format_args!(
            "{}さんは陽性。発生届を提出し、受付番号 {}（提出先 {}）を受け取りました。",
            patient.name, receipt.number, receipt.receiving_centre_name
        ),
        format_args!(
            "{} is positive: filed, receipt {} of {}.",
            patient.name, receipt.number, receipt.receiving_centre_name
        ),
    )?;
    let nurse = stage.who("osaka-nurse")?;
    let look = || async {
        let inbox = nurse.inbox().list_inbox(nurse.request(ListInboxRequest::default())).await?.into_inner();
        Ok(inbox.notifications.into_iter().find(|n| n.notification_id == receipt.notification_id))
    };
    let (arrived, took): (Notification, _) = Stage::until("the inbox", look).await?;
    stage.tell(
        Who::Centre,
        format_args!("{} ミリ秒後に受信箱に届きました。内容を確認して受理します。", took.as_millis()),
        format_args!("has it in the inbox {} ms later, checks it and acknowledges.", took.as_millis()),
    )?;
    let acknowledge = AcknowledgeNotificationRequest {
        request_id: request_id(),
        notification_id: arrived.notification_id,
        etag: arrived.etag,
    };
    nurse.inbox().acknowledge_notification(nurse.request(acknowledge)).await?;
    until_notified(&nurse, patient).await?;
    supplied(stage, patient, &receipt).await?;
    let judge = JudgeAdmissionRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        etag: String::new(),
        necessity: AdmissionNecessity::NotNeeded.into(),
        ..JudgeAdmissionRequest::default()
    };
    nurse.course().judge_admission(nurse.request(judge)).await?;
    stage.tell(
        Who::Centre,
        "入院の要否：否（自宅療養）と判断しました。",
        "judges that no hospital is needed: care at home.",
    )
}

async fn contact(stage: &Stage, index: &Patient) -> anyhow::Result<()> {
    let nurse = stage.who("osaka-nurse")?;
    let request = RegisterCaseRequest {
        request_id: request_id(),
        person: Some(registration::person("髙﨑 光子", "タカサキ ミツコ", "S57.7.7", Sex::Female)),
        role: CaseRole::CloseContact.into(),
        index_case_id: index.case_id.clone(),
        last_contact_date: "2020-06-01".to_owned(),
        ..RegisterCaseRequest::default()
    };
    let made = nurse.cases().register_case(nurse.request(request)).await?.into_inner();
    stage.tell(
        Who::Centre,
        format_args!("同居の髙﨑光子さんを濃厚接触者として登録し、ID {} を伝えました。", made.access_id),
        format_args!("registers the spouse as a close contact, with the access ID {}.", made.access_id),
    )
}
