//! Tests in the middle: a service's operations, against a real database per test and a clock that is moved by hand.
//!
//! A [`World`] has no bus and no door: tests call an operation as `grpc.rs` does ([`World::ask`]), hand the service an
//! event as the consumer does ([`World::hear`]) and read what it announced ([`World::announced`]). The database is
//! copied from a template, so that a test costs a fraction of a second. The other services are those of the stack that
//! `hersys-devstack exec` started.

#[cfg(test)]
mod calls;
mod database;
mod people;
mod reads;
mod refused;

use std::{collections::HashMap, fs, path::PathBuf};

use access::{Caller, Directory, guard};
use anyhow::Context as _;
use chassis::{Base, Call, Error, MigrationSet};
use data::{Event, Failure, Projection, outbox::Wake};
use prost::{Message, Name};
use runtime::{
    Clock, Pulses, Shutdown, Surge,
    config::{TlsFiles, Upstreams},
    mesh::Mesh,
    problem::{self, Language},
    server::Peer,
    tls::Tls,
};
use serde::Deserialize;
use sqlx::PgPool;
use time::{OffsetDateTime, macros::datetime};
use tonic::{Request, Status};
use uuid::Uuid;
use vault::{Signer, Vault};

pub use people::{Body, patient, proxy};
pub use reads::Audited;
pub use refused::Refused;

/// When every world begins: the afternoon of 1 June 2020 in Japan.
pub const NOW: OffsetDateTime = datetime!(2020-06-01 05:00 UTC);

/// What a test returns.
pub type Outcome = anyhow::Result<()>;

/// A service with a database of its own.
pub struct World {
    /// What every service has, as its `main` would set it up.
    pub base: Base,
    /// Stands still until the test moves it.
    pub clock: Clock,
    seq: std::sync::atomic::AtomicI64,
}

/// The part of `stack.json` that is needed here.
#[derive(Deserialize)]
struct Stack {
    postgres: database::Server,
    services: HashMap<String, Service>,
    certs: PathBuf,
}

#[derive(Deserialize)]
struct Service {
    address: String,
}

impl World {
    /// A world with a fresh database, migrated by the service's own migrations.
    ///
    /// # Errors
    /// When there is no stack: tests run under `hersys-devstack exec`.
    pub async fn new(service: &'static str, migrations: &'static [MigrationSet]) -> anyhow::Result<Self> {
        runtime::telemetry::install_crypto();
        let stack = Stack::load()?;
        let pool = stack.postgres.database(service, migrations).await?;
        let (vault, signer) = secrets(service, &pool).await?;
        let clock = Clock::standing_at(NOW);
        let base = Base {
            service,
            vault,
            signer,
            directory: Directory::default(),
            clock: clock.clone(),
            wake: Wake::default(),
            shutdown: Shutdown::default(),
            mesh: stack.mesh(service)?,
            pulses: Pulses::default(),
            surge: Surge::default(),
            pool,
        };
        Ok(Self { base, clock, seq: std::sync::atomic::AtomicI64::new(0) })
    }

    /// Asks as the door does, in Japanese: the role's permission, the rules of the contract, then the operation.
    ///
    /// # Errors
    /// What the caller would be told.
    pub async fn ask<S, M, R, F>(
        &self,
        service: &S,
        caller: &Caller,
        message: M,
        operation: impl FnOnce(S, Call<M>) -> F,
    ) -> Result<R, Status>
    where
        S: Clone,
        M: Message + Name,
        R: Send + 'static,
        F: Future<Output = Result<R, Error>> + Send + 'static,
    {
        let rule = proto::rule_for(&M::full_name()).ok_or_else(|| Status::unimplemented("no RPC takes this"))?;
        if !guard::permits(&self.base.directory, rule, caller, self.clock.now()) {
            let why = problem::why("PERMISSION_DENIED", "権限がありません。", "Your role does not allow this.");
            return Err(problem::denied(&why));
        }
        let mut request = Request::new(message);
        request.extensions_mut().insert(caller.clone());
        // Boxed, because tests await many of these one after the other.
        let answer = Box::pin(self.base.answer(service, request, operation));
        Language::Japanese.scope(answer).await.map(tonic::Response::into_inner)
    }

    /// Asks as somebody without a token.
    ///
    /// # Errors
    /// What the caller would be told.
    pub async fn ask_public<S, M, R, F>(
        &self,
        service: &S,
        message: M,
        operation: impl FnOnce(S, Call<M, chassis::Anonymous>) -> F,
    ) -> Result<R, Status>
    where
        S: Clone,
        M: Message + Name,
        R: Send + 'static,
        F: Future<Output = Result<R, Error>> + Send + 'static,
    {
        Box::pin(self.base.answer_public(service, Request::new(message), operation))
            .await
            .map(tonic::Response::into_inner)
    }

