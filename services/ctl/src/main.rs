//! `hersysctl`.

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    runtime::telemetry::install_crypto();
    match ctl::cli::run(ctl::cli::Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !ctl::failure::is_cut_off(&error) {
                eprintln!("hersysctl: {}", ctl::failure::told(&error));
            }
            ctl::failure::exit_code(&error)
        }
    }
}
