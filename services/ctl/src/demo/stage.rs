//! Who acts, and how it is told.

use std::{
    collections::HashMap,
    fmt::Display,
    fs,
    io::{self, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use client::{Client, Credentials};
use proto::statistics::{CareRow, GetCareStatusRequest, GetSummaryRequest, SummaryRow};
use serde::Deserialize;
use uuid::Uuid;

/// The language of the play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// 日本語
    Ja,
    /// English
    En,
}

/// How long something may take to become visible.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
struct File {
    demo: DemoFile,
}

#[derive(Deserialize)]
struct DemoFile {
    users: Vec<User>,
    organisations: HashMap<String, String>,
}

#[derive(Deserialize)]
struct User {
    credentials: Credentials,
}

/// The stage: everybody signed in, and the counts as they were shown last.
pub(crate) struct Stage {
    nobody: Client,
    people: HashMap<&'static str, Client>,
    organisations: HashMap<String, String>,
    language: Language,
    shown: HashMap<&'static str, (SummaryRow, CareRow)>,
}

/// Everybody who acts, by log-in.
const CAST: &[&str] = &[
    "consultation",
    "clinic-physician",
    "osaka-nurse",
    "osaka-coordinator",
    "osaka-lodging",
    "lodging-staff",
    "hospital-physician",
    "minato-nurse",
    "analyst",
    "operator",
];

impl Stage {
    /// Signs everybody in with both factors.
    pub(crate) async fn open(nobody: &Client, stack: &Path, language: Language) -> anyhow::Result<Self> {
        let text = fs::read_to_string(stack).with_context(|| format!("read {}: is the stack up?", stack.display()))?;
        let file: File = serde_json::from_str(&text).with_context(|| format!("read {}", stack.display()))?;
        let mut people = HashMap::new();
        for login in CAST {
            let user = file.demo.users.iter().find(|user| user.credentials.login == *login);
            let user = user.with_context(|| format!("there is no demo user {login}"))?;
            let mut client = nobody.clone();
            client.sign_in(&user.credentials).await.with_context(|| format!("sign in as {login}"))?;
            people.insert(*login, client);
        }
        let organisations = file.demo.organisations;
        Ok(Self { nobody: nobody.clone(), people, organisations, language, shown: HashMap::new() })
    }

    /// Somebody of the cast.
    pub(crate) fn who(&self, login: &str) -> anyhow::Result<Client> {
        self.people.get(login).cloned().with_context(|| format!("{login} is not in the play"))
    }

    /// Somebody without a token: a patient before signing in.
    pub(crate) fn nobody(&self) -> Client {
        self.nobody.clone()
    }

    /// An organisation by its short name.
    pub(crate) fn organisation(&self, short: &str) -> anyhow::Result<String> {
        self.organisations.get(short).cloned().with_context(|| format!("there is no {short}"))
    }

    /// Says a line in the language of the play.
    pub(crate) fn say(&self, ja: impl Display, en: impl Display) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        match self.language {
            Language::Ja => writeln!(out, "{ja}")?,
            Language::En => writeln!(out, "{en}")?,
        }
        Ok(())
    }

    /// What somebody sees or does now.
    pub(crate) fn tell(&self, who: Who, ja: impl Display, en: impl Display) -> anyhow::Result<()> {
        let (name_ja, name_en) = who.names();
        self.say(format_args!("  {name_ja}：{ja}"), format_args!("  {name_en}: {en}"))
    }

    /// A new act.
    pub(crate) fn act(&self, ja: &str, en: &str) -> anyhow::Result<()> {
        self.say(format_args!("\n■ {ja}"), format_args!("\n■ {en}"))
    }

    /// Looks until something holds, and says how long that took.
    pub(crate) async fn until<T, F, Fut>(what: &str, mut look: F) -> anyhow::Result<(T, Duration)>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = anyhow::Result<Option<T>>>,
    {
        let started = Instant::now();
        loop {
            if let Some(found) = look().await? {
                return Ok((found, started.elapsed()));
            }
            if started.elapsed() > PATIENCE {
                bail!("{what}: not within {} s", PATIENCE.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    /// Prefecture and ministry look at their figures, once these show what was just done.
    pub(crate) async fn counts(&mut self, holds: impl Fn(Who, &Change) -> bool + Send + Sync) -> anyhow::Result<()> {
        for (login, who) in [("osaka-coordinator", Who::Prefecture), ("analyst", Who::Ministry)] {
            let client = self.who(login)?;
            let before = self.shown.get(login).copied();
            let look = || {
                let (client, before) = (client.clone(), before);
                let holds = &holds;
                async move {
                    let now = figures(&client).await?;
                    let change = Change::between(before.as_ref().unwrap_or(&now), &now);
                    Ok(holds(who, &change).then_some(now))
                }
            };
            let (now, _) = Self::until("the figures follow", look).await?;
            let before = before.unwrap_or(now);
            let line = |names: Names| told(names, &before, &now);
            self.tell(who, line(JA), line(EN))?;
            self.shown.insert(login, now);
        }
        Ok(())
    }
}

/// How figures changed since they were shown last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    pub tested: i64,
    pub positive: i64,
    pub inpatients: i64,
    pub severe: i64,
    pub lodging: i64,
    pub home: i64,
    pub released: i64,
}

impl Change {
    fn between(before: &(SummaryRow, CareRow), now: &(SummaryRow, CareRow)) -> Self {
        Self {
            tested: now.0.tested - before.0.tested,
            positive: now.0.positive - before.0.positive,
            inpatients: now.1.inpatients - before.1.inpatients,
            severe: now.1.severe - before.1.severe,
            lodging: now.1.lodging - before.1.lodging,
            home: now.1.home - before.1.home,
            released: now.0.released - before.0.released,
        }
    }
}

async fn figures(client: &Client) -> anyhow::Result<(SummaryRow, CareRow)> {
    let care = client
        .statistics()
        .get_care_status(client.request(GetCareStatusRequest { as_of_time: None }))
        .await?
        .into_inner();
    // Of the same moment: who is told beside whom must not contradict.
    let same = GetSummaryRequest { as_of_time: care.as_of_time };
    let summary = client.statistics().get_summary(client.request(same)).await?.into_inner();
    Ok((summary.nation.unwrap_or_default(), care.total.unwrap_or_default()))
}

type Names = [&'static str; 9];
const JA: Names = ["検査", "陽性", "療養中", "入院", "重症", "宿泊", "自宅", "調整中", "解除"];
const EN: Names = ["tested", "positive", "under care", "hospital", "severe", "lodging", "home", "waiting", "released"];

fn told(names: Names, before: &(SummaryRow, CareRow), now: &(SummaryRow, CareRow)) -> String {
    let numbers = |of: &(SummaryRow, CareRow)| {
        let (summary, care) = of;
        [
            summary.tested,
            summary.positive,
            care.under_care,
            care.inpatients,
            care.severe,
            care.lodging,
            care.home,
            care.waiting,
            summary.released,
        ]
    };
    let parts = names.iter().zip(numbers(before)).zip(numbers(now)).map(|((name, before), now)| {
        let change = now - before;
        if change == 0 { format!("{name} {now}") } else { format!("{name} {now} ({change:+})") }
    });
    parts.collect::<Vec<_>>().join("  ")
}

/// Who sees or does something.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Consultation,
    Clinic,
    FaxClinic,
    Centre,
    NewCentre,
    Prefecture,
    LodgingOfficer,
    LodgingStaff,
    Hospital,
    Ministry,
    Patient,
}

impl Who {
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Consultation => ("相談センター", "Consultation centre"),
            Self::Clinic => ("なにわ診療所の医師", "Physician of the clinic"),
            Self::FaxClinic => ("天満医院（権限なし）", "Clinic without rights"),
            Self::Centre => ("大阪市保健所の保健師", "Nurse of the health centre"),
            Self::NewCentre => ("みなと保健所の保健師", "Nurse of the new centre"),
            Self::Prefecture => ("大阪府", "Prefecture"),
            Self::LodgingOfficer => ("府の宿泊療養担当", "Prefecture's lodging officer"),
            Self::LodgingStaff => ("宿泊施設の職員", "Staff of the lodging"),
            Self::Hospital => ("入院先の医師", "Physician of the hospital"),
            Self::Ministry => ("厚生労働省（氏名なし）", "Ministry (no names)"),
            Self::Patient => ("本人（スマートフォン）", "The person, on a phone"),
        }
    }
}

/// A new request id.
pub(crate) fn request_id() -> String {
    Uuid::now_v7().to_string()
}
