//! The connection pool, with the guards that protect acknowledged writes.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use runtime::metrics::{POOL, PoolLabels};
use sqlx::{
    Connection as _, Executor as _, PgConnection, PgPool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};

/// How long a starting process waits for its database.
const PATIENCE: Duration = Duration::from_mins(1);

/// The pause between two attempts.
const AGAIN: Duration = Duration::from_millis(200);

/// How to reach the database: over TLS, with a client certificate and no password.
#[derive(Clone, Debug)]
pub struct Database {
    /// `host:port`.
    pub address: String,
    /// The name of the database.
    pub name: String,
    /// The role to connect as.
    pub role: String,
    /// File with the authority that signed the server's certificate.
    pub ca: PathBuf,
    /// File with the client certificate.
    pub cert: PathBuf,
    /// File with the client's private key.
    pub key: PathBuf,
    /// The most connections in the pool.
    pub connections: u32,
}

impl Database {
    fn options(&self) -> anyhow::Result<PgConnectOptions> {
        let (host, port) = self.address.rsplit_once(':').context("the database address is not host:port")?;
        Ok(PgConnectOptions::new_without_pgpass()
            .host(host)
            .port(port.parse().context("parse the database port")?)
            .database(&self.name)
            .username(&self.role)
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert(&self.ca)
            .ssl_client_cert(&self.cert)
            .ssl_client_key(&self.key)
            .application_name(&self.role)
            // The server gives up before we do: a client-side timeout would leave the connection in an unknown state.
            .options([
                ("statement_timeout", "10s"),
                ("lock_timeout", "5s"),
                ("idle_in_transaction_session_timeout", "10s"),
            ]))
    }

    /// Opens the pool and refuses a server that could lose what it acknowledged. Waits a while for a server that is starting or that
    /// goes away in the middle: in a surge, a process that gives up makes its restarts wait longer and longer.
    ///
    /// # Errors
    /// When the server cannot be reached or is set up unsafely.
    pub async fn connect(&self) -> anyhow::Result<PgPool> {
        let given_up = tokio::time::Instant::now() + PATIENCE;
        let pool = loop {
            match self.open().await {
                Ok(pool) => break pool,
                Err(error) if comes_back(&error) && tokio::time::Instant::now() < given_up => {
                    tracing::warn!(database = %self.name, %error, "Waiting for the database");
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("connect to the database {} as {}", self.name, self.role));
                }
            }
        };
        assert_durable(&pool).await?;
        Ok(pool)
    }

    async fn open(&self) -> Result<PgPool, sqlx::Error> {
        PgPoolOptions::new()
            .max_connections(self.connections)
            .min_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .max_lifetime(Duration::from_mins(10))
            // sqlx 0.9.0: a cancelled `begin` returns the connection inside an open transaction, and the next caller's
            // autocommit writes vanish with it. So every connection is handed out outside of any transaction.
            .before_acquire(|connection, _| Box::pin(async move { connection.execute("ROLLBACK").await.map(|_| true) }))
            .connect_with(self.options().map_err(|error| sqlx::Error::Configuration(error.into()))?)
            .await
    }

    /// Opens one connection outside of the pool, for locks and migrations.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn connection(&self) -> anyhow::Result<PgConnection> {
        PgConnection::connect_with(&self.options()?).await.context("open a database connection")
    }
}

/// Whether the server may answer if asked again: it is away, hangs up, or says that it is starting or stopping. A wrong name or
/// setting does not mend itself.
fn comes_back(error: &sqlx::Error) -> bool {
    match error {
        // sqlx takes the end of the stream for a strange answer when it comes before TLS.
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut => true,
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| code.starts_with("57P0")),
        _ => false,
    }
}

/// Brings the schema up to date: ours, then each given set. Run by the owner role, under a lock.
///
/// # Errors
/// When a migration fails.
pub async fn migrate(connection: &mut PgConnection, sets: &[(&'static str, &Migrator)]) -> anyhow::Result<()> {
    connection.execute("set statement_timeout = 0").await?;
    connection.execute("set lock_timeout = '60s'").await?;
    let data: (&'static str, &Migrator) = ("_data_migrations", &crate::MIGRATOR);
    for (table, migrator) in std::iter::once(&data).chain(sets) {
        let mut migrator = Migrator::with_migrations(migrator.iter().cloned().collect());
        migrator.dangerous_set_table_name(*table);
        migrator.run(&mut *connection).await.with_context(|| format!("migrate {table}"))?;
    }
    Ok(())
}

/// Refuses settings under which a commit may be lost after it was acknowledged.
async fn assert_durable(pool: &PgPool) -> anyhow::Result<()> {
    for (setting, good) in [
        ("fsync", &["on"][..]),
        ("full_page_writes", &["on"]),
        ("synchronous_commit", &["on", "remote_apply"]),
        ("ssl", &["on"]),
    ] {
        let value: String = sqlx::query_scalar("select current_setting($1)")
            .bind(setting)
            .fetch_one(pool)
            .await
            .context("read settings")?;
        ensure!(
            good.contains(&value.as_str()),
            "PostgreSQL runs with {setting} = {value}: acknowledged data could be lost"
        );
    }
    Ok(())
}

/// Whether the database answers, for the readiness probe. Also publishes the state of the pool.
pub async fn is_alive(pool: &PgPool) -> bool {
    let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
    POOL.get_or_create(&PoolLabels { state: "open" }).set(i64::from(pool.size()));
    POOL.get_or_create(&PoolLabels { state: "idle" }).set(idle);
    sqlx::query("select 1").execute(pool).await.is_ok()
}

/// One migration: the number before the first `_` of its file name, the words after it, its statements.
pub fn migration(file: &'static str, sql: &'static str) -> sqlx::migrate::Migration {
    let stem = file.trim_end_matches(".sql");
    let (number, what) = stem.split_once('_').unwrap_or(("0", stem));
    sqlx::migrate::Migration::new(
        number.parse().unwrap_or(0),
        what.replace('_', " ").into(),
        sqlx::migrate::MigrationType::Simple,
        sqlx::SqlSafeStr::into_sql_str(sql),
        sql.starts_with("-- no-transaction"),
    )
}
