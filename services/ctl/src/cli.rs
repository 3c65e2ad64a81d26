//! The commands.

use std::{
    fs,
    io::{self, BufRead as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use prost::Message;
use prost_reflect::DynamicMessage;
use proto::{
    identity::{ListMessagesRequest, SignOutRequest},
    notification::{
        AcknowledgeNotificationRequest, FileNotificationRequest, Form, ForwardNotificationRequest, ListInboxRequest,
        Notification, NotificationState,
    },
    operations::{GetPipelineRequest, ListDeadLettersRequest, RebuildProjectionsRequest, ReplayDeadLetterRequest},
    statistics::{Dimension, QueryCasesRequest},
};
use runtime::clock;
use serde_json::Value;
use tonic::Status;
use uuid::Uuid;

use crate::{
    client::{self, Client, Credentials},
    demo,
    figures::{self, Format},
    replay::{self, Plan},
    session, trust, wave,
};

/// The command line of HER-SYS, an ordinary client of its gateway.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not signed in, 4 not allowed or not there, 5 refused input, 6 try again.
#[derive(Parser)]
#[command(name = "hersysctl", version)]
pub struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

/// Which system, and where the session is kept.
#[derive(Args)]
struct Target {
    /// The gateway, `https://host:port`. Without it, that of the running stack.
    #[arg(long, env = "HERSYS_GATEWAY", global = true)]
    gateway: Option<String>,
    /// The authority of its certificate (PEM). Without it, that of the running stack.
    #[arg(long, env = "HERSYS_CA", global = true)]
    ca: Option<PathBuf>,
    /// The stack that `make up` runs.
    #[arg(long, env = "HERSYS_STACK", default_value = ".run/stack.json", global = true)]
    stack: PathBuf,
    /// Where the session is kept, readable by its owner only.
    #[arg(long, env = "HERSYS_SESSION", default_value = ".run/session.json", global = true)]
    session: PathBuf,
}

#[derive(Subcommand)]
enum Command {
    /// Sign in; password and one-time code are read from standard input.
    SignIn {
        /// The log-in.
        login: String,
        /// Take password and one-time code from the running stack's demo users.
        #[arg(long)]
        demo: bool,
    },
    /// First sign-in with the initial secret (standard input: secret, new password); prints the authenticator's URL.
    Enrol {
        /// The log-in.
        login: String,
    },
    /// End the session.
    SignOut,
    /// File a notification from a JSON form and print the receipt.
    File {
        /// The form, as the JSON of `hersys.notification.v1.Form`; `-` is standard input.
        form: PathBuf,
        /// The case registered at the test.
        #[arg(long, default_value = "")]
        case: String,
        /// Repeat an earlier request.
        #[arg(long)]
        request_id: Option<Uuid>,
    },
    /// List the inbox, newest first.
    Inbox {
        /// Only what is not acknowledged yet.
        #[arg(long)]
        open: bool,
    },
    /// Acknowledge a notification (受理).
    Acknowledge {
        /// The notification.
        notification: Uuid,
    },
    /// Forward a notification to another centre.
    Forward {
        /// The notification.
        notification: Uuid,
        /// The centre.
        centre: Uuid,
    },
    /// Play the ministry's notice on the running stack, as the people concerned, and tell what each of them sees.
    Demo {
        /// The language.
        #[arg(long, value_enum, default_value = "ja")]
        language: demo::Tongue,
    },
    /// Print the compiled contract (a protobuf `FileDescriptorSet`), for generic clients and transcoders.
    Contract,
    /// Print the access policy as a table for reading.
    Policy,
    /// Figures by up to four dimensions.
    Statistics(StatisticsArgs),
    /// Send an open-data file, or a synthetic wave, as registrations and notifications.
    Replay(ReplayArgs),
    /// Messages waiting in the local message outbox.
    Messages,
    /// Read the terms of use and the security leaflet, and accept them.
    Terms {
        /// Accept the version in force.
        #[arg(long)]
        accept: bool,
    },
    /// Give a fresh one-time code (standard input) before issuing, transfer or export.
    StepUp {
        /// Take the code from the running stack's demo user of this log-in.
        #[arg(long)]
        demo: Option<String>,
    },
    /// One's own sessions, or the end of one of them.
    Sessions {
        /// End this one.
        #[arg(long)]
        end: Option<Uuid>,
    },
    /// Organisations with their ids, all or of a kind (`hospital`, `health_centre`, …).
    Organisations {
        /// The kind.
        kind: Option<String>,
    },
    /// Organisations from a CSV file, ours or the G-MIS list of hospitals; rows at fault are named.
    ImportOrganisations {
        /// The file.
        file: PathBuf,
    },
    /// IDs of people at work.
    #[command(subcommand)]
    Users(trust::Users),
    /// Contracts (委託).
    #[command(subcommand)]
    Contracts(trust::Contracts),
    /// The audit trail.
    #[command(subcommand)]
    Audit(trust::Audit),
    /// Rotation of keys.
    #[command(subcommand)]
    Keys(trust::Keys),
    /// How far events have come in a service.
    Pipeline {
        /// The service.
        service: String,
    },
    /// Events that could not be handled, or one of them again.
    DeadLetters {
        /// The service.
        service: String,
        /// Handle this one again.
        #[arg(long)]
        replay: Option<Uuid>,
    },
    /// Throw a service's projections away and rebuild them from their owners' logs.
    Rebuild {
        /// The service.
        service: String,
    },
}

#[derive(Args)]
struct StatisticsArgs {
    /// Count by these, in this order.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "report-date")]
    by: Vec<By>,
    /// First report date.
    #[arg(long, default_value = "")]
    from: String,
    /// Last report date.
    #[arg(long, default_value = "")]
    to: String,
    /// Only this prefecture.
    #[arg(long, default_value_t = 0)]
    prefecture: i32,
    /// As known at this moment (RFC 3339).
    #[arg(long)]
    as_of: Option<String>,
    /// Also days without cases.
    #[arg(long)]
    every_day: bool,
    /// How to print.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    ReportDate,
    OnsetDate,
    TestDate,
    Prefecture,
    Centre,
    AgeBand,
    Sex,
    Outcome,
}

#[derive(Args)]
struct ReplayArgs {
    /// The file; without it a synthetic wave is made.
    file: Option<PathBuf>,
    /// Persons of the synthetic wave.
    #[arg(long, default_value_t = 1_000)]
    count: u32,
    /// The prefecture of the place names.
    #[arg(long, default_value_t = 27)]
    prefecture: u8,
    /// Rows under way at once.
    #[arg(long, default_value_t = 48)]
    at_once: usize,
    /// Send everything again instead of going on where the last run ended.
    #[arg(long)]
    again: bool,
}

/// Runs a command.
///
/// # Errors
/// What went wrong; a gRPC status is kept as the source.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let target = &cli.target;
    if matches!(cli.command, Command::Contract) {
        return Ok(io::stdout().lock().write_all(proto::DESCRIPTORS)?);
    }
    if matches!(cli.command, Command::Policy) {
        return Ok(io::stdout().lock().write_all(access::table::markdown().as_bytes())?);
    }
    let mut client = target.client()?;
    match &cli.command {
        Command::SignIn { login, demo } => {
            if *demo {
                client.sign_in(&target.demo_user(login)?).await?;
            } else {
                let password = ask("password")?;
                let code = ask("one-time code")?;
                let credentials = Credentials { login: login.clone(), password, otp_secret: String::new() };
                client.sign_in_with(&credentials, code).await?;
            }
            target.keep(&client)?;
            if client.session().is_some_and(|session| session.terms_due > 0) {
                return say(format_args!(
                    "signed in as {login}; read and accept the terms first: hersysctl terms [--accept]"
                ));
            }
            return say(format_args!("signed in as {login}"));
        }
        Command::Enrol { login } => {
            let secret = ask("initial secret")?;
            let password = ask("new password")?;
            let credentials = client.enrol(login, &secret, &password).await?;
            target.keep(&client)?;
            return say(format_args!("enrolled; authenticator secret: {}", credentials.otp_secret));
        }
        Command::Demo { language } => return demo::play(&client, &target.stack, *language).await,
        _ => {}
    }

    let kept = session::load(&target.session)
        .ok_or_else(|| Status::unauthenticated("not signed in: hersysctl sign-in LOGIN"))?;
    client = client.with_session(kept);
    if client.keep_fresh().await? {
        target.keep(&client)?;
    }
    match cli.command {
        Command::SignIn { .. } | Command::Enrol { .. } | Command::Demo { .. } | Command::Contract | Command::Policy => {
            Ok(())
        }
        Command::SignOut => {
            client.identity().sign_out(client.request(SignOutRequest {})).await?;
            session::forget(&target.session);
            say(format_args!("signed out"))
        }
        Command::File { form, case, request_id } => file(&client, &form, case, request_id).await,
        Command::Inbox { open } => inbox(&client, open).await,
        Command::Acknowledge { notification } => {
            let request = AcknowledgeNotificationRequest {
                request_id: Uuid::now_v7().to_string(),
                notification_id: notification.to_string(),
                etag: String::new(),
            };
            let done = client.notification().acknowledge_notification(client.request(request)).await?.into_inner();
            say(format_args!("{} acknowledged", done.number))
        }
        Command::Forward { notification, centre } => {
            let request = ForwardNotificationRequest {
                request_id: Uuid::now_v7().to_string(),
                notification_id: notification.to_string(),
                etag: String::new(),
                centre_id: centre.to_string(),
            };
            let done = client.notification().forward_notification(client.request(request)).await?.into_inner();
            say(format_args!("{} forwarded to {}", done.number, done.receiving_centre_name))
        }
        Command::Statistics(args) => statistics(&client, &args).await,
        Command::Replay(args) => replay_rows(client, &args, &target.session).await,
        Command::Messages => {
            let request = client.request(ListMessagesRequest { page_size: 50 });
            for message in client.identity().list_messages(request).await?.into_inner().messages {
                say(format_args!("{}  {}", message.destination, message.text))?;
            }
            Ok(())
        }
        Command::Terms { accept } => {
            trust::terms(&mut client, accept).await?;
            target.keep(&client)
        }
        Command::StepUp { demo } => {
            let code = match demo {
                Some(login) => client::code(&target.demo_user(&login)?.otp_secret, runtime::Clock.now())?,
                None => ask("one-time code")?,
            };
            client.step_up(code).await?;
            target.keep(&client)?;
            say(format_args!("confirmed for a quarter of an hour"))
        }
        Command::Sessions { end } => trust::sessions(&client, end).await,
        Command::Organisations { kind } => trust::organisations(&client, kind.as_deref()).await,
        Command::ImportOrganisations { file } => trust::import_organisations(&client, &file).await,
        Command::Users(command) => trust::users(&client, command).await,
        Command::Contracts(command) => trust::contracts(&client, command).await,
        Command::Audit(command) => trust::audit_trail(&mut client, command).await,
        Command::Keys(command) => trust::keys(&mut client, command).await,
        Command::Pipeline { service } => {
            let request = client.operation(&service, GetPipelineRequest {});
            let pipeline = client.operations().get_pipeline(request).await?.into_inner();
            print_json(&pipeline, "hersys.operations.v1.Pipeline")
        }
        Command::DeadLetters { service, replay: Some(event) } => {
            let request = client.operation(&service, ReplayDeadLetterRequest { event_id: event.to_string() });
            client.operations().replay_dead_letter(request).await?;
            say(format_args!("{event} handled"))
        }
        Command::DeadLetters { service, replay: None } => {
            let request = client.operation(&service, ListDeadLettersRequest { page_size: 200 });
            for letter in client.operations().list_dead_letters(request).await?.into_inner().dead_letters {
                say(format_args!("{}  {} {}  {}", letter.event_id, letter.source, letter.r#type, letter.reason))?;
            }
            Ok(())
        }
        Command::Rebuild { service } => {
            let request = client.operation(&service, RebuildProjectionsRequest {});
            let done = client.operations().rebuild_projections(request).await?.into_inner();
            say(format_args!("{service} rebuilt from {} events", done.events))
        }
    }
}

async fn file(client: &Client, path: &Path, case_id: String, request_id: Option<Uuid>) -> anyhow::Result<()> {
    let text = if path.as_os_str() == "-" {
        io::read_to_string(io::stdin()).context("read standard input")?
    } else {
        fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?
    };
    let form: Form = from_json(&text, "hersys.notification.v1.Form").context("read the form")?;
    let request_id = request_id.unwrap_or_else(Uuid::now_v7).to_string();
    let request = FileNotificationRequest { request_id, form: Some(form), case_id, on_behalf_of_id: String::new() };
    let receipt = client.notification().file_notification(client.request(request)).await?.into_inner();
    print_json(&receipt, "hersys.notification.v1.Receipt")
}

async fn inbox(client: &Client, open: bool) -> anyhow::Result<()> {
    let state = if open { NotificationState::Filed.into() } else { 0 };
    let mut page_token = String::new();
    loop {
        let request = client.request(ListInboxRequest { page_size: 100, page_token, state });
        let page = client.notification().list_inbox(request).await?.into_inner();
        for notification in &page.notifications {
            say(format_args!("{}", line(notification)))?;
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

fn line(notification: &Notification) -> String {
    let state = NotificationState::try_from(notification.state).unwrap_or_default();
    let form = notification.form.clone().unwrap_or_default();
    let name = form.subject.unwrap_or_default().name_kanji;
    let state = if state == NotificationState::Acknowledged { "受理済" } else { "未受理" };
    format!(
        "{}  {}  {state}  {}  {name}  {}",
        notification.notification_id, notification.number, form.report_date, notification.reporter_name
    )
}

async fn statistics(client: &Client, args: &StatisticsArgs) -> anyhow::Result<()> {
    let dimensions: Vec<Dimension> = args.by.iter().copied().map(dimension).collect();
    let as_of = match &args.as_of {
        None => None,
        Some(text) => {
            let at = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339);
            Some(clock::to_proto(at.context("--as-of is no moment, such as 2020-06-01T12:00:00Z")?))
        }
    };
    let request = QueryCasesRequest {
        dimensions: dimensions.iter().map(|d| i32::from(*d)).collect(),
        from: args.from.clone(),
        to: args.to.clone(),
        prefecture: args.prefecture,
        as_of,
        include_empty_days: args.every_day,
        ..QueryCasesRequest::default()
    };
    let answer = client.statistics().query_cases(client.request(request)).await?.into_inner();
    let names: Vec<String> =
        args.by.iter().filter_map(ValueEnum::to_possible_value).map(|value| value.get_name().to_owned()).collect();
    figures::print(&mut io::stdout().lock(), &names, &answer, args.format)
}

fn dimension(by: By) -> Dimension {
    match by {
        By::ReportDate => Dimension::ReportDate,
        By::OnsetDate => Dimension::OnsetDate,
        By::TestDate => Dimension::TestDate,
        By::Prefecture => Dimension::Prefecture,
        By::Centre => Dimension::Centre,
        By::AgeBand => Dimension::AgeBand,
        By::Sex => Dimension::Sex,
        By::Outcome => Dimension::Outcome,
    }
}

async fn replay_rows(client: Client, args: &ReplayArgs, session: &Path) -> anyhow::Result<()> {
    let (rows, source) = match &args.file {
        Some(file) => (wave::read(file)?, file.file_name().unwrap_or_default().to_string_lossy().into_owned()),
        None => (wave::synthetic(args.count), format!("synthetic {}", args.count)),
    };
    let name = source.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let progress = (!args.again).then(|| session.with_file_name(format!("replay-{name}.progress")));
    let plan = Plan { source, prefecture: args.prefecture, at_once: args.at_once.max(1), progress, bar: true };
    let report = replay::run(client, rows, &plan).await?;
    say(format_args!("{} rows sent, {} had been sent before", report.sent, report.skipped))
}

impl Target {
    fn client(&self) -> anyhow::Result<Client> {
        if let (Some(gateway), Some(ca)) = (&self.gateway, &self.ca) {
            Client::new(gateway, ca)
        } else {
            let stack = self.stack()?;
            let text = |key: &str| {
                stack
                    .pointer(key)
                    .and_then(Value::as_str)
                    .with_context(|| format!("{key} is missing in the stack file"))
            };
            Client::new(text("/gateway/url")?, Path::new(text("/gateway/ca")?))
        }
    }

    fn stack(&self) -> anyhow::Result<Value> {
        let text = fs::read_to_string(&self.stack).with_context(|| {
            format!("read {}: is the stack up? (make up), or give --gateway and --ca", self.stack.display())
        })?;
        serde_json::from_str(&text).with_context(|| format!("read {}", self.stack.display()))
    }

    fn demo_user(&self, login: &str) -> anyhow::Result<Credentials> {
        let stack = self.stack()?;
        let users = stack.pointer("/demo/users").and_then(Value::as_array).context("the stack has no demo users")?;
        let user = users.iter().find(|user| user.pointer("/credentials/login").and_then(Value::as_str) == Some(login));
        let Some(user) = user else { bail!("the stack has no demo user {login}") };
        let credentials = user.pointer("/credentials").cloned().context("the demo user has no credentials")?;
        serde_json::from_value(credentials).context("read the demo user")
    }

    fn keep(&self, client: &Client) -> anyhow::Result<()> {
        client.session().map_or(Ok(()), |kept| session::save(&self.session, kept))
    }
}

fn ask(what: &str) -> anyhow::Result<String> {
    eprint!("{what}: ");
    io::stderr().flush()?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        bail!("no {what} on standard input");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

pub(crate) fn say(text: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

pub(crate) fn print_json(message: &impl Message, type_name: &str) -> anyhow::Result<()> {
    let descriptor = proto::pool().get_message_by_name(type_name).context("not part of the contract")?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    say(format_args!("{}", serde_json::to_string_pretty(&dynamic)?))
}

fn from_json<M: Message + Default>(text: &str, type_name: &str) -> anyhow::Result<M> {
    let descriptor = proto::pool().get_message_by_name(type_name).context("not part of the contract")?;
    let mut reader = serde_json::Deserializer::from_str(text);
    let dynamic = DynamicMessage::deserialize(descriptor, &mut reader)?;
    reader.end()?;
    Ok(M::decode(dynamic.encode_to_vec().as_slice())?)
}
