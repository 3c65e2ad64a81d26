//! IDs of people at work.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use client::{Client, pages, patiently};
use prost_types::FieldMask;
use proto::{
    identity::{
        DisableUserRequest, ImportOutcome, ImportUsersRequest, IssueUserRequest, IssueUserResponse, ListUsersRequest,
        ResetUserRequest, Role, UnlockUserRequest, UpdateUserRequest, User, UserState,
    },
    options::Group,
};
use uuid::Uuid;

pub use super::csv_import::Imported;
use super::csv_import::{ROWS, parts};
use crate::{console::say, failure::Usage, secret_file};

#[derive(Subcommand)]
pub(crate) enum Users {
    /// List the IDs of an organisation, with who issued each.
    List {
        /// The organisation; default: your own.
        #[arg(default_value = "")]
        organisation: String,
    },
    /// Issue an ID; prints the initial secret, or writes the slip.
    Issue {
        /// Where the person works.
        organisation: Uuid,
        login: String,
        /// What the person does: nurse, physician, clerk, …
        role: String,
        /// Whose ID it is.
        #[arg(long, default_value = "")]
        holder: String,
        /// Send the secret to this mail address.
        #[arg(long, default_value = "")]
        mail: String,
        /// Write the slip (PDF) to this file instead of printing the secret.
        #[arg(long)]
        slip: Option<PathBuf>,
    },
    /// Issue IDs from a CSV file: login, `organisation_id`, role, `holder_name`, mail.
    Import {
        file: PathBuf,
        /// Where the secrets go (CSV, readable by its owner only).
        #[arg(long)]
        secrets: PathBuf,
        /// Where the slips go (PDF).
        #[arg(long)]
        slips: Option<PathBuf>,
    },
    /// Change role or field groups (閲覧範囲); what is not named stays as it is.
    Update {
        user: Uuid,
        /// The new role.
        #[arg(long)]
        role: Option<String>,
        /// The field groups the ID does not see: identity, contact, clinical, …; replaces those hidden until now.
        #[arg(long, value_delimiter = ',', conflicts_with = "hide_nothing")]
        hide: Option<Vec<String>>,
        /// Hide no field group any more.
        #[arg(long)]
        hide_nothing: bool,
    },
    /// Start over for a lost factor; prints the new initial secret, or writes the slip.
    Reset {
        user: Uuid,
        /// Write the slip (PDF) to this file instead of printing the secret.
        #[arg(long)]
        slip: Option<PathBuf>,
    },
    /// Lift the stop after too many wrong guesses.
    Unlock { user: Uuid },
    /// Disable an ID for good.
    Disable { user: Uuid },
}

pub(crate) async fn run(client: &Client, command: Users) -> anyhow::Result<()> {
    match command {
        Users::List { organisation } => print_all(client, &organisation).await,
        Users::Issue { organisation, login, role: name, holder, mail, slip } => {
            let request = IssueUserRequest {
                organisation_id: organisation.to_string(),
                login,
                role: role(&name)?.into(),
                holder_name: holder,
                mail,
                with_slip: slip.is_some(),
                ..IssueUserRequest::default()
            };
            hand_over(&issue(client, request).await?, slip.as_deref())
        }
        Users::Import { file, secrets, slips } => {
            let imported = import(client, &file, &secrets, slips.as_deref()).await?;
            say(format_args!("{} issued, {} refused; see {}", imported.created, imported.refused, secrets.display()))
        }
        Users::Update { user, role: name, hide, hide_nothing } => {
            let role = name.as_deref().map(role).transpose()?;
            let hide = hide.or_else(|| hide_nothing.then(Vec::new));
            let groups =
                hide.map(|names| names.iter().map(|name| group(name)).collect::<Result<_, _>>()).transpose()?;
            update(client, &user.to_string(), role, groups).await?;
            say(format_args!("{user} changed; its sessions have ended"))
        }
        Users::Reset { user, slip } => {
            hand_over(&reset(client, &user.to_string(), slip.is_some()).await?, slip.as_deref())
        }
        Users::Unlock { user } => {
            unlock(client, &user.to_string()).await?;
            say(format_args!("{user} unlocked"))
        }
        Users::Disable { user } => {
            disable(client, &user.to_string()).await?;
            say(format_args!("{user} disabled"))
        }
    }
}

async fn print_all(client: &Client, organisation: &str) -> anyhow::Result<()> {
    for user in list(client, organisation).await? {
        let role = Role::try_from(user.role).unwrap_or_default().as_str_name().trim_start_matches("ROLE_");
        let state = UserState::try_from(user.state).unwrap_or_default().as_str_name();
        let state = state.trim_start_matches("USER_STATE_");
        say(format_args!("{}  {}  {role}  {state}  {}", user.user_id, user.login, user.issuer_id))?;
    }
    Ok(())
}

fn hand_over(issued: &IssueUserResponse, slip: Option<&Path>) -> anyhow::Result<()> {
    match slip {
        Some(slip) => {
            secret_file::write(slip, &issued.slip_pdf)?;
            say(format_args!("{} issued, slip written to {}", issued.user_id, slip.display()))
        }
        None => say(format_args!("{} issued; initial secret: {}", issued.user_id, issued.initial_secret)),
    }
}

