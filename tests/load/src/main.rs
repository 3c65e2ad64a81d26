//! `hersys-load`: how many filings a second the mesh sustains, how long they take, and what share of the raw ceiling of
//! the same PostgreSQL that is. Runs under `hersys-devstack exec` (`make bench`), bounded in count and time, on
//! loopback.

mod care;
mod ceiling;
mod doors;
mod entry;
mod storm;
mod worst;

use std::{collections::HashSet, fs, io::Write as _, time::Duration};

use clap::Parser;
use client::Client;
use e2e::{World, file, filing, form, person};
use proto::identity::Role;
use sqlx::PgConnection;
use tonic::Status;
use uuid::Uuid;

use crate::storm::Phase;

/// A consumer that is further behind than this does not keep up.
const LAG: Duration = Duration::from_secs(5);

/// Measures a running stack.
#[derive(Parser)]
struct Cli {
    /// Seconds of each phase.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Filings per second to try, in order, until one is not sustained.
    #[arg(long, value_delimiter = ',', default_value = "300,400,500,600,700,800,1000,1200")]
    rates: Vec<u32>,
    /// Health reports per second to try, in order, until one is not sustained.
    #[arg(long, value_delimiter = ',', default_value = "500,800,1000,1200,1500,2000")]
    report_rates: Vec<u32>,
    /// People who report.
    #[arg(long, default_value_t = 3_000)]
    people: usize,
    /// Claims on the beds of one hospital at once.
    #[arg(long, default_value_t = 1_000)]
    claims: usize,
    /// People who sign in ten times each.
    #[arg(long, default_value_t = 24)]
    sign_ins: usize,
    /// Another transcoder in front of the same services, `https://host:port`, to be compared with.
    #[arg(long)]
    envoy: Option<String>,
    /// Connections of the generator to the gateway.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Connections for the raw ceiling: as many as the filing service's pool has.
    #[arg(long, default_value_t = 16)]
    pool: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let world = World::shared()?;
    let mut out = std::io::stdout();
    let seconds = Duration::from_secs(cli.seconds);

    let ceiling = ceiling::measure(&world, cli.pool, seconds / 2).await?;
    writeln!(
        out,
        "raw ceiling: {ceiling:.0} filings' rows/s committed straight into PostgreSQL by {} connections",
        cli.pool
    )?;

    let mut clients = Vec::new();
    for _ in 0..cli.connections {
        clients.push(world.staff("clinic", Role::Physician).await?);
    }
    storm::run(&clients, 100, Duration::from_secs(5), file_one).await?;

    let mut acknowledged = Vec::new();
    let at_200 = storm::run(&clients, 200, seconds, file_one).await?;
    report(&mut out, "at 200/s", &at_200)?;
    acknowledged.extend(at_200.acknowledged);

    if let Some(clinic) = clients.first() {
        worst::measure(&mut out, clinic).await?;
    }
    let mut sustained = 0.0_f64;
    for rate in cli.rates {
        let phase = storm::run(&clients, rate, seconds, file_one).await?;
        let lag = drained(&world).await?;
        report(&mut out, &format!("at {rate}/s"), &phase)?;
        writeln!(out, "    consumers drained {:.1} s after the last filing", lag.as_secs_f64())?;
        let kept_up = lag <= LAG && phase.errors == 0 && phase.p99() < Duration::from_secs(1);
        let reached = phase.per_second;
        acknowledged.extend(phase.acknowledged);
        if !kept_up {
            break;
        }
        sustained = sustained.max(reached);
    }
    writeln!(out, "sustained: {sustained:.0} filings/s with every consumer at most {} s behind", LAG.as_secs())?;
    writeln!(out, "ratio to the raw ceiling: {:.3}", sustained / ceiling)?;

    let found = found(&world, &acknowledged).await?;
    writeln!(out, "acknowledged: {}, found afterwards in inbox and registry: {found}", acknowledged.len())?;
    care::reports(&world, &mut out, &cli.report_rates, cli.people, seconds, ceiling).await?;
    care::claims(&world, &mut out, cli.claims).await?;
    entry::measure(&world, &mut out, &clients, (cli.sign_ins, seconds)).await?;
    doors::compare(&world, &mut out, seconds, cli.envoy.as_deref()).await?;
    let mut total = 0;
    for (name, process) in &world.stack.services {
        let memory = resident_mib(process.pid)?;
        total += memory;
        writeln!(out, "resident memory: {name:<14} {memory:>5} MiB")?;
    }
    writeln!(out, "resident memory: {:<14} {total:>5} MiB", "together")?;
    Ok(())
}

async fn file_one_of(client: Client) -> Result<String, Status> {
    file(&client, filing(form(&person()))).await.map(|receipt| receipt.notification_id)
}

fn file_one(client: Client, _: usize) -> impl Future<Output = Result<String, Status>> + Send + 'static {
    file_one_of(client)
}

pub(crate) fn report(out: &mut impl std::io::Write, what: &str, phase: &Phase) -> anyhow::Result<()> {
    let ms = |quantile: f64| phase.milliseconds(quantile);
    writeln!(
        out,
        "{what}: {:.0}/s answered, p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, {} errors",
        phase.per_second,
        ms(0.5),
        ms(0.95),
        ms(0.99),
        phase.errors
    )?;
    Ok(())
}

/// How long registry and statistics take to have everything that was filed.
async fn drained(world: &World) -> anyhow::Result<Duration> {
    let started = tokio::time::Instant::now();
    let (mut notification, mut registry, mut statistics) =
        (world.sql("notification").await?, world.sql("registry").await?, world.sql("statistics").await?);
    loop {
        let filed = last(&mut notification, "select stamped_seq from relay").await?;
        let unstamped = last(&mut notification, "select count(*) from outbox where seq is null").await?
            + last(&mut registry, "select count(*) from outbox where seq is null").await?;
        let heard = last(&mut registry, "select handled_seq from cursor where source = 'notification'").await?;
        let changed = last(&mut registry, "select stamped_seq from relay").await?;
        let counted = last(&mut statistics, "select handled_seq from cursor where source = 'registry'").await?;
        if unstamped == 0 && heard >= filed && counted >= changed {
            return Ok(started.elapsed());
        }
        if started.elapsed() > Duration::from_mins(2) {
            return Ok(started.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn last(sql: &mut PgConnection, query: &'static str) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar(query).fetch_one(sql).await?)
}

/// How many of the acknowledged filings are in notification and in the registry.
async fn found(world: &World, acknowledged: &[String]) -> anyhow::Result<usize> {
    let ids: Vec<Uuid> = acknowledged.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect();
    let stored: Vec<Uuid> =
        sqlx::query_scalar("select notification_id from notification where notification_id = any($1)")
            .bind(&ids)
            .fetch_all(&mut world.sql("notification").await?)
            .await?;
    let linked: Vec<Uuid> =
        sqlx::query_scalar("select notification_id from case_notification where notification_id = any($1)")
            .bind(&ids)
            .fetch_all(&mut world.sql("registry").await?)
            .await?;
    let (stored, linked): (HashSet<Uuid>, HashSet<Uuid>) = (stored.into_iter().collect(), linked.into_iter().collect());
    Ok(stored.intersection(&linked).count())
}

fn resident_mib(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: u64 = line.split_whitespace().next().unwrap_or("0").parse()?;
    Ok(kib / 1024)
}
