//! ① Registration at the test, with the access ID; ② results, the notification, its receipt and the inbox.

use proto::{
    beds::{Capability, ReportCapacityRequest},
    notification::{
        AcknowledgeNotificationRequest, Diagnosis, FileNotificationRequest, Findings, Form, ListInboxRequest,
        Notification, Purpose, Subject,
    },
    registry::{
        AdmissionNecessity, CaseRole, DiagnosisClass, GetCaseRequest, JudgeAdmissionRequest, Person, RecordTestRequest,
        ReferCaseRequest, RegisterCaseRequest, Sex, Specimen, Test, TestMethod, TestResult,
    },
};
use uuid::Uuid;

use super::{
    Cases, Patient,
    stage::{Stage, Who, request_id},
};
use crate::Client;

/// Plays the first two steps.
pub(crate) async fn play(stage: &mut Stage) -> anyhow::Result<Cases> {
    stage.act("はじめに：病床と居室の届出", "Before it begins: beds and rooms are declared")?;
    capacity(stage).await?;
    stage.counts(|_, _| true).await?;

    stage.act("① 相談・受診と検査時の登録", "① Consultation, visit, registration at the test")?;
    let negative = consultation(stage).await?;
    let home = at_the_clinic(stage).await?;
    let lodging = by_telephone(stage).await?;
    let hospital =
        registered(stage, "clinic-physician", person("重田 剛", "シゲタ ツヨシ", "S22.3.3", Sex::Male), "").await?;

    stage.act("② 検査結果と発生届", "② Results and the notification")?;
    negative_result(stage, &negative).await?;
    stage.counts(|_, change| change.tested >= 1).await?;
    positive_result(stage, &home).await?;
    let nurse = stage.who("osaka-nurse")?;
    for patient in [&lodging, &hospital] {
        let (who, behalf) = if patient.case_id == lodging.case_id {
            ("osaka-nurse", stage.organisation("clinic-fax")?)
        } else {
            ("clinic-physician", String::new())
        };
        let filer = stage.who(who)?;
        file(&filer, patient, behalf).await?;
        until_notified(&nurse, patient).await?;
    }
    stage.tell(
        Who::Centre,
        "天満医院の患者の届出を代行入力し、重田さんの届出も受理しました。",
        "entered the other clinic's notification on its behalf, and has the third one too.",
    )?;
    stage.counts(|_, change| change.positive >= 3).await?;
    contact(stage, &home).await?;
    Ok(Cases { home, lodging, hospital })
}

async fn capacity(stage: &Stage) -> anyhow::Result<()> {
    for (login, organisation, capability, secured, ready) in [
        ("hospital-physician", "hospital", Capability::Icu, 10, 4),
        ("lodging-staff", "lodging", Capability::LodgingRoom, 200, 120),
    ] {
        let facility = stage.who(login)?;
        let request = ReportCapacityRequest {
            request_id: request_id(),
            facility_id: stage.organisation(organisation)?,
            capability: capability.into(),
            secured,
            ready,
        };
        facility.beds().report_capacity(facility.request(request)).await?;
    }
    stage.tell(Who::Hospital, "ICU 確保10床・即応4床を届け出ました。", "declares 10 ICU beds, 4 of them ready.")?;
    stage.tell(Who::LodgingStaff, "居室 確保200室・即応120室を届け出ました。", "declares 200 rooms, 120 of them ready.")
}

/// A person nobody is, with a telephone of its own.
pub(crate) fn person(kanji: &str, kana: &str, birth_date: &str, sex: Sex) -> Person {
    let number = Uuid::now_v7().as_u64_pair().1 % 100_000_000;
    Person {
        name_kanji: kanji.to_owned(),
        name_kana: kana.to_owned(),
        birth_date: birth_date.to_owned(),
        sex: sex.into(),
        address: "大阪市北区中之島1-3-20".to_owned(),
        phone: format!("090{number:08}"),
        municipality_code: "271004".to_owned(),
        ..Person::default()
    }
}

pub(crate) async fn registered(stage: &Stage, login: &str, person: Person, behalf: &str) -> anyhow::Result<Patient> {
    let client = stage.who(login)?;
    let request = RegisterCaseRequest {
        request_id: request_id(),
        person: Some(person.clone()),
        consulted_on: "2020-06-01".to_owned(),
        on_behalf_of_id: behalf.to_owned(),
        ..RegisterCaseRequest::default()
    };
    let made = client.registry().register_case(client.request(request)).await?.into_inner();
    Ok(Patient {
        case_id: made.case_id,
        access_id: made.access_id,
        birth_date: person.birth_date,
        phone: person.phone,
        name: person.name_kanji,
    })
}

