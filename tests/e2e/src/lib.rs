//! What the tests stand on: a running mesh, and people who act in it.

mod gateway;
mod prefecture;
mod world;

use std::{collections::HashMap, path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use client::{Client, patiently};
use proto::{
    identity::{IssueUserRequest, IssueUserResponse},
    notification::{Diagnosis, FileNotificationRequest, Findings, Form, Purpose, Receipt, Subject},
    registry::{
        DiagnosisClass, GetCaseRequest, Person, RegisterCaseRequest, RegisterCaseResponse, Sex, Specimen, TestMethod,
        TestResult,
    },
    statistics::{QueryCasesRequest, QueryCasesResponse},
};
use tonic::Status;
use uuid::Uuid;

pub use gateway::Gateway;
pub use prefecture::Prefecture;
pub use world::World;

/// A new person in the city of Osaka, unlike any other.
pub fn person() -> Person {
    let number = Uuid::now_v7().as_u64_pair().1;
    Person {
        name_kanji: format!("髙﨑 {}", kanji(number)),
        name_kana: format!("タカサキ {}", kana(number)),
        birth_date: "1980-01-31".to_owned(),
        sex: Sex::Female.into(),
        address: "大阪市北区".to_owned(),
        phone: format!("090{}", 10_000_000 + number % 90_000_000),
        mail: format!("p{number}@example.jp"),
        municipality_code: "271004".to_owned(),
        stated_age_band: 0,
    }
}

/// A confirmed case of a person, as a clinic would write it.
pub fn form(person: &Person) -> Form {
    Form {
        purpose: Purpose::Notification.into(),
        report_date: "2020-06-01".to_owned(),
        diagnosis_class: DiagnosisClass::Confirmed.into(),
        subject: Some(Subject {
            name_kanji: person.name_kanji.clone(),
            name_kana: person.name_kana.clone(),
            sex: person.sex,
            birth_date: person.birth_date.clone(),
            whereabouts: person.address.clone(),
            whereabouts_code: person.municipality_code.clone(),
            phone: person.phone.clone(),
            mail: person.mail.clone(),
            ..Subject::default()
        }),
        findings: Some(Findings {
            diagnoses: vec![Diagnosis {
                method: TestMethod::NucleicAcid.into(),
                specimen: Specimen::Saliva.into(),
                result: TestResult::Positive.into(),
                sampled_date: "2020-05-31".to_owned(),
                specimen_other: String::new(),
            }],
            onset_date: "2020-05-29".to_owned(),
            ..Findings::default()
        }),
        ..Form::default()
    }
}

/// A request to file a form, under a new request id.
pub fn filing(form: Form) -> FileNotificationRequest {
    FileNotificationRequest { request_id: request_id(), form: Some(form), ..FileNotificationRequest::default() }
}

/// Files a notification.
///
/// # Errors
/// What the gateway answers.
pub async fn file(client: &Client, request: FileNotificationRequest) -> Result<Receipt, Status> {
    client.filing().file_notification(client.request(request)).await.map(tonic::Response::into_inner)
}

/// Registers a person, and returns the case.
///
/// # Errors
/// What the gateway answers.
pub async fn register(client: &Client, person: Person) -> Result<RegisterCaseResponse, Status> {
    let request =
        RegisterCaseRequest { request_id: request_id(), person: Some(person), ..RegisterCaseRequest::default() };
    client.cases().register_case(client.request(request)).await.map(tonic::Response::into_inner)
}

/// Registers a new person, files a positive notification, and waits until the centre knows the case. Returns its id.
///
/// # Errors
/// When a step is refused, or the centre does not get the case in time.
pub async fn patient(clinic: &Client, nurse: &Client) -> anyhow::Result<String> {
    notified(clinic, nurse, &person()).await
}

/// Registers this person, files a positive notification, and waits until the centre knows the case. Returns its id.
///
/// # Errors
/// When a step is refused, or the centre does not get the case in time.
pub async fn notified(clinic: &Client, nurse: &Client, person: &Person) -> anyhow::Result<String> {
    let case_id = register(clinic, person.clone()).await?.case_id;
    file(clinic, FileNotificationRequest { case_id: case_id.clone(), ..filing(form(person)) }).await?;
    eventually("the centre has the notified case", Duration::from_secs(10), || async {
        let request = nurse.request(GetCaseRequest { case_id: case_id.clone() });
        let seen = nurse.cases().get_case(request).await.map(tonic::Response::into_inner);
        Ok(seen.is_ok_and(|case| !case.report_date.is_empty()))
    })
    .await?;
    Ok(case_id)
}

/// Issues an ID for somebody at work.
///
/// # Errors
/// What the gateway answers.
pub async fn issue(admin: &Client, request: IssueUserRequest) -> Result<IssueUserResponse, Status> {
    patiently(|| {
        let (mut users, request) = (admin.users(), admin.request(request.clone()));
        async move { users.issue_user(request).await }
    })
    .await
}

/// A new request id, as its text.
pub fn request_id() -> String {
    Uuid::now_v7().to_string()
}

/// Asks statistics for figures.
///
/// # Errors
/// What the gateway answers.
pub async fn figures(client: &Client, request: QueryCasesRequest) -> Result<QueryCasesResponse, Status> {
    client.statistics().query_cases(client.request(request)).await.map(tonic::Response::into_inner)
}

/// How much of something a test does: `usual` shows a fault within minutes; with `HERSYS_SOAK=1` (`make soak`), `soak`
/// wears the mesh out over hours.
#[expect(clippy::disallowed_methods, reason = "how `make soak` tells a test to take its time")]
pub fn amount<T>(usual: T, soak: T) -> T {
    if std::env::var("HERSYS_SOAK").is_ok_and(|set| set == "1") { soak } else { usual }
}

/// Polls until something holds. If it does not within `patience`, fails with its name, `what`.
///
/// # Errors
/// When it does not hold in time.
pub async fn eventually<F, Fut>(what: &str, patience: Duration, mut holds: F) -> anyhow::Result<()>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<bool>>,
{
    let started = tokio::time::Instant::now();
    loop {
        if holds().await? {
            return Ok(());
        }
        if started.elapsed() > patience {
            bail!("{what}: not within {} s", patience.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Counts by key, for comparing sets with repetitions.
pub fn tally<T: std::hash::Hash + Eq>(items: impl IntoIterator<Item = T>) -> HashMap<T, usize> {
    items.into_iter().fold(HashMap::new(), |mut counts, item| {
        *counts.entry(item).or_default() += 1;
        counts
    })
}

/// A program of ours as `make up` built it.
///
/// # Errors
/// When tests do not run under `hersys-devstack exec`.
pub fn program(name: &str) -> anyhow::Result<std::process::Command> {
    Ok(std::process::Command::new(setting("HERSYS_TEST_BINARIES")?.join(name)))
}

fn kanji(number: u64) -> String {
    const SIGNS: &[char] =
        &['一', '二', '三', '四', '五', '六', '七', '八', '九', '十', '花', '子', '太', '郎', '美', '咲'];
    (0..12).filter_map(|place| SIGNS.get(usize::try_from(number >> (4 * place) & 15).unwrap_or(0))).collect()
}

fn kana(number: u64) -> String {
    const SIGNS: &[char] =
        &['ア', 'イ', 'ウ', 'エ', 'オ', 'カ', 'キ', 'ク', 'ケ', 'コ', 'サ', 'シ', 'ス', 'セ', 'ソ', 'タ'];
    (0..12).filter_map(|place| SIGNS.get(usize::try_from(number >> (4 * place) & 15).unwrap_or(0))).collect()
}

#[expect(clippy::disallowed_methods, reason = "how `hersys-devstack exec` tells a test where the mesh is")]
pub(crate) fn setting(name: &str) -> anyhow::Result<PathBuf> {
    let value =
        std::env::var(name).with_context(|| format!("{name} is not set: run `make test`, or hersys-devstack exec"))?;
    Ok(PathBuf::from(value))
}

/// The status of a refused call. Answers have no `Debug`, because they contain personal data.
pub trait Refused {
    /// The status that the call was refused with.
    ///
    /// # Panics
    /// When the call was answered.
    fn refused(self) -> Status;
}

impl<T> Refused for Result<T, Status> {
    #[expect(clippy::panic, reason = "an assertion of tests")]
    fn refused(self) -> Status {
        match self {
            Ok(_) => panic!("the call was answered, and should have been refused"),
            Err(status) => status,
        }
    }
}
