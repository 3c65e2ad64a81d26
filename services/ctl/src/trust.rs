//! The commands around IDs, contracts, the audit trail and keys.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use proto::{
    identity::{
        ContractScope, DisableUserRequest, EndSessionRequest, GetTermsRequest, IssueUserRequest, IssueUserResponse,
        ListContractsRequest, ListOrganisationsRequest, ListSessionsRequest, OrganisationKind, Role, UserState,
    },
    operations::{ReencryptFieldsRequest, RotateFieldKeyRequest, RotateSigningKeyRequest},
};
use uuid::Uuid;

use crate::{
    admin, audit,
    cli::{print_json, say},
    client::{Client, patiently},
    session,
};

#[derive(Subcommand)]
pub(crate) enum Users {
    /// The IDs of an organisation, with who issued each.
    List {
        /// The organisation; without it, one's own.
        #[arg(default_value = "")]
        organisation: String,
    },
    /// Issue an ID; prints the initial secret, or writes the slip.
    Issue {
        /// Where the person works.
        organisation: Uuid,
        /// The log-in.
        login: String,
        /// What the person does: nurse, physician, clerk, …
        role: String,
        /// Whose ID it is.
        #[arg(long, default_value = "")]
        holder: String,
        /// Send the secret there by mail.
        #[arg(long, default_value = "")]
        mail: String,
        /// Write the slip (PDF) there instead of printing the secret.
        #[arg(long)]
        slip: Option<PathBuf>,
    },
    /// Issue IDs from a CSV file: login, `organisation_id`, role, `holder_name`, mail.
    Import {
        /// The file.
        file: PathBuf,
        /// Where the secrets go (CSV, readable by its owner only).
        #[arg(long)]
        secrets: PathBuf,
        /// Where the slips go (PDF).
        #[arg(long)]
        slips: Option<PathBuf>,
    },
    /// Start over for a lost factor; prints the new initial secret, or writes the slip.
    Reset {
        /// The user.
        user: Uuid,
        /// Write the slip (PDF) there instead of printing the secret.
        #[arg(long)]
        slip: Option<PathBuf>,
    },
    /// Lift the hard stop after too many wrong guesses.
    Unlock {
        /// The user.
        user: Uuid,
    },
    /// Disable an ID.
    Disable {
        /// The user.
        user: Uuid,
    },
}

