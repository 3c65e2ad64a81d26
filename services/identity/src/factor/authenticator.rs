//! One-time codes (TOTP): SHA-1, six digits, thirty seconds, one step of tolerance for clocks: what every authenticator speaks.

use chassis::Error;
use runtime::problem::Unproved;
use time::OffsetDateTime;
use totp_rs::{Builder, Secret, Totp};

use super::{TOTP, model::Account};
use crate::service::Identity;

/// The secret of a new authenticator.
pub(crate) struct NewAuthenticator {
    /// As it is kept.
    pub sealed: Vec<u8>,
    /// As a person types it.
    pub base32: String,
    /// As a QR code carries it.
    pub url: String,
}

pub(crate) fn new_authenticator(identity: &Identity, account: &Account) -> Result<NewAuthenticator, Error> {
    let mut secret = [0_u8; 20];
    getrandom::fill(&mut secret).map_err(|error| Error::Internal(anyhow::anyhow!("draw a secret: {error}")))?;
    let url = totp(&secret, &account.login)?.to_url();
    Ok(NewAuthenticator {
        sealed: identity.vault().seal(TOTP, account.user_id.uuid().as_bytes(), &secret)?,
        base32: Secret::from(secret).to_base32(),
        url: url.map_err(|error| Error::Internal(anyhow::anyhow!("{error}")))?,
    })
}

/// The time step that a code belongs to.
///
/// # Errors
/// [`Error::Unauthenticated(Unproved::CodeWrong)`] where the code belongs to none of these moments.
pub(crate) fn step_of(
    identity: &Identity,
    account: &Account,
    sealed: &[u8],
    code: &str,
    now: OffsetDateTime,
) -> Result<i64, Error> {
    let secret = identity.vault().open(TOTP, account.user_id.uuid().as_bytes(), sealed)?;
    let seconds = u64::try_from(now.unix_timestamp()).map_err(|_| Error::Unauthenticated(Unproved::CodeWrong))?;
    let step =
        totp(&secret, &account.login)?.check(code, seconds).ok_or(Error::Unauthenticated(Unproved::CodeWrong))?;
    i64::try_from(step).map_err(|_| Error::Unauthenticated(Unproved::CodeWrong))
}

fn totp(secret: &[u8], login: &str) -> Result<Totp, Error> {
    Builder::new()
        .with_secret(secret)
        .with_skew(1)
        .with_issuer(Some("HER-SYS"))
        .with_account_name(login)
        .build()
        .map_err(|error| Error::Internal(anyhow::anyhow!("{error}")))
}
