//! Processes of the stack: started, killed as a power cut would, and waited for.

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;

use super::{Options, Process, Stack};
use crate::{certs::Authority, process};

/// The program of a process: `registry` for `registry-2`.
pub(super) fn program(name: &str) -> &str {
    name.split_once('-').map_or(name, |(program, _)| program)
}

/// Every process there will be, with its ports and files.
pub(super) fn planned(run: &Path, options: &Options) -> anyhow::Result<BTreeMap<String, Process>> {
    let mut processes = BTreeMap::new();
    for service in proto::SERVICES.iter().chain(&["gateway"]) {
        for number in 1..=options.replicas.get(*service).copied().unwrap_or(1) {
            let port = match *service {
                "gateway" if number == 1 && options.port != 0 => process::port_or_free(options.port)?,
                _ => process::free_port()?,
            };
            let name = if number == 1 { (*service).to_owned() } else { format!("{service}-{number}") };
            processes.insert(name.clone(), Process::planned(run, &name, port)?);
        }
    }
    Ok(processes)
}

impl Process {
    fn planned(run: &Path, name: &str, port: u16) -> anyhow::Result<Self> {
        Ok(Self {
            pid: 0,
            address: format!("127.0.0.1:{port}"),
            admin: format!("127.0.0.1:{}", process::free_port()?),
            log: run.join(format!("logs/{name}.log")),
            is_retired: false,
        })
    }
}

impl Stack {
    /// Where the processes of the mesh find each other.
    pub(super) fn write_upstreams(&self) -> anyhow::Result<()> {
        let found = self.services.iter().filter(|(name, process)| program(name) != "gateway" && !process.is_retired);
        let lines: Vec<String> =
            found.map(|(name, process)| format!("{}={}\n", program(name), process.address)).collect();
        // Whole or not at all: the processes read it again and again.
        let (file, new) = (self.run.join("upstreams"), self.run.join("upstreams.new"));
        fs::write(&new, lines.concat())?;
        Ok(fs::rename(new, file)?)
    }

    /// Whether a process of ours runs.
    pub fn is_alive(&self, name: &str) -> bool {
        self.services.get(name).is_some_and(|p| p.pid != 0 && process::is_alive(p.pid, program(name)))
    }

