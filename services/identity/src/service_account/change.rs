//! A change of an account: its tokens are refused from then on, also those that were issued with the old keys.

use access::Caller;
use chassis::{Call, Error, Held, Seen};
use prost::{Message, Name};
use proto::identity::ServiceAccount;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{
    model::{Account, ServiceAccountId},
    store,
};
use crate::{organisation, service::Identity, session};

/// Changes an account of the caller's scope.
pub(super) async fn change<M: Message + Name>(
    identity: &Identity,
    call: &Call<M>,
    id: &str,
    work: impl FnOnce(&mut Account, OffsetDateTime),
) -> Result<ServiceAccount, Error> {
    let id = ServiceAccountId::parse(id)?;
    let lock = async |conn: &mut PgConnection| {
        let account = store::lock(conn, id).await?.ok_or(Error::NotFound("service account"))?;
        must_be_in_scope(conn, &call.caller, &account).await?;
        let version = account.version;
        Ok(Held::new(account, Seen::records([id])).version(version))
    };
    call.change(&identity.base, lock, async |change| {
        let account = &mut change.held;
        work(account, change.now);
        account.version += 1;
        store::update(&mut change.tx, account).await?;
        session::end_all(identity, &mut change.tx, id.into()).await?;
        Ok(account.shown())
    })
    .await
}

/// An account of another scope does not exist for the caller.
pub(super) async fn must_be_in_scope(conn: &mut PgConnection, caller: &Caller, account: &Account) -> Result<(), Error> {
    organisation::in_scope(conn, caller, account.organisation_id).await.map(|_| ()).map_err(|error| match error {
        Error::NotFound(_) => Error::NotFound("service account"),
        other => other,
    })
}
