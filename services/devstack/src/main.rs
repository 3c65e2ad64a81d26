//! `hersys-devstack`: the mesh on one machine.

use std::{
    collections::BTreeMap,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use devstack::{Options, Stack};

/// Runs the mesh on one machine.
#[derive(Parser)]
#[command(name = "hersys-devstack", version)]
struct Cli {
    /// Folder of the stack's files.
    #[arg(long, env = "HERSYS_RUN", default_value = ".run", global = true)]
    run: PathBuf,
    /// Folder of nats-server and PostgreSQL, as `tools/fetch.py` prints it.
    #[arg(long, env = "HERSYS_TOOLS", default_value = "/usr/local/lib/hersys-tools", global = true)]
    tools: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start everything, or whatever is not running.
    Up {
        /// The port the gateway takes if it is free.
        #[arg(long, default_value_t = 8443)]
        port: u16,
        /// How many processes of a service there are, where it is not one: `registry=2,gateway=2`.
        #[arg(long, value_delimiter = ',', value_parser = replicas)]
        replicas: Vec<(String, usize)>,
    },
    /// Stop what was started; data and keys stay.
    Down,
    /// Stop and wipe data, keys and logs.
    Reset,
    /// Show the last lines of every log.
    Logs,
    /// Print who may do what on the bus, as `k8s/base/bus/users.conf` holds it.
    BusUsers,
    /// Issue new certificates for every process; nothing restarts.
    RotateCertificates,
    /// Run a command with a stack of its own, whose folder is in `HERSYS_TEST_RUN`. Afterwards stop it and, if the
    /// command succeeded, wipe it.
    Exec {
        /// The command.
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    runtime::telemetry::install_crypto();
    match run(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("devstack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    match cli.action {
        Action::Up { port, replicas } => {
            let started = Instant::now();
            eprintln!("Bringing the mesh up in {}", cli.run.display());
            let options =
                Options { replicas: replicas.into_iter().collect(), ..options(cli.run, cli.tools, port, true)? };
            let stack = Stack::up(&options).await?;
            print(&stack, &options.binaries, started);
            Ok(ExitCode::SUCCESS)
        }
        Action::Down => {
            if let Ok(stack) = Stack::load(&cli.run) {
                stack.down()?;
            }
            eprintln!("The mesh is down; data and keys are kept in {}", cli.run.display());
            Ok(ExitCode::SUCCESS)
        }
        Action::Reset => {
            if let Ok(stack) = Stack::load(&cli.run) {
                stack.reset()?;
            }
            eprintln!("The mesh is down and its data are gone");
            Ok(ExitCode::SUCCESS)
        }
        Action::BusUsers => {
            std::io::stdout().write_all(devstack::nats::authorization()?.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Action::RotateCertificates => {
            Stack::load(&cli.run)?.rotate_certificates()?;
            eprintln!("Every process has a new certificate");
            Ok(ExitCode::SUCCESS)
        }
        Action::Logs => {
            let stack = Stack::load(&cli.run)?;
            let logs = stack.services.values().map(|p| &p.log).chain([&stack.postgres.log, &stack.nats.log]);
            for log in logs {
                show_tail(log)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Exec { command } => exec(cli.run, cli.tools, &command).await,
    }
}

fn options(run: PathBuf, tools: PathBuf, port: u16, talk: bool) -> anyhow::Result<Options> {
    let me = std::env::current_exe().context("find the binaries")?;
    let binaries = me.parent().context("find the binaries")?.to_owned();
    // Here one person at a keyboard, or a replay, makes every call from one address with one ID.
    let environment = [
        ("HERSYS_LIMIT_PER_PRINCIPAL", "5000"),
        ("HERSYS_UNDER_WAY", "5000"),
        ("HERSYS_UNDER_WAY_PER_ADDRESS", "5000"),
        ("HERSYS_LIMIT_ANONYMOUS", "5000"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Ok(Options { run, tools, binaries, environment, replicas: BTreeMap::new(), port, demo: true, talk })
}

/// The most processes of one service on a machine of this size.
const MOST: usize = 9;

fn replicas(text: &str) -> Result<(String, usize), String> {
    let parsed = text.split_once('=').and_then(|(name, count)| Some((name.to_owned(), count.parse::<usize>().ok()?)));
    let is_ours = |name: &str| proto::SERVICES.contains(&name) || name == "gateway";
    parsed
        .filter(|(name, count)| is_ours(name) && (1..=MOST).contains(count))
        .ok_or_else(|| format!("`{text}` is not SERVICE=COUNT with 1 to {MOST} processes of a service of the mesh"))
}

async fn exec(run: PathBuf, tools: PathBuf, command: &[String]) -> anyhow::Result<ExitCode> {
    let options = options(run, tools.clone(), 0, false)?;
    let stack = Stack::up_or_down(&options).await?;
    let (program, arguments) = command.split_first().context("no command")?;
    let done = Command::new(program)
        .args(arguments)
        .env("HERSYS_TEST_RUN", &stack.run)
        .env("HERSYS_TEST_TOOLS", &tools)
        .env("HERSYS_TEST_BINARIES", &options.binaries)
        .status()
        .with_context(|| format!("run {program}"));
    // Stopped in any case; wiped unless the command failed, so that the logs stay.
    let code = done.as_ref().ok().and_then(std::process::ExitStatus::code).unwrap_or(1);
    let stack = Stack::load(&stack.run)?;
    if code == 0 {
        stack.reset()?;
    } else {
        stack.down()?;
    }
    done?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

fn print(stack: &Stack, binaries: &Path, started: Instant) {
    eprintln!("\nThe mesh answers at {} after {:.1} s", stack.gateway.url, started.elapsed().as_secs_f64());
    eprintln!("Its certificate is signed by {}\n", stack.gateway.ca.display());
    eprintln!("Demo log-ins (passwords and authenticator secrets are in {}/stack.json):", stack.run.display());
    for user in &stack.demo.users {
        eprintln!("  {:<22} {:<22} {}", user.credentials.login, user.role, user.organisation);
    }
    let ctl = binaries.join("hersysctl");
    eprintln!("\nNext: {} sign-in clinic-physician --demo, or `make help`", ctl.display());
}

fn show_tail(log: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(log).with_context(|| format!("read {}", log.display()))?;
    eprintln!("== {}", log.display());
    let lines: Vec<&str> = text.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(15)) {
        eprintln!("{line}");
    }
    Ok(())
}
