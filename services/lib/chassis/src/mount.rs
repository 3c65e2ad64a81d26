//! Putting a service together.

use std::{sync::Arc, time::Duration};

use access::{Directory, directory, guard::Guard, token::Verifier};
use anyhow::Context as _;
use clap::Args;
use data::{Consumer, Projection, consumer::Listening, nats, outbox::Wake, pool, pool::Database, relay, retention};
use futures::FutureExt as _;
use runtime::{
    Clock, Pulses, Shutdown, Surge, admin, config::Common, layers::Standard, mesh::Mesh, server, spans, tls::Tls, trace,
};
use sqlx::{PgConnection, PgPool, migrate::Migrator};
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
    /// Connections for following the directory.
    apart: PgPool,
    /// The service's own settings.
    pub own: Own,
    common: Common,
    database: Database,
    tls: Tls,
    bus: async_nats::Client,
    consumers: Vec<Arc<dyn Listening>>,
    sealed: &'static [Sealed],
    retention: Vec<retention::Rule>,
}

/// Connections for following the directory.
const APART: u32 = 2;

/// How often keys are read again: several times before a new one comes into use.
const KEYS: Duration = Duration::from_secs(8);

impl<Own: Args> Mount<Own> {
    /// Connects everything. The bus may be down; the database may not.
    pub(crate) async fn start(
        service: &'static str,
        settings: Settings<Own>,
        migrations: &'static [MigrationSet],
        shutdown: Shutdown,
    ) -> anyhow::Result<Self> {
        let database = settings.database(service, "app");
        let Settings { common, kek_file, own, .. } = settings;
        let tls = Tls::load(&common.tls)?;
        tls.follow_files(&shutdown);
        trace::sample(common.traces);
        if let Some(collector) = &common.otlp {
            spans::start(service, collector, &tls, &shutdown)?;
        }
        let migrations = set(migrations);
        let (pool, vault, signer, directory) = pool::patiently(&shutdown, || async {
            let pool = database.connect().await?;
            pool::must_be_migrated(&pool, &sets(&migrations)).await?;
            let vault = Vault::open_for(service, &kek_file, &pool).await?;
            let signer = Signer::load(&vault, &pool).await?;
            let directory = Directory::load(&pool).await?;
            Ok((pool, vault, signer, directory))
        })
        .await?;
        follow_keys(&vault, &signer, &pool, &shutdown);
        let pulses = Pulses::default();
        // Connections of their own: a surge that fills the pool must not look like silence of identity.
        let apart = pool::patiently(&shutdown, || database.connect_with(APART)).await?;
        let (clock, wake) = (Clock::system(), Wake::default());
        directory.follow(apart.clone(), clock.clone(), pulses.clone(), &shutdown);
        let mesh = Mesh::new(&tls, &common.upstreams())?;
        let bus = nats::connect(&common.nats_url, service, &tls).await?;
        let surge = Surge::follow(common.surge_file.clone(), clock.clone(), &shutdown);
        let base = Base { service, pool, vault, signer, directory, clock, wake, shutdown, mesh, pulses, surge };
        let mut mount = Self {
            base,
            apart,
            own,
            common,
            database,
            tls,
            bus,
            consumers: Vec::new(),
            sealed: &[],
            retention: Vec::new(),
        };
        // Identity listens to itself, too: every service learns the directory in the same way.
        let apart = mount.apart.clone();
        mount.listen_by(directory::Hears, apart)?;
        Ok(mount)
    }

    /// Names the columns that are encrypted, for re-encryption after a rotation.
    pub fn seals(&mut self, columns: &'static [Sealed]) {
        self.sealed = columns;
    }

    /// Names what the service does not keep for ever.
    pub fn sweeps(&mut self, rules: &[retention::Rule]) {
        self.retention.extend_from_slice(rules);
    }

    /// Listens to another service's events.
    ///
    /// # Errors
    /// When no address of the owner is configured.
    pub fn listen<P: Projection>(&mut self, projection: P) -> anyhow::Result<()> {
        let pool = self.base.pool.clone();
        self.listen_by(projection, pool)
    }

    fn listen_by<P: Projection>(&mut self, projection: P, pool: PgPool) -> anyhow::Result<()> {
        let owner = self.base.channel(projection.source())?;
        let consumer = Consumer::new(self.base.service, projection, pool, owner, self.base.pulses.clone());
        consumer.start(self.bus.clone(), &self.base.shutdown);
        self.consumers.push(consumer);
        Ok(())
    }

