//! Settings of a service with a database.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
use data::pool::Database;
use runtime::config::Common;

/// Settings of a service with a database. Every one is a flag and an environment variable.
#[derive(Clone, Debug, Parser)]
#[command(version, about = "A service of HER-SYS")]
pub struct Settings {
    /// What to do.
    #[arg(value_enum, default_value = "serve")]
    pub command: Command,

    /// Settings every process shares.
    #[command(flatten)]
    pub common: Common,

    /// PostgreSQL, `host:port`. TLS with the process's certificate; there is no password.
    #[arg(long, env = "HERSYS_DATABASE")]
    pub database: String,

    /// Connections to PostgreSQL at most.
    #[arg(long, env = "HERSYS_DATABASE_CONNECTIONS", default_value_t = 16)]
    pub database_connections: u32,

    /// File with the key-encryption key, 32 bytes.
    #[arg(long, env = "HERSYS_KEK_FILE")]
    pub kek_file: PathBuf,

    /// Identity, at its first start: writes the one-time secret of the first administrator to this file.
    #[arg(long, env = "HERSYS_BOOTSTRAP_FILE")]
    pub bootstrap_file: Option<PathBuf>,

    /// Identity: how messages leave, and what slips look like.
    #[command(flatten)]
    pub post: Post,
}

/// Identity: how messages leave, and what slips look like. Without a mail server they wait in the local outbox.
#[derive(Args, Clone, Debug)]
pub struct Post {
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

/// What a service's binary can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Command {
    /// Answer RPCs and handle events.
    Serve,
    /// Bring the schema up to date, as the owner role, and end.
    Migrate,
}

impl Settings {
    /// The service's database as one of its two roles: `<service>_owner` migrates, `<service>_app` runs.
    pub(crate) fn database(&self, service: &str, role: &str) -> Database {
        Database {
            address: self.database.clone(),
            name: service.to_owned(),
            role: format!("{service}_{role}"),
            ca: self.common.tls.ca.clone(),
            cert: self.common.tls.cert.clone(),
            key: self.common.tls.key.clone(),
            connections: self.database_connections,
        }
    }
}
