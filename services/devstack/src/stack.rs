//! The whole stack: started piece by piece, described in `stack.json`, stopped by process id.

mod connections;
mod processes;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use client::Credentials;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use self::processes::program;
use crate::{certs::Authority, demo, nats::Nats, postgres::Postgres, process};

/// How to run a stack.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the stack's files.
    pub run: PathBuf,
    /// Folder of nats-server and PostgreSQL.
    pub tools: PathBuf,
    /// Folder of the services' binaries.
    pub binaries: PathBuf,
    /// Extra environment for every service.
    pub environment: Vec<(String, String)>,
    /// How many processes of a service there are, where it is not one.
    pub replicas: BTreeMap<String, usize>,
    /// The port the gateway takes if it is free; 0 takes any.
    pub port: u16,
    /// Loads the demo organisations.
    pub demo: bool,
    /// Prints progress.
    pub talk: bool,
}

/// A process of the mesh.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// `host:port` where it answers gRPC.
    pub address: String,
    /// `host:port` where it answers health and metrics.
    pub admin: String,
    /// Its log file.
    pub log: PathBuf,
    /// Nobody is sent to it any more: it is about to stop.
    #[serde(default)]
    pub is_retired: bool,
}

/// How to reach the gateway.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Door {
    /// `https://127.0.0.1:port`.
    pub url: String,
    /// File with the authority that signed its certificate.
    pub ca: PathBuf,
}

/// What the demo set up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Demo {
    /// Users, each with what it signs in with.
    pub users: Vec<DemoUser>,
    /// Organisations by a short name.
    pub organisations: BTreeMap<String, String>,
}

/// A user of the demo, with all it needs to sign in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DemoUser {
    /// What it signs in with.
    pub credentials: Credentials,
    /// Its role, for people to read.
    pub role: String,
    /// The name of its organisation, for people to read.
    pub organisation: String,
}

/// A running stack, as described in `stack.json` (mode 0600): the contract for tools, tests and benchmarks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stack {
    /// The gateway as clients see it.
    pub gateway: Door,
    /// Every process of ours by name, including the gateway; the second of a service is `registry-2`.
    pub services: BTreeMap<String, Process>,
    /// The PostgreSQL server of every service.
    pub postgres: Postgres,
    /// The NATS server, which is the bus.
    pub nats: Nats,
    /// Demo users and organisations.
    pub demo: Demo,
    /// Folder of the stack's files.
    pub run: PathBuf,
    /// Folder of certificates; `ops.pem` opens the admin ports.
    pub certs: PathBuf,
    tools: PathBuf,
    binaries: PathBuf,
    environment: Vec<(String, String)>,
}

impl Stack {
    /// Starts everything, or whatever is not running.
    ///
    /// # Errors
    /// Says which part failed, why, and where its log is.
    pub async fn up(options: &Options) -> anyhow::Result<Self> {
        let say = |text: &str| {
            if options.talk {
                eprintln!("  {text}");
            }
        };
        fs::create_dir_all(options.run.join("logs"))?;
        fs::create_dir_all(options.run.join("keys"))?;
        let run = fs::canonicalize(&options.run)?;
        say("certificates");
        let authority = Authority::open(&run.join("certs"))?;
        authority.issue_all()?;
        let kept = Self::load(&run).ok();

        say("PostgreSQL");
        let pg_certs = authority.files("postgres");
        let postgres = match kept.as_ref().map(|stack| stack.postgres.clone()) {
            Some(server) if server.is_alive() => server,
            Some(mut server) if server.data_dir.join("PG_VERSION").exists() => {
                server.start(&options.tools, &pg_certs)?;
                server
            }
            _ => Postgres::make(&options.tools, &run, &pg_certs).await.context("PostgreSQL")?,
        };
        say("NATS");
        let mut nats = match kept.as_ref().map(|stack| stack.nats.clone()) {
            Some(server) => server,
            None => Nats::make(&run)?,
        };
        if !nats.is_alive() {
            nats.start(&options.tools, &authority.files("nats"))?;
        }

        let mut stack = match kept {
            Some(kept) => Self { postgres, nats, environment: options.environment.clone(), ..kept },
            None => Self::planned(&run, options, &authority, postgres, nats)?,
        };
        stack.replan(options)?;
        stack.tools.clone_from(&options.tools);
        stack.binaries.clone_from(&options.binaries);
        stack.save()?;
        for service in proto::SERVICES {
            make_key(&run.join(format!("keys/{service}.kek")))?;
        }
        say("migrations");
        for service in proto::SERVICES {
            stack.migrate(service)?;
        }
        for name in stack.services.keys().cloned().collect::<Vec<_>>() {
            if !stack.is_alive(&name) {
                say(&name);
                stack.start(&name)?;
            }
        }
        stack.wait_until_ready(Duration::from_mins(3)).await?;
        if options.demo && stack.demo.users.is_empty() {
            say("demo organisations and users");
            stack.demo = demo::load(&stack).await.context("load the demo organisations")?;
            stack.save()?;
        }
        Ok(stack)
    }

