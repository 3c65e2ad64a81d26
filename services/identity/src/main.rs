//! The identity service.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use runtime::Clock;

/// `identity bootstrap`, where an image has no shell.
#[derive(Parser)]
struct Bootstrap {
    #[command(subcommand)]
    command: Print,
}

#[derive(Subcommand)]
enum Print {
    /// Print the first administrator's secret, where the process beside this one wrote it at the first start. If it is lost and nobody
    /// has used it, make a new one.
    Bootstrap {
        /// The file.
        #[arg(long, env = "HERSYS_BOOTSTRAP_FILE")]
        bootstrap_file: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match Bootstrap::try_parse() {
        Ok(Bootstrap { command: Print::Bootstrap { bootstrap_file } }) => match secret(&bootstrap_file).await {
            Ok(secret) => match std::io::stdout().write_all(&secret) {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            },
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "{error:#}");
                ExitCode::FAILURE
            }
        },
        Err(_) => chassis::main("identity", identity::MIGRATIONS, identity::run).await,
    }
}

/// The secret where the process beside this one wrote it; a new one, if it went with another process and nobody has used it.
async fn secret(file: &Path) -> anyhow::Result<Vec<u8>> {
    if let Ok(secret) = std::fs::read(file) {
        return Ok(secret);
    }
    let made = identity::bootstrap_again(&Clock::system()).await?;
    let (login, secret) = made.context("Somebody has enrolled already: an administrator resets the others.")?;
    Ok(format!("{login}\n{secret}\n").into_bytes())
}
