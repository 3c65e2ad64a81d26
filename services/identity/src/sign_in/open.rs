//! Both factors of a person at work were right.

use chassis::Error;
use proto::identity::Tokens;
use sqlx::PgConnection;

use crate::{
    factor::{self, Account},
    service::Identity,
    session::{self, Whose},
};

/// A session, and a device that is known from now on.
pub(super) async fn open(
    identity: &Identity,
    conn: &mut PgConnection,
    account: &Account,
    device: Option<&[u8]>,
) -> Result<Tokens, Error> {
    let now = identity.base.clock.now();
    factor::clear_failures(conn, account.user_id, now).await?;
    // A device that is known keeps the token it has.
    let device_token = if let Some(hash) = device {
        factor::remember_device(conn, hash, account.user_id, now).await?;
        String::new()
    } else {
        let (token, hash) = identity.secret()?;
        factor::remember_device(conn, &hash, account.user_id, now).await?;
        token
    };
    let whose = Whose::Staff { user: account.user_id, organisation: account.organisation_id, role: account.role };
    Ok(Tokens { device_token, ..session::begin(identity, conn, whose).await? })
}