async fn consultation(stage: &Stage) -> anyhow::Result<Patient> {
    let patient =
        registered(stage, "consultation", person("相田 直子", "アイダ ナオコ", "S63.5.5", Sex::Female), "").await?;
    let centre = stage.who("consultation")?;
    let request = ReferCaseRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        etag: String::new(),
        institution_id: stage.organisation("clinic")?,
    };
    centre.registry().refer_case(centre.request(request)).await?;
    stage.tell(
        Who::Consultation,
        format_args!("{}さんの電話を受け、なにわ診療所を案内しました。", patient.name),
        format_args!("takes a call from {} and refers to the clinic.", patient.name),
    )?;
    let clinic = stage.who("clinic-physician")?;
    let seen = clinic.registry().get_case(clinic.request(GetCaseRequest { case_id: patient.case_id.clone() })).await?;
    let name = seen.into_inner().person.unwrap_or_default().name_kanji;
    stage.tell(
        Who::Clinic,
        format_args!("紹介された{name}さんが画面に表示されます。入力し直す必要はありません。"),
        format_args!("sees the referred {name} on the screen; nothing is typed twice."),
    )?;
    Ok(patient)
}

async fn at_the_clinic(stage: &Stage) -> anyhow::Result<Patient> {
    let patient =
        registered(stage, "clinic-physician", person("髙﨑 𠮷男", "タカサキ ヨシオ", "S55.1.31", Sex::Male), "")
            .await?;
    stage.tell(
        Who::Clinic,
        format_args!(
            "検査時に氏名・カナ・生年月日・連絡先だけで登録し、スマホ入力ID {} を手渡しました。",
            patient.access_id
        ),
        format_args!("registers with the basic items only and hands over the access ID {}.", patient.access_id),
    )?;
    Ok(patient)
}

async fn by_telephone(stage: &Stage) -> anyhow::Result<Patient> {
    let fax = stage.organisation("clinic-fax")?;
    let who = person("天野 光", "アマノ ヒカル", "H2.2.2", Sex::Female);
    stage.tell(
        Who::FaxClinic,
        "入力権限がないため、保健所へ電話します。",
        "has no rights and telephones the centre.",
    )?;
    let patient = registered(stage, "osaka-nurse", who, &fax).await?;
    stage.tell(
        Who::Centre,
        format_args!("代行入力し、スマホ入力ID {} を本人に伝えました（両者の名が記録に残ります）。", patient.access_id),
        format_args!("enters it and hands the access ID {} to the person; both are on record.", patient.access_id),
    )?;
    Ok(patient)
}

fn test(result: TestResult) -> Test {
    Test {
        method: TestMethod::NucleicAcid.into(),
        specimen: Specimen::Saliva.into(),
        result: result.into(),
        sampled_on: "2020-06-01".to_owned(),
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
    clinic.registry().record_test(clinic.request(request)).await?;
    stage.tell(
        Who::Clinic,
        format_args!("{}さんは陰性。陰性も検査実施数に数えます。", patient.name),
        format_args!("{} is negative, and counts as tested.", patient.name),
    )
}

/// Files the notification of a patient, from the minimum a physician has to know.
pub(crate) async fn file(
    filer: &Client,
    patient: &Patient,
    on_behalf_of_id: String,
) -> anyhow::Result<proto::notification::Receipt> {
    let seen = filer.registry().get_case(filer.request(GetCaseRequest { case_id: patient.case_id.clone() })).await?;
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
                sampled_on: "2020-06-01".to_owned(),
            }],
            diagnosed_on: "2020-06-02".to_owned(),
            onset_on: "2020-05-30".to_owned(),
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
    Ok(filer.notification().file_notification(filer.request(request)).await?.into_inner())
}

async fn until_notified(nurse: &Client, patient: &Patient) -> anyhow::Result<()> {
    let look = || async {
        let request = nurse.request(GetCaseRequest { case_id: patient.case_id.clone() });
        let case = nurse.registry().get_case(request).await?.into_inner();
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
        let inbox = nurse.notification().list_inbox(nurse.request(ListInboxRequest::default())).await?.into_inner();
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
    nurse.notification().acknowledge_notification(nurse.request(acknowledge)).await?;
    until_notified(&nurse, patient).await?;
    let judge = JudgeAdmissionRequest {
        request_id: request_id(),
        case_id: patient.case_id.clone(),
        etag: String::new(),
        necessity: AdmissionNecessity::NotNeeded.into(),
    };
    nurse.registry().judge_admission(nurse.request(judge)).await?;
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
        person: Some(person("髙﨑 光子", "タカサキ ミツコ", "S57.7.7", Sex::Female)),
        role: CaseRole::CloseContact.into(),
        index_case_id: index.case_id.clone(),
        last_contact_on: "2020-06-01".to_owned(),
        ..RegisterCaseRequest::default()
    };
    let made = nurse.registry().register_case(nurse.request(request)).await?.into_inner();
    stage.tell(
        Who::Centre,
        format_args!("同居の髙﨑光子さんを濃厚接触者として登録し、ID {} を伝えました。", made.access_id),
        format_args!("registers the spouse as a close contact, with the access ID {}.", made.access_id),
    )
}
