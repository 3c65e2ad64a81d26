//! A private authority and one certificate per process. The authority is kept; certificates are renewed at each start.

use std::{
    fs,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

/// An authority in a folder: `ca.pem` for everybody, `ca.key` for its owner.
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// A process's certificate: files in PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The authority that signed it.
    pub ca: PathBuf,
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key, mode 0600.
    pub key: PathBuf,
}

impl Authority {
    /// Opens the authority of a folder, or creates it the first time.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let (cert, key) = (folder.join("ca.pem"), folder.join("ca.key"));
        if !cert.exists() {
            let mut params = CertificateParams::default();
            params.distinguished_name = name("HER-SYS development authority");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            params.not_before = now() - Duration::hours(1);
            params.not_after = now() + Duration::days(3650);
            let pair = KeyPair::generate().context("make the authority's key")?;
            let signed = params.self_signed(&pair).context("sign the authority")?;
            write_secret(&key, pair.serialize_pem().as_bytes())?;
            fs::write(&cert, signed.pem())?;
        }
        let pair = KeyPair::from_pem(&fs::read_to_string(&key)?).context("read the authority's key")?;
        let issuer = Issuer::from_ca_cert_pem(&fs::read_to_string(&cert)?, pair).context("read the authority")?;
        Ok(Self { folder: folder.to_owned(), issuer })
    }

    /// The file with the authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Issues a certificate for a process of the mesh: its DNS names, loopback, and its SPIFFE id.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn issue(&self, service: &str) -> anyhow::Result<Files> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(service);
        params.subject_alt_names = vec![
            SanType::DnsName(format!("{service}.hersys.internal").try_into()?),
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::URI(format!("spiffe://hersys.local/svc/{service}").try_into()?),
        ];
        // Python 3.13 and `openssl verify -x509_strict` refuse a certificate that does not say whose key signed it (RFC 5280, 4.2.1.1).
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = now() - Duration::hours(1);
        params.not_after = now() + Duration::days(90);
        let pair = KeyPair::generate().context("make a key")?;
        let signed = params.signed_by(&pair, &self.issuer).context("sign a certificate")?;
        let files = self.files(service);
        write_secret(&files.key, pair.serialize_pem().as_bytes())?;
        fs::write(&files.cert, signed.pem())?;
        Ok(files)
    }

    /// Issues a certificate for every process of the mesh, and for `ops`, which opens the admin ports.
    ///
    /// # Errors
    /// Names the one that cannot be made or written.
    pub fn issue_all(&self) -> anyhow::Result<()> {
        // Who migrates owns the tables. The serving process must not be able to: it has no such certificate.
        let migrating = proto::SERVICES.iter().map(|service| format!("{service}-migrate"));
        let serving =
            proto::SERVICES.iter().chain(&["gateway", "postgres", "nats", "ops"]).map(|name| (*name).to_owned());
        for name in serving.chain(migrating) {
            self.issue(&name).with_context(|| format!("issue the certificate of {name}"))?;
        }
        Ok(())
    }

    /// Where a process's certificate is kept.
    pub fn files(&self, service: &str) -> Files {
        Files {
            ca: self.ca(),
            cert: self.folder.join(format!("{service}.pem")),
            key: self.folder.join(format!("{service}.key")),
        }
    }
}

/// Writes a file that only its owner can read, replacing what was there.
///
/// # Errors
/// When it cannot be written.
pub fn write_secret(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;

    let fresh = path.with_extension("new");
    let _ = fs::remove_file(&fresh);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(content)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    fs::rename(&fresh, path).with_context(|| format!("write {}", path.display()))
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn now() -> OffsetDateTime {
    runtime::Clock::system().now()
}
