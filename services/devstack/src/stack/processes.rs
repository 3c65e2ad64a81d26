//! Processes of the stack: started, killed as a power cut would, and waited for.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, bail};
use nix::sys::signal::Signal;

use super::Stack;
use crate::{certs::Authority, process};

impl Stack {
    /// Whether a process of ours runs.
    pub fn is_alive(&self, name: &str) -> bool {
        self.services.get(name).is_some_and(|p| p.pid != 0 && process::is_alive(p.pid, name))
    }

    /// Starts a process of ours.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, name: &str) -> anyhow::Result<()> {
        let mut command = self.command(name)?;
        let process = self.services.get_mut(name).with_context(|| format!("there is no process {name}"))?;
        process.pid = process::start(&mut command, &process.log)?;
        self.save()
    }

    /// Kills a process of ours, as a power cut would.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill(&self, name: &str) -> anyhow::Result<()> {
        let pid = self.services.get(name).map_or(0, |p| p.pid);
        process::stop(pid, name, Signal::SIGKILL, Duration::from_secs(30))
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
        let upstreams: Vec<String> =
            self.services.iter().filter(|(n, _)| *n != "gateway").map(|(n, p)| format!("{n}={}", p.address)).collect();
        let mut command = Command::new(self.binaries.join(name));
        command
            .env_clear()
            .env("HERSYS_LISTEN", &process.address)
            .env("HERSYS_ADMIN_LISTEN", &process.admin)
            .env("HERSYS_TLS_CA", self.certs.join("ca.pem"))
            .env("HERSYS_TLS_CERT", self.certs.join(format!("{name}.pem")))
            .env("HERSYS_TLS_KEY", self.certs.join(format!("{name}.key")))
            .env("HERSYS_UPSTREAMS", upstreams.join(","))
            .env("HERSYS_NATS_URL", format!("tls://127.0.0.1:{}", self.nats.port))
            .env("HERSYS_KEYS_FILE", self.run.join(format!("keys/{name}.jwks")))
            .env("HERSYS_FONT", self.tools.join("ipaexg.ttf"))
            .env("HERSYS_ADDRESS", format!("{}/", self.gateway.url))
            .envs(self.environment.iter().cloned());
        if name != "gateway" {
            command
                .env("HERSYS_DATABASE", format!("127.0.0.1:{}", self.postgres.port))
                .env("HERSYS_KEK_FILE", self.run.join(format!("keys/{name}.kek")));
        }
        if name == "identity" {
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
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().next_back().unwrap_or("without a word").to_owned()
}
