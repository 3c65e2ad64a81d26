//! The identity service.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};

/// `identity bootstrap`, where an image has no shell.
#[derive(Parser)]
struct Bootstrap {
    #[command(subcommand)]
    command: Print,
}

#[derive(Subcommand)]
enum Print {
    /// Print the first administrator's secret, where the process beside this one wrote it at the first start.
    Bootstrap {
        /// The file.
        #[arg(long, env = "HERSYS_BOOTSTRAP_FILE")]
        bootstrap_file: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match Bootstrap::try_parse() {
        Ok(Bootstrap { command: Print::Bootstrap { bootstrap_file } }) => print(&bootstrap_file),
        Err(_) => chassis::main("identity", identity::MIGRATIONS, identity::run).await,
    }
}

fn print(file: &Path) -> ExitCode {
    match std::fs::read(file).and_then(|secret| std::io::stdout().write_all(&secret)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(
                std::io::stderr(),
                "There is no secret here: {error}. Only the process that made the first administrator has it."
            );
            ExitCode::FAILURE
        }
    }
}
