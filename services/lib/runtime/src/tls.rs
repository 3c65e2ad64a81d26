//! TLS everywhere: 1.3 and 1.2, with ECDHE and AEAD only (rustls offers nothing else). Inside the mesh, both sides show
//! certificates.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail, ensure};
use arc_swap::ArcSwap;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::ResolvesClientCert,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
    sign::CertifiedKey,
};

use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::{Shutdown, config::TlsFiles, metrics};

/// How often the files are checked. Kubernetes swaps symlinks, which inotify does not see.
const RELOAD_EVERY: Duration = Duration::from_secs(10);

const VERSIONS: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

/// The certificates of this process, as TLS configurations that follow their files.
#[derive(Clone)]
pub struct Tls {
    files: TlsFiles,
    /// For listeners inside the mesh: a client certificate of the mesh's authority is required.
    pub mutual: Arc<ArcSwap<ServerConfig>>,
    /// For the edge: the client shows no certificate.
    pub edge: Arc<ArcSwap<ServerConfig>>,
    /// For calls to other services.
    pub client: Arc<ArcSwap<ClientConfig>>,
    certificate: Arc<Current>,
}

/// Shows the current certificate, for clients that keep one configuration for life.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesClientCert for Current {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

struct Loaded {
    mutual: ServerConfig,
    edge: ServerConfig,
    client: ClientConfig,
    certificate: CertifiedKey,
}

impl Tls {
    /// Reads the files and checks that they fit together.
    ///
    /// # Errors
    /// When a file is missing or not PEM, or the certificate and the key do not match.
    pub fn load(files: &TlsFiles) -> anyhow::Result<Self> {
        crate::telemetry::install_crypto();
        let loaded = load(files)?;
        tell_end(&loaded.certificate);
        Ok(Self {
            files: files.clone(),
            mutual: Arc::new(ArcSwap::from_pointee(loaded.mutual)),
            edge: Arc::new(ArcSwap::from_pointee(loaded.edge)),
            client: Arc::new(ArcSwap::from_pointee(loaded.client)),
            certificate: Arc::new(Current(ArcSwap::from_pointee(loaded.certificate))),
        })
    }

    /// A client configuration for a long-lived connection that is not HTTP, such as NATS.
    ///
    /// # Errors
    /// When the authority cannot be read.
    pub fn plain_client(&self) -> anyhow::Result<ClientConfig> {
        Ok(ClientConfig::builder_with_protocol_versions(VERSIONS)
            .with_root_certificates(roots(&self.files.ca)?)
            .with_client_cert_resolver(Arc::clone(&self.certificate) as Arc<dyn ResolvesClientCert>))
    }

    /// Rereads the files when they change: new connections use the renewed certificate.
    pub fn follow_files(&self, shutdown: &Shutdown) {
        let (tls, stop) = (self.clone(), shutdown.clone());
        shutdown.spawn("tls-reload", async move {
            let mut seen = modified(&tls.files);
            loop {
                tokio::select! {
                    () = stop.requested() => return,
                    () = tokio::time::sleep(RELOAD_EVERY) => {}
                }
                let now = modified(&tls.files);
                if now == seen {
                    continue;
                }
                match load(&tls.files) {
                    Ok(loaded) => {
                        tell_end(&loaded.certificate);
                        tls.mutual.store(Arc::new(loaded.mutual));
                        tls.edge.store(Arc::new(loaded.edge));
                        tls.client.store(Arc::new(loaded.client));
                        tls.certificate.0.store(Arc::new(loaded.certificate));
                        seen = now;
                        tracing::info!("Loaded renewed certificates");
                    }
                    // Half-written files: the old certificates stay in use until the next check.
                    Err(error) => tracing::warn!(error = %format!("{error:#}"), "Kept the old certificates"),
                }
            }
        });
    }
}

/// A client configuration that trusts one authority and shows no certificate, for clients of the gateway.
///
/// # Errors
/// When the file is missing or not PEM.
pub fn client_of(ca: &Path) -> anyhow::Result<ClientConfig> {
    crate::telemetry::install_crypto();
    let mut config =
        ClientConfig::builder_with_protocol_versions(VERSIONS).with_root_certificates(roots(ca)?).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Publishes the certificate's end as a metric, so that its expiry surprises nobody.
fn tell_end(certificate: &CertifiedKey) {
    let parsed = certificate.cert.first().and_then(|der| X509Certificate::from_der(der).ok());
    if let Some((_, parsed)) = parsed {
        metrics::CERTIFICATE_ENDS.set(parsed.validity().not_after.timestamp());
    }
}

fn load(files: &TlsFiles) -> anyhow::Result<Loaded> {
    let (chain, key, certificate) = certified(&files.cert, &files.key)?;
    let roots = Arc::new(roots(&files.ca)?);

    let verifier = WebPkiClientVerifier::builder(Arc::clone(&roots)).build().context("build the client verifier")?;
    let mut mutual = ServerConfig::builder_with_protocol_versions(VERSIONS)
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), key.clone_key())?;
    mutual.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (edge_chain, edge_key) = match (&files.edge_cert, &files.edge_key) {
        (Some(cert), Some(key)) => {
            let (chain, key, _) = certified(cert, key)?;
            (chain, key)
        }
        _ => (chain.clone(), key.clone_key()),
    };
    let mut edge = ServerConfig::builder_with_protocol_versions(VERSIONS)
        .with_no_client_auth()
        .with_single_cert(edge_chain, edge_key)?;
    edge.alpn_protocols.clone_from(&mutual.alpn_protocols);
    let mut client = ClientConfig::builder_with_protocol_versions(VERSIONS)
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    client.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Loaded { mutual, edge, client, certificate })
}

/// A chain and its key, which must fit.
fn certified(
    cert: &Path,
    key: &Path,
) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, CertifiedKey)> {
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("read the certificate {}", cert.display()))?;
    ensure!(!chain.is_empty(), "{} contains no certificate", cert.display());
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("read the private key {}", key.display()))?;
    let certificate = CertifiedKey::from_der(chain.clone(), key.clone_key(), &aws_lc_rs::default_provider())
        .with_context(|| format!("the certificate {} and its private key do not match", cert.display()))?;
    Ok((chain, key, certificate))
}

fn roots(ca: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let file = CertificateDer::pem_file_iter(ca).with_context(|| format!("read the authority {}", ca.display()))?;
    for certificate in file {
        roots.add(certificate?)?;
    }
    if roots.is_empty() {
        bail!("{} contains no certificate", ca.display());
    }
    Ok(roots)
}

fn modified(files: &TlsFiles) -> [Option<(SystemTime, u64)>; 5] {
    [Some(&files.ca), Some(&files.cert), Some(&files.key), files.edge_cert.as_ref(), files.edge_key.as_ref()]
        .map(|path| path.and_then(|path| fs::metadata(path).ok()).and_then(|m| Some((m.modified().ok()?, m.len()))))
}

/// A service's name, from the only SPIFFE id of its certificate: `spiffe://hersys.local/svc/<name>`.
pub fn service_name(certificate: &CertificateDer<'_>) -> Option<String> {
    use x509_parser::extensions::GeneralName;

    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uri = uris.next()?;
    if uris.next().is_some() {
        return None;
    }
    uri.strip_prefix("spiffe://hersys.local/svc/").map(str::to_owned)
}
