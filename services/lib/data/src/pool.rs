//! The connection pool, with the guards that protect acknowledged writes.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail, ensure};
use runtime::{
    Shutdown,
    metrics::{POOL, PoolLabels},
};
use sqlx::{
    Connection as _, Executor as _, PgConnection, PgPool, Postgres, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};

/// How long a starting process waits for its database.
const PATIENCE: Duration = Duration::from_mins(1);

/// The pause between two attempts.
const AGAIN: Duration = Duration::from_millis(200);

/// How long a connection may take to open.
const OPENS: Duration = Duration::from_secs(4);

/// How long a connection may take to answer the smallest question. One whose other end has vanished never answers.
const ANSWERS: Duration = Duration::from_secs(2);

/// How statements are planned. A plan that was made and kept while a table was small reads the whole table when it is large. Where there
/// is an index, it is used from the first row on: no statement costs more as its table grows.
pub const PLANNER: [(&str, &str); 1] = [("enable_seqscan", "off")];

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
                // The server, too, lets go of a client that has vanished: a leader's lock must not outlive it.
                ("tcp_user_timeout", "5s"),
                ("tcp_keepalives_idle", "5"),
                ("tcp_keepalives_interval", "2"),
                ("tcp_keepalives_count", "3"),
            ])
            .options(PLANNER))
    }

    /// Opens the pool and refuses a server that could lose what it acknowledged.
    ///
    /// # Errors
    /// When the server cannot be reached or is set up unsafely.
    pub async fn connect(&self) -> anyhow::Result<PgPool> {
        self.connect_with(self.connections).await
    }

    /// The same with this number of connections.
    ///
    /// # Errors
    /// When the server cannot be reached or is set up unsafely.
    pub async fn connect_with(&self, connections: u32) -> anyhow::Result<PgPool> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .min_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .max_lifetime(Duration::from_mins(10))
            .test_before_acquire(false)
            // sqlx 0.9.0: a cancelled `begin` returns the connection inside an open transaction, and the next caller's
            // autocommit writes vanish with it. So every connection is handed out outside of any transaction.
            .before_acquire(|connection, _| Box::pin(async move { in_time(connection.execute("ROLLBACK")).await }))
            // sqlx would wait for ever for the answer of a server that has vanished, and the place in the pool with it.
            .after_release(|connection, _| Box::pin(async move { in_time(connection.ping()).await }))
            .connect_with(self.options()?)
            .await
            .with_context(|| format!("connect to the database {} as {}", self.name, self.role))?;
        assert_durable(&pool).await?;
        Ok(pool)
    }

    /// Opens one connection outside of the pool, for locks and migrations.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn connection(&self) -> anyhow::Result<PgConnection> {
        let opened = tokio::time::timeout(OPENS, PgConnection::connect_with(&self.options()?)).await;
        opened.context("open a database connection in time")?.context("open a database connection")
    }
}

/// Begins a transaction of a task that other replicas do as well. A process that is stopped within it loses it after two seconds, and
/// the rows it had locked with it: the others go on.
///
/// # Errors
/// When the database does not answer.
pub async fn begin_task(pool: &PgPool) -> sqlx::Result<Transaction<'static, Postgres>> {
    pool.begin_with("begin; set local idle_in_transaction_session_timeout = '2s'").await
}

/// A connection is good if it answers in time.
async fn in_time<T>(question: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<bool> {
    let answered = tokio::time::timeout(ANSWERS, question).await;
    answered.map_err(|elapsed| sqlx::Error::Io(elapsed.into()))?.map(|_| true)
}

/// Does what a starting process needs its database for, again and again while the server is starting or goes away in the
/// middle: in a surge, a process that gives up makes its restarts wait longer and longer.
///
/// # Errors
/// What cannot mend itself, at once; anything else after a minute, or when the process is to stop.
pub async fn patiently<T, F>(shutdown: &Shutdown, work: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let given_up = tokio::time::Instant::now() + PATIENCE;
    loop {
        let done = tokio::select! {
            done = work() => done,
            () = shutdown.requested() => bail!("asked to stop while waiting for the database"),
        };
        match done {
            Err(error) if comes_back(&error) && tokio::time::Instant::now() < given_up => {
                tracing::warn!(error = %format!("{error:#}"), "Waiting for the database");
                tokio::time::sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}

/// Whether the server may answer if asked again: it is away, hangs up, says that it is starting or stopping, or is being migrated. A wrong name,
/// setting or certificate does not mend itself.
fn comes_back(error: &anyhow::Error) -> bool {
    if error.is::<NotMigrated>() {
        return true;
    }
    error.chain().filter_map(|cause| cause.downcast_ref::<sqlx::Error>()).any(|error| match error {
        // rustls says that it does not trust the server by an error of this kind.
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::InvalidData,
        // sqlx takes the end of the stream for a strange answer when it comes before TLS.
        sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
        sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| code.starts_with("57P0")),
        _ => false,
    })
}

/// Brings the schema up to date: ours, then each given set. Run by the owner role, under a lock.
///
/// # Errors
/// When a migration fails.
pub async fn migrate(connection: &mut PgConnection, sets: &[(&'static str, &Migrator)]) -> anyhow::Result<()> {
    connection.execute("set statement_timeout = 0").await?;
    connection.execute("set lock_timeout = '60s'").await?;
    for (table, migrator) in all(sets) {
        let mut migrator = Migrator::with_migrations(migrator.iter().cloned().collect());
        migrator.dangerous_set_table_name(table);
        migrator.run(&mut *connection).await.with_context(|| format!("migrate {table}"))?;
    }
    Ok(())
}

/// The tables that every service has, then those of the sets.
fn all<'a>(sets: &'a [(&'static str, &'a Migrator)]) -> impl Iterator<Item = (&'static str, &'a Migrator)> {
    let ours: &Migrator = &crate::MIGRATOR;
    std::iter::once(("_data_migrations", ours)).chain(sets.iter().copied())
}

/// The schema is older than this program.
#[derive(Debug, thiserror::Error)]
#[error("the schema lacks migration {version} of {table}: its deployment has not come this far")]
struct NotMigrated {
    table: &'static str,
    version: i64,
}

/// Refuses a schema that lacks a migration: ours, or one of a given set. One that has more is that of a later release, which keeps
/// what this one needs.
///
/// # Errors
/// Names the first that is missing.
pub async fn must_be_migrated(pool: &PgPool, sets: &[(&'static str, &Migrator)]) -> anyhow::Result<()> {
    for (table, migrator) in all(sets) {
        let exists: bool = sqlx::query_scalar("select to_regclass($1) is not null").bind(table).fetch_one(pool).await?;
        let done: Vec<i64> = if exists {
            let asked = format!("select version from {table} where success");
            sqlx::query_scalar(sqlx::AssertSqlSafe(asked)).fetch_all(pool).await?
        } else {
            Vec::new()
        };
        if let Some(missing) = migrator.iter().find(|migration| !done.contains(&migration.version)) {
            return Err(NotMigrated { table, version: missing.version }.into());
        }
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

/// Publishes the state of the pool.
pub fn show(pool: &PgPool) {
    let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
    POOL.get_or_create(&PoolLabels { state: "open" }).set(i64::from(pool.size()));
    POOL.get_or_create(&PoolLabels { state: "idle" }).set(idle);
}

/// Whether the database answers, for the readiness probe.
pub async fn is_alive(pool: &PgPool) -> bool {
    let asked = tokio::time::timeout(ANSWERS, sqlx::query("select 1").execute(pool)).await;
    asked.is_ok_and(|answered| answered.is_ok())
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
