//! Making an ID: what must hold for it, and how it is stored.

use access::{Caller, UserId};
use chassis::Error;
use sqlx::PgConnection;
use time::{Date, OffsetDateTime};
use vault::Place;

use super::{
    HOLDER, MAIL,
    model::{self, INITIAL_SECRET, Made, NewUser},
    store::{self, NewAccount},
};
use crate::{
    message,
    organisation::{Body, Standing},
    service::Identity,
};

/// What must hold for an ID inside an organisation of the caller's scope.
pub(super) fn check(
    caller: &Caller,
    (body, standing): (&Body, &Standing),
    new: &NewUser<'_>,
    today: Date,
) -> Result<(), Error> {
    standing.may_employ("organisation_id", new.role, today).map_err(Error::Invalid)?;
    model::check_role("role", new.role, body.kind).map_err(Error::Invalid)?;
    model::check_hidden("hidden_groups", caller.hidden, new.hidden).map_err(Error::Invalid)?;
    if !new.mail.is_empty() && !message::is_mail(new.mail) {
        return Err(Error::invalid("mail", "メールアドレスを確認してください", "must be a mail address"));
    }
    Ok(())
}

/// Stores an ID that was checked, and sends its secret where there is a mail address.
pub(super) async fn make(
    identity: &Identity,
    conn: &mut PgConnection,
    issuer: Option<UserId>,
    new: &NewUser<'_>,
    now: OffsetDateTime,
) -> Result<Made, Error> {
    let (initial_secret, _) = identity.secret()?;
    let user_id = UserId::new();
    let sealed = |place: Place, text: &str| {
        let seal = || identity.vault().seal(place, user_id.uuid().as_bytes(), text.as_bytes());
        (!text.is_empty()).then(seal).transpose()
    };
    let expires_at = now + INITIAL_SECRET;
    let account = NewAccount {
        user_id,
        login: new.login,
        organisation_id: new.organisation_id,
        role: new.role,
        hidden: new.hidden,
        holder_sealed: sealed(HOLDER, new.holder_name)?,
        mail_sealed: sealed(MAIL, new.mail)?,
        secret_hash: identity.initial_hash(&initial_secret),
        secret_expires_at: expires_at,
        issued_by: issuer,
        issued_at: now,
    };
    store::insert(conn, &account).await.map_err(taken)?;
    if !new.mail.is_empty() {
        message::initial_secret(identity, conn, new.mail, new.login, &initial_secret, INITIAL_SECRET).await?;
    }
    Ok(Made { user_id, initial_secret, expires_at })
}

fn taken(error: sqlx::Error) -> Error {
    match error.as_database_error().and_then(sqlx::error::DatabaseError::constraint) {
        Some("account_login_key") => {
            Error::invalid("login", "使用済みのログインIDです", "must be a log-in that nobody has")
        }
        _ => Error::Database(error),
    }
}
