//! The gateway.

use std::process::ExitCode;

use clap::Parser as _;
use runtime::{Shutdown, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let settings = gateway::Settings::parse();
    let outcome = async {
        telemetry::init("gateway", &settings.common.log)?;
        gateway::run(settings, Shutdown::on_signals()?).await
    };
    match outcome.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "Stopped: gateway failed");
            ExitCode::FAILURE
        }
    }
}
