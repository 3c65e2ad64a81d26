//! A private PostgreSQL: TLS only, certificates instead of passwords, durable, and silent about values.

mod names;

pub use names::{databases, identities};

use std::{
    fmt::Write as _,
    fs,
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};
use nix::unistd::{Uid, User};
use serde::{Deserialize, Serialize};
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

use crate::{certs::Files, process};

const PROGRAM: &str = "postgres";

/// A private PostgreSQL server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Postgres {
    /// The server's process id; 0 before it is started.
    pub pid: u32,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The folder of its data.
    pub data_dir: PathBuf,
    /// File with the authority that signed its certificate.
    pub ca: PathBuf,
    /// File with the superuser's password, mode 0600.
    pub password_file: PathBuf,
    /// The server's log file.
    pub log: PathBuf,
}

/// Where PostgreSQL's programs are, and who runs them.
struct Home<'a> {
    programs: &'a Path,
    user: Option<User>,
}

impl Home<'_> {
    /// A command that runs as the unprivileged user if we are root: PostgreSQL refuses root.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        if let Some(user) = &self.user {
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command.env_clear().env("LANG", "C.UTF-8").current_dir("/");
        command
    }

    fn own(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(user) = &self.user {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .with_context(|| format!("change the owner of {}", path.display()))?;
        }
        Ok(())
    }
}

impl Postgres {
    /// Creates a cluster with a database and two roles for each service, or uses the one that is there.
    ///
    /// # Errors
    /// Says which step failed and where the log is.
    pub async fn make(tools: &Path, run: &Path, certs: &Files) -> anyhow::Result<Self> {
        let programs = tools.join("postgres/bin");
        let home = home(&programs)?;
        let data_dir = data_dir(run, &home)?;
        let password_file = run.join("postgres.password");
        let mut server = Self {
            pid: 0,
            port: process::free_port()?,
            data_dir,
            ca: certs.ca.clone(),
            password_file,
            log: run.join("logs/postgres.log"),
        };
        let fresh = !server.data_dir.join("PG_VERSION").exists();
        if fresh {
            server.init(&home)?;
        }
        server.start(tools, certs)?;
        if fresh {
            server.create_databases().await.context("create databases and roles")?;
        }
        Ok(server)
    }

    fn init(&self, home: &Home<'_>) -> anyhow::Result<()> {
        let mut password = [0; 24];
        getrandom::fill(&mut password).map_err(|error| anyhow::anyhow!("draw a password: {error}"))?;
        let password = password.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        crate::certs::write_secret(&self.password_file, password.as_bytes())?;
        fs::create_dir_all(&self.data_dir)?;
        fs::set_permissions(&self.data_dir, fs::Permissions::from_mode(0o700))?;
        home.own(&self.data_dir)?;
        // initdb reads the password as its own user, from a file beside the data.
        let handed = self.data_dir.with_extension("pw");
        crate::certs::write_secret(&handed, password.as_bytes())?;
        home.own(&handed)?;
        let done = home
            .command("initdb")
            .args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"])
            .arg(format!("--pwfile={}", handed.display()))
            .arg("-D")
            .arg(&self.data_dir)
            .output()
            .context("run initdb")?;
        fs::remove_file(&handed)?;
        if !done.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(())
    }

