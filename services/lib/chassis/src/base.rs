//! A running service, except for what makes it this one.

use std::{path::Path, sync::Arc};

use access::{Caller, Directory, directory, guard::Guard, token::Verifier};
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
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tonic::service::Routes;
use tower::ServiceBuilder;
use uuid::Uuid;
use vault::{Sealed, Signer, Vault};

use crate::{Error, MigrationSet, Settings, sealer, trail::Trail};

/// What a service has at hand.
#[derive(Clone)]
pub struct Base {
    /// Its name.
    pub service: &'static str,
    /// Its database.
    pub pool: PgPool,
    /// Its secrets.
    pub vault: Vault,
    /// Signs tokens, receipts and checkpoints.
    pub signer: Signer,
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
    sealed: &'static [Sealed],
}

/// How often keys are read again: well within the time that passes before a new one is used.
const KEYS: std::time::Duration = std::time::Duration::from_secs(8);

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
        let signer = Signer::load(&vault, &pool).await?;
        follow_keys(&vault, &signer, &pool, &shutdown);
        let mesh = Mesh::new(&tls, &settings.common.upstreams())?;
        let bus = nats::connect(&settings.common.nats_url, service, &tls).await?;
        let directory = Directory::follow(pool.clone(), &shutdown).await?;
        let wake = Wake::default();
        let consumers = Vec::new();
        let mut base = Self {
            service,
            pool,
            vault,
            signer,
            directory,
            wake,
            shutdown,
            settings,
            database,
            tls,
            mesh,
            bus,
            consumers,
            sealed: &[],
        };
        // Identity too hears itself: one way for everybody to learn the directory.
        base.listen(directory::Hears)?;
        Ok(base)
    }

    /// Names the columns that are encrypted, for re-encryption after a rotation.
    pub fn seals(&mut self, columns: &'static [Sealed]) {
        self.sealed = columns;
    }

    /// The service's own settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where the first administrator's secret goes, if this is to be a new system.
    pub fn bootstrap_file(&self) -> Option<&Path> {
        self.settings.bootstrap_file.as_deref()
    }

    /// Whose list a caller works on: the own organisation's, or that of one which entrusts it with follow-up (委託).
    ///
    /// # Errors
    /// Where no contract in force says so: the other's list does not exist for the caller.
    pub fn whose(&self, caller: &Caller, other: &str, now: OffsetDateTime) -> Result<Uuid, Error> {
        if other.is_empty() {
            return Ok(caller.organisation_id);
        }
        let contractor = caller.organisation_id;
        Uuid::try_parse(other)
            .ok()
            .filter(|other| *other == contractor || self.directory.follows_up_for(contractor, *other, now))
            .ok_or(Error::NotFound("organisation"))
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
        sealer::start(self.service, self.pool.clone(), self.signer.clone(), &self.shutdown);
        let trail = Trail { pool: self.pool.clone(), vault: self.vault, signer: self.signer, sealed: self.sealed };
        let routes = trail.routes(routes);
        let layers = ServiceBuilder::new().layer(Standard).layer(Guard::new(verifier, self.directory)).into_inner();
        tracing::info!(listen = %common.listen, "Serving {}", self.service);
        server::serve(listener, &self.tls, layers, routes, &self.shutdown).await?;
        self.shutdown.finished().await;
        self.pool.close().await;
        Ok(())
    }
}

/// Reads the keys again and again: another replica may have rotated them.
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
                tracing::warn!(error = %format!("{error:#}"), "Could not read the keys again");
            }
        }
    });
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
