//! Putting a service together.

use std::sync::Arc;

use access::{Directory, directory, guard::Guard, token::Verifier};
use anyhow::Context as _;
use clap::Args;
use data::{Consumer, Projection, consumer::Listening, nats, outbox::Wake, pool, pool::Database, relay};
use futures::FutureExt as _;
use runtime::{
    Clock, Shutdown, admin,
    config::Common,
    layers::Standard,
    mesh::{Channel, Mesh},
    server, spans,
    tls::Tls,
};
use sqlx::{PgConnection, PgPool};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tower::ServiceBuilder;
use vault::{Sealed, Signer, Vault};

use crate::{
    Base, MigrationSet, Settings,
    operations::{Operations, Trail},
};

/// A service being put together: what it listens to, what it seals, what it serves.
pub struct Mount<Own> {
    /// What every service has.
    pub base: Base,
    /// The service's own settings.
    pub own: Own,
    common: Common,
    database: Database,
    tls: Tls,
    bus: async_nats::Client,
    consumers: Vec<Arc<dyn Listening>>,
    sealed: &'static [Sealed],
}

/// How often keys are read again: several times before a new one comes into use.
const KEYS: std::time::Duration = std::time::Duration::from_secs(8);

impl<Own: Args> Mount<Own> {
    /// Connects everything. The bus may be down; the database may not.
    pub(crate) async fn start(
        service: &'static str,
        settings: Settings<Own>,
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let database = settings.database(service, "app");
        let Settings { common, kek_file, own, .. } = settings;
        let tls = Tls::load(&common.tls)?;
        tls.follow_files(&shutdown);
        if let Some(collector) = &common.otlp {
            let channel = Channel::new(collector, "otel.hersys.internal", Arc::clone(&tls.client))?;
            spans::start(service, channel, &shutdown);
        }
        let pool = database.connect().await?;
        let vault = Vault::open_for(service, &kek_file, &pool).await?;
        let signer = Signer::load(&vault, &pool).await?;
        follow_keys(&vault, &signer, &pool, &shutdown);
        let mesh = Mesh::new(&tls, &common.upstreams())?;
        let bus = nats::connect(&common.nats_url, service, &tls).await?;
        let directory = Directory::follow(pool.clone(), &shutdown).await?;
        let (clock, wake) = (Clock::system(), Wake::default());
        let base = Base { service, pool, vault, signer, directory, clock, wake, shutdown, mesh };
        let mut mount = Self { base, own, common, database, tls, bus, consumers: Vec::new(), sealed: &[] };
        // Identity listens to itself, too: every service learns the directory in the same way.
        mount.listen(directory::Hears)?;
        Ok(mount)
    }

    /// Names the columns that are encrypted, for re-encryption after a rotation.
    pub fn seals(&mut self, columns: &'static [Sealed]) {
        self.sealed = columns;
    }

    /// Listens to another service's events.
    ///
    /// # Errors
    /// When no address of the owner is configured.
    pub fn listen<P: Projection>(&mut self, projection: P) -> anyhow::Result<()> {
        let owner = self.base.channel(projection.source())?;
        let consumer = Consumer::new(self.base.service, projection, self.base.pool.clone(), owner);
        consumer.start(self.bus.clone(), &self.base.shutdown);
        self.consumers.push(consumer);
        Ok(())
    }

    /// Serves the RPCs, and runs everything beside them, until shutdown.
    ///
    /// # Errors
    /// When a port is taken or the transport fails.
    pub async fn serve(self, routes: impl FnOnce(Routes) -> Routes) -> anyhow::Result<()> {
        let Self { base, common, database, tls, bus, consumers, sealed, .. } = self;
        let verifier = Verifier::new(base.channel("identity")?);
        relay::start(base.service, database, base.pool.clone(), bus, base.wake.clone(), &base.shutdown);

        let listener =
            TcpListener::bind(common.listen).await.with_context(|| format!("listen on {}", common.listen))?;
        let admin = TcpListener::bind(common.admin_listen)
            .await
            .with_context(|| format!("listen on {}", common.admin_listen))?;
        let (pool, keys) = (base.pool.clone(), verifier.clone());
        let ready: admin::Ready = Arc::new(move || {
            let (pool, keys) = (pool.clone(), keys.clone());
            async move { pool::is_alive(&pool).await && keys.is_ready().await }.boxed()
        });
        admin::serve(admin, &tls, ready, &base.shutdown);

        let routes = routes(server::standard_routes(base.service).await?);
        let routes = Operations { base: base.clone(), consumers: Arc::new(consumers) }.routes(routes);
        audit::sealer::start(base.service, base.pool.clone(), base.signer.clone(), base.clock.clone(), &base.shutdown);
        let routes = Trail { base: base.clone(), sealed }.routes(routes);
        let guard = Guard::new(verifier, base.directory.clone(), base.clock.clone());
        let layers = ServiceBuilder::new().layer(Standard).layer(guard).into_inner();
        tracing::info!(listen = %common.listen, "Serving {}", base.service);
        server::serve(listener, &tls, layers, routes, &base.shutdown).await?;
        base.shutdown.finished().await;
        base.pool.close().await;
        Ok(())
    }
}

/// Rereads the keys regularly: another replica may have rotated them.
fn follow_keys(vault: &Vault, signer: &Signer, pool: &PgPool, shutdown: &Shutdown) {
    let (vault, signer, pool, stop) = (vault.clone(), signer.clone(), pool.clone(), shutdown.clone());
    shutdown.spawn("keys", async move {
        loop {
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(KEYS) => {}
            }
            let read = async {
                vault.refresh(&pool).await?;
                signer.refresh(&vault, &pool).await
            };
            if let Err(error) = read.await {
                tracing::warn!(error = %format!("{error:#}"), "Could not reread the keys");
            }
        }
    });
}

/// Brings the schema up to date.
pub(crate) async fn migrate<Own: Args>(
    service: &'static str,
    settings: &Settings<Own>,
    own: &'static [MigrationSet],
) -> anyhow::Result<()> {
    let mut connection = settings.database(service, "owner").connection().await?;
    migrate_all(&mut connection, own).await?;
    tracing::info!("Migrated {service}");
    Ok(())
}

/// Brings a database up to date: the tables that every service has, and the service's own.
///
/// # Errors
/// When a migration fails.
pub async fn migrate_all(connection: &mut PgConnection, own: &'static [MigrationSet]) -> anyhow::Result<()> {
    let own: Vec<_> = own.iter().map(|(file, sql)| pool::migration(file, sql)).collect();
    let own = sqlx::migrate::Migrator::with_migrations(own);
    let sets = [
        ("_vault_migrations", &*vault::MIGRATOR),
        ("_sqlx_migrations", &own),
        // Last: its grants cover the tables of all others.
        ("_access_migrations", &*access::MIGRATOR),
    ];
    pool::migrate(connection, &sets).await
}
