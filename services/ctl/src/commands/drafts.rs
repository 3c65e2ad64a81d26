//! Drafts of notifications (発生届の下書き).

use std::path::PathBuf;

use clap::Subcommand;
use client::{Client, pages};
use proto::notification::{DiscardDraftRequest, Draft, GetDraftRequest, ListDraftsRequest, SaveDraftRequest};
use uuid::Uuid;

use super::notifications;
use crate::console::{print_json, say, timestamp};

#[derive(Subcommand)]
pub(crate) enum Drafts {
    /// List the drafts of your organisation, newest first.
    List,
    /// Save a form that may be incomplete; tells what it still lacks.
    Save {
        /// The form so far, as the JSON of `hersys.notification.v1.Form`; `-` is standard input.
        form: PathBuf,
        /// The draft that is saved again.
        #[arg(long)]
        draft: Option<Uuid>,
        /// The case registered at the test.
        #[arg(long, default_value = "")]
        case: String,
    },
    /// Print a draft, and what it still lacks.
    Show { draft: Uuid },
    /// Throw a draft away.
    Discard { draft: Uuid },
}

pub(crate) async fn run(client: &Client, command: Drafts) -> anyhow::Result<()> {
    match command {
        Drafts::List => list(client).await,
        Drafts::Save { form, draft, case } => {
            let request = SaveDraftRequest {
                request_id: Uuid::now_v7().to_string(),
                draft_id: draft.map(|draft| draft.to_string()).unwrap_or_default(),
                etag: String::new(),
                form: Some(notifications::form(&form)?),
                case_id: case,
            };
            let draft = client.drafts().save_draft(client.request(request)).await?.into_inner();
            say(format_args!("{}", line(&draft)))?;
            for fault in &draft.faults {
                say(format_args!("  {}: {}", fault.field, fault.ja))?;
            }
            Ok(())
        }
        Drafts::Show { draft } => {
            let request = GetDraftRequest { draft_id: draft.to_string() };
            let draft = client.drafts().get_draft(client.request(request)).await?.into_inner();
            print_json(&draft, "hersys.notification.v1.Draft")
        }
        Drafts::Discard { draft } => {
            let request = DiscardDraftRequest {
                request_id: Uuid::now_v7().to_string(),
                draft_id: draft.to_string(),
                etag: String::new(),
            };
            let gone = client.drafts().discard_draft(client.request(request)).await?.into_inner();
            say(format_args!("{} discarded", gone.draft_id))
        }
    }
}

async fn list(client: &Client) -> anyhow::Result<()> {
    let drafts = pages(async |page_token| {
        let request = ListDraftsRequest { page_size: 100, page_token };
        let page = client.drafts().list_drafts(client.request(request)).await?.into_inner();
        Ok((page.drafts, page.next_page_token))
    })
    .await?;
    for draft in &drafts {
        say(format_args!("{}", line(draft)))?;
    }
    Ok(())
}

fn line(draft: &Draft) -> String {
    let saved = draft.update_time.as_ref().map(timestamp).unwrap_or_default();
    let subject = draft.form.clone().unwrap_or_default().subject.unwrap_or_default();
    format!("{}  {saved}  {}  未記入: {}", draft.draft_id, subject.name_kanji, draft.missing_items.join(","))
}
