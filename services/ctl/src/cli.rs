//! The command line: what there is, and where it goes.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::PathBuf,
};

use clap::{Parser, Subcommand};
use uuid::Uuid;

use crate::{
    commands::{
        audit, cases, contracts, drafts, forms, inbox, keys, local_items, messages, notifications, operations,
        organisations, receipts, replay, sessions, statistics, surge, tasks, terms, users,
    },
    demo,
    target::Target,
};

/// The command line of HER-SYS, an ordinary client of its gateway.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not signed in, 4 not allowed or not found, 5 refused or unreadable input, 6 try
/// again.
#[derive(Parser)]
#[command(name = "hersysctl", version)]
pub struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sign in; password and one-time code are read from standard input.
    SignIn {
        login: String,
        /// Take password and one-time code from the running stack's demo users.
        #[arg(long)]
        demo: bool,
    },
    /// First sign-in with the initial secret (standard input: secret, new password); prints the authenticator's address and the
    /// recovery codes, once.
    Enrol { login: String },
    /// End the session.
    SignOut,
    /// Give a fresh one-time code (standard input) before issuing, transfer or export.
    StepUp {
        /// Take the code from the running stack's demo user of this log-in.
        #[arg(long)]
        demo: Option<String>,
    },
    /// List your own sessions, or end one of them.
    Sessions {
        /// End this one.
        #[arg(long)]
        end: Option<Uuid>,
    },
    /// Read the terms of use and the security leaflet, or accept them.
    Terms {
        /// Accept the version in force.
        #[arg(long)]
        accept: bool,
    },
    /// File a notification from a JSON form and print the receipt.
    File(notifications::File),
    /// Amend a notification (訂正・補完): supply what was missing, put right what was wrong. Prints the receipt of the new version.
    Amend(notifications::Amend),
    /// Withdraw a notification that should not have been made (取下げ).
    Withdraw(notifications::Withdraw),
    /// List what your organisation filed, newest first, with the items that are still missing.
    Filed {
        /// Only what still has to be supplied.
        #[arg(long)]
        missing: bool,
    },
    /// Show the form as of a day: its items, which are required (◎) or asked for later (○), and the order of its days.
    Form(forms::Form),
    /// Drafts of notifications (下書き).
    #[command(subcommand)]
    Drafts(drafts::Drafts),
    /// What your area asks beyond the form (任意入力項目).
    #[command(subcommand)]
    LocalItems(local_items::LocalItems),
    /// List the versions of a notification, and what each of them changed.
    Versions { notification: Uuid },
    /// Receipts as evidence.
    #[command(subcommand)]
    Receipts(receipts::Receipts),
    /// Cases and the facts that are recorded about them.
    #[command(subcommand)]
    Cases(cases::Cases),
    /// List the inbox, newest first, or tell how much there is.
    Inbox(inbox::Inbox),
    /// Acknowledge notifications (受理), one or many.
    Acknowledge {
        #[arg(required = true)]
        notifications: Vec<Uuid>,
    },
    /// Make a notification in the inbox your own work, a colleague's, or nobody's again.
    Assign(inbox::Assign),
    /// Return a notification to whoever filed it (返戻), with the reason.
    Return {
        notification: Uuid,
        #[arg(long)]
        reason: String,
    },
    /// Forward a notification to another centre.
    Forward { notification: Uuid, centre: Uuid },
    /// What your organisation has to do: list, assign, close, watch.
    #[command(subcommand)]
    Tasks(tasks::Tasks),
    /// Figures by up to four dimensions.
    Statistics(statistics::Statistics),
    /// Send an open-data file, or a synthetic wave, as registrations and notifications.
    Replay(replay::Replay),
    /// List the messages in the local message outbox, newest first.
    Messages,
    /// List organisations with their ids.
    Organisations {
        /// Only this kind: `hospital`, `health_centre`, …
        kind: Option<String>,
    },
    /// Load organisations from a CSV file, ours or the G-MIS list of hospitals; rows at fault are named.
    ImportOrganisations { file: PathBuf },
    /// IDs of people at work.
    #[command(subcommand)]
    Users(users::Users),
    /// Contracts (委託).
    #[command(subcommand)]
    Contracts(contracts::Contracts),
    /// The audit trail.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Rotation of keys.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// How far events have come in a service.
    Pipeline { service: String },
    /// List the events that could not be handled, oldest first, or handle one again.
    DeadLetters {
        service: String,
        /// Handle this one again.
        #[arg(long)]
        replay: Option<Uuid>,
    },
    /// Throw a service's projections away and rebuild them from their owners' logs.
    Rebuild { service: String },
    /// Scale the mesh in a wave: `show`, `set`, `clear`, `simulate`; on a cluster or on the running stack.
    #[command(disable_help_flag = true)]
    Surge {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Play the ministry's notice on the running stack, as the people concerned, and tell what each of them sees.
    Demo {
        #[arg(long, value_enum, default_value = "ja")]
        language: demo::Language,
    },
    /// Print the compiled contract (a protobuf `FileDescriptorSet`), for generic clients and transcoders.
    Contract,
    /// Print the access policy as a table for reading.
    Policy,
}