    /// Asks as another service of the mesh.
    ///
    /// # Errors
    /// What the service would be told.
    pub async fn ask_as_service<S, M, R, F>(
        &self,
        service: &S,
        peer: &str,
        message: M,
        operation: impl FnOnce(S, Call<M, chassis::Service>) -> F,
    ) -> Result<R, Status>
    where
        S: Clone,
        M: Message + Name,
        R: Send + 'static,
        F: Future<Output = Result<R, Error>> + Send + 'static,
    {
        let mut request = Request::new(message);
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        request.extensions_mut().insert(Peer { service: Some(peer.into()), address });
        Box::pin(self.base.answer_internal(service, request, operation)).await.map(tonic::Response::into_inner)
    }

    /// An event as its owner's log holds it, the next one in order.
    ///
    /// # Errors
    /// When the message is not an event.
    pub fn event<M: Message + Name>(&self, message: &M) -> anyhow::Result<Event> {
        let r#type = proto::event(&M::full_name()).with_context(|| format!("{} is not an event", M::full_name()))?;
        Ok(Event {
            id: Uuid::now_v7(),
            seq: self.seq.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1,
            recorded_at: self.clock.now(),
            r#type: r#type.to_owned(),
            payload: message.encode_to_vec(),
            traceparent: String::new(),
        })
    }

    /// Lets the service hear an event: its effect is taken in one transaction, as the consumer does it.
    ///
    /// # Errors
    /// Why the service could not handle it.
    pub async fn hear<P: Projection, M: Message + Name>(&self, projection: &P, message: &M) -> Result<(), Failure> {
        let event = self.event(message).map_err(|error| Failure::Dead(error.to_string()))?;
        self.hear_all(projection, &[event]).await
    }

    /// Lets the service hear a batch of events.
    ///
    /// # Errors
    /// Why the service could not handle them.
    pub async fn hear_all<P: Projection>(&self, projection: &P, events: &[Event]) -> Result<(), Failure> {
        let fetched = projection.fetch(events).await?;
        self.hear_with(projection, events, &fetched).await
    }

    /// Lets the service hear a batch of events, together with what it would have fetched from their owner.
    ///
    /// # Errors
    /// Why the service could not handle them.
    pub async fn hear_with<P: Projection>(
        &self,
        projection: &P,
        events: &[Event],
        fetched: &P::Fetched,
    ) -> Result<(), Failure> {
        let mut tx = self.base.pool.begin().await?;
        projection.apply(&mut tx, events, fetched).await?;
        Ok(tx.commit().await?)
    }

    /// What the service announced so far, of one type, in order.
    ///
    /// # Errors
    /// When the database does not answer, or a payload is not of the type.
    pub async fn announced<M: Message + Name + Default>(&self) -> anyhow::Result<Vec<M>> {
        let r#type = proto::event(&M::full_name()).with_context(|| format!("{} is not an event", M::full_name()))?;
        let payloads: Vec<Vec<u8>> = sqlx::query_scalar("select payload from outbox where type = $1 order by ordinal")
            .bind(r#type)
            .fetch_all(&self.base.pool)
            .await?;
        payloads.iter().map(|payload| Ok(M::decode(payload.as_slice())?)).collect()
    }
}

impl Stack {
    #[expect(clippy::disallowed_methods, reason = "how `hersys-devstack exec` tells a test where the stack is")]
    fn load() -> anyhow::Result<Self> {
        let run = std::env::var("HERSYS_TEST_RUN")
            .context("HERSYS_TEST_RUN is not set: run `make test`, or hersys-devstack exec")?;
        let text = fs::read(PathBuf::from(run).join("stack.json")).context("read stack.json")?;
        serde_json::from_slice(&text).context("read stack.json")
    }

    /// The services of the stack, called with the certificate of the service under test.
    fn mesh(&self, service: &str) -> anyhow::Result<Mesh> {
        let file = |name: String| self.certs.join(name);
        let tls = Tls::load(&TlsFiles::new(
            file("ca.pem".to_owned()),
            file(format!("{service}.pem")),
            file(format!("{service}.key")),
        ))?;
        let given = self.services.iter().map(|(name, service)| (name.clone(), service.address.clone())).collect();
        let upstreams = Upstreams { given, file: None };
        Mesh::new(&tls, &upstreams)
    }
}

/// The world's own keys, under a key-encryption key that dies with the process.
async fn secrets(service: &'static str, pool: &PgPool) -> anyhow::Result<(Vault, Signer)> {
    let file = std::env::temp_dir().join(format!("hersys-{}.kek", Uuid::now_v7().simple()));
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key).ok().context("draw a key")?;
    fs::write(&file, key)?;
    let vault = Vault::open_for(service, &file, pool).await;
    fs::remove_file(&file)?;
    let vault = vault?;
    let signer = Signer::load(&vault, pool).await?;
    Ok((vault, signer))
}
