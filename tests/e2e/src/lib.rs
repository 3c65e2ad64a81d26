//! What the journeys stand on: a running mesh, and people to act in it.

use std::{
    collections::HashMap,
    fs::{self, File},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail};
use ctl::{
    Client,
    client::{Session, patiently},
};
use devstack::{Options, Stack};
use proto::{
    identity::{IssueUserRequest, Role},
    notification::{Diagnosis, FileNotificationRequest, Findings, Form, Purpose, Receipt, Subject},
    registry::{
        DiagnosisClass, GetCaseRequest, Person, RegisterCaseRequest, RegisterCaseResponse, Sex, Specimen, TestMethod,
        TestResult,
    },
    statistics::{QueryCasesRequest, QueryCasesResponse},
};
use sqlx::{Connection as _, PgConnection};
use tonic::Status;
use uuid::Uuid;

/// A running mesh and the way to its administrator.
pub struct World {
    /// The mesh.
    pub stack: Stack,
    private: bool,
}

impl World {
    /// The mesh all journeys share.
    ///
    /// # Errors
    /// When there is none: tests run under `hersys-devstack exec`.
    pub fn shared() -> anyhow::Result<Self> {
        Ok(Self { stack: Stack::load(&setting("HERSYS_TEST_RUN")?)?, private: false })
    }

    /// A mesh of one's own, to break; stopped and wiped at the end.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn private() -> anyhow::Result<Self> {
        Self::private_with(&[]).await
    }

    /// A mesh of one's own with settings of its own.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn private_with(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        runtime::telemetry::install_crypto();
        let mut environment = vec![
            ("HERSYS_LIMIT_PER_PRINCIPAL".to_owned(), "20000".to_owned()),
            ("HERSYS_LIMIT_PER_ADDRESS".to_owned(), "20000".to_owned()),
            ("HERSYS_LIMIT_ANONYMOUS".to_owned(), "500".to_owned()),
        ];
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let options = Options {
            run: PathBuf::from(format!("/var/tmp/hersys-private-{}", Uuid::now_v7().simple())),
            tools: setting("HERSYS_TEST_TOOLS")?,
            binaries: setting("HERSYS_TEST_BINARIES")?,
            environment,
            port: 0,
            demo: true,
            talk: false,
        };
        Ok(Self { stack: Stack::up_or_down(&options).await?, private: true })
    }

    /// The id of a demo organisation.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn organisation(&self, short: &str) -> anyhow::Result<String> {
        self.stack.demo.organisations.get(short).cloned().with_context(|| format!("there is no {short}"))
    }

    /// The ministry's administrator. The session is shared by all test processes: a one-time code works once.
    ///
    /// # Errors
    /// When signing in fails.
    pub async fn admin(&self) -> anyhow::Result<Client> {
        let lock = File::create(self.stack.run.join("admin.lock"))?;
        lock.lock()?;
        let kept = self.stack.run.join("admin.session");
        let mut client = self.stack.client()?;
        let session: Option<Session> = fs::read(&kept).ok().and_then(|text| serde_json::from_slice(&text).ok());
        match session {
            // Issuing asks for a second factor of the last quarter of an hour.
            Some(session) if runtime::Clock.now().unix_timestamp() - session.authenticated_at < 600 => {
                client = client.with_session(session);
                client.keep_fresh().await?;
            }
            _ => client.sign_in(&self.stack.credentials("admin")?).await?,
        }
        devstack::certs::write_secret(&kept, &serde_json::to_vec(&client.session())?)?;
        Ok(client)
    }

    /// A new person at work in a demo organisation, signed in.
    ///
    /// # Errors
    /// When the ID cannot be issued.
    pub async fn staff(&self, organisation: &str, role: Role) -> anyhow::Result<Client> {
        Ok(self.staff_with_id(organisation, role).await?.0)
    }

    /// A new person at work, and the user's id.
    ///
    /// # Errors
    /// When the ID cannot be issued.
    pub async fn staff_with_id(&self, organisation: &str, role: Role) -> anyhow::Result<(Client, String)> {
        let admin = self.admin().await?;
        let login = format!("t{}", Uuid::now_v7().simple());
        let request = IssueUserRequest {
            request_id: Uuid::now_v7().to_string(),
            organisation_id: self.organisation(organisation)?,
            login: login.clone(),
            role: role.into(),
            ..IssueUserRequest::default()
        };
        let issued = patiently(|| {
            let (mut identity, request) = (admin.identity(), admin.request(request.clone()));
            async move { identity.issue_user(request).await }
        })
        .await?;
        let mut client = self.stack.client()?;
        client.enrol(&login, &issued.initial_secret, &format!("{}-{}", Uuid::now_v7(), Uuid::now_v7())).await?;
        Ok((client, issued.user_id))
    }

    /// A connection past every door, for what no RPC shows.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sql(&self, database: &str) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect_with(&self.stack.postgres.superuser(database)?).await?)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.private {
            // The processes may have been started again since the world was made.
            let stack = Stack::load(&self.stack.run).unwrap_or_else(|_| self.stack.clone());
            let _ = if std::thread::panicking() { stack.down() } else { stack.reset() };
        }
    }
}

