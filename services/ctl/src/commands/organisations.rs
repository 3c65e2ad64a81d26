//! Organisations.

use std::{fs, path::Path};

use anyhow::Context as _;
use client::{Client, pages, patiently};
use proto::identity::{
    ImportOrganisationsRequest, ImportOutcome, ListOrganisationsRequest, Organisation, OrganisationKind,
};
use uuid::Uuid;

pub use super::csv_import::Imported;
use super::csv_import::parts;
use crate::{console::say, failure::Usage};

pub(crate) async fn print_all(client: &Client, kind: Option<&str>) -> anyhow::Result<()> {
    let kind = match kind {
        Some(name) => OrganisationKind::from_str_name(&format!("ORGANISATION_KIND_{}", name.to_uppercase()))
            .ok_or_else(|| Usage(format!("there is no kind {name}")))?,
        None => OrganisationKind::Unspecified,
    };
    for organisation in list(client, kind).await? {
        say(format_args!("{}  {}", organisation.organisation_id, organisation.name))?;
    }
    Ok(())
}

pub(crate) async fn run_import(client: &Client, file: &Path) -> anyhow::Result<()> {
    let imported = import(client, file, |line| say(format_args!("{line}"))).await?;
    say(format_args!(
        "{} created, {} unchanged, {} refused, {} with a remark",
        imported.created, imported.unchanged, imported.refused, imported.remarked
    ))
}

/// Organisations of a kind; `Unspecified` lists all.
///
/// # Errors
/// When the caller may not see them.
pub async fn list(client: &Client, kind: OrganisationKind) -> anyhow::Result<Vec<Organisation>> {
    let all = pages(async |page_token| {
        let request = ListOrganisationsRequest { page_size: 500, page_token, kind: kind.into() };
        let page = client.organisations().list_organisations(client.request(request)).await?.into_inner();
        Ok((page.organisations, page.next_page_token))
    })
    .await?;
    Ok(all)
}

/// Imports organisations from a CSV file of any length; `tell` gets a line for each row at fault.
///
/// # Errors
/// When the file cannot be read, or the caller may not.
pub async fn import(
    client: &Client,
    file: &Path,
    mut tell: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<Imported> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let mut imported = Imported::default();
    for (part, offset) in parts(&text)? {
        let request = ImportOrganisationsRequest { request_id: Uuid::now_v7().to_string(), csv: part, dry_run: false };
        let answer = patiently(|| {
            let (mut organisations, request) = (client.organisations(), client.request(request.clone()));
            async move { organisations.import_organisations(request).await }
        })
        .await?;
        for row in answer.rows {
            let line = usize::try_from(row.line).unwrap_or(0) + offset;
            match ImportOutcome::try_from(row.outcome).unwrap_or_default() {
                ImportOutcome::Created => imported.created += 1,
                ImportOutcome::Unchanged => imported.unchanged += 1,
                _ => {
                    imported.refused += 1;
                    tell(&format!("line {line}: {}: {}", row.field, row.message))?;
                    continue;
                }
            }
            if !row.message.is_empty() {
                imported.remarked += 1;
            }
        }
    }
    Ok(imported)
}
