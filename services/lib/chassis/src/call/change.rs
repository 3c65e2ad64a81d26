//! Changes: locked, decided, audited, claimed, compared, made, answered, committed.

use std::sync::atomic::Ordering;

use access::{OrganisationId, Relations, classes};
use data::request::{self, Claim, Key};
use prost::{Message, Name};
use proto::options::Audit;
use sqlx::{PgConnection, Postgres, Transaction};
use time::OffsetDateTime;
use vault::{Place, Vault};

use super::{Call, Seen};
use crate::{Base, Error};

/// Where the kept answers are sealed.
const ANSWER: Place = Place { table: "request", column: "response" };

/// A record that was locked for a change.
pub struct Held<T, R> {
    record: T,
    seen: Seen,
    version: Option<i64>,
    known: Option<R>,
    only_repeats: Option<Error>,
}

impl<T, R> Held<T, R> {
    /// The record, and how the caller stands to it.
    pub fn new(record: T, seen: Seen) -> Self {
        Self { record, seen, version: None, known: None, only_repeats: None }
    }

    /// Entered for an institution (代行入力): both names are recorded.
    #[must_use]
    pub fn on_behalf_of(self, institution: Option<OrganisationId>) -> Self {
        Self { seen: self.seen.on_behalf_of(institution), ..self }
    }

    /// Sets the version that the `etag` is compared with.
    #[must_use]
    pub fn version(self, version: i64) -> Self {
        Self { version: Some(version), ..self }
    }

    /// Sets the answer if it is known before the change: it is then claimed and kept in one statement.
    #[must_use]
    pub fn knowing(self, answer: R) -> Self {
        Self { known: Some(answer), ..self }
    }

    /// Lets the caller read an earlier answer again, but refuses a new change with `otherwise`.
    #[must_use]
    pub fn only_repeats(self, otherwise: Error) -> Self {
        Self { only_repeats: Some(otherwise), ..self }
    }
}

/// A change under way: the record is locked, the caller known to it, the audit row written, the request claimed.
pub struct Change<T> {
    /// The transaction. It commits when the change returns an answer.
    pub tx: Transaction<'static, Postgres>,
    /// The locked record.
    pub held: T,
    /// The caller's relations to it.
    pub relations: Relations,
    /// The moment of the change, taken once the lock is held.
    pub now: OffsetDateTime,
}