#[derive(Subcommand)]
pub(crate) enum Contracts {
    /// Contracts in which one's organisation entrusts or is entrusted.
    List,
    /// Entrust others.
    Create {
        /// Whom, by id; several are entrusted jointly.
        #[arg(required = true)]
        contractors: Vec<Uuid>,
        /// With what.
        #[arg(long, value_enum, value_delimiter = ',', required = true)]
        scope: Vec<Scope>,
        /// First day.
        #[arg(long)]
        from: String,
        /// Last day.
        #[arg(long)]
        until: String,
    },
    /// End a contract.
    End {
        /// The contract.
        contract: Uuid,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Scope {
    Consultation,
    Testing,
    Followup,
    Entry,
}

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Who touched a record, or what an account touched, in every service.
    Search(AuditQuestion),
    /// The material for an incident report: whose records, which fields, by whom, between when.
    Incident(AuditQuestion),
    /// Verify every row, seal and signature; names the first bad row.
    Verify {
        /// Only this service.
        #[arg(long, value_parser = audit::SERVICES)]
        service: Option<String>,
        /// Keep what was seen in this file, and find out next time if the end was cut off.
        #[arg(long)]
        known: Option<PathBuf>,
    },
}

#[derive(Args)]
pub(crate) struct AuditQuestion {
    /// The record: a case, a notification, a user.
    #[arg(long, default_value = "")]
    record: String,
    /// The account.
    #[arg(long, default_value = "")]
    user: String,
    /// From this moment on (RFC 3339).
    #[arg(long)]
    from: Option<String>,
    /// Before this moment (RFC 3339).
    #[arg(long)]
    until: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// A new signing key: published at once, used half a minute later.
    RotateSigning {
        /// The service.
        service: String,
    },
    /// A new generation of the field-encryption key, then re-encryption until nothing is left under the old one.
    RotateField {
        /// The service.
        service: String,
    },
    /// Go on with a re-encryption that was cut.
    Reencrypt {
        /// The service.
        service: String,
    },
    /// New certificates for every process of the running stack (`make up`); nothing restarts.
    RotateCertificates,
}

/// Shows the terms of use, or accepts them.
pub(crate) async fn terms(client: &mut Client, accept: bool) -> anyhow::Result<()> {
    if accept {
        client.accept_terms().await?;
        return say(format_args!("accepted"));
    }
    let terms = client.sessions().get_terms(GetTermsRequest {}).await?.into_inner();
    say(format_args!(
        "第{}版（{}施行）\n\n{}\n\n{}",
        terms.version, terms.in_force_from, terms.terms, terms.security_leaflet
    ))
}

/// Lists one's sessions, or ends one.
pub(crate) async fn sessions(client: &Client, end: Option<Uuid>) -> anyhow::Result<()> {
    if let Some(session) = end {
        let request = EndSessionRequest { session_id: session.to_string() };
        client.sessions().end_session(client.request(request)).await?;
        return say(format_args!("{session} ended"));
    }
    let answer = client.sessions().list_sessions(client.request(ListSessionsRequest {})).await?.into_inner();
    print_json(&answer, "hersys.identity.v1.ListSessionsResponse")
}

/// Lists organisations, all or of a kind.
pub(crate) async fn organisations(client: &Client, kind: Option<&str>) -> anyhow::Result<()> {
    let kind = match kind {
        Some(name) => OrganisationKind::from_str_name(&format!("ORGANISATION_KIND_{}", name.to_uppercase()))
            .with_context(|| format!("there is no kind {name}"))?,
        None => OrganisationKind::Unspecified,
    };
    let mut page_token = String::new();
    loop {
        let request = ListOrganisationsRequest { page_size: 500, page_token, kind: kind.into() };
        let page = client.identity().list_organisations(client.request(request)).await?.into_inner();
        for organisation in page.organisations {
            say(format_args!("{}  {}", organisation.organisation_id, organisation.name))?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

/// Loads organisations from a file.
pub(crate) async fn import_organisations(client: &Client, file: &Path) -> anyhow::Result<()> {
    let loaded = admin::import_organisations(client, file, |line| say(format_args!("{line}"))).await?;
    say(format_args!(
        "{} created, {} unchanged, {} refused, {} with a remark",
        loaded.created, loaded.unchanged, loaded.refused, loaded.remarked
    ))
}

pub(crate) async fn users(client: &Client, command: Users) -> anyhow::Result<()> {
    let handed = |issued: IssueUserResponse, slip: Option<PathBuf>| match slip {
        Some(slip) => {
            session::write_secret(&slip, &issued.slip_pdf)?;
            say(format_args!("{} issued, slip written to {}", issued.user_id, slip.display()))
        }
        None => say(format_args!("{} issued; initial secret: {}", issued.user_id, issued.initial_secret)),
    };
    match command {
        Users::List { organisation } => {
            for user in admin::users(client, &organisation).await? {
                let role = Role::try_from(user.role).unwrap_or_default().as_str_name().trim_start_matches("ROLE_");
                let state = UserState::try_from(user.state).unwrap_or_default().as_str_name();
                let state = state.trim_start_matches("USER_STATE_");
                say(format_args!("{}  {}  {role}  {state}  {}", user.user_id, user.login, user.issued_by_id))?;
            }
            Ok(())
        }
        Users::Issue { organisation, login, role, holder, mail, slip } => {
            let request = IssueUserRequest {
                organisation_id: organisation.to_string(),
                login,
                role: admin::role(&role)?.into(),
                holder_name: holder,
                mail,
                with_slip: slip.is_some(),
                ..IssueUserRequest::default()
            };
            handed(admin::issue_user(client, request).await?, slip)
        }
        Users::Import { file, secrets, slips } => {
            let loaded = admin::import_users(client, &file, &secrets, slips.as_deref()).await?;
            say(format_args!("{} issued, {} refused; see {}", loaded.created, loaded.refused, secrets.display()))
        }
        Users::Reset { user, slip } => {
            handed(admin::reset_user(client, &user.to_string(), slip.is_some()).await?, slip)
        }
        Users::Unlock { user } => {
            admin::unlock_user(client, &user.to_string()).await?;
            say(format_args!("{user} unlocked"))
        }
        Users::Disable { user } => {
            let request = DisableUserRequest { request_id: Uuid::now_v7().to_string(), user_id: user.to_string() };
            client.identity().disable_user(client.request(request)).await?;
            say(format_args!("{user} disabled"))
        }
    }
}

pub(crate) async fn contracts(client: &Client, command: Contracts) -> anyhow::Result<()> {
    match command {
        Contracts::List => {
            let request = client.request(ListContractsRequest { page_size: 200, page_token: String::new() });
            let answer = client.directory().list_contracts(request).await?.into_inner();
            print_json(&answer, "hersys.identity.v1.ListContractsResponse")
        }
        Contracts::Create { contractors, scope, from, until } => {
            let scopes = scope.into_iter().map(|scope| match scope {
                Scope::Consultation => ContractScope::Consultation,
                Scope::Testing => ContractScope::Testing,
                Scope::Followup => ContractScope::Followup,
                Scope::Entry => ContractScope::Entry,
            });
            let contractors = contractors.iter().map(Uuid::to_string).collect();
            let made = admin::create_contract(client, contractors, scopes.collect(), from, until).await?;
            say(format_args!("{} in force from {} to {}", made.contract_id, made.from, made.until))
        }
        Contracts::End { contract } => {
            admin::end_contract(client, &contract.to_string()).await?;
            say(format_args!("{contract} ended"))
        }
    }
}

pub(crate) async fn audit_trail(client: &mut Client, command: Audit) -> anyhow::Result<()> {
    match command {
        Audit::Search(args) => {
            for (service, row) in audit::search(client, &question(args)?).await? {
                say(format_args!("{}", audit::line(service, &row)))?;
            }
            Ok(())
        }
        Audit::Incident(args) => say(format_args!("{}", audit::incident(client, &question(args)?).await?)),
        Audit::Verify { service, known } => {
            let mut seen = known.as_deref().map(audit::load).transpose()?.unwrap_or_default();
            let mut broken = false;
            for name in audit::SERVICES.into_iter().filter(|name| service.as_deref().is_none_or(|only| only == *name)) {
                match audit::verify(client, name, &mut seen).await? {
                    Ok(good) => {
                        say(format_args!("{name}: {} rows hold, signed up to {}", good.rows, good.signed))?;
                        if let Some((first, count)) = good.late {
                            say(format_args!(
                                "{name}: {count} rows from place {first} were signed more than five minutes after they \
                                 were written: the sealer stood still, or the chain was made anew"
                            ))?;
                        }
                    }
                    Err(bad) => {
                        broken = true;
                        let row = bad.row.map(|row| format!(", row {row}")).unwrap_or_default();
                        say(format_args!("{name}: BROKEN at place {}{row}: {}", bad.place, bad.why))?;
                    }
                }
            }
            if broken {
                bail!("the audit trail does not hold");
            }
            known.map_or(Ok(()), |file| session::write_secret(&file, &serde_json::to_vec_pretty(&seen)?))
        }
    }
}

fn question(args: AuditQuestion) -> anyhow::Result<audit::Question> {
    let moment = |text: Option<String>| {
        text.map(|text| time::OffsetDateTime::parse(&text, &time::format_description::well_known::Rfc3339))
            .transpose()
            .context("no moment, such as 2020-06-01T12:00:00Z")
    };
    Ok(audit::Question { record: args.record, user: args.user, from: moment(args.from)?, until: moment(args.until)? })
}

pub(crate) async fn keys(client: &mut Client, command: Keys) -> anyhow::Result<()> {
    match command {
        Keys::RotateSigning { service } => {
            let request = client.operation(&service, RotateSigningKeyRequest {});
            let made = client.keys().rotate_signing_key(request).await?.into_inner();
            say(format_args!("{} signs from half a minute on", made.key_id))
        }
        Keys::RotateField { service } => {
            let request = client.operation(&service, RotateFieldKeyRequest {});
            let made = client.keys().rotate_field_key(request).await?.into_inner();
            say(format_args!("generation {} is used from half a minute on", made.generation))?;
            reencrypt(client, &service).await
        }
        Keys::Reencrypt { service } => reencrypt(client, &service).await,
        Keys::RotateCertificates => {
            let program = std::env::current_exe()?.with_file_name("hersys-devstack");
            let done = tokio::process::Command::new(&program).arg("rotate-certificates").status().await;
            let done = done.with_context(|| format!("run {}", program.display()))?;
            if done.success() { Ok(()) } else { bail!("the certificates were not rotated") }
        }
    }
}

/// Goes on until nothing is left under an older key. May be cut anywhere: the next run goes on there.
async fn reencrypt(client: &mut Client, service: &str) -> anyhow::Result<()> {
    let mut total = 0;
    loop {
        client.keep_fresh().await?;
        let state = patiently(|| {
            let (mut keys, request) = (client.keys(), client.operation(service, ReencryptFieldsRequest {}));
            async move { keys.reencrypt_fields(request).await }
        })
        .await?;
        total += state.reencrypted;
        if !state.more {
            return say(format_args!("{total} values are sealed with generation {} now", state.generation));
        }
        if state.reencrypted == 0 {
            // Before the new key is in use there is nothing to do.
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}