/// The IDs of an organisation; empty means the caller's own.
///
/// # Errors
/// When the caller may not see them.
pub async fn list(client: &Client, organisation_id: &str) -> anyhow::Result<Vec<User>> {
    let all = pages(async |page_token| {
        let request = ListUsersRequest { organisation_id: organisation_id.to_owned(), page_size: 200, page_token };
        let page = client.users().list_users(client.request(request)).await?.into_inner();
        Ok((page.users, page.next_page_token))
    })
    .await?;
    Ok(all)
}

/// Issues an ID; the request id is filled in.
///
/// # Errors
/// When it is refused.
pub async fn issue(client: &Client, request: IssueUserRequest) -> anyhow::Result<IssueUserResponse> {
    let request = IssueUserRequest { request_id: Uuid::now_v7().to_string(), ..request };
    Ok(client.users().issue_user(client.request(request)).await?.into_inner())
}

/// Issues IDs from a CSV file; the secrets go to another CSV file, readable by its owner only, and the slips to a PDF.
///
/// # Errors
/// When a file cannot be read or written, or the caller may not.
pub async fn import(client: &Client, file: &Path, secrets: &Path, slips: Option<&Path>) -> anyhow::Result<Imported> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    let parts = parts(&text)?;
    if slips.is_some() && parts.len() > 1 {
        bail!("slips are printed for at most {ROWS} rows at once");
    }

    let mut imported = Imported::default();
    let mut out = csv::Writer::from_writer(Vec::new());
    out.write_record(["line", "login", "initial_secret", "field", "message"])?;
    for (part, offset) in parts {
        let request =
            ImportUsersRequest { request_id: Uuid::now_v7().to_string(), csv: part, with_slips: slips.is_some() };
        let answer = patiently(|| {
            let (mut users, request) = (client.users(), client.request(request.clone()));
            async move { users.import_users(request).await }
        })
        .await?;
        for row in &answer.rows {
            let line = (usize::try_from(row.line).unwrap_or(0) + offset).to_string();
            out.write_record([&line, &row.login, &row.initial_secret, &row.field, &row.message])?;
            if row.outcome == i32::from(ImportOutcome::Created) {
                imported.created += 1;
            } else {
                imported.refused += 1;
            }
        }
        if let Some(slips) = slips {
            secret_file::write(slips, &answer.slips_pdf)?;
        }
    }
    secret_file::write(secrets, &out.into_inner().context("write rows")?)?;
    Ok(imported)
}

/// Changes role or hidden field groups; `None` leaves them as they are.
///
/// # Errors
/// When it is refused, or nothing is to be changed.
pub async fn update(
    client: &Client,
    user_id: &str,
    role: Option<Role>,
    hidden_groups: Option<Vec<Group>>,
) -> anyhow::Result<User> {
    let named = [("role", role.is_some()), ("hidden_groups", hidden_groups.is_some())];
    let paths: Vec<String> = named.into_iter().filter(|(_, named)| *named).map(|(path, _)| path.to_owned()).collect();
    if paths.is_empty() {
        return Err(Usage("nothing to change: name a role or field groups".to_owned()).into());
    }

    let request = UpdateUserRequest {
        request_id: Uuid::now_v7().to_string(),
        user_id: user_id.to_owned(),
        user: Some(User {
            role: role.map_or(0, i32::from),
            hidden_groups: hidden_groups.unwrap_or_default().into_iter().map(i32::from).collect(),
            ..User::default()
        }),
        update_mask: Some(FieldMask { paths }),
        etag: String::new(),
    };
    Ok(client.users().update_user(client.request(request)).await?.into_inner())
}

/// Starts over for a lost factor.
///
/// # Errors
/// When it is refused.
pub async fn reset(client: &Client, user_id: &str, with_slip: bool) -> anyhow::Result<IssueUserResponse> {
    let request = ResetUserRequest {
        request_id: Uuid::now_v7().to_string(),
        user_id: user_id.to_owned(),
        with_slip,
        etag: String::new(),
    };
    Ok(client.users().reset_user(client.request(request)).await?.into_inner())
}

/// Lifts the stop after too many wrong guesses.
///
/// # Errors
/// When it is refused.
pub async fn unlock(client: &Client, user_id: &str) -> anyhow::Result<User> {
    let request =
        UnlockUserRequest { request_id: Uuid::now_v7().to_string(), user_id: user_id.to_owned(), etag: String::new() };
    Ok(client.users().unlock_user(client.request(request)).await?.into_inner())
}

/// Disables an ID for good.
///
/// # Errors
/// When it is refused.
pub async fn disable(client: &Client, user_id: &str) -> anyhow::Result<User> {
    let request =
        DisableUserRequest { request_id: Uuid::now_v7().to_string(), user_id: user_id.to_owned(), etag: String::new() };
    Ok(client.users().disable_user(client.request(request)).await?.into_inner())
}

/// A role by its name in lower case: `nurse`, `lodging_officer`.
fn role(name: &str) -> anyhow::Result<Role> {
    let full = format!("ROLE_{}", name.to_uppercase().replace('-', "_"));
    Ok(Role::from_str_name(&full).ok_or_else(|| Usage(format!("there is no role {name}")))?)
}

fn group(name: &str) -> anyhow::Result<Group> {
    let full = format!("GROUP_{}", name.to_uppercase().replace('-', "_"));
    Ok(Group::from_str_name(&full).ok_or_else(|| Usage(format!("there is no field group {name}")))?)
}
