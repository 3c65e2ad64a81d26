//! Which system a command talks to, and the session between two commands.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::Args;
use client::{Client, Credentials};
use serde_json::Value;
use tonic::Status;

use crate::secret_file;

/// Which system, and where the session is kept.
#[derive(Args)]
pub(crate) struct Target {
    /// The gateway, `https://host:port`. Default: that of the running stack.
    #[arg(long, env = "HERSYS_GATEWAY", global = true)]
    gateway: Option<String>,
    /// The authority of its certificate (PEM). Default: that of the running stack.
    #[arg(long, env = "HERSYS_CA", global = true)]
    ca: Option<PathBuf>,
    /// The stack that `make up` runs.
    #[arg(long, env = "HERSYS_STACK", default_value = ".run/stack.json", global = true)]
    pub(crate) stack: PathBuf,
    /// Where the session is kept, readable by its owner only.
    #[arg(long, env = "HERSYS_SESSION", default_value = ".run/session.json", global = true)]
    pub(crate) session: PathBuf,
}

impl Target {
    /// A client that is not signed in.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        if let (Some(gateway), Some(ca)) = (&self.gateway, &self.ca) {
            return Client::new(gateway, ca);
        }
        let stack = self.read_stack()?;
        let text = |key: &str| {
            let value = stack.pointer(key).and_then(Value::as_str);
            value.with_context(|| format!("{key} is missing in the stack file"))
        };
        Client::new(text("/gateway/url")?, Path::new(text("/gateway/ca")?))
    }

    /// A client with the kept session, renewed where it is about to end.
    pub(crate) async fn signed_in(&self) -> anyhow::Result<Client> {
        let kept = fs::read(&self.session).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let kept = kept.ok_or_else(|| Status::unauthenticated("not signed in: hersysctl sign-in LOGIN"))?;
        let mut client = self.client()?.with_session(kept);
        if client.keep_fresh().await? {
            self.keep(&client)?;
        }
        Ok(client)
    }

    pub(crate) fn keep(&self, client: &Client) -> anyhow::Result<()> {
        client.session().map_or(Ok(()), |kept| secret_file::write(&self.session, &serde_json::to_vec(kept)?))
    }

    pub(crate) fn forget(&self) {
        let _ = fs::remove_file(&self.session);
    }

    pub(crate) fn demo_user(&self, login: &str) -> anyhow::Result<Credentials> {
        let stack = self.read_stack()?;
        let users = stack.pointer("/demo/users").and_then(Value::as_array).context("the stack has no demo users")?;
        let user = users.iter().find(|user| user.pointer("/credentials/login").and_then(Value::as_str) == Some(login));
        let Some(user) = user else { bail!("the stack has no demo user {login}") };
        let credentials = user.pointer("/credentials").cloned().context("the demo user has no credentials")?;
        serde_json::from_value(credentials).context("read the demo user")
    }

    fn read_stack(&self) -> anyhow::Result<Value> {
        let text = fs::read_to_string(&self.stack).with_context(|| {
            format!("read {}: is the stack up? (make up), or give --gateway and --ca", self.stack.display())
        })?;
        serde_json::from_str(&text).with_context(|| format!("read {}", self.stack.display()))
    }
}
