//! `hersysctl`.

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    runtime::telemetry::install_crypto();
    match ctl::cli::run(ctl::cli::Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hersysctl: {error:#}");
            ctl::failure::exit_code(&error)
        }
    }
}
