//! ② Results, the notification, its receipt and the inbox.

use client::Client;
use proto::{
    notification::{
        AcknowledgeNotificationRequest, Diagnosis, FileNotificationRequest, Findings, Form, ListInboxRequest,
        Notification, Purpose, Receipt, Subject,
    },
    registry::{
        AdmissionNecessity, CaseRole, DiagnosisClass, GetCaseRequest, JudgeAdmissionRequest, RecordTestRequest,
        RegisterCaseRequest, Sex, Specimen, Test, TestMethod, TestResult,
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
    }
}

async fn negative_result(stage: &Stage, patient: &Patient) -> anyhow::Result<()> {
    let clinic = stage.who("clinic-physician")?;
    let request = RecordTestRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        etag: String::new(),
        test: Some(test(TestResult::Negative)),
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
            }],
            diagnosis_date: "2020-06-02".to_owned(),
            onset_date: "2020-05-30".to_owned(),
            ..Findings::default()
        }),
        ..Form::default()
    };
    let request = FileNotificationRequest {
        request_id: request_id(),
        form: Some(form),
        case_id: patient.case_id.clone(),
        on_behalf_of_id,
    };
    Ok(filer.filing().file_notification(filer.request(request)).await?.into_inner())
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
    let judge = JudgeAdmissionRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        etag: String::new(),
        necessity: AdmissionNecessity::NotNeeded.into(),
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
