//! Settings every process shares. Each is a flag and an environment variable; nothing else reads the environment.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use clap::Args;

/// Settings of every process of the mesh.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Where the process answers gRPC over TLS.
    #[arg(long, env = "HERSYS_LISTEN", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Where it answers health and metrics over TLS.
    #[arg(long, env = "HERSYS_ADMIN_LISTEN", default_value = "127.0.0.1:0")]
    pub admin_listen: SocketAddr,

    /// The mesh's own certificates.
    #[command(flatten)]
    pub tls: TlsFiles,

    /// The other services: `name=host:port`, separated by commas. A name may have several addresses, and a host several replicas.
    #[arg(long, env = "HERSYS_UPSTREAMS", value_delimiter = ',', value_parser = upstream)]
    pub upstreams: Vec<(String, String)>,

    /// A file with more of them, one a line, read again and again. For where no name server knows the replicas.
    #[arg(long, env = "HERSYS_UPSTREAMS_FILE")]
    pub upstreams_file: Option<PathBuf>,

    /// What to log, in `tracing`'s filter syntax.
    #[arg(long, env = "HERSYS_LOG", default_value = "info,sqlx=warn,async_nats=warn")]
    pub log: String,

    /// Collector of traces (OTLP over gRPC), `host:port`; its certificate is signed by the mesh's authority for
    /// `otel.hersys.internal`. Without it no spans are recorded.
    #[arg(long, env = "HERSYS_OTLP")]
    pub otlp: Option<String>,

    /// The share of traces that begin here and are told, from 0 to 1. Who calls with a trace decides for it.
    #[arg(long, env = "HERSYS_TRACES", default_value_t = 1.0)]
    pub traces: f64,

    /// File in which identity's public keys are kept, so that a process that starts while identity is away knows them.
    #[arg(long, env = "HERSYS_KEYS_FILE")]
    pub keys_file: Option<PathBuf>,

    /// The file that says which level of a surge is in force, and what is switched off. It is read again and again.
    #[arg(long, env = "HERSYS_SURGE_FILE")]
    pub surge_file: Option<PathBuf>,

    /// NATS server, `tls://host:port`.
    #[arg(long, env = "HERSYS_NATS_URL", default_value = "tls://127.0.0.1:4222")]
    pub nats_url: String,
}

impl Common {
    /// Where the other services are.
    pub fn upstreams(&self) -> Upstreams {
        Upstreams { given: self.upstreams.clone(), file: self.upstreams_file.clone() }
    }
}

/// Where the other services are.
#[derive(Clone, Debug)]
pub struct Upstreams {
    /// Name and `host:port`.
    pub given: Vec<(String, String)>,
    /// A file with more of them.
    pub file: Option<PathBuf>,
}

impl Upstreams {
    /// The names of the services.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn names(&self) -> anyhow::Result<BTreeSet<String>> {
        let told = match &self.file {
            Some(file) => std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?,
            None => String::new(),
        };
        Ok(self.all(&told).map(|(name, _)| name).collect())
    }

    /// The addresses of a service's replicas, as file and name server know them now.
    ///
    /// # Errors
    /// When neither does.
    pub async fn addresses(&self, service: &str) -> std::io::Result<Vec<SocketAddr>> {
        let told = match &self.file {
            Some(file) => tokio::fs::read_to_string(file).await?,
            None => String::new(),
        };
        let mut found = Vec::new();
        for (_, host) in self.all(&told).filter(|(name, _)| name == service) {
            found.extend(tokio::net::lookup_host(host).await?);
        }
        found.sort_unstable();
        found.dedup();
        if found.is_empty() {
            return Err(std::io::Error::other(format!("{service} has no address")));
        }
        Ok(found)
    }

    fn all(&self, told: &str) -> impl Iterator<Item = (String, String)> {
        let told: Vec<_> = told.lines().filter_map(|line| upstream(line).ok()).collect();
        self.given.iter().cloned().chain(told)
    }
}

/// Certificate files in PEM. They are read again when they change.
#[derive(Args, Clone, Debug)]
pub struct TlsFiles {
    /// The certificate authority of the mesh.
    #[arg(long = "tls-ca", env = "HERSYS_TLS_CA")]
    pub ca: PathBuf,
    /// This process's certificate chain.
    #[arg(long = "tls-cert", env = "HERSYS_TLS_CERT")]
    pub cert: PathBuf,
    /// Its private key.
    #[arg(long = "tls-key", env = "HERSYS_TLS_KEY")]
    pub key: PathBuf,
    /// For the gateway: the certificate chain that its callers see, signed by an authority that browsers know. Default: the mesh's own.
    #[arg(long, env = "HERSYS_EDGE_CERT", requires = "edge_key")]
    pub edge_cert: Option<PathBuf>,
    /// Its private key.
    #[arg(long, env = "HERSYS_EDGE_KEY", requires = "edge_cert")]
    pub edge_key: Option<PathBuf>,
}

impl TlsFiles {
    /// The mesh's own certificate for every listener.
    pub fn new(ca: PathBuf, cert: PathBuf, key: PathBuf) -> Self {
        Self { ca, cert, key, edge_cert: None, edge_key: None }
    }
}

fn upstream(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(name, address)| !name.is_empty() && address.contains(':'))
        .map(|(name, address)| (name.to_owned(), address.to_owned()))
        .ok_or_else(|| format!("`{text}` is not name=host:port"))
}
