//! `hersys-surge`: what `hersysctl surge` runs, so that only this program knows the cluster's API.

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    runtime::telemetry::install_crypto();
    match operator::commands::run(operator::commands::Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hersysctl surge: {error:#}");
            operator::commands::exit_code(&error)
        }
    }
}
