//! A database per test, copied from one that was migrated once.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::PathBuf,
};

use anyhow::Context as _;
use chassis::MigrationSet;
use serde::Deserialize;
use sqlx::{
    AssertSqlSafe, Connection as _, Executor as _, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use uuid::Uuid;

/// The PostgreSQL server of the stack.
#[derive(Deserialize)]
pub(crate) struct Server {
    port: u16,
    ca: PathBuf,
    password_file: PathBuf,
}

impl Server {
    /// A fresh database with a service's tables.
    pub(crate) async fn database(
        &self,
        service: &'static str,
        migrations: &'static [MigrationSet],
    ) -> anyhow::Result<PgPool> {
        let mut server = PgConnection::connect_with(&self.superuser("postgres")?).await.context("connect")?;
        let template = self.template(&mut server, service, migrations).await?;
        let name = format!("w_{}", Uuid::now_v7().simple());
        server.execute(AssertSqlSafe(format!("create database {name} template {template}"))).await?;
        server.close().await?;
        let options = self.superuser(&name)?.options(data::pool::PLANNER);
        Ok(PgPoolOptions::new().max_connections(8).connect_with(options).await?)
    }

    /// An empty database, and a connection as who owns it.
    #[cfg(test)]
    async fn empty(&self) -> anyhow::Result<PgConnectOptions> {
        let mut server = PgConnection::connect_with(&self.superuser("postgres")?).await.context("connect")?;
        let name = format!("draft_{}", Uuid::now_v7().simple());
        for statement in [format!("create role {name}_app"), format!("create database {name}")] {
            server.execute(AssertSqlSafe(statement)).await?;
        }
        self.superuser(&name)
    }

    /// The migrated database that others are copied from, created by whichever test comes first.
    async fn template(
        &self,
        server: &mut PgConnection,
        service: &'static str,
        migrations: &'static [MigrationSet],
    ) -> anyhow::Result<String> {
        let name = format!("template_{service}_{:016x}", digest(migrations));
        sqlx::query("select pg_advisory_lock(77)").execute(&mut *server).await?;
        let there: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(&name)
            .fetch_one(&mut *server)
            .await?;
        if !there {
            let draft = format!("draft_{}", Uuid::now_v7().simple());
            // Migrations grant to the role of this name.
            for statement in [format!("create role {draft}_app"), format!("create database {draft}")] {
                server.execute(AssertSqlSafe(statement)).await?;
            }
            let mut connection = PgConnection::connect_with(&self.superuser(&draft)?).await?;
            chassis::migrate_all(&mut connection, migrations).await?;
            connection.close().await?;
            server.execute(AssertSqlSafe(format!("alter database {draft} rename to {name}"))).await?;
        }
        sqlx::query("select pg_advisory_unlock(77)").execute(&mut *server).await?;
        Ok(name)
    }

    fn superuser(&self, database: &str) -> anyhow::Result<PgConnectOptions> {
        let password = fs::read_to_string(&self.password_file).context("read the superuser's password")?;
        Ok(PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.port)
            .username("postgres")
            .password(password.trim())
            .database(database)
            .ssl_mode(PgSslMode::VerifyFull)
            .ssl_root_cert(&self.ca))
    }
}

/// Part of the template's name: other migrations get another template.
fn digest(migrations: &[MigrationSet]) -> u64 {
    let mut hasher = DefaultHasher::new();
    migrations.hash(&mut hasher);
    for migrator in [&*data::MIGRATOR, &*vault::MIGRATOR, &*access::MIGRATOR] {
        for migration in migrator.iter() {
            migration.checksum.hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use sqlx::{Connection as _, PgConnection};

    use crate::{Outcome, Stack};

    /// Each makes a table and waits: without a lock the second would find the first's half.
    const SLOW: &[chassis::MigrationSet] = &[
        ("0001_first.sql", "create table first (id int); select pg_sleep(0.3);"),
        ("0002_second.sql", "create table second (id int);"),
    ];

    #[tokio::test]
    async fn migrations_that_start_together_wait_for_each_other() -> Outcome {
        let options = Stack::load()?.postgres.empty().await?;
        let migrate = async || {
            let mut connection = PgConnection::connect_with(&options).await?;
            chassis::migrate_all(&mut connection, SLOW).await
        };
        let (one, other, third) = tokio::join!(migrate(), migrate(), migrate());
        one.and(other).and(third)?;
        let mut connection = PgConnection::connect_with(&options).await?;
        let applied: i64 =
            sqlx::query_scalar("select count(*) from _sqlx_migrations").fetch_one(&mut connection).await?;
        assert_eq!(applied, 2, "each once");
        // The control: without the lock, the same statements get into each other's way.
        sqlx::raw_sql("drop table first, second").execute(&mut connection).await?;
        let rude = async || {
            let mut connection = PgConnection::connect_with(&options).await?;
            let statements = SLOW.iter().map(|(_, sql)| *sql).collect::<String>();
            sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(&mut connection).await
        };
        let (one, other) = tokio::join!(rude(), rude());
        assert!(one.and(other).is_err());
        Ok(())
    }
}
