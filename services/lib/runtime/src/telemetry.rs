//! Logs: one JSON object per line on standard error, without personal data.

use anyhow::Context as _;
use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging and installs the one cryptography provider of the process.
///
/// # Errors
/// When the filter is malformed.
pub fn init(service: &'static str, filter: &str) -> anyhow::Result<()> {
    install_crypto();
    let filter = EnvFilter::try_new(filter).context("parse the log filter")?;
    // A second call (tests start several services in one process) keeps the first subscriber.
    let _ = fmt().json().flatten_event(true).with_env_filter(filter).with_writer(std::io::stderr).try_init();
    tracing::info!(service, version = env!("CARGO_PKG_VERSION"), "Starting {service}");
    Ok(())
}

/// Installs `aws-lc-rs` for TLS; harmless when called again.
pub fn install_crypto() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
