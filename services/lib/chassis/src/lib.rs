//! What every service with a database is built on: the other shared crates, wired once.
//!
//! A service's `main` is [`main`]. Its `run` gets a [`Mount`], tells it what to listen to, and hands it the RPCs. Each
//! RPC goes through a [`Call`].

mod base;
pub mod behalf;
mod call;
mod error;
mod mount;
mod operations;
pub mod page;
mod settings;
pub mod watch;

use std::process::ExitCode;

use clap::{Args, Parser as _};
use runtime::{Shutdown, admin, telemetry};
use sqlx::PgPool;
use vault::Vault;

pub use base::Base;
pub use call::{Anonymous, Call, Change, Held, Seen, Service};
pub use error::Error;
pub use mount::{Mount, migrate_all};
pub use settings::{Command, NoSettings, Settings};

/// Runs a service: reads its settings, migrates or serves, and reports a failure in one line.
pub async fn main<Own, F>(
    service: &'static str,
    migrations: &'static [MigrationSet],
    run: impl FnOnce(Mount<Own>) -> F,
) -> ExitCode
where
    Own: Args,
    F: Future<Output = anyhow::Result<()>>,
{
    let settings = Settings::<Own>::parse();
    let outcome = async {
        telemetry::init(service, &settings.common.log)?;
        match settings.command {
            Command::Migrate => mount::migrate(service, &settings, migrations).await,
            Command::Serve => run(Mount::start(service, settings, migrations, Shutdown::on_signals()?).await?).await,
            Command::Healthcheck => admin::ask(service, &settings.common, "/readyz").await,
            Command::Livecheck => admin::ask(service, &settings.common, "/healthz").await,
        }
    };
    match outcome.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "Stopped: {service} failed");
            ExitCode::FAILURE
        }
    }
}

/// The database and the keys of a service, by the settings in the environment: for a command beside the serving process.
///
/// # Errors
/// When a setting is missing, or the database does not answer.
pub async fn beside<Own: Args>(service: &'static str) -> anyhow::Result<(PgPool, Vault)> {
    telemetry::install_crypto();
    let settings = Settings::<Own>::try_parse_from([service])?;
    let pool = settings.database(service, "app").connect_with(1).await?;
    let vault = Vault::open_for(service, &settings.kek_file, &pool).await?;
    Ok((pool, vault))
}

/// What a gRPC method returns.
pub type Reply<R> = Result<tonic::Response<R>, tonic::Status>;

/// A service's own migrations: the file name and its statements.
pub type MigrationSet = (&'static str, &'static str);
