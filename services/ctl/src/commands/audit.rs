//! The audit trail, for auditors.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, builder::PossibleValuesParser};
use client::Client;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    audit::{self, Question},
    console::say,
    secret_file,
};

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Who touched a record, or what an account touched, in every service.
    Search(About),
    /// The material for an incident report: whose records, which fields, by whom, between when.
    Incident(About),
    /// Verify every row, seal and signature; names the first bad row.
    Verify {
        /// Only this service.
        #[arg(long, value_parser = PossibleValuesParser::new(proto::SERVICES))]
        service: Option<String>,
        /// Keep the end of each chain in this file, to find out next time if it was cut off.
        #[arg(long)]
        known: Option<PathBuf>,
    },
}

#[derive(Args)]
pub(crate) struct About {
    /// The record: a case, a notification, a user.
    #[arg(long, default_value = "")]
    record: String,
    /// The account.
    #[arg(long, default_value = "")]
    user: String,
    /// From this moment on (RFC 3339).
    #[arg(long)]
    from: Option<String>,
    /// Before this moment (RFC 3339).
    #[arg(long)]
    until: Option<String>,
}

pub(crate) async fn run(client: &mut Client, command: Audit) -> anyhow::Result<()> {
    match command {
        Audit::Search(about) => {
            for (service, row) in audit::search(client, &question(about)?).await? {
                say(format_args!("{}", audit::line(service, &row)))?;
            }
            Ok(())
        }
        Audit::Incident(about) => say(format_args!("{}", audit::incident(client, &question(about)?).await?)),
        Audit::Verify { service, known } => verify(client, service.as_deref(), known).await,
    }
}

fn question(about: About) -> anyhow::Result<Question> {
    let moment = |text: Option<String>| {
        text.map(|text| OffsetDateTime::parse(&text, &Rfc3339))
            .transpose()
            .context("must be a moment, such as 2020-06-01T12:00:00Z")
    };
    Ok(Question { record: about.record, user: about.user, from: moment(about.from)?, until: moment(about.until)? })
}

async fn verify(client: &mut Client, only: Option<&str>, known: Option<PathBuf>) -> anyhow::Result<()> {
    let mut seen = known.as_deref().map(audit::load).transpose()?.unwrap_or_default();
    let mut broken = false;
    for name in proto::SERVICES.iter().copied().filter(|name| only.is_none_or(|only| only == *name)) {
        match audit::verify(client, name, &mut seen).await? {
            Ok(good) => {
                say(format_args!("{name}: {} rows hold, signed up to {}", good.rows, good.signed))?;
                if let Some((first, count)) = good.late {
                    say(format_args!(
                        "{name}: {count} rows from place {first} were signed more than five minutes after they were \
                         written: the sealer had stopped, or the chain was made anew"
                    ))?;
                }
            }
            Err(bad) => {
                broken = true;
                let row = bad.row.map(|row| format!(", row {row}")).unwrap_or_default();
                say(format_args!("{name}: BROKEN at place {}{row}: {}", bad.place, bad.why))?;
            }
        }
    }
    if broken {
        bail!("the audit trail does not hold");
    }
    known.map_or(Ok(()), |file| secret_file::write(&file, &serde_json::to_vec_pretty(&seen)?))
}
