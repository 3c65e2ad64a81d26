//! The surge operator.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use operator::Command;
use runtime::{Shutdown, admin, telemetry};

/// `operator placeholder`, which needs no settings.
#[derive(Parser)]
struct Placeholder {
    #[command(subcommand)]
    _wait: Wait,
}

#[derive(Subcommand)]
enum Wait {
    /// Do nothing until asked to stop: a pod that keeps room for the next one.
    Placeholder,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Placeholder::try_parse() {
        Ok(_) => wait().await,
        Err(_) => run(operator::Settings::parse()).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "Stopped: operator failed");
            ExitCode::FAILURE
        }
    }
}

async fn wait() -> anyhow::Result<()> {
    Shutdown::on_signals()?.requested().await;
    Ok(())
}

async fn run(settings: operator::Settings) -> anyhow::Result<()> {
    telemetry::init("operator", &settings.common.log)?;
    match settings.command {
        Command::Serve => operator::run(settings, Shutdown::on_signals()?).await,
        Command::Healthcheck => admin::ask("operator", &settings.common, "/readyz").await,
        Command::Livecheck => admin::ask("operator", &settings.common, "/healthz").await,
    }
}
