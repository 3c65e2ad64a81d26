//! A running service, except for what makes it this one.

use std::{path::Path, sync::Arc};

use access::{Directory, directory, guard::Guard, token::Verifier};
use anyhow::Context as _;
use data::{
    Consumer, Projection, consumer::Listening, nats, operations::Operations, outbox::Wake, pool, pool::Database, relay,
};
use futures::FutureExt as _;
use runtime::{
    Shutdown, admin,
    layers::Standard,
    mesh::{Channel, Mesh},
    server, spans,
    tls::Tls,
};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tower::ServiceBuilder;
use vault::Vault;

use crate::{Error, MigrationSet, Settings};

/// What a service has at hand.
#[derive(Clone)]
pub struct Base {
    /// Its name.
    pub service: &'static str,
    /// Its database.
    pub pool: PgPool,
    /// Its secrets.
    pub vault: Vault,
    /// The organisations.
    pub directory: Directory,
    /// To be told after each commit that announced something.
    pub wake: Wake,
    /// The stop signal and the running tasks.
    pub shutdown: Shutdown,
    settings: Settings,
    database: Database,
    tls: Tls,
    mesh: Mesh,
    bus: async_nats::Client,
    consumers: Vec<Arc<dyn Listening>>,
}

impl Base {
    /// Connects everything. The bus may be away; the database may not.
    pub(crate) async fn start(service: &'static str, settings: Settings, shutdown: Shutdown) -> anyhow::Result<Self> {
        let tls = Tls::load(&settings.common.tls)?;
        tls.follow_files(&shutdown);
        if let Some(collector) = &settings.common.otlp {
            let channel = Channel::new(collector, "otel.hersys.internal", Arc::clone(&tls.client))?;
            spans::start(service, channel, &shutdown);
        }
        let database = settings.database(service, "app");
        let pool = database.connect().await?;
        let vault = Vault::open_for(service, &settings.kek_file, &pool).await?;
        let mesh = Mesh::new(&tls, &settings.common.upstreams())?;
        let bus = nats::connect(&settings.common.nats_url, service, &tls).await?;
        let directory = Directory::follow(pool.clone(), &shutdown).await?;
        let wake = Wake::default();
        let consumers = Vec::new();
        let mut base =
            Self { service, pool, vault, directory, wake, shutdown, settings, database, tls, mesh, bus, consumers };
        // Identity too hears itself: one way for everybody to learn the directory.
        base.listen(directory::Hears)?;
        Ok(base)
    }

    /// Where the first administrator's secret goes, if this is to be a new system.
    pub fn bootstrap_file(&self) -> Option<&Path> {
        self.settings.bootstrap_file.as_deref()
    }

    /// The channel to another service.
    ///
    /// # Errors
    /// When no address of it is configured.
    pub fn channel(&self, service: &str) -> anyhow::Result<Channel> {
        self.mesh.channel(service)
    }

    /// Listens to another service's events.
    ///
    /// # Errors
    /// When no address of the owner is configured.
    pub fn listen<P: Projection>(&mut self, projection: P) -> anyhow::Result<()> {
        let owner = self.channel(projection.source())?;
        let consumer = Consumer::new(self.service, projection, self.pool.clone(), owner);
        consumer.start(self.bus.clone(), &self.shutdown);
        self.consumers.push(consumer);
        Ok(())
    }

    /// Runs a write to its end even when its caller goes away, and wakes the relay for what it announced.
    ///
    /// # Errors
    /// What the write returns.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let done =
            self.shutdown.detach(work).await.map_err(|_| Error::Internal(anyhow::anyhow!("a write panicked")))?;
        self.wake.relay();
        done
    }

    /// Serves the RPCs until the process is to stop, and everything that runs beside them.
    ///
    /// # Errors
    /// When a port is taken or the transport fails.
    pub async fn serve(self, routes: impl FnOnce(Routes) -> Routes) -> anyhow::Result<()> {
        let common = &self.settings.common;
        let verifier = Verifier::new(self.channel("identity")?);
        relay::start(self.service, self.database, self.pool.clone(), self.bus.clone(), self.wake, &self.shutdown);

        let listener =
            TcpListener::bind(common.listen).await.with_context(|| format!("listen on {}", common.listen))?;
        let admin = TcpListener::bind(common.admin_listen)
            .await
            .with_context(|| format!("listen on {}", common.admin_listen))?;
        let (pool, keys) = (self.pool.clone(), verifier.clone());
        let ready: admin::Ready = Arc::new(move || {
            let (pool, keys) = (pool.clone(), keys.clone());
            async move { pool::is_alive(&pool).await && keys.is_ready().await }.boxed()
        });
        admin::serve(admin, &self.tls, ready, &self.shutdown);

        let routes = routes(server::standard_routes(self.service).await?);
        let routes = Operations::new(self.pool.clone(), self.consumers).routes(routes);
        let layers = ServiceBuilder::new().layer(Standard).layer(Guard::new(verifier, self.directory)).into_inner();
        tracing::info!(listen = %common.listen, "Serving {}", self.service);
        server::serve(listener, &self.tls, layers, routes, &self.shutdown).await?;
        self.shutdown.finished().await;
        self.pool.close().await;
        Ok(())
    }
}

/// Brings the schema up to date.
pub(crate) async fn migrate(
    service: &'static str,
    settings: &Settings,
    own: &'static [MigrationSet],
) -> anyhow::Result<()> {
    let own: Vec<_> = own.iter().map(|(file, sql)| pool::migration(file, sql)).collect();
    let own = sqlx::migrate::Migrator::with_migrations(own);
    settings
        .database(service, "owner")
        .migrate(&[
            ("_vault_migrations", &vault::MIGRATOR),
            ("_sqlx_migrations", &own),
            // Last: its grants cover the tables of all others.
            ("_access_migrations", &access::MIGRATOR),
        ])
        .await?;
    tracing::info!("Migrated {service}");
    Ok(())
}