    /// Starts everything. If a part fails, whatever was started is stopped again.
    ///
    /// # Errors
    /// Says which part failed, why, and where its log is.
    pub async fn up_or_down(options: &Options) -> anyhow::Result<Self> {
        let up = Self::up(options).await;
        if up.is_err()
            && let Ok(half) = Self::load(&options.run)
        {
            half.down()?;
        }
        up
    }

    fn planned(
        run: &Path,
        options: &Options,
        authority: &Authority,
        postgres: Postgres,
        nats: Nats,
    ) -> anyhow::Result<Self> {
        let processes = processes::planned(run, options)?;
        let url = format!("https://{}", processes.get("gateway").map(|p| p.address.clone()).unwrap_or_default());
        Ok(Self {
            gateway: Door { url, ca: authority.ca() },
            services: processes,
            postgres,
            nats,
            demo: Demo::default(),
            run: run.to_owned(),
            certs: run.join("certs"),
            tools: options.tools.clone(),
            binaries: options.binaries.clone(),
            environment: options.environment.clone(),
        })
    }

    /// Reads the stack of a folder.
    ///
    /// # Errors
    /// When there is none.
    pub fn load(run: &Path) -> anyhow::Result<Self> {
        let file = run.join("stack.json");
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("read {}", file.display()))
    }

    /// Writes `stack.json`, mode 0600.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self) -> anyhow::Result<()> {
        self.write_upstreams()?;
        crate::certs::write_secret(&self.run.join("stack.json"), &serde_json::to_vec_pretty(self)?)
    }

    /// Issues new certificates for every process. Each rereads its own by itself; PostgreSQL and NATS are told to.
    ///
    /// # Errors
    /// When one cannot be issued, or a server cannot be told.
    pub fn rotate_certificates(&self) -> anyhow::Result<()> {
        let authority = Authority::open(&self.certs)?;
        authority.issue_all()?;
        self.postgres.renew_certificates(&self.tools, &authority.files("postgres"))?;
        process::signal(self.postgres.pid, Signal::SIGHUP)?;
        process::signal(self.nats.pid, Signal::SIGHUP)
    }

    /// Stops exactly what was started; data and keys stay.
    ///
    /// # Errors
    /// When a process does not stop.
    pub fn down(&self) -> anyhow::Result<()> {
        for (name, process) in &self.services {
            if process.pid != 0 && process::is_alive(process.pid, program(name)) {
                process::signal(process.pid, Signal::SIGTERM)?;
            }
        }
        for (name, process) in &self.services {
            if process.pid != 0 {
                process::stop(process.pid, program(name), Signal::SIGTERM, Duration::from_secs(25))?;
            }
        }
        self.nats.stop()?;
        self.postgres.stop()
    }

    /// Stops everything and removes data, keys and logs.
    ///
    /// # Errors
    /// When something does not stop or cannot be removed.
    pub fn reset(&self) -> anyhow::Result<()> {
        self.down()?;
        self.postgres.wipe()?;
        fs::remove_dir_all(&self.run).with_context(|| format!("remove {}", self.run.display()))
    }
}

fn make_key(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| anyhow::anyhow!("draw a key: {error}"))?;
    crate::certs::write_secret(path, &key)
}
