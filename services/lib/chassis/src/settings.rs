//! Settings of a service with a database.

use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};
use data::pool::Database;
use runtime::config::Common;

/// Settings of a service with a database. Every one is a flag and an environment variable.
#[derive(Clone, Debug, Parser)]
#[command(version, about = "A service of HER-SYS")]
pub struct Settings<Own: Args> {
    /// What to do.
    #[arg(value_enum, default_value = "serve")]
    pub command: Command,

    /// Settings every process shares.
    #[command(flatten)]
    pub common: Common,

    /// PostgreSQL, `host:port`. TLS with the process's certificate; there is no password.
    #[arg(long, env = "HERSYS_DATABASE")]
    pub database: String,

    /// How many servers of the bus keep the service's stream. For `migrate`.
    #[arg(long, env = "HERSYS_NATS_REPLICAS", default_value_t = 1)]
    pub nats_replicas: usize,

    /// The most connections to PostgreSQL.
    #[arg(long, env = "HERSYS_DATABASE_CONNECTIONS", default_value_t = 16)]
    pub database_connections: u32,

    /// File with the key-encryption key, 32 bytes.
    #[arg(long, env = "HERSYS_KEK_FILE")]
    pub kek_file: PathBuf,

    /// The service's own settings.
    #[command(flatten)]
    pub own: Own,
}

/// For a service that has no settings of its own.
#[derive(Args, Clone, Copy, Debug)]
pub struct NoSettings {}

/// What a service's binary can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Command {
    /// Answer RPCs and handle events.
    Serve,
    /// Bring the schema and the stream on the bus up to date, as who owns them, and end.
    Migrate,
    /// Ask the process beside this one whether it can do its work now, and end: 0 if it can. For readiness probes.
    Healthcheck,
    /// The same for whether it lives, whatever others do. For liveness probes.
    Livecheck,
}

impl<Own: Args> Settings<Own> {
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
