//! Cases, and the facts that are recorded about them.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use client::{Client, pages};
use proto::registry::{
    Answer, CorrectFactRequest, Exposure, Fact, FactStanding, Filler, GetAccessIdRequest, GetCaseRequest,
    GetItemDefinitionsRequest, JoinCaseRequest, ListContactsRequest, ListFactsRequest, RecordExposureRequest,
    UpdateSectionRequest, WithdrawFactRequest,
};
use uuid::Uuid;

use super::case_desk;
use crate::{
    console::{from_json, print_json, say, timestamp, to_json},
    failure::Usage,
};

#[derive(Subcommand)]
pub(crate) enum Cases {
    /// List the cases of your organisation, newest first: id, name, birth date, report, severity, placement, outcome.
    List(case_desk::List),
    /// Find a case of your organisation by exactly what somebody reads out.
    Find(case_desk::Find),
    /// Tell which parts of a case change, until you stop it.
    Watch(case_desk::Watch),
    /// Print a case as you may see it, as JSON.
    Show { case: Uuid },
    /// Print the access ID (スマホ入力ID) of a case, to tell it to the person again.
    AccessId { case: Uuid },
    /// List the items of a case (別紙3): section, item, ◎, who fills it in.
    Items,
    /// Write the answers of a section, such as `infection_link=yes travel_from=2020-05-01`; what is left out is empty from then on.
    Section { case: Uuid, section: String, answers: Vec<String> },
    /// List the contacts (濃厚接触者) of a case: case, last contact, what they are, and the day their observation counts from.
    Contacts { case: Uuid },
    /// Record that a person was exposed to a case (濃厚接触). The observation lasts from the latest exposure on.
    Exposure {
        /// The person who was exposed.
        case: Uuid,
        /// 最終接触日, such as `2020-05-20` or `R2.5.20`.
        day: String,
        /// The case the person was in contact with.
        #[arg(long)]
        index: Option<Uuid>,
    },
    /// Join a case that was one too many into another one of the same person.
    Join { case: Uuid, into: Uuid },
    /// List what was recorded about a case, oldest first: standing, when, by whom, from where, and what.
    Facts { case: Uuid },
    /// Correct a fact. What was recorded before is kept.
    Correct {
        case: Uuid,
        fact: Uuid,
        /// What is right, as the JSON of `hersys.registry.v1.FactContent`, such as `{"day": {"kind": …, "date": …}}`.
        content: PathBuf,
        #[arg(long)]
        reason: String,
    },
    /// Withdraw a fact that never was one. It is kept.
    WithdrawFact {
        case: Uuid,
        fact: Uuid,
        #[arg(long)]
        reason: String,
    },
}