/// A person nobody else is.
pub fn person() -> Person {
    let number = Uuid::now_v7().as_u64_pair().1;
    Person {
        name_kanji: format!("髙﨑 {}", kanji(number)),
        name_kana: format!("タカサキ {}", kana(number)),
        birth_date: "1980-01-31".to_owned(),
        sex: Sex::Female.into(),
        address: "大阪市北区".to_owned(),
        phone: format!("090{:08}", number % 100_000_000),
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
                sampled_on: "2020-05-31".to_owned(),
            }],
            onset_on: "2020-05-29".to_owned(),
            ..Findings::default()
        }),
        ..Form::default()
    }
}

/// A request to file a form, under a new request id.
pub fn filing(form: Form) -> FileNotificationRequest {
    FileNotificationRequest {
        request_id: Uuid::now_v7().to_string(),
        form: Some(form),
        ..FileNotificationRequest::default()
    }
}

/// Files.
///
/// # Errors
/// What the gateway answers.
pub async fn file(client: &Client, request: FileNotificationRequest) -> Result<Receipt, Status> {
    client.notification().file_notification(client.request(request)).await.map(tonic::Response::into_inner)
}

/// Registers a person.
///
/// # Errors
/// What the gateway answers.
pub async fn register(client: &Client, person: Person) -> Result<RegisterCaseResponse, Status> {
    let request = RegisterCaseRequest {
        request_id: Uuid::now_v7().to_string(),
        person: Some(person),
        ..RegisterCaseRequest::default()
    };
    client.registry().register_case(client.request(request)).await.map(tonic::Response::into_inner)
}

/// A person registered by the clinic, notified as positive, with the case known to its centre.
///
/// # Errors
/// When a step is refused, or the centre does not get the case in time.
pub async fn patient(clinic: &Client, nurse: &Client) -> anyhow::Result<String> {
    let somebody = person();
    let case_id = register(clinic, somebody.clone()).await?.case_id;
    file(clinic, FileNotificationRequest { case_id: case_id.clone(), ..filing(form(&somebody)) }).await?;
    eventually("the centre has the notified case", Duration::from_secs(10), || async {
        let request = nurse.request(GetCaseRequest { case_id: case_id.clone() });
        let seen = nurse.registry().get_case(request).await.map(tonic::Response::into_inner);
        Ok(seen.is_ok_and(|case| !case.report_date.is_empty()))
    })
    .await?;
    Ok(case_id)
}

/// A new request id.
pub fn request_id() -> String {
    Uuid::now_v7().to_string()
}

/// Asks for figures.
///
/// # Errors
/// What the gateway answers.
pub async fn figures(client: &Client, request: QueryCasesRequest) -> Result<QueryCasesResponse, Status> {
    client.statistics().query_cases(client.request(request)).await.map(tonic::Response::into_inner)
}

/// Looks until something holds, and fails by its name when it does not within `patience`.
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
fn setting(name: &str) -> anyhow::Result<PathBuf> {
    let value =
        std::env::var(name).with_context(|| format!("{name} is not set: run `make test`, or hersys-devstack exec"))?;
    Ok(PathBuf::from(value))
}

/// What a refused call answered. Answers have no `Debug`, because they hold persons.
pub trait Refused {
    /// The status of a refusal.
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
