//! The stack as a whole: started piece by piece, told in `stack.json`, stopped by process id.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use ctl::{Client, Credentials};
use nix::sys::signal::Signal;
use runtime::{config::TlsFiles, mesh::Channel, tls::Tls};
use serde::{Deserialize, Serialize};

use crate::{SERVICES, certs::Authority, demo, nats::Nats, postgres::Postgres, process};

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
    /// The port the gateway takes if it is free; 0 takes any.
    pub port: u16,
    /// Loads the demo organisations.
    pub demo: bool,
    /// Prints what happens.
    pub talk: bool,
}

/// A process of the mesh.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    /// Its process.
    pub pid: u32,
    /// Where it answers gRPC.
    pub address: String,
    /// Where it answers health and metrics.
    pub admin: String,
    /// Its log.
    pub log: PathBuf,
}

/// Where the door is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Door {
    /// `https://127.0.0.1:port`.
    pub url: String,
    /// The authority of its certificate.
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

/// A demo user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DemoUser {
    /// What it signs in with.
    pub credentials: Credentials,
    /// Its role, for reading.
    pub role: String,
    /// Its organisation, for reading.
    pub organisation: String,
}

/// A running stack, as told in `stack.json` (mode 0600): the contract for tools, tests and benchmarks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stack {
    /// The gateway as clients see it.
    pub gateway: Door,
    /// Every process of ours by name, the gateway among them.
    pub services: BTreeMap<String, Process>,
    /// PostgreSQL.
    pub postgres: Postgres,
    /// NATS.
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
    /// Brings everything up, or what is missing of it.
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
        for name in SERVICES.iter().chain(&["gateway", "postgres", "nats", "ops"]) {
            authority.issue(name).with_context(|| format!("issue the certificate of {name}"))?;
        }
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
        stack.tools.clone_from(&options.tools);
        stack.binaries.clone_from(&options.binaries);
        stack.save()?;
        for service in SERVICES {
            make_key(&run.join(format!("keys/{service}.kek")))?;
        }
        say("migrations");
        for service in SERVICES {
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

    /// Brings everything up for a while; what came up of it is stopped again should the rest fail.
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
        let mut services = BTreeMap::new();
        for name in SERVICES.iter().chain(&["gateway"]) {
            let port = match *name {
                "gateway" if options.port != 0 => process::port_or_free(options.port)?,
                _ => process::free_port()?,
            };
            let process = Process {
                pid: 0,
                address: format!("127.0.0.1:{port}"),
                admin: format!("127.0.0.1:{}", process::free_port()?),
                log: run.join(format!("logs/{name}.log")),
            };
            services.insert((*name).to_owned(), process);
        }
        let url = format!("https://{}", services.get("gateway").map(|p| p.address.clone()).unwrap_or_default());
        Ok(Self {
            gateway: Door { url, ca: authority.ca() },
            services,
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
        crate::certs::write_secret(&self.run.join("stack.json"), &serde_json::to_vec_pretty(self)?)
    }

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
        let process = self.services.get_mut(name).with_context(|| format!("there is no {name}"))?;
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
        self.save()
    }

    /// Kills PostgreSQL with all its processes, as a power cut would.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub fn kill_postgres(&self) -> anyhow::Result<()> {
        process::stop(self.postgres.pid, "postgres", Signal::SIGKILL, Duration::from_secs(30))
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
        let process = self.services.get(name).with_context(|| format!("there is no {name}"))?;
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
            .env("HERSYS_FONT", self.tools.join("ipaexg.ttf"))
            .env("HERSYS_ADDRESS", format!("{}/", self.gateway.url))
            .envs(self.environment.iter().cloned());
        if name != "gateway" {
            command
                .env("HERSYS_DATABASE", format!("127.0.0.1:{}", self.postgres.port))
                .env("HERSYS_KEK_FILE", self.run.join(format!("keys/{name}.kek")));
        }
        if name == "identity" {
            command.env("HERSYS_BOOTSTRAP_FILE", self.run.join("keys/bootstrap"));
        }
        Ok(command)
    }

    fn migrate(&self, name: &str) -> anyhow::Result<()> {
        let done = self.command(name)?.arg("migrate").output().with_context(|| format!("run {name} migrate"))?;
        if !done.status.success() {
            bail!("{name} migrate failed: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(())
    }

    /// Waits until every process says that it is ready, the gateway last.
    ///
    /// # Errors
    /// Names the part that is not, and its log.
    pub async fn wait_until_ready(&self, patience: Duration) -> anyhow::Result<()> {
        for (name, process) in &self.services {
            let started = tokio::time::Instant::now();
            loop {
                if self.admin(name, "/readyz").await.is_ok_and(|(status, _)| status == 200) {
                    break;
                }
                if !self.is_alive(name) {
                    bail!("{name} stopped; its log is {}", process.log.display());
                }
                if started.elapsed() > patience {
                    bail!("{name} is not ready after {} s; its log is {}", patience.as_secs(), process.log.display());
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    /// Asks a process's admin port.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn admin(&self, name: &str, path: &str) -> anyhow::Result<(u16, String)> {
        use http_body_util::BodyExt as _;

        let process = self.services.get(name).with_context(|| format!("there is no {name}"))?;
        let tls = self.tls("ops")?;
        let channel = Channel::new(&process.admin, &format!("{name}.hersys.internal"), Arc::clone(&tls.client))?;
        let request = http::Request::get(path).body(tonic::body::Body::empty())?;
        let response = tokio::time::timeout(Duration::from_secs(3), channel.send(request)).await??;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// The certificate of a process, for tests that stand in for it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn tls(&self, name: &str) -> anyhow::Result<Tls> {
        Tls::load(&TlsFiles {
            ca: self.certs.join("ca.pem"),
            cert: self.certs.join(format!("{name}.pem")),
            key: self.certs.join(format!("{name}.key")),
        })
    }

    /// A client of the gateway, not signed in.
    ///
    /// # Errors
    /// When the authority cannot be read.
    pub fn client(&self) -> anyhow::Result<Client> {
        Client::new(&self.gateway.url, &self.gateway.ca)
    }

    /// A channel to a service past the gateway, with the certificate of a process.
    ///
    /// # Errors
    /// When a certificate cannot be read.
    pub fn direct(&self, service: &str, as_process: &str) -> anyhow::Result<Channel> {
        let address = self.services.get(service).map(|p| p.address.clone()).context("there is no such service")?;
        let client: Arc<ArcSwap<_>> = Arc::clone(&self.tls(as_process)?.client);
        Channel::new(&address, &format!("{service}.hersys.internal"), client)
    }

    /// A demo user's credentials.
    ///
    /// # Errors
    /// When there is no such user.
    pub fn credentials(&self, login: &str) -> anyhow::Result<Credentials> {
        let user = self.demo.users.iter().find(|user| user.credentials.login == login);
        user.map(|user| user.credentials.clone()).with_context(|| format!("there is no demo user {login}"))
    }

    /// New certificates for every process. Each reads its own again by itself; PostgreSQL and NATS are told to.
    ///
    /// # Errors
    /// When one cannot be issued, or a server cannot be told.
    pub fn rotate_certificates(&self) -> anyhow::Result<()> {
        let authority = Authority::open(&self.certs)?;
        for name in SERVICES.iter().chain(&["gateway", "postgres", "nats", "ops"]) {
            authority.issue(name).with_context(|| format!("issue the certificate of {name}"))?;
        }
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
            if process.pid != 0 && process::is_alive(process.pid, name) {
                process::signal(process.pid, Signal::SIGTERM)?;
            }
        }
        for (name, process) in &self.services {
            if process.pid != 0 {
                process::stop(process.pid, name, Signal::SIGTERM, Duration::from_secs(25))?;
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

    /// The addresses of the services by name, for clients past the gateway.
    pub fn addresses(&self) -> HashMap<String, String> {
        self.services.iter().map(|(name, process)| (name.clone(), process.address.clone())).collect()
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
