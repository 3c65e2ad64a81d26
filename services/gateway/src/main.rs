//! The gateway.

use std::process::ExitCode;

use clap::Parser as _;
use gateway::Command;
use runtime::{Shutdown, admin, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let settings = gateway::Settings::parse();
    let outcome = async {
        telemetry::init("gateway", &settings.common.log)?;
        match settings.command {
            Command::Serve => gateway::run(settings, Shutdown::on_signals()?).await,
            Command::Healthcheck => admin::ask("gateway", &settings.common, "/readyz").await,
            Command::Ask => match settings.of.as_slice() {
                [service, address] => admin::ask_at(service, address, &settings.common, "/readyz").await,
                _ => anyhow::bail!("`ask` needs the service and the address of its admin port, host:port"),
            },
            Command::Livecheck => admin::ask("gateway", &settings.common, "/healthz").await,
        }
    };
    match outcome.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = %format!("{error:#}"), "Stopped: gateway failed");
            ExitCode::FAILURE
        }
    }
}
