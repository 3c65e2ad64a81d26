//! Settings of identity beside those of every service.

use std::path::PathBuf;

use clap::Args;

/// Settings of identity.
#[derive(Args, Clone, Debug)]
pub struct IdentitySettings {
    /// At the first start, the one-time secret of the first administrator goes to this file.
    #[arg(long, env = "HERSYS_BOOTSTRAP_FILE")]
    pub bootstrap_file: Option<PathBuf>,

    /// How messages leave, and what slips look like.
    #[command(flatten)]
    pub post: Post,
}

/// How messages leave, and what slips look like. Without a mail server they wait in the local outbox until they expire.
#[derive(Args, Clone, Debug)]
pub struct Post {
    /// Shows an operator the local outbox: codes and initial secrets. For development only.
    #[arg(long, env = "HERSYS_SHOW_MESSAGES")]
    pub show_messages: bool,
    /// Mail server, `host:port`; STARTTLS is required.
    #[arg(long, env = "HERSYS_SMTP")]
    pub smtp: Option<String>,
    /// Authority of the mail server's certificate (PEM).
    #[arg(long, env = "HERSYS_SMTP_CA")]
    pub smtp_ca: Option<PathBuf>,
    /// File with user name and password, a line each.
    #[arg(long, env = "HERSYS_SMTP_CREDENTIALS")]
    pub smtp_credentials: Option<PathBuf>,
    /// Who mails come from.
    #[arg(long, env = "HERSYS_SMTP_FROM", default_value = "HER-SYS <no-reply@hersys.example>")]
    pub smtp_from: String,
    /// Domain of the provider that turns mails to `number@domain` into short messages.
    #[arg(long, env = "HERSYS_SMS_DOMAIN")]
    pub sms_domain: Option<String>,
    /// Japanese font of the slips (TrueType).
    #[arg(long, env = "HERSYS_FONT")]
    pub font: Option<PathBuf>,
    /// The address people type to sign in.
    #[arg(long, env = "HERSYS_ADDRESS", default_value = "https://localhost/")]
    pub address: String,
}
