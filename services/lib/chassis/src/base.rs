//! What every service has, and how it answers.

use std::time::Duration;

use access::{Caller, Directory, OrganisationId, door};
use data::outbox::Wake;
use prost::{Message, Name};
use proto::{Rule, options::Audit};
use runtime::{
    Clock, Pulses, Shutdown, Surge,
    mesh::{Channel, Mesh},
};
use sqlx::PgPool;
use time::OffsetDateTime;
use tonic::{Request, Response};
use vault::{Signer, Vault};

use crate::{Anonymous, Call, Error, Reply, Service, call::Duties};

/// How long a handler may work. The server gives up a statement after ten seconds.
const LONGEST: Duration = Duration::from_secs(30);

/// What every service has, shared by its calls and its tasks.
#[derive(Clone)]
pub struct Base {
    /// The service's name, such as `registry`.
    pub service: &'static str,
    /// Connections to the service's own database.
    pub pool: PgPool,
    /// Encrypts fields, and makes blind indexes and keyed hashes.
    pub vault: Vault,
    /// Signs tokens, receipts and checkpoints.
    pub signer: Signer,
    /// Organisations, contracts and ended sessions, as identity announces them.
    pub directory: Directory,
    /// The only source of time.
    pub clock: Clock,
    /// Wakes the relay after a commit that announced something.
    pub wake: Wake,
    /// The stop signal and the running tasks.
    pub shutdown: Shutdown,
    /// Channels to the other services.
    pub mesh: Mesh,
    /// Whether the tasks of the process go on, and whether its clock can be trusted.
    pub pulses: Pulses,
    /// Which level of a surge is in force.
    pub surge: Surge,
}

impl Base {
    /// Whose list a caller works on: its own organisation's, or that of one that entrusts it with follow-up (委託).
    ///
    /// # Errors
    /// When no contract in force says so: for the caller, the other's list does not exist.
    pub fn whose(&self, caller: &Caller, other: &str, now: OffsetDateTime) -> Result<OrganisationId, Error> {
        let contractor = caller.organisation_id;
        match OrganisationId::optional(other)? {
            None => Ok(contractor),
            Some(other) if other == contractor || self.directory.follows_up_for(contractor, other, now) => Ok(other),
            Some(_) => Err(Error::NotFound("organisation")),
        }
    }

    /// The channel to another service.
    ///
    /// # Errors
    /// When no address of it is configured.
    pub fn channel(&self, service: &str) -> anyhow::Result<Channel> {
        self.mesh.channel(service)
    }

    /// Answers an RPC of people and other systems. Once the request is checked, `handler` runs to its end even if the
    /// caller goes away.
    ///
    /// # Errors
    /// Those of the door and of the handler.
    pub async fn answer<S, M, R, F>(
        &self,
        service: &S,
        request: Request<M>,
        handler: impl FnOnce(S, Call<M>) -> F,
    ) -> Reply<R>
    where
        S: Clone,
        M: Message + Name,
        R: Send + 'static,
        F: Future<Output = Result<R, Error>> + Send + 'static,
    {
        let call = Call::new(self, door::enter(request)?)?;
        let (rule, duties) = (call.rule, call.duties());
        // On the heap: with the largest forms in it, it would be moved about for long.
        self.run(rule, &duties, Box::pin(handler(service.clone(), call))).await
    }

    /// Answers an RPC that needs no token.
    ///
    /// # Errors
    /// Those of the door and of the handler.
    pub async fn answer_public<S, M, R, F>(
        &self,
        service: &S,
        request: Request<M>,
        handler: impl FnOnce(S, Call<M, Anonymous>) -> F,
    ) -> Reply<R>
    where
        S: Clone,
        M: Message + Name,
        R: Send + 'static,
        F: Future<Output = Result<R, Error>> + Send + 'static,
    {
        let call = Call::new(self, door::enter_public(request)?.of(|()| Anonymous))?;
        let (rule, duties) = (call.rule, call.duties());
        self.run(rule, &duties, Box::pin(handler(service.clone(), call))).await
    }

    /// Answers an RPC of another service.
    ///
    /// # Errors
    /// Those of the door and of the handler.
    pub async fn answer_internal<S, M, R, F>(
        &self,
        service: &S,
        request: Request<M>,
        handler: impl FnOnce(S, Call<M, Service>) -> F,
    ) -> Reply<R>
    where
        S: Clone,
        M: Message + Name,
        R: Send + 'static,
        F: Future<Output = Result<R, Error>> + Send + 'static,
    {
        let call = Call::new(self, door::enter_internal(request)?.of(Service))?;
        let (rule, duties) = (call.rule, call.duties());
        self.run(rule, &duties, Box::pin(handler(service.clone(), call))).await
    }

    async fn run<R: Send + 'static>(
        &self,
        rule: &Rule,
        duties: &Duties,
        work: impl Future<Output = Result<R, Error>> + Send + 'static,
    ) -> Reply<R> {
        // A handler whose database has vanished would wait for ever, and its connection with it. Rebuilding a projection may.
        let most = if rule.package == "operations" { Duration::MAX } else { LONGEST };
        let work = async move { tokio::time::timeout(most, work).await.unwrap_or(Err(Error::Unavailable)) };
        let done = self.shutdown.detach(work).await.map_err(|_| Error::Internal(anyhow::anyhow!("a handler panicked")));
        if rule.audit != Audit::Read {
            self.wake.relay();
        }
        let answer = done??;
        if cfg!(debug_assertions) {
            duties.check(rule)?;
        }
        Ok(Response::new(answer))
    }
}
