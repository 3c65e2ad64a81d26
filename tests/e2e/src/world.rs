//! The mesh a test acts on, and who acts there.

use std::{
    fs::{self, File},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context as _;
use client::{Client, Session};
use devstack::{Options, Stack};
use proto::identity::{IssueUserRequest, Role};
use sqlx::{Connection as _, PgConnection};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{issue, request_id, setting};

/// How long a kept session is used, in seconds: issuing IDs needs a second factor of the last 15 minutes.
const RECENT: i64 = 600;

/// A running mesh.
pub struct World {
    /// The stack it runs on.
    pub stack: Stack,
    private: bool,
}

impl World {
    /// The mesh that most tests share.
    ///
    /// # Errors
    /// When there is none: tests run under `hersys-devstack exec`.
    pub fn shared() -> anyhow::Result<Self> {
        Ok(Self { stack: Stack::load(&setting("HERSYS_TEST_RUN")?)?, private: false })
    }

    /// A private mesh to break; stopped and wiped at the end. It takes many seconds to start: share one where possible.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn private() -> anyhow::Result<Self> {
        Self::private_with(&[]).await
    }

    /// A private mesh with settings of its own.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn private_with(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::private_of(settings, &[]).await
    }

    /// A private mesh with settings and several processes of some services.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn private_of(settings: &[(&str, &str)], replicas: &[(&str, usize)]) -> anyhow::Result<Self> {
        runtime::telemetry::install_crypto();
        let mut environment = vec![
            ("HERSYS_LIMIT_PER_PRINCIPAL".to_owned(), "20000".to_owned()),
            ("HERSYS_UNDER_WAY".to_owned(), "5000".to_owned()),
            ("HERSYS_UNDER_WAY_PER_ADDRESS".to_owned(), "5000".to_owned()),
            ("HERSYS_LIMIT_ANONYMOUS".to_owned(), "500".to_owned()),
        ];
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let options = Options {
            run: PathBuf::from(format!("/var/tmp/hersys-private-{}", Uuid::now_v7().simple())),
            tools: setting("HERSYS_TEST_TOOLS")?,
            binaries: setting("HERSYS_TEST_BINARIES")?,
            environment,
            replicas: replicas.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            port: 0,
            demo: true,
            talk: false,
        };
        Ok(Self { stack: Stack::up_or_down(&options).await?, private: true })
    }

    /// The id of a demo organisation.
    ///
    /// # Errors
    /// When the demo has none of that name.
    pub fn organisation(&self, short: &str) -> anyhow::Result<String> {
        self.stack
            .demo
            .organisations
            .get(short)
            .cloned()
            .with_context(|| format!("there is no demo organisation {short}"))
    }

    /// The ministry's administrator.
    ///
    /// # Errors
    /// When signing in fails.
    pub async fn admin(&self) -> anyhow::Result<Client> {
        self.kept("admin", async || {
            let mut client = self.stack.client()?;
            client.sign_in(&self.stack.credentials("admin")?).await?;
            Ok(client)
        })
        .await
    }

    /// Somebody at work in a demo organisation, the same person for all tests: a new ID costs four password hashes. Not
    /// for tests that look at this person's sessions or end them.
    ///
    /// # Errors
    /// When the ID cannot be issued.
    pub async fn at_work(&self, organisation: &str, role: Role) -> anyhow::Result<Client> {
        self.kept(&format!("{organisation}-{}", role.as_str_name()), async || self.staff(organisation, role).await)
            .await
    }

    /// A new person at work in a demo organisation, signed in.
    ///
    /// # Errors
    /// When the ID cannot be issued.
    pub async fn staff(&self, organisation: &str, role: Role) -> anyhow::Result<Client> {
        Ok(self.staff_with_id(organisation, role).await?.0)
    }

    /// A new person at work, and the user's id.
    ///
    /// # Errors
    /// When the ID cannot be issued.
    pub async fn staff_with_id(&self, organisation: &str, role: Role) -> anyhow::Result<(Client, String)> {
        self.employ(&self.organisation(organisation)?, role).await
    }

    /// A new person at work in any organisation, and the user's id.
    ///
    /// # Errors
    /// When the ID cannot be issued.
    pub async fn employ(&self, organisation_id: &str, role: Role) -> anyhow::Result<(Client, String)> {
        let admin = self.admin().await?;
        let login = format!("t{}", Uuid::now_v7().simple());
        let request = IssueUserRequest {
            request_id: request_id(),
            organisation_id: organisation_id.to_owned(),
            login: login.clone(),
            role: role.into(),
            ..IssueUserRequest::default()
        };
        let issued = issue(&admin, request).await?;
        let password = format!("{}-{}", Uuid::now_v7(), Uuid::now_v7());
        let started = tokio::time::Instant::now();
        loop {
            let mut client = self.stack.client()?;
            match client.enrol(&login, &issued.initial_secret, &password).await {
                Ok(_) => return Ok((client, issued.user_id)),
                // A new organisation is known everywhere a moment after it was created.
                Err(error) if is_unknown(&error) && started.elapsed() < Duration::from_secs(5) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A database connection as superuser, for what no RPC shows.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn sql(&self, database: &str) -> anyhow::Result<PgConnection> {
        Ok(PgConnection::connect_with(&self.stack.postgres.superuser(database)?).await?)
    }

    /// A session that all test processes share. If there is none, or it is too old, `sign_in` makes a new one.
    async fn kept(&self, name: &str, sign_in: impl AsyncFnOnce() -> anyhow::Result<Client>) -> anyhow::Result<Client> {
        let lock = File::create(self.stack.run.join(format!("{name}.lock")))?;
        lock.lock()?;
        let file = self.stack.run.join(format!("{name}.session"));
        let session: Option<Session> = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let now = runtime::Clock::system().now().unix_timestamp();
        let recent = session.filter(|session| now - session.authenticated_at < RECENT);

        let client = match recent {
            Some(session) => {
                let mut client = self.stack.client()?.with_session(session);
                // A test may have ended the session.
                if client.keep_fresh().await.is_ok() { client } else { sign_in().await? }
            }
            None => sign_in().await?,
        };
        devstack::certs::write_secret(&file, &serde_json::to_vec(&client.session())?)?;
        Ok(client)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.private {
            // Processes may have been restarted since the world was made.
            let stack = Stack::load(&self.stack.run).unwrap_or_else(|_| self.stack.clone());
            let _ = if std::thread::panicking() { stack.down() } else { stack.reset() };
        }
    }
}

fn is_unknown(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Status>().is_some_and(|status| status.code() == Code::Unauthenticated)
}