pub(crate) async fn run(client: &Client, command: Cases) -> anyhow::Result<()> {
    let request_id = Uuid::now_v7().to_string();
    match command {
        Cases::List(args) => case_desk::list(client, args).await,
        Cases::Find(args) => case_desk::find(client, &args).await,
        Cases::Watch(args) => case_desk::watch(client, args).await,
        Cases::Show { case } => {
            let request = client.request(GetCaseRequest { case_id: case.to_string() });
            let case = client.cases().get_case(request).await?.into_inner();
            print_json(&case, "hersys.registry.v1.Case")
        }
        Cases::AccessId { case } => {
            let request = client.request(GetAccessIdRequest { case_id: case.to_string() });
            say(format_args!("{}", client.access_ids().get_access_id(request).await?.into_inner().access_id))
        }
        Cases::Items => items(client).await,
        Cases::Section { case, section, answers } => {
            let request = UpdateSectionRequest {
                request_id,
                case_id: case.to_string(),
                section_id: section,
                section_etag: String::new(),
                answers: read(&answers)?,
                entry: None,
            };
            client.sections().update_section(client.request(request)).await?;
            say(format_args!("written"))
        }
        Cases::Contacts { case } => {
            let contacts = pages(async |page_token| {
                let request = ListContactsRequest { case_id: case.to_string(), page_size: 200, page_token };
                let page = client.exposures().list_contacts(client.request(request)).await?.into_inner();
                Ok((page.contacts, page.next_page_token))
            })
            .await?;
            contacts.iter().try_for_each(|contact| {
                let role = contact.role().as_str_name().trim_start_matches("CASE_ROLE_");
                say(format_args!("{}  {}  {role}", contact.case_id, contact.last_contact_date))
            })
        }
        Cases::Exposure { case, day, index } => {
            let index_case_id = index.map(|index| index.to_string()).unwrap_or_default();
            let request = RecordExposureRequest {
                request_id,
                case_id: case.to_string(),
                etag: String::new(),
                exposure: Some(Exposure { index_case_id, last_contact_date: day }),
                entry: None,
            };
            let contact = client.exposures().record_exposure(client.request(request)).await?.into_inner();
            say(format_args!("observed from {}", contact.last_contact_date))
        }
        Cases::Join { case, into } => {
            let request = JoinCaseRequest {
                request_id,
                case_id: case.to_string(),
                etag: String::new(),
                into_case_id: into.to_string(),
            };
            let joined = client.duplicates().join_case(client.request(request)).await?.into_inner();
            say(format_args!("{}: version {}", joined.case_id, joined.etag))
        }
        Cases::Facts { case } => {
            let facts = pages(async |page_token| {
                let request = ListFactsRequest { case_id: case.to_string(), page_size: 200, page_token };
                let page = client.facts().list_facts(client.request(request)).await?.into_inner();
                Ok((page.facts, page.next_page_token))
            })
            .await?;
            facts.iter().try_for_each(|fact| say(format_args!("{}", line(fact)?)))
        }
        Cases::Correct { case, fact, content, reason } => {
            let text = fs::read_to_string(&content).with_context(|| format!("read {}", content.display()))?;
            let content = from_json(&text, "hersys.registry.v1.FactContent").context("read the content")?;
            let request = CorrectFactRequest {
                request_id,
                case_id: case.to_string(),
                etag: String::new(),
                fact_id: fact.to_string(),
                content: Some(content),
                reason,
            };
            client.facts().correct_fact(client.request(request)).await?;
            say(format_args!("corrected"))
        }
        Cases::WithdrawFact { case, fact, reason } => {
            let request = WithdrawFactRequest {
                request_id,
                case_id: case.to_string(),
                etag: String::new(),
                fact_id: fact.to_string(),
                reason,
            };
            client.facts().withdraw_fact(client.request(request)).await?;
            say(format_args!("withdrawn"))
        }
    }
}

async fn items(client: &Client) -> anyhow::Result<()> {
    let request = client.request(GetItemDefinitionsRequest::default());
    let told = client.sections().get_item_definitions(request).await?.into_inner();
    say(format_args!("{} ({})", told.source, told.effective_date))?;
    for section in &told.sections {
        for item in &section.items {
            let mark = if item.is_required { "◎" } else { "　" };
            let fillers: Vec<&str> = item.fillers().map(filler).collect();
            let place = if item.kept_in.is_empty() { &section.section_id } else { &item.kept_in };
            say(format_args!("{mark} {}  {}  {}  {place}", fillers.join("／"), item.item_id, item.ja))?;
        }
    }
    Ok(())
}

fn filler(filler: Filler) -> &'static str {
    match filler {
        Filler::Centre => "保",
        Filler::Institution => "医",
        Filler::Patient => "患",
        Filler::System | Filler::Unspecified => "－",
    }
}

/// `item=value`, several times where an item has several values.
fn read(given: &[String]) -> anyhow::Result<Vec<Answer>> {
    let mut answers: Vec<Answer> = Vec::new();
    for text in given {
        let (item, value) = text.split_once('=').ok_or_else(|| Usage(format!("{text:?} must be item=value")))?;
        match answers.iter_mut().find(|answer| answer.item == item) {
            Some(answer) => answer.values.push(value.to_owned()),
            None => answers.push(Answer { item: item.to_owned(), values: vec![value.to_owned()] }),
        }
    }
    Ok(answers)
}

fn line(fact: &Fact) -> anyhow::Result<String> {
    let standing = match fact.standing() {
        FactStanding::Stands => "有効",
        FactStanding::Replaced => "訂正済",
        FactStanding::Withdrawn => "取下げ",
        FactStanding::Unspecified => "-",
    };
    let recorded = fact.record_time.as_ref().map(timestamp).unwrap_or_default();
    let content = match &fact.content {
        Some(content) => to_json(content, "hersys.registry.v1.FactContent")?,
        None => "-".to_owned(),
    };
    let source = fact.source().as_str_name().trim_start_matches("FACT_SOURCE_").to_lowercase();
    Ok(format!(
        "{}  {standing}  {recorded}  {}  {source}  {content}  {}",
        fact.fact_id, fact.organisation_id, fact.reason
    ))
}
