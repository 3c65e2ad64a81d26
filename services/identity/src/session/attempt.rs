//! An attempt to prove oneself again within a session.

use access::Caller;
use chassis::Error;
use runtime::problem::Unproved;

use super::{
    end,
    model::{SESSION_STOP, must_be_at_work},
    store,
};
use crate::{
    factor::{self, Account},
    service::Identity,
};

/// The account behind a session. The attempt is counted on the session before anything is checked: neither codes nor passwords are
/// guessed without end from a stolen one, and strangers' guesses elsewhere do not hold up its owner.
pub(super) async fn counted(identity: &Identity, caller: &Caller) -> Result<Account, Error> {
    must_be_at_work(caller).map_err(Error::Denied)?;
    let mut tx = identity.base.pool.begin().await?;
    let session =
        store::lock(&mut tx, caller.session_id).await?.ok_or(Error::Unauthenticated(Unproved::SessionEnded))?;
    if session.is_over(identity.base.clock.now()) {
        return Err(Error::Unauthenticated(Unproved::SessionEnded));
    }

    let in_time = store::count_attempt(&mut tx, session.id, SESSION_STOP).await?;
    if !in_time {
        end::end_one(identity, &mut tx, session.id).await?;
    }
    let account = factor::find_account(&mut tx, caller.user_id).await?;
    tx.commit().await?;
    account.filter(|account| in_time && account.is_in_use()).ok_or(Error::Unauthenticated(Unproved::SessionEnded))
}
