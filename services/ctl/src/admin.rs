//! What administrators do: organisations, IDs, contracts.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use proto::identity::{
    Contract, ContractScope, CreateContractRequest, EndContractRequest, ImportOrganisationsRequest, ImportOutcome,
    ImportUsersRequest, IssueUserRequest, IssueUserResponse, ListUsersRequest, ResetUserRequest, Role,
    UnlockUserRequest, User,
};
use uuid::Uuid;

use crate::{Client, client::patiently};

/// Rows sent in one call.
const ROWS: usize = 1_000;

/// How a list was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Rows that made something.
    pub created: usize,
    /// Rows that were there.
    pub unchanged: usize,
    /// Rows at fault.
    pub refused: usize,
    /// Rows taken with a remark.
    pub remarked: usize,
}

/// Loads organisations from a CSV file of any length; tells rows at fault and remarks, one line each.
///
/// # Errors
/// When the file cannot be read, or the caller may not.
pub async fn import_organisations(
    client: &Client,
    file: &Path,
    mut tell: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<Loaded> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let mut loaded = Loaded::default();
    for (part, offset) in parts(&text)? {
        let request = ImportOrganisationsRequest { request_id: Uuid::now_v7().to_string(), csv: part, dry_run: false };
        let answer = patiently(|| {
            let (mut directory, request) = (client.directory(), client.request(request.clone()));
            async move { directory.import_organisations(request).await }
        })
        .await?;
        for row in answer.rows {
            let line = usize::try_from(row.line).unwrap_or(0) + offset;
            match ImportOutcome::try_from(row.outcome).unwrap_or_default() {
                ImportOutcome::Created => loaded.created += 1,
                ImportOutcome::Unchanged => loaded.unchanged += 1,
                _ => {
                    loaded.refused += 1;
                    tell(&format!("line {line}: {}: {}", row.field, row.message))?;
                    continue;
                }
            }
            if !row.message.is_empty() {
                loaded.remarked += 1;
            }
        }
    }
    Ok(loaded)
}

/// A CSV text in parts of at most a thousand rows, each with the header, and how many rows came before.
fn parts(text: &str) -> anyhow::Result<Vec<(String, usize)>> {
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers().context("read the header")?.clone();
    let records = reader.records().collect::<Result<Vec<_>, _>>().context("read the rows")?;
    records
        .chunks(ROWS)
        .enumerate()
        .map(|(index, rows)| {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            writer.write_record(&header)?;
            for row in rows {
                writer.write_record(row)?;
            }
            Ok((String::from_utf8(writer.into_inner().context("write rows")?)?, index * ROWS))
        })
        .collect()
}

/// Issues an ID.
///
/// # Errors
/// When it is refused.
pub async fn issue_user(client: &Client, request: IssueUserRequest) -> anyhow::Result<IssueUserResponse> {
    let request = IssueUserRequest { request_id: Uuid::now_v7().to_string(), ..request };
    Ok(client.identity().issue_user(client.request(request)).await?.into_inner())
}

/// Issues IDs from a CSV file; the secrets go to another CSV file, readable by its owner only, and the slips to a PDF.
///
/// # Errors
/// When a file cannot be read or written, or the caller may not.
pub async fn import_users(
    client: &Client,
    file: &Path,
    secrets: &Path,
    slips: Option<&Path>,
) -> anyhow::Result<Loaded> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let mut loaded = Loaded::default();
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(["line", "login", "initial_secret", "field", "message"])?;
    let parts = parts(&text)?;
    if slips.is_some() && parts.len() > 1 {
        bail!("slips are printed for at most {ROWS} rows at once");
    }
    for (part, offset) in parts {
        let request =
            ImportUsersRequest { request_id: Uuid::now_v7().to_string(), csv: part, with_slips: slips.is_some() };
        let answer = patiently(|| {
            let (mut issuance, request) = (client.issuance(), client.request(request.clone()));
            async move { issuance.import_users(request).await }
        })
        .await?;
        for row in &answer.rows {
            let line = (usize::try_from(row.line).unwrap_or(0) + offset).to_string();
            out.write_record([&line, &row.login, &row.initial_secret, &row.field, &row.message])?;
            if row.outcome == i32::from(ImportOutcome::Created) {
                loaded.created += 1;
            } else {
                loaded.refused += 1;
            }
        }
        if let Some(slips) = slips {
            crate::session::write_secret(slips, &answer.slips_pdf)?;
        }
    }
    crate::session::write_secret(secrets, &out.into_inner().context("write rows")?)?;
    Ok(loaded)
}

/// The IDs of an organisation.
///
/// # Errors
/// When the caller may not see them.
pub async fn users(client: &Client, organisation_id: &str) -> anyhow::Result<Vec<User>> {
    let (mut users, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListUsersRequest { organisation_id: organisation_id.to_owned(), page_size: 200, page_token };
        let page = client.issuance().list_users(client.request(request)).await?.into_inner();
        users.extend(page.users);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(users);
        }
    }
}

/// Starts over for a lost factor.
///
/// # Errors
/// When it is refused.
pub async fn reset_user(client: &Client, user_id: &str, with_slip: bool) -> anyhow::Result<IssueUserResponse> {
    let request = ResetUserRequest { request_id: Uuid::now_v7().to_string(), user_id: user_id.to_owned(), with_slip };
    Ok(client.issuance().reset_user(client.request(request)).await?.into_inner())
}

/// Lifts the hard stop.
///
/// # Errors
/// When it is refused.
pub async fn unlock_user(client: &Client, user_id: &str) -> anyhow::Result<User> {
    let request = UnlockUserRequest { request_id: Uuid::now_v7().to_string(), user_id: user_id.to_owned() };
    Ok(client.issuance().unlock_user(client.request(request)).await?.into_inner())
}

/// Entrusts others.
///
/// # Errors
/// When it is refused.
pub async fn create_contract(
    client: &Client,
    contractor_ids: Vec<String>,
    scopes: Vec<ContractScope>,
    from: String,
    until: String,
) -> anyhow::Result<Contract> {
    let contract = Contract {
        contractor_ids,
        scopes: scopes.into_iter().map(i32::from).collect(),
        from,
        until,
        ..Contract::default()
    };
    let request = CreateContractRequest { request_id: Uuid::now_v7().to_string(), contract: Some(contract) };
    Ok(client.directory().create_contract(client.request(request)).await?.into_inner())
}

/// Ends a contract.
///
/// # Errors
/// When it is refused.
pub async fn end_contract(client: &Client, contract_id: &str) -> anyhow::Result<Contract> {
    let request = EndContractRequest { request_id: Uuid::now_v7().to_string(), contract_id: contract_id.to_owned() };
    Ok(client.directory().end_contract(client.request(request)).await?.into_inner())
}

/// A role by its name, `health centre's lower case`: `nurse`, `lodging_officer`.
///
/// # Errors
/// When there is no such role.
pub fn role(name: &str) -> anyhow::Result<Role> {
    let full = format!("ROLE_{}", name.to_uppercase().replace('-', "_"));
    Role::from_str_name(&full).with_context(|| format!("there is no role {name}"))
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn a_long_list_is_sent_in_parts_with_its_header() {
        let mut text = String::from("\u{feff}a,b\n");
        for number in 0..2_500 {
            text.push_str(&[&number.to_string(), ",\"x\ny\"\n"].concat());
        }
        let parts = parts(&text).unwrap();
        assert_eq!(parts.iter().map(|(_, offset)| *offset).collect::<Vec<_>>(), [0, 1_000, 2_000]);
        assert!(parts.iter().all(|(part, _)| part.starts_with("a,b\n")));
    }
}
