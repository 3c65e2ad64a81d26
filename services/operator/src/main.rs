//! The surge operator.

use std::process::ExitCode;

use clap::Parser as _;
use operator::Command;
use runtime::{Shutdown, admin, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let settings = operator::Settings::parse();
    let outcome = async {
        telemetry::init("operator", &settings.common.log)?;
        match settings.command {
            Command::Serve => operator::run(settings, Shutdown::on_signals()?).await,
            Command::Healthcheck => admin::ask("operator", &settings.common, "/readyz").await,
            Command::Livecheck => admin::ask("operator", &settings.common, "/healthz").await,
        }
    };
    match outcome.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "Stopped: operator failed");
            ExitCode::FAILURE
        }
    }
}
