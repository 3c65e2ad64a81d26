//! What every service with a database is mounted on: the other shared crates, wired once.
//!
//! A service's `main` is [`main`], its `run` gets a [`Base`], tells it what to listen to, and hands it its RPCs.

mod base;
pub mod behalf;
mod error;
pub mod once;
pub mod page;
mod sealer;
mod settings;
mod trail;

use std::process::ExitCode;

use clap::Parser as _;
use runtime::{Shutdown, telemetry};

pub use base::Base;
pub use error::Error;
pub use settings::{Command, Post, Settings};

/// Runs a service: reads its settings, migrates or serves, and reports a failure in one line.
pub async fn main<F>(
    service: &'static str,
    migrations: &'static [MigrationSet],
    run: impl FnOnce(Base) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let settings = Settings::parse();
    let outcome = async {
        telemetry::init(service, &settings.common.log)?;
        match settings.command {
            Command::Migrate => base::migrate(service, &settings, migrations).await,
            Command::Serve => run(Base::start(service, settings, Shutdown::on_signals()?).await?).await,
        }
    };
    match outcome.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "Stopped: {service} could not go on");
            ExitCode::FAILURE
        }
    }
}

/// A service's own migrations: the file name and its statements.
pub type MigrationSet = (&'static str, &'static str);
