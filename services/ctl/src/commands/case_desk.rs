//! Cases as a desk works on them: its list, one that is looked for, one that is watched.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use client::{Client, pages};
use proto::registry::{
    Case, FoundCase, ListCasesRequest, NameAndBirthDate, PatientNumber, Placement, Relation, SearchCasesRequest,
    Severity, WatchCaseRequest, search_cases_request::Key,
};
use runtime::clock;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{
    console::{ask, say},
    failure::Usage,
};

#[derive(Args)]
pub(crate) struct List {
    /// Only what has no outcome yet.
    #[arg(long, conflicts_with = "ended")]
    open: bool,
    /// Only what has one.
    #[arg(long, conflicts_with_all = ["placement", "severity", "organisation"])]
    ended: bool,
    /// Only who is cared for here: `home`, `hospital`, `lodging`, …
    #[arg(long)]
    placement: Option<String>,
    /// Only who is so ill: `mild`, `moderate_i`, `severe`, …
    #[arg(long)]
    severity: Option<String>,
    /// Only this relation of your organisation: `responsible_centre`, `reporter`, …
    #[arg(long)]
    relation: Option<String>,
    /// Only what came to the list at this moment or later (RFC 3339).
    #[arg(long)]
    since: Option<String>,
    /// The list of an organisation that entrusts yours with follow-up (委託).
    #[arg(long = "for")]
    organisation: Option<Uuid>,
}

#[derive(Args)]
pub(crate) struct Find {
    /// By what. It is read from standard input: it stands in no list of processes and in no history.
    #[arg(value_enum)]
    by: By,
    /// The institution whose patient number it is, instead of your own.
    #[arg(long)]
    of: Option<Uuid>,
    /// In the list of an organisation that entrusts yours with follow-up (委託).
    #[arg(long = "for")]
    organisation: Option<Uuid>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// スマホ入力ID.
    AccessId,
    /// 受付番号.
    Receipt,
    /// カルテ番号.
    PatientNumber,
    Phone,
    /// The name in kana, and the birth date in a second line.
    Name,
}

#[derive(Args)]
pub(crate) struct Watch {
    case: Uuid,
    /// Where an earlier watch ended, or the etag of the case as you read it.
    #[arg(long, default_value = "")]
    cursor: String,
}

pub(crate) async fn list(client: &Client, args: List) -> anyhow::Result<()> {
    let since = args.since.map(|text| OffsetDateTime::parse(&text, &Rfc3339)).transpose();
    let request = ListCasesRequest {
        page_size: 100,
        relation: code(args.relation.as_deref(), "RELATION", Relation::from_str_name)?.unwrap_or_default().into(),
        open_only: args.open,
        ended_only: args.ended,
        placement: code(args.placement.as_deref(), "PLACEMENT", Placement::from_str_name)?.unwrap_or_default().into(),
        severity: code(args.severity.as_deref(), "SEVERITY", Severity::from_str_name)?.unwrap_or_default().into(),
        listed_since_time: since.context("must be a moment, such as 2020-06-01T12:00:00Z")?.map(clock::to_proto),
        for_organisation_id: id(args.organisation),
        ..ListCasesRequest::default()
    };
    let cases = pages(async |page_token| {
        let request = client.request(ListCasesRequest { page_token, ..request.clone() });
        let page = client.cases().list_cases(request).await?.into_inner();
        Ok((page.cases, page.next_page_token))
    })
    .await?;
    cases.iter().try_for_each(|case| say(format_args!("{}", line(&header(case)))))
}

pub(crate) async fn find(client: &Client, args: &Find) -> anyhow::Result<()> {
    if args.of.is_some() && args.by != By::PatientNumber {
        return Err(Usage("--of belongs to patient-number".to_owned()).into());
    }
    let key = match args.by {
        By::AccessId => Key::AccessId(ask("access ID")?),
        By::Receipt => Key::ReceiptNumber(ask("receipt number")?),
        By::PatientNumber => {
            Key::PatientNumber(PatientNumber { number: ask("patient number")?, organisation_id: id(args.of) })
        }
        By::Phone => Key::Phone(ask("telephone")?),
        By::Name => Key::Name(NameAndBirthDate { kana: ask("kana")?, birth_date: ask("birth date")? }),
    };
    let request = SearchCasesRequest { key: Some(key), for_organisation_id: id(args.organisation) };
    let found = client.search().search_cases(client.request(request)).await?.into_inner();
    found.cases.iter().try_for_each(|case| say(format_args!("{}", line(case))))?;
    match (found.cases.is_empty(), found.more) {
        (true, _) => say(format_args!("nothing on your list")),
        (_, true) => say(format_args!("…and more")),
        _ => Ok(()),
    }
}

pub(crate) async fn watch(client: &Client, args: Watch) -> anyhow::Result<()> {
    let request = client.request(WatchCaseRequest { case_id: args.case.to_string(), cursor: args.cursor });
    let mut news = client.cases().watch_case(request).await?.into_inner();
    while let Some(told) = news.message().await? {
        // The first one says that the watch is set up.
        if told.cursor.is_empty() {
            continue;
        }
        let parts = told.parts().map(|part| word(part.as_str_name(), "CASE_PART"));
        let parts: Vec<String> = parts.chain(told.section_ids.iter().cloned()).collect();
        say(format_args!("etag {}  {}  cursor {}", told.etag, parts.join(" "), told.cursor))?;
    }
    Ok(())
}

fn id(id: Option<Uuid>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

/// `home` for `PLACEMENT_HOME`.
fn code<T>(given: Option<&str>, prefix: &str, read: impl Fn(&str) -> Option<T>) -> anyhow::Result<Option<T>> {
    let Some(given) = given else { return Ok(None) };
    let name = format!("{prefix}_{}", given.to_uppercase().replace('-', "_"));
    let read = read(&name).ok_or_else(|| Usage(format!("there is no {} called {given:?}", prefix.to_lowercase())))?;
    Ok(Some(read))
}

fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).trim_start_matches('_').to_lowercase()
}

/// A case of a list as a search would show it.
fn header(case: &Case) -> FoundCase {
    let person = case.person.clone().unwrap_or_default();
    FoundCase {
        case_id: case.case_id.clone(),
        name_kanji: person.name_kanji,
        birth_date: person.birth_date,
        report_date: case.report_date.clone(),
        severity: case.severity,
        placement: case.placement,
        outcome: case.outcome,
        ..FoundCase::default()
    }
}

fn line(case: &FoundCase) -> String {
    let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    format!(
        "{}  {}  {}  報告 {}  {}  {}  {}",
        case.case_id,
        or_none(&case.name_kanji),
        or_none(&case.birth_date),
        or_none(&case.report_date),
        word(case.severity().as_str_name(), "SEVERITY"),
        word(case.placement().as_str_name(), "PLACEMENT"),
        word(case.outcome().as_str_name(), "OUTCOME")
    )
}
