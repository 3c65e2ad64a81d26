//! Replaying an open-data file or a synthetic wave.

use std::path::{Path, PathBuf};

use clap::Args;
use client::Client;

use crate::{
    console::say,
    replay::{self, Plan},
    wave,
};

#[derive(Args)]
pub(crate) struct Replay {
    /// The file; without it a synthetic wave is made.
    file: Option<PathBuf>,
    /// Persons of the synthetic wave.
    #[arg(long, default_value_t = 1_000)]
    count: u32,
    /// The prefecture of the place names.
    #[arg(long, default_value_t = 27)]
    prefecture: u8,
    /// Rows under way at once.
    #[arg(long, default_value_t = 48)]
    at_once: usize,
    /// Send everything again instead of going on where the last run ended.
    #[arg(long)]
    again: bool,
}

/// Progress is kept beside the session.
pub(crate) async fn run(client: Client, args: &Replay, session: &Path) -> anyhow::Result<()> {
    let (rows, source) = match &args.file {
        Some(file) => (wave::read(file)?, file.file_name().unwrap_or_default().to_string_lossy().into_owned()),
        None => (wave::synthetic(args.count), format!("synthetic {}", args.count)),
    };
    let name = source.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let progress = (!args.again).then(|| session.with_file_name(format!("replay-{name}.progress")));
    let plan = Plan { source, prefecture: args.prefecture, at_once: args.at_once.max(1), progress, bar: true };

    let report = replay::run(client, rows, &plan).await?;
    say(format_args!("{} rows sent, {} had been sent before", report.sent, report.skipped))
}
