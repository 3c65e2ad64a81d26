//! An ID of the caller's scope, locked for a change. Another one does not exist for the caller.

use access::{Caller, UserId};
use chassis::{Error, Held, Seen};
use sqlx::PgConnection;

use super::{model::User, store};
use crate::organisation::{self, Body};

/// An ID, and where it is at work.
pub(super) struct Locked {
    pub user: User,
    pub body: Body,
}

impl Locked {
    pub(super) fn held<R>(self) -> Held<Self, R> {
        let (id, version) = (self.user.id, self.user.version);
        Held::new(self, Seen::records([id])).version(version)
    }
}

pub(super) async fn lock(conn: &mut PgConnection, caller: &Caller, id: UserId) -> Result<Locked, Error> {
    let user = store::lock(conn, id).await?.ok_or(Error::NotFound("user"))?;
    let body = organisation::in_scope(conn, caller, user.organisation_id).await.map_err(|error| match error {
        Error::NotFound(_) => Error::NotFound("user"),
        other => other,
    })?;
    Ok(Locked { user, body })
}

/// That some IDs are of the caller's scope, for an answer that is repeated.
pub(super) async fn must_all_be_in_scope(
    conn: &mut PgConnection,
    caller: &Caller,
    ids: &[UserId],
) -> Result<(), Error> {
    let at = store::organisations_of(conn, ids).await?;
    if organisation::all_in_scope(conn, caller, &at).await?.len() < at.len() || (at.is_empty() && !ids.is_empty()) {
        return Err(Error::NotFound("user"));
    }
    Ok(())
}