/// Runs a command.
///
/// # Errors
/// What went wrong; a gRPC status is kept as the source.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let target = &cli.target;
    match cli.command {
        Command::SignIn { login, demo } => sessions::sign_in(target, &login, demo).await,
        Command::Enrol { login } => sessions::enrol(target, &login).await,
        Command::SignOut => sessions::sign_out(target).await,
        Command::StepUp { demo } => sessions::step_up(target, demo.as_deref()).await,
        Command::Sessions { end: None } => sessions::list(&target.signed_in().await?).await,
        Command::Sessions { end: Some(session) } => sessions::end(&target.signed_in().await?, session).await,
        Command::Terms { accept: false } => terms::show(&target.signed_in().await?).await,
        Command::Terms { accept: true } => terms::accept(target).await,
        Command::File(args) => notifications::file(&target.signed_in().await?, args).await,
        Command::Amend(args) => notifications::amend(&target.signed_in().await?, args).await,
        Command::Withdraw(args) => notifications::withdraw(&target.signed_in().await?, args).await,
        Command::Filed { missing } => notifications::filed(&target.signed_in().await?, missing).await,
        Command::Versions { notification } => notifications::versions(&target.signed_in().await?, notification).await,
        Command::Form(args) => forms::show(&target.signed_in().await?, args).await,
        Command::Drafts(command) => drafts::run(&target.signed_in().await?, command).await,
        Command::LocalItems(command) => local_items::run(&target.signed_in().await?, command).await,
        Command::Receipts(command) => receipts::run(target, command).await,
        Command::Cases(command) => cases::run(&target.signed_in().await?, command).await,
        Command::Return { notification, reason } => {
            inbox::send_back(&target.signed_in().await?, notification, reason).await
        }
        Command::Inbox(args) => inbox::inbox(&target.signed_in().await?, args).await,
        Command::Acknowledge { notifications } => inbox::acknowledge(&target.signed_in().await?, &notifications).await,
        Command::Assign(args) => inbox::assign(&target.signed_in().await?, &args).await,
        Command::Forward { notification, centre } => {
            inbox::forward(&target.signed_in().await?, notification, centre).await
        }
        Command::Tasks(command) => tasks::run(&target.signed_in().await?, command).await,
        Command::Statistics(args) => statistics::query(&target.signed_in().await?, &args).await,
        Command::Replay(args) => replay::run(target.signed_in().await?, &args, &target.session).await,
        Command::Messages => messages::list(&target.signed_in().await?).await,
        Command::Organisations { kind } => organisations::print_all(&target.signed_in().await?, kind.as_deref()).await,
        Command::ImportOrganisations { file } => organisations::run_import(&target.signed_in().await?, &file).await,
        Command::Users(command) => users::run(&target.signed_in().await?, command).await,
        Command::Contracts(command) => contracts::run(&target.signed_in().await?, command).await,
        Command::Audit(command) => audit::run(&mut target.signed_in().await?, command).await,
        Command::Keys(command) => keys::run(&mut target.signed_in().await?, command).await,
        Command::Pipeline { service } => operations::pipeline(&target.signed_in().await?, &service).await,
        Command::DeadLetters { service, replay: None } => {
            operations::dead_letters(&target.signed_in().await?, &service).await
        }
        Command::DeadLetters { service, replay: Some(event) } => {
            operations::replay_dead_letter(&target.signed_in().await?, &service, event).await
        }
        Command::Rebuild { service } => operations::rebuild(&target.signed_in().await?, &service).await,
        Command::Surge { arguments } => surge::run(&target.stack, &arguments),
        Command::Demo { language } => demo::play(&target.client()?, &target.stack, language).await,
        Command::Contract => Ok(io::stdout().lock().write_all(proto::DESCRIPTORS)?),
        Command::Policy => Ok(io::stdout().lock().write_all(access::table::markdown().as_bytes())?),
    }
}
