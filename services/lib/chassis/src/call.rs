//! One call of an RPC, and the one way through it.
//!
//! The contract says what an RPC is called, what of it is audited, and whether it takes effect once per `request_id`.
//! A change goes through [`Call::change`] or [`Call::create`], which keep the order: lock → relation → audit → claim →
//! etag → change → answer → commit. In debug builds, a call that succeeds without what the contract asks of it fails.

mod change;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use access::{Caller, OrganisationId, Relations, classes, door::Entered};
use audit::{Act, Actor};
use prost::{Message, Name};
use proto::{Rule, options::Audit};
use runtime::clock::day_in_japan;
use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::{Base, Error};

pub use change::{Change, Held};

/// The caller of an RPC that needs no token.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

/// Another service of the mesh as the caller, by name.
#[derive(Clone, Debug)]
pub struct Service(pub String);

/// One call of an RPC.
pub struct Call<M, By = Caller> {
    /// A [`Caller`] with a token, a [`Service`], or [`Anonymous`].
    pub caller: By,
    /// The request, already checked against the contract.
    pub request: M,
    /// What the contract says of the RPC.
    pub rule: &'static Rule,
    /// When the call came in.
    pub now: OffsetDateTime,
    etag: String,
    request_id: Option<Uuid>,
    body_hash: Vec<u8>,
    duties: Arc<Duties>,
}

/// What the contract asks of a call, and whether it was done.
#[derive(Debug, Default)]
pub(crate) struct Duties {
    recorded: AtomicBool,
    answered: AtomicBool,
}

impl Duties {
    /// Whether everything was done.
    pub(crate) fn check(&self, rule: &Rule) -> Result<(), Error> {
        if matches!(rule.audit, Audit::Read | Audit::Write) && !self.recorded.load(Ordering::Relaxed) {
            return Err(Error::Internal(anyhow::anyhow!("{} left no audit row", rule.name)));
        }
        if rule.idempotent_by_request_id && !self.answered.load(Ordering::Relaxed) {
            return Err(Error::Internal(anyhow::anyhow!("{} kept no answer for its request id", rule.name)));
        }
        Ok(())
    }
}

/// The records a call shows or changes, and how the caller stands to them. Decides what the audit row says and what a
/// repeated answer shows.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    records: Vec<Uuid>,
    relations: Option<Relations>,
    on_behalf_of: Option<OrganisationId>,
}

impl Seen {
    /// Records of cases, shown as far as these relations allow.
    pub fn by(relations: &Relations, records: impl IntoIterator<Item = impl Into<Uuid>>) -> Self {
        Self { relations: Some(relations.clone()), ..Self::records(records) }
    }

    /// Records that belong to no case: an organisation, an ID, a contract.
    pub fn records(records: impl IntoIterator<Item = impl Into<Uuid>>) -> Self {
        Self { records: records.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Entered for an institution without rights (代行入力): both names are recorded.
    #[must_use]
    pub fn on_behalf_of(self, institution: Option<OrganisationId>) -> Self {
        Self { on_behalf_of: institution, ..self }
    }
}

impl<M, By> Call<M, By> {
    pub(crate) fn new(base: &Base, entered: Entered<M, By>) -> Result<Self, Error>
    where
        M: Message + Name,
    {
        let rule = proto::rule_for(&M::full_name())
            .ok_or_else(|| Error::Internal(anyhow::anyhow!("no RPC takes a {}", M::full_name())))?;
        let Entered { caller, message, request_id, etag } = entered;
        let (request_id, body_hash) = if rule.idempotent_by_request_id {
            let request_id = Uuid::try_parse(&request_id)
                .map_err(|_| Error::invalid("request_id", "UUID を指定してください", "must be a UUID"))?;
            // Only a keyed hash of the body is kept.
            (Some(request_id), base.vault.keyed_hash(&rule.name, &message.encode_to_vec()))
        } else {
            (None, Vec::new())
        };
        let duties = Arc::default();
        Ok(Self { caller, request: message, rule, now: base.clock.now(), etag, request_id, body_hash, duties })
    }

    pub(crate) fn duties(&self) -> Arc<Duties> {
        Arc::clone(&self.duties)
    }

    /// The date in Japan when the call came in.
    pub fn today(&self) -> Date {
        day_in_japan(self.now)
    }

    async fn record_as(&self, conn: &mut PgConnection, actor: Actor<'_>, seen: &Seen) -> Result<(), Error> {
        debug_assert!(self.rule.audit != Audit::None, "{} says that nothing of it is audited", self.rule.name);
        let act = Act {
            actor,
            rpc: &self.rule.name,
            groups: &classes::groups(self.rule, seen.relations.as_ref()),
            request_id: self.request_id,
            on_behalf_of: seen.on_behalf_of,
        };
        audit::record(conn, &act, &seen.records).await?;
        self.duties.recorded.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl<M> Call<M, Service> {
    /// Writes one audit row per record shown to the service, in the transaction that reads it.
    ///
    /// # Errors
    /// When the database refuses. Nothing may be shown then.
    pub async fn record(&self, conn: &mut PgConnection, seen: &Seen) -> Result<(), Error> {
        self.record_as(conn, Actor::Service(&self.caller.0), seen).await
    }
}

impl<M> Call<M> {
    /// Writes one audit row per record shown or written, in the transaction that reads or writes it.
    ///
    /// # Errors
    /// When the database refuses. Nothing may be shown then.
    pub async fn record(&self, conn: &mut PgConnection, seen: &Seen) -> Result<(), Error> {
        self.record_as(conn, Actor::Caller(&self.caller), seen).await
    }
}
