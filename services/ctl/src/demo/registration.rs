//! Beds are declared; ① registration at the test, with the access ID.

use anyhow::ensure;
use proto::{
    beds::{Capability, ReportCapacityRequest},
    followup::TaskKind,
    registry::{
        CaseRole, Entry, GetCaseRequest, ListContactsRequest, Person, ReferCaseRequest, RegisterCaseRequest, Sex,
    },
};
use uuid::Uuid;

use super::{
    Cases, Patient,
    observation::task_of,
    stage::{Stage, Who, request_id},
};

/// Plays the first step. Returns the cases, and the person whose test will be negative.
pub(crate) async fn play(stage: &mut Stage) -> anyhow::Result<(Cases, Patient)> {
    stage.act("はじめに：病床と居室の届出", "Before it begins: beds and rooms are declared")?;
    capacity(stage).await?;
    stage.counts(|_, _| true).await?;

    stage.act("① 相談・受診と検査時の登録", "① Consultation, visit, registration at the test")?;
    let negative = consultation(stage).await?;
    let home = at_the_clinic(stage).await?;
    let lodging = by_telephone(stage).await?;
    let hospital =
        registered(stage, "clinic-physician", person("重田 剛", "シゲタ ツヨシ", "S22.3.3", Sex::Male), "").await?;
    contact(stage, &lodging).await?;
    Ok((Cases { home, lodging, hospital }, negative))
}

/// A flatmate is a close contact, and is exposed once more: one person, one case, a longer observation.
async fn contact(stage: &Stage, index: &Patient) -> anyhow::Result<()> {
    let nurse = stage.who("osaka-nurse")?;
    let who = person("同居 実", "ドウキョ ミノル", "H1.4.4", Sex::Male);
    let request = |day: &str| RegisterCaseRequest {
        request_id: request_id(),
        person: Some(who.clone()),
        role: CaseRole::CloseContact.into(),
        index_case_id: index.case_id.clone(),
        last_contact_date: day.to_owned(),
        ..RegisterCaseRequest::default()
    };
    let first = nurse.cases().register_case(nurse.request(request("2020-05-30"))).await?.into_inner();
    let again = nurse.cases().register_case(nurse.request(request("2020-06-01"))).await?.into_inner();
    ensure!(first.case_id == again.case_id, "the same person was registered twice");
    let asked = ListContactsRequest { case_id: index.case_id.clone(), ..ListContactsRequest::default() };
    let listed = nurse.exposures().list_contacts(nurse.request(asked)).await?.into_inner().contacts;
    let last = listed.first().map(|contact| contact.last_contact_date.clone()).unwrap_or_default();
    stage.tell(
        Who::Centre,
        format_args!(
            "{}さんの同居者{}さんを濃厚接触者として二度登録しましたが、一人・一症例のままです。健康観察は最後の接触（{last}）から数えます。",
            index.name, who.name_kanji
        ),
        format_args!(
            "registers {}, who lives with {}, as a close contact twice: one person, one case. The observation counts from the last contact, {last}.",
            who.name_kanji, index.name
        ),
    )
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
            etag: String::new(),
            entry: None,
        };
        facility.capacity().report_capacity(facility.request(request)).await?;
    }
    stage.tell(Who::Hospital, "ICU 確保10床・即応4床を届け出ました。", "declares 10 ICU beds, 4 of them ready.")?;
    stage.tell(Who::LodgingStaff, "居室 確保200室・即応120室を届け出ました。", "declares 200 rooms, 120 of them ready.")
}

/// A made-up person with a telephone number of its own.
pub(crate) fn person(kanji: &str, kana: &str, birth_date: &str, sex: Sex) -> Person {
    let number = Uuid::now_v7().as_u64_pair().1 % 90_000_000 + 10_000_000;
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

async fn registered(stage: &Stage, login: &str, person: Person, behalf: &str) -> anyhow::Result<Patient> {
    let client = stage.who(login)?;
    let request = RegisterCaseRequest {
        request_id: request_id(),
        person: Some(person.clone()),
        consultation_date: "2020-06-01".to_owned(),
        entry: Some(Entry { on_behalf_of_id: behalf.to_owned(), ..Entry::default() }),
        ..RegisterCaseRequest::default()
    };
    let made = client.cases().register_case(client.request(request)).await?.into_inner();
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
    centre.referrals().refer_case(centre.request(request)).await?;
    stage.tell(
        Who::Consultation,
        format_args!("{}さんの電話を受け、なにわ診療所を案内しました。", patient.name),
        format_args!("takes a call from {} and refers to the clinic.", patient.name),
    )?;
    let clinic = stage.who("clinic-physician")?;
    let seen = clinic.cases().get_case(clinic.request(GetCaseRequest { case_id: patient.case_id.clone() })).await?;
    let name = seen.into_inner().person.unwrap_or_default().name_kanji;
    stage.tell(
        Who::Clinic,
        format_args!("紹介された{name}さんが画面に表示されます。入力し直す必要はありません。"),
        format_args!("sees the referred {name} on the screen; nothing is typed twice."),
    )?;
    let told = || async { task_of(&clinic, &patient, TaskKind::Referred).await };
    let (_, within) = Stage::until("the clinic is told of the referral", told).await?;
    stage.tell(
        Who::Clinic,
        format_args!("紹介の知らせは、{:.1}秒で作業一覧に届きました。", within.as_secs_f64()),
        format_args!("was told of the referral on its list of tasks within {:.1} s.", within.as_secs_f64()),
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
