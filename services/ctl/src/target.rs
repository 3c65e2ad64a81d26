//! Which system a command talks to, and the session between two commands.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use client::{Client, Credentials, Session};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tonic::Status;

use crate::{failure::Usage, secret_file};

/// Which system, and where the session is kept.
#[derive(Args)]
pub(crate) struct Target {
    /// The gateway, `https://host:port`. Default: that of the running stack.
    #[arg(long, env = "HERSYS_GATEWAY", global = true, requires = "ca")]
    gateway: Option<String>,
    /// The authority of its certificate (PEM). Default: that of the running stack.
    #[arg(long, env = "HERSYS_CA", global = true, requires = "gateway")]
    ca: Option<PathBuf>,
    /// The stack that `make up` runs.
    #[arg(long, env = "HERSYS_STACK", default_value = ".run/stack.json", global = true)]
    pub(crate) stack: PathBuf,
    /// Where the session is kept, readable by its owner only.
    #[arg(long, env = "HERSYS_SESSION", default_value = ".run/session.json", global = true)]
    pub(crate) session: PathBuf,
}

/// A session as it is kept, with the gateway that gave it.
#[derive(Serialize, Deserialize)]
struct Kept {
    gateway: String,
    #[serde(flatten)]
    session: Session,
}

impl Target {
    /// A client that is not signed in.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        let (gateway, ca) = self.system()?;
        Client::new(&gateway, &ca)
    }

    /// The gateway's address, and its authority.
    fn system(&self) -> anyhow::Result<(String, PathBuf)> {
        match (&self.gateway, &self.ca) {
            (Some(gateway), Some(ca)) => return Ok((gateway.trim_end_matches('/').to_owned(), ca.clone())),
            (None, None) => {}
            // Half of it must not be answered by another system.
            _ => return Err(Usage("--gateway and --ca go together".to_owned()).into()),
        }
        let stack = self.read_stack()?;
        let text = |key: &str| {
            let value = stack.pointer(key).and_then(Value::as_str);
            value.map(str::to_owned).with_context(|| format!("{key} is missing in the stack file"))
        };
        Ok((text("/gateway/url")?, text("/gateway/ca")?.into()))
    }

    /// A client with the kept session, renewed where it is about to end. A session belongs to one gateway: its token goes to no
    /// other.
    pub(crate) async fn signed_in(&self) -> anyhow::Result<Client> {
        let (gateway, ca) = self.system()?;
        let kept: Option<Kept> = fs::read(&self.session).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let kept = kept.filter(|kept| kept.gateway == gateway);
        let kept = kept.ok_or_else(|| Status::unauthenticated("not signed in: hersysctl sign-in LOGIN"))?;
        let mut client = Client::new(&gateway, &ca)?.with_session(kept.session);
        if client.keep_fresh().await? {
            self.keep(&client)?;
        }
        Ok(client)
    }

    pub(crate) fn keep(&self, client: &Client) -> anyhow::Result<()> {
        let Some(session) = client.session().cloned() else { return Ok(()) };
        let kept = Kept { gateway: self.system()?.0, session };
        secret_file::write(&self.session, &serde_json::to_vec(&kept)?)
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
            format!(
                "is the stack up (make up)? or name a system by --gateway and --ca; could not read {}",
                self.stack.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| format!("read {}", self.stack.display()))
    }
}