    /// Starts a process of ours.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, name: &str) -> anyhow::Result<()> {
        // It reads them first of all.
        self.write_upstreams()?;
        let mut command = self.command(name)?;
        let process = self.services.get_mut(name).with_context(|| format!("there is no process {name}"))?;
        process.pid = process::start(&mut command, &process.log)?;
        process.is_retired = false;
        self.save()
    }

    /// Kills a process of ours, as a power cut would.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.services.get(name).map_or(0, |p| p.pid);
        process::stop(pid, program(name), Signal::SIGKILL, Duration::from_secs(30))
    }

    /// The processes of a service.
    pub fn of(&self, service: &str) -> impl Iterator<Item = (&String, &Process)> {
        self.services.iter().filter(move |(name, _)| program(name) == service)
    }

    /// Plans the processes that are asked for, and takes those beyond out of service.
    pub(super) fn replan(&mut self, options: &Options) -> anyhow::Result<()> {
        let wanted = planned(&self.run, options)?;
        let beyond: Vec<String> = self.services.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in beyond {
            if self.is_alive(&name) {
                self.retire(&name)?;
            }
            self.services.remove(&name);
        }
        for (name, process) in wanted {
            self.services.entry(name).or_insert(process);
        }
        Ok(())
    }

    /// Starts one more process of a service. Returns its name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn add(&mut self, service: &str) -> anyhow::Result<String> {
        let name = format!("{service}-{}", self.of(service).count() + 1);
        self.services.insert(name.clone(), Process::planned(&self.run, &name, process::free_port()?)?);
        self.start(&name)?;
        Ok(name)
    }

    /// Takes a process out of service, as a rolling restart does: nobody is sent to it any more, then it is asked to stop.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn retire(&mut self, name: &str) -> anyhow::Result<()> {
        let process = self.services.get_mut(name).with_context(|| format!("there is no process {name}"))?;
        process.is_retired = true;
        let pid = process.pid;
        self.save()?;
        process::signal(pid, Signal::SIGTERM)?;
        process::stop(pid, program(name), Signal::SIGTERM, Duration::from_secs(25))
    }

    /// Kills NATS, as a power cut would.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill_nats(&self) -> anyhow::Result<()> {
        process::stop(self.nats.pid, "nats-server", Signal::SIGKILL, Duration::from_secs(30))
    }

    /// Starts NATS again.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_nats(&mut self) -> anyhow::Result<()> {
        let files = Authority::open(&self.certs)?.files("nats");
        self.nats.start(&self.tools.clone(), &files)?;
        self.save()?;
        // The streams are the deployment's: it makes them again if the storage is gone.
        proto::SERVICES.iter().try_for_each(|service| self.migrate(service))
    }

    /// Kills PostgreSQL with all its processes, as a power cut would.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill_postgres(&self) -> anyhow::Result<()> {
        process::kill_family(self.postgres.pid, "postgres")
    }

    /// Starts PostgreSQL again; it recovers from its log.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_postgres(&mut self) -> anyhow::Result<()> {
        let files = Authority::open(&self.certs)?.files("postgres");
        self.postgres.start(&self.tools.clone(), &files)?;
        self.save()
    }

    fn command(&self, name: &str) -> anyhow::Result<Command> {
        let process = self.services.get(name).with_context(|| format!("there is no process {name}"))?;
        let program = program(name);
        let mut command = Command::new(self.binaries.join(program));
        command
            .env_clear()
            .env("HERSYS_LISTEN", &process.address)
            .env("HERSYS_ADMIN_LISTEN", &process.admin)
            .env("HERSYS_TLS_CA", self.certs.join("ca.pem"))
            .env("HERSYS_TLS_CERT", self.certs.join(format!("{program}.pem")))
            .env("HERSYS_TLS_KEY", self.certs.join(format!("{program}.key")))
            .env("HERSYS_UPSTREAMS_FILE", self.run.join("upstreams"))
            .env("HERSYS_SURGE_FILE", self.run.join("surge.json"))
            .env("HERSYS_NATS_URL", format!("tls://127.0.0.1:{}", self.nats.port))
            .env("HERSYS_KEYS_FILE", self.run.join(format!("keys/{name}.jwks")))
            .env("HERSYS_FONT", self.tools.join("ipaexg.ttf"))
            .env("HERSYS_ADDRESS", format!("{}/", self.gateway.url))
            .envs(self.environment.iter().cloned());
        if program != "gateway" {
            command
                .env("HERSYS_DATABASE", format!("127.0.0.1:{}", self.postgres.port))
                .env("HERSYS_KEK_FILE", self.run.join(format!("keys/{program}.kek")));
        }
        if program == "identity" {
            // There is no mail server here: people read their codes in the outbox.
            command.env("HERSYS_SHOW_MESSAGES", "true");
            command.env("HERSYS_BOOTSTRAP_FILE", self.run.join("keys/bootstrap"));
        }
        Ok(command)
    }

    pub(super) fn migrate(&self, name: &str) -> anyhow::Result<()> {
        let owner = Authority::open(&self.certs)?.files(&format!("{name}-migrate"));
        let mut command = self.command(name)?;
        command.arg("migrate").env("HERSYS_TLS_CERT", owner.cert).env("HERSYS_TLS_KEY", owner.key);
        let done = command.output().with_context(|| format!("run {name} migrate"))?;
        if !done.status.success() {
            bail!("{name} migrate failed: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(())
    }

    /// Runs the probe of a process (`healthcheck` or `livecheck`), as a kubelet does.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn probe(&self, name: &str, word: &str) -> anyhow::Result<bool> {
        Ok(self.command(name)?.arg(word).output().with_context(|| format!("run {name} {word}"))?.status.success())
    }

    /// Waits until every process says that it is ready, the gateway last.
    ///
    /// # Errors
    /// Names the process that stopped or is not ready, what it says, and its log.
    pub async fn wait_until_ready(&self, patience: Duration) -> anyhow::Result<()> {
        let started = tokio::time::Instant::now();
        for name in self.services.keys() {
            loop {
                let said = match self.admin(name, "/readyz").await {
                    Ok((200, _)) => break,
                    Ok((_, said)) => said.trim().to_owned(),
                    Err(error) => format!("{error:#}"),
                };
                // The others wait for it in vain.
                if let Some((stopped, process)) = self.services.iter().find(|(name, _)| !self.is_alive(name)) {
                    bail!("{stopped} stopped: {}; its log is {}", last_line(&process.log), process.log.display());
                }
                if started.elapsed() > patience {
                    bail!("{name} is not ready after {} s: {said}", patience.as_secs());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

/// The last line of a log, which says why its process ended.
fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().next_back().unwrap_or("without a word").to_owned()
}
