//! A private NATS: TLS from the first byte, a user per certificate with its own subjects, every write on disk.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::bail;
use serde::{Deserialize, Serialize};

use crate::{certs::Files, process};

const PROGRAM: &str = "nats-server";

/// Whose events each service listens to. Decides its permissions on the bus.
pub const LISTENS_TO: &[(&str, &[&str])] = &[
    ("identity", &["identity", "registry"]),
    ("registry", &["identity", "notification", "beds"]),
    ("notification", &["identity", "registry"]),
    ("followup", &["identity", "registry", "notification"]),
    ("beds", &["identity", "registry"]),
    ("statistics", &["identity", "registry", "beds"]),
];

/// A private NATS server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Nats {
    /// The server's process id; 0 before it is started.
    pub pid: u32,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Where JetStream keeps its files.
    pub store_dir: PathBuf,
    /// The server's log file.
    pub log: PathBuf,
    configuration: PathBuf,
}

impl Nats {
    /// Chooses a port and the places of files. Starts nothing.
    ///
    /// # Errors
    /// When no port is free.
    pub fn make(run: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            pid: 0,
            port: process::free_port()?,
            store_dir: run.join("nats"),
            log: run.join("logs/nats.log"),
            configuration: run.join("nats.conf"),
        })
    }

    /// Starts the server with the given certificates and waits until it listens.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&mut self, tools: &Path, certs: &Files) -> anyhow::Result<()> {
        fs::create_dir_all(&self.store_dir)?;
        fs::write(&self.configuration, self.settings(certs)?)?;
        let mut command = Command::new(tools.join(PROGRAM));
        command.arg("-c").arg(&self.configuration).env_clear();
        self.pid = process::start(&mut command, &self.log)?;
        let listens = || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok();
        if process::wait_until(Duration::from_mins(1), || listens() || !self.is_alive()) && self.is_alive() {
            return Ok(());
        }
        bail!("NATS did not start; its log is {}", self.log.display())
    }

    fn settings(&self, certs: &Files) -> anyhow::Result<String> {
        Ok(format!(
            "listen: \"127.0.0.1:{port}\"
server_name: hersys-dev
max_payload: 1MB
tls {{
  ca_file: \"{ca}\"
  cert_file: \"{cert}\"
  key_file: \"{key}\"
  verify_and_map: true
  handshake_first: true
  min_version: \"1.2\"
  cipher_suites: [\"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\", \"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384\", \
             \"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256\"]
}}
jetstream {{
  store_dir: \"{store}\"
  # An acknowledgement by the bus means it is on disk.
  sync_interval: always
  max_file_store: 8GB
}}
{authorization}",
            port = self.port,
            ca = certs.ca.display(),
            cert = certs.cert.display(),
            key = certs.key.display(),
            store = self.store_dir.display(),
            authorization = authorization()?,
        ))
    }

    /// Whether the server runs.
    pub fn is_alive(&self) -> bool {
        self.pid != 0 && process::is_alive(self.pid, PROGRAM)
    }

    /// Stops the server.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(&self) -> anyhow::Result<()> {
        process::stop(self.pid, PROGRAM, nix::sys::signal::Signal::SIGTERM, Duration::from_secs(10))
    }
}

/// Who may do what on the bus, in the server's words: a user for each certificate.
///
/// # Errors
/// When it cannot be written.
pub fn authorization() -> anyhow::Result<String> {
    let mut users = String::new();
    for (service, sources) in LISTENS_TO {
        let stream = service.to_uppercase();
        let mut publish = vec![format!("hersys.{service}.>")];
        for source in *sources {
            let source = source.to_uppercase();
            publish.extend([
                format!("$JS.API.STREAM.INFO.{source}"),
                format!("$JS.API.CONSUMER.INFO.{source}.{service}"),
                format!("$JS.API.CONSUMER.CREATE.{source}.{service}"),
                format!("$JS.API.CONSUMER.CREATE.{source}.{service}.>"),
                format!("$JS.API.CONSUMER.DURABLE.CREATE.{source}.{service}"),
                format!("$JS.API.CONSUMER.MSG.NEXT.{source}.{service}"),
                format!("$JS.ACK.{source}.{service}.>"),
            ]);
        }
        user(&mut users, service, &publish)?;
        // Who deploys makes the stream; who serves could make one with settings that go round the permissions of others.
        let deploy = ["INFO", "CREATE", "UPDATE"].map(|verb| format!("$JS.API.STREAM.{verb}.{stream}"));
        user(&mut users, &format!("{service}-migrate"), &deploy)?;
    }
    Ok(format!("authorization {{\n  users: [\n{users}  ]\n}}\n"))
}

/// Writes what the holder of a certificate may publish. It hears nothing but answers to itself.
fn user(users: &mut String, name: &str, publish: &[String]) -> std::fmt::Result {
    let list = publish.iter().map(|subject| format!("\"{subject}\"")).collect::<Vec<_>>().join(", ");
    writeln!(
        users,
        "    {{ user: \"{name}.hersys.internal\", permissions: {{ publish: {{ allow: [{list}] }}, \
         subscribe: {{ allow: [\"_INBOX.{name}.>\"] }} }} }}"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proto::SERVICES;

    use super::LISTENS_TO;

    #[test]
    fn every_service_of_the_contract_has_its_place_on_the_bus() {
        let listeners: BTreeSet<_> = LISTENS_TO.iter().map(|(service, _)| *service).collect();
        assert_eq!(listeners, SERVICES.iter().copied().collect());
        let sources: BTreeSet<_> = LISTENS_TO.iter().flat_map(|(_, sources)| sources.iter().copied()).collect();
        assert!(sources.is_subset(&listeners));
    }
}
