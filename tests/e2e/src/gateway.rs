//! A second gateway in front of the same services, to try settings without a private mesh.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use client::Client;
use devstack::{Stack, process};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::World;

/// A private gateway, stopped at the end.
pub struct Gateway {
    stack: Stack,
}

impl World {
    /// Starts a gateway with settings of its own.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn gateway_with(&self, settings: &[(&str, &str)]) -> anyhow::Result<Gateway> {
        let run = PathBuf::from(format!("/var/tmp/hersys-gateway-{}", Uuid::now_v7().simple()));
        fs::create_dir_all(run.join("logs"))?;
        let mut told = serde_json::to_value(&self.stack)?;
        set(&mut told, "run", json!(run))?;
        set(&mut told, "environment", json!(settings))?;
        let mut stack: Stack = serde_json::from_value(told)?;

        let address = format!("127.0.0.1:{}", process::free_port()?);
        stack.gateway.url = format!("https://{address}");
        let gateway = stack.services.get_mut("gateway").context("there is no gateway")?;
        gateway.pid = 0;
        gateway.address = address;
        gateway.admin = format!("127.0.0.1:{}", process::free_port()?);
        gateway.log = run.join("logs/gateway.log");

        let mut own = Gateway { stack };
        own.stack.start("gateway")?;
        own.stack.wait_until_ready(Duration::from_mins(1)).await?;
        Ok(own)
    }
}

impl Gateway {
    /// Where it answers, `host:port`.
    pub fn address(&self) -> String {
        self.stack.gateway.url.trim_start_matches("https://").to_owned()
    }

    /// Its folder.
    pub fn run(&self) -> &Path {
        &self.stack.run
    }

    /// The file of its log.
    pub fn log(&self) -> &Path {
        self.stack.services.get("gateway").map_or(&self.stack.run, |gateway| &gateway.log)
    }

    /// What it measures.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metrics(&self) -> anyhow::Result<String> {
        Ok(self.stack.admin("gateway", "/metrics").await?.1)
    }

    /// The file of the authority that signed its certificate.
    pub fn ca(&self) -> PathBuf {
        self.stack.gateway.ca.clone()
    }

    /// A client of this gateway, not signed in.
    ///
    /// # Errors
    /// When the authority cannot be read.
    pub fn client(&self) -> anyhow::Result<Client> {
        self.stack.client()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.stack.kill("gateway");
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.stack.run);
        }
    }
}

fn set(told: &mut Value, name: &str, value: Value) -> anyhow::Result<()> {
    told.as_object_mut().context("a stack is an object")?.insert(name.to_owned(), value);
    Ok(())
}