    /// Starts the server with the given certificates and waits until it answers.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(&mut self, tools: &Path, certs: &Files) -> anyhow::Result<()> {
        let programs = tools.join("postgres/bin");
        let home = home(&programs)?;
        self.write_configuration(&home, certs)?;
        let mut command = home.command(PROGRAM);
        command.arg("-D").arg(&self.data_dir);
        self.pid = process::start(&mut command, &self.log)?;
        let pid_file = self.data_dir.join("postmaster.pid");
        let ready = || {
            fs::read_to_string(&pid_file)
                .is_ok_and(|text| text.lines().next() == Some(self.pid.to_string().as_str()) && text.contains("ready"))
        };
        if process::wait_until(Duration::from_mins(2), || ready() || !self.is_alive()) && self.is_alive() {
            return Ok(());
        }
        bail!("PostgreSQL did not start; its log is {}", self.log.display())
    }

    /// Copies new certificates to where the server reads them at its next reload.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn renew_certificates(&self, tools: &Path, certs: &Files) -> anyhow::Result<()> {
        self.write_certificates(&home(&tools.join("postgres/bin"))?, certs)
    }

    fn write_certificates(&self, home: &Home<'_>, certs: &Files) -> anyhow::Result<()> {
        for (from, to) in [(&certs.ca, "ca.pem"), (&certs.cert, "server.pem"), (&certs.key, "server.key")] {
            let to = self.data_dir.join(to);
            crate::certs::write_secret(&to, &fs::read(from)?)?;
            home.own(&to)?;
        }
        Ok(())
    }

    fn write_configuration(&self, home: &Home<'_>, certs: &Files) -> anyhow::Result<()> {
        self.write_certificates(home, certs)?;
        let mut hba = String::new();
        let mut ident = String::new();
        for service in proto::SERVICES {
            writeln!(hba, "hostssl {service} {service}_owner,{service}_app 127.0.0.1/32 cert map=mesh")?;
            for line in identities(service) {
                writeln!(ident, "{line}")?;
            }
        }
        writeln!(hba, "hostssl all postgres 127.0.0.1/32 scram-sha-256")?;
        let settings = format!(
            "listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 400
ssl = on
ssl_ca_file = 'ca.pem'
ssl_cert_file = 'server.pem'
ssl_key_file = 'server.key'
ssl_min_protocol_version = 'TLSv1.2'
ssl_ciphers = 'ECDHE+AESGCM:ECDHE+CHACHA20'
password_encryption = 'scram-sha-256'
# What is acknowledged is on disk.
fsync = on
full_page_writes = on
synchronous_commit = on
wal_sync_method = fdatasync
shared_buffers = '256MB'
max_wal_size = '4GB'
checkpoint_timeout = '10min'
wal_compression = on
jit = off
# Values must not reach the log: no statements, no parameters, no details; the ROLLBACK guard is no warning.
log_min_messages = error
client_min_messages = error
log_min_error_statement = panic
log_error_verbosity = terse
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
",
            port = self.port
        );
        for (name, text) in [("postgresql.conf", settings), ("pg_hba.conf", hba), ("pg_ident.conf", ident)] {
            let path = self.data_dir.join(name);
            fs::write(&path, text)?;
            home.own(&path)?;
        }
        Ok(())
    }

    /// Whether the server runs.
    pub fn is_alive(&self) -> bool {
        self.pid != 0 && process::is_alive(self.pid, PROGRAM)
    }

    /// Stops the server by a fast shutdown, which ends every connection.
    ///
    /// # Errors
    /// When it does not stop.
    pub fn stop(&self) -> anyhow::Result<()> {
        process::stop(self.pid, PROGRAM, nix::sys::signal::Signal::SIGINT, Duration::from_secs(20))
    }

    /// How the superuser connects to a database.
    ///
    /// # Errors
    /// When the password cannot be read.
    pub fn superuser(&self, database: &str) -> anyhow::Result<PgConnectOptions> {
        let password = fs::read_to_string(&self.password_file).context("read the superuser's password")?;
        Ok(PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("postgres")
            .password(password.trim())
            .database(database)
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert(&self.ca))
    }

    async fn create_databases(&self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect_with(&self.superuser("postgres")?).await?;
        for statement in databases() {
            // Names come from the contract.
            connection.execute(AssertSqlSafe(statement)).await?;
        }
        connection.close().await?;
        Ok(())
    }

    /// Removes the data. The server must have stopped.
    ///
    /// # Errors
    /// When files cannot be removed.
    pub fn wipe(&self) -> anyhow::Result<()> {
        if self.data_dir.exists() {
            fs::remove_dir_all(&self.data_dir).with_context(|| format!("remove {}", self.data_dir.display()))?;
        }
        Ok(())
    }
}

fn home(programs: &Path) -> anyhow::Result<Home<'_>> {
    let user = if Uid::effective().is_root() {
        Some(User::from_name("nobody")?.context("there is no unprivileged user `nobody` to run PostgreSQL as")?)
    } else {
        None
    };
    Ok(Home { programs, user })
}

/// Beside the other files or, as root, below `/var/tmp`, where the unprivileged user can reach it.
fn data_dir(run: &Path, home: &Home<'_>) -> anyhow::Result<PathBuf> {
    if home.user.is_none() {
        return Ok(run.join("postgres"));
    }
    let run = fs::canonicalize(run)?;
    let name: String = run.to_string_lossy().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Ok(Path::new("/var/tmp").join(format!("hersys-postgres{name}")))
}