impl<M> Call<M> {
    /// Changes an existing record.
    ///
    /// `lock` locks it and says how the caller stands to it, or that it does not exist for the caller. Then the audit
    /// row is written. A repeated request gets its earlier answer, as far as the caller may see it now. A new one goes
    /// on: the `etag` is compared, `change` runs, its answer is kept, and all of it commits.
    ///
    /// # Errors
    /// What `lock` and `change` return; [`Error::RequestIdReused`], [`Error::StaleEtag`].
    pub async fn change<T, R: Message + Name + Default>(
        &self,
        base: &Base,
        lock: impl AsyncFnOnce(&mut PgConnection) -> Result<Held<T, R>, Error>,
        change: impl AsyncFnOnce(&mut Change<T>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut tx = base.pool.begin().await?;
        let Held { record, seen, version, known, only_repeats } = lock(&mut tx).await?;
        if self.rule.audit != Audit::None {
            self.record(&mut tx, &seen).await?;
        }
        if let Some(answer) = self.claim(&mut tx, &base.vault, known.as_ref()).await? {
            let answer = shown_again(answer, &seen)?;
            tx.commit().await?;
            return Ok(answer);
        }
        if let Some(refusal) = only_repeats {
            return Err(refusal);
        }
        if !self.etag.is_empty() && version.is_some_and(|version| version.to_string() != self.etag) {
            return Err(Error::StaleEtag);
        }
        let relations = seen.relations.unwrap_or_default();
        let mut under_way = Change { tx, held: record, relations, now: base.clock.now() };
        let answer = change(&mut under_way).await?;
        let mut tx = under_way.tx;
        if known.is_none() {
            self.keep(&mut tx, &base.vault, &answer).await?;
        }
        tx.commit().await?;
        Ok(answer)
    }

    /// Creates a record.
    ///
    /// `again` says whose data a repeated answer shows and how the caller stands to them now; `create` creates the
    /// record and says the same of it.
    ///
    /// # Errors
    /// What `again` and `create` return; [`Error::RequestIdReused`].
    pub async fn create<R: Message + Name + Default>(
        &self,
        base: &Base,
        again: impl AsyncFnOnce(&mut PgConnection, &R) -> Result<Seen, Error>,
        create: impl AsyncFnOnce(&mut PgConnection) -> Result<(R, Seen), Error>,
    ) -> Result<R, Error> {
        let mut tx = base.pool.begin().await?;
        if let Some(answer) = self.claim(&mut tx, &base.vault, None).await? {
            return self.answer_again(tx, answer, again).await;
        }
        let (answer, seen) = create(&mut tx).await?;
        if self.rule.audit != Audit::None {
            self.record(&mut tx, &seen).await?;
        }
        self.keep(&mut tx, &base.vault, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Creates a record whose answer is known beforehand, which saves one statement.
    ///
    /// # Errors
    /// What `again` and `create` return; [`Error::RequestIdReused`].
    pub async fn create_knowing<R: Message + Name + Default>(
        &self,
        base: &Base,
        answer: R,
        seen: &Seen,
        again: impl AsyncFnOnce(&mut PgConnection, &R) -> Result<Seen, Error>,
        create: impl AsyncFnOnce(&mut PgConnection) -> Result<(), Error>,
    ) -> Result<R, Error> {
        let mut tx = base.pool.begin().await?;
        if let Some(answer) = self.claim(&mut tx, &base.vault, Some(&answer)).await? {
            return self.answer_again(tx, answer, again).await;
        }
        create(&mut tx).await?;
        if self.rule.audit != Audit::None {
            self.record(&mut tx, seen).await?;
        }
        tx.commit().await?;
        Ok(answer)
    }

    /// A repeated answer is a disclosure, so it is decided anew and audited.
    async fn answer_again<R: Message + Name + Default>(
        &self,
        mut tx: Transaction<'static, Postgres>,
        answer: R,
        again: impl AsyncFnOnce(&mut PgConnection, &R) -> Result<Seen, Error>,
    ) -> Result<R, Error> {
        let seen = again(&mut tx, &answer).await?;
        if self.rule.audit != Audit::None {
            self.record(&mut tx, &seen).await?;
        }
        tx.commit().await?;
        shown_again(answer, &seen)
    }

    fn key(&self) -> Option<Key> {
        let request_id = self.request_id?;
        let user_id = self.caller.user_id.uuid();
        Some(Key { user_id, request_id, rpc: &self.rule.name, body_hash: self.body_hash.clone() })
    }

    /// Claims the request id. `Some` is the earlier answer.
    async fn claim<R: Message + Default>(
        &self,
        conn: &mut PgConnection,
        vault: &Vault,
        answer: Option<&R>,
    ) -> Result<Option<R>, Error> {
        let Some(key) = self.key() else { return Ok(None) };
        let sealed = answer.map(|answer| sealed(vault, &key, answer)).transpose()?;
        let claim = request::claim(conn, &key, sealed.as_deref(), self.now).await?;
        self.duties.answered.store(sealed.is_some() || claim != Claim::First, Ordering::Relaxed);
        match claim {
            Claim::First => Ok(None),
            Claim::Conflict => Err(Error::RequestIdReused),
            Claim::Forgotten => Err(Error::AnswerForgotten),
            Claim::Repeated(sealed) => {
                let plain = vault.open(ANSWER, &bound_to(&key), &sealed)?;
                R::decode(plain.as_slice()).map(Some).map_err(|error| Error::Internal(error.into()))
            }
        }
    }

    /// Keeps the answer, sealed.
    async fn keep(&self, conn: &mut PgConnection, vault: &Vault, answer: &impl Message) -> Result<(), Error> {
        let Some(key) = self.key() else { return Ok(()) };
        request::answer(conn, &key, &sealed(vault, &key, answer)?).await?;
        self.duties.answered.store(true, Ordering::Relaxed);
        Ok(())
    }
}

fn sealed(vault: &Vault, key: &Key, answer: &impl Message) -> Result<Vec<u8>, Error> {
    Ok(vault.seal(ANSWER, &bound_to(key), &answer.encode_to_vec())?)
}

/// What a kept answer is bound to: one user's request id.
fn bound_to(key: &Key) -> [u8; 32] {
    let mut row = [0; 32];
    let (user, request) = row.split_at_mut(16);
    user.copy_from_slice(key.user_id.as_bytes());
    request.copy_from_slice(key.request_id.as_bytes());
    row
}

/// An earlier answer, as far as the caller may see it now.
fn shown_again<R: Message + Name + Default>(answer: R, seen: &Seen) -> Result<R, Error> {
    match &seen.relations {
        Some(relations) => classes::mask(&answer, relations).map_err(Error::Internal),
        None => Ok(answer),
    }
}