    /// Serves the RPCs, and runs everything beside them, until shutdown.
    ///
    /// # Errors
    /// When a port is taken or the transport fails.
    pub async fn serve(self, routes: impl FnOnce(Routes) -> Routes) -> anyhow::Result<()> {
        let Self { base, apart, common, database, tls, bus, consumers, sealed, mut retention, .. } = self;
        let verifier = Verifier::follow(base.channel("identity")?, common.keys_file.clone(), &base.shutdown);
        relay::start(
            base.service,
            database,
            base.pool.clone(),
            bus,
            base.wake.clone(),
            base.pulses.clone(),
            &base.shutdown,
        );

        let listener =
            TcpListener::bind(common.listen).await.with_context(|| format!("listen on {}", common.listen))?;
        let admin = TcpListener::bind(common.admin_listen)
            .await
            .with_context(|| format!("listen on {}", common.admin_listen))?;
        // A surge that fills the pool is no reason to take the process out of service: the question has connections of its own.
        let (pool, keys, pulses) = (base.pool.clone(), verifier.clone(), base.pulses.clone());
        let complaint: admin::Complaint = Arc::new(move || {
            let (pool, apart, keys, pulses) = (pool.clone(), apart.clone(), keys.clone(), pulses.clone());
            async move {
                pool::show(&pool);
                if !pool::is_alive(&apart).await {
                    return Some("the database does not answer".to_owned());
                }
                if !keys.is_ready() {
                    return Some("identity's keys are not known".to_owned());
                }
                pulses.complaint()
            }
            .boxed()
        });
        admin::serve(admin, &tls, complaint, &base.shutdown);

        let routes = routes(server::standard_routes(base.service).await?);
        let routes = Operations { base: base.clone(), consumers: Arc::new(consumers) }.routes(routes);
        audit::sealer::start(
            base.service,
            base.pool.clone(),
            base.signer.clone(),
            base.clock.clone(),
            base.pulses.clone(),
            &base.shutdown,
        );
        retention.extend_from_slice(retention::OF_EVERY_SERVICE);
        retention::start(base.pool.clone(), base.clock.clone(), retention, &base.shutdown);
        let routes = Trail { base: base.clone(), sealed }.routes(routes);
        let guard = Guard::new(verifier, base.directory.clone(), base.clock.clone(), base.pulses.clone());
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

/// How long the deployment waits for the bus.
const BUS: Duration = Duration::from_secs(30);

/// Brings the schema and the stream up to date.
pub(crate) async fn migrate<Own: Args>(
    service: &'static str,
    settings: &Settings<Own>,
    own: &'static [MigrationSet],
) -> anyhow::Result<()> {
    let mut connection = settings.database(service, "owner").connection().await?;
    migrate_all(&mut connection, own).await?;
    let name = format!("{service}-migrate");
    let bus = nats::connect(&settings.common.nats_url, &name, &Tls::load(&settings.common.tls)?).await?;
    let made = async {
        // A server that has just started refuses JetStream for a moment.
        while let Err(error) = nats::make_stream(&bus, service, settings.nats_replicas).await {
            tracing::info!(error = %format!("{error:#}"), "The bus does not take the stream yet");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(BUS, made).await.with_context(|| format!("the bus does not take the stream of {service}"))?;
    tracing::info!("Migrated {service}");
    Ok(())
}

/// Brings a database up to date: the tables that every service has, and the service's own.
///
/// # Errors
/// When a migration fails.
pub async fn migrate_all(connection: &mut PgConnection, own: &'static [MigrationSet]) -> anyhow::Result<()> {
    let own = set(own);
    pool::migrate(connection, &sets(&own)).await
}

fn set(own: &'static [MigrationSet]) -> Migrator {
    Migrator::with_migrations(own.iter().map(|(file, sql)| pool::migration(file, sql)).collect())
}

fn sets(own: &Migrator) -> [(&'static str, &Migrator); 3] {
    // Access last: its grants cover the tables of all others.
    [("_vault_migrations", &vault::MIGRATOR), ("_sqlx_migrations", own), ("_access_migrations", &access::MIGRATOR)]
}
