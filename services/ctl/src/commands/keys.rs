//! Rotation of keys and certificates.

use std::{env, time::Duration};

use anyhow::{Context as _, bail};
use clap::Subcommand;
use client::{Client, patiently};
use proto::operations::{ReencryptFieldsRequest, RotateFieldKeyRequest, RotateSigningKeyRequest};
use tokio::process::Command;

use crate::console::say;

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// A new signing key: published at once, used half a minute later.
    RotateSigning { service: String },
    /// A new generation of the field-encryption key, then re-encryption until nothing is left under the old one.
    RotateField { service: String },
    /// Go on with a re-encryption that was interrupted.
    Reencrypt { service: String },
    /// New certificates for every process of the running stack (`make up`); nothing restarts.
    RotateCertificates,
}

pub(crate) async fn run(client: &mut Client, command: Keys) -> anyhow::Result<()> {
    match command {
        Keys::RotateSigning { service } => {
            let request = client.operation(&service, RotateSigningKeyRequest {});
            let made = client.keys().rotate_signing_key(request).await?.into_inner();
            say(format_args!("{} signs from half a minute on", made.key_id))
        }
        Keys::RotateField { service } => {
            let request = client.operation(&service, RotateFieldKeyRequest {});
            let made = client.keys().rotate_field_key(request).await?.into_inner();
            say(format_args!("generation {} is used from half a minute on", made.generation))?;
            reencrypt(client, &service).await
        }
        Keys::Reencrypt { service } => reencrypt(client, &service).await,
        Keys::RotateCertificates => rotate_certificates().await,
    }
}

/// Goes on until nothing is left under an older key. May be interrupted anywhere: the next run goes on there.
async fn reencrypt(client: &mut Client, service: &str) -> anyhow::Result<()> {
    let mut total = 0;
    loop {
        client.keep_fresh().await?;
        let state = patiently(|| {
            let (mut keys, request) = (client.keys(), client.operation(service, ReencryptFieldsRequest {}));
            async move { keys.reencrypt_fields(request).await }
        })
        .await?;
        total += state.reencrypted;
        if !state.more {
            return say(format_args!("{total} values are now sealed with generation {}", state.generation));
        }
        if state.reencrypted == 0 {
            // The new key is not in use yet.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn rotate_certificates() -> anyhow::Result<()> {
    let program = env::current_exe()?.with_file_name("hersys-devstack");
    let done = Command::new(&program).arg("rotate-certificates").status().await;
    let done = done.with_context(|| format!("run {}", program.display()))?;
    if done.success() { Ok(()) } else { bail!("the certificates were not rotated") }
}
