//! Sign-in of staff, and sessions: two factors, tokens of ten minutes, refresh tokens that work once.

use access::{
    Caller,
    token::{AUDIENCE, Claims, ISSUER, LIFETIME, TYPE},
};
use chassis::Error;
use data::outbox;
use proto::identity::{
    AccessRevoked, EnrolRequest, EnrolResponse, NextStep, RefreshTokensRequest, SignInRequest, SignInResponse,
    SignOutResponse, Tokens, VerifyOtpRequest,
};
use runtime::clock;
use sqlx::PgConnection;
use totp_rs::{Builder, Totp};
use uuid::Uuid;
use vault::Place;

use crate::{
    domain::{self, ABSOLUTE, CHALLENGE, CODE_TRIES, IDLE, LOST_RESPONSE},
    rpc::{Identity, TOTP},
    store::{self, Session},
};

const SUCCESSOR: Place = Place { table: "refresh_token", column: "successor" };

/// First factor. Whatever is wrong, the answer is the same and takes as long.
pub(crate) async fn sign_in(identity: &Identity, request: SignInRequest) -> Result<SignInResponse, Error> {
    let now = identity.clock.now();
    // Turned away before it counts: a storm must not make anybody's credential rest.
    let turn = identity.hashing.admit()?;
    let mut conn = identity.base.pool.acquire().await?;
    // Counted in its own transaction before anything is checked: parallel guesses all count.
    let account = store::count_attempt(&mut conn, &request.login).await?;
    drop(conn);
    let resting = account.as_ref().is_some_and(|a| a.next_try_at.is_some_and(|at| now < at));
    let hash = account.as_ref().filter(|_| !resting).map(|a| a.secret_hash.clone());
    let fits = identity.hashing.verify(turn, request.password, hash).await?;
    let Some(account) = account else { return Err(Error::Unauthenticated) };

    let over = account.disabled_at.is_some() || account.secret_expires_at.is_some_and(|at| at < now);
    let mut tx = identity.base.pool.begin().await?;
    if !fits || over {
        if !resting {
            store::rest_account(&mut tx, account.user_id, now + domain::rest_after(account.failures)).await?;
            tx.commit().await?;
        }
        return Err(Error::Unauthenticated);
    }
    let (step, next_step) = if account.secret_is_initial { ("enrol", NextStep::Enrol) } else { ("otp", NextStep::Otp) };
    // Also after a right password: only the second factor clears the count, so codes cannot be guessed without end.
    store::rest_account(&mut tx, account.user_id, now + domain::rest_after(account.failures)).await?;
    let (challenge, challenge_hash) = identity.secret()?;
    store::insert_challenge(&mut tx, &challenge_hash, account.user_id, step, None, now + CHALLENGE).await?;
    tx.commit().await?;
    Ok(SignInResponse { challenge, next_step: next_step.into() })
}

/// First sign-in: the person chooses a password and gets the secret of the authenticator.
pub(crate) async fn enrol(identity: &Identity, request: EnrolRequest) -> Result<EnrolResponse, Error> {
    let challenge_hash = identity.hash_of(&request.challenge);
    let mut conn = identity.base.pool.acquire().await?;
    let challenge = store::try_challenge(&mut conn, &challenge_hash, CODE_TRIES)
        .await?
        .filter(|challenge| challenge.step == "enrol")
        .ok_or(Error::Unauthenticated)?;
    let account = store::find_account(&mut conn, challenge.subject).await?.ok_or(Error::Unauthenticated)?;
    drop(conn);
    if !domain::password_is_good(&request.new_password, &account.login) {
        return Err(Error::invalid(
            "new_password",
            "推測されやすいパスワードです。12文字以上で、よく使われる語を避けてください",
            "is easy to guess: at least 12 characters beyond the well-known words",
        ));
    }
    let turn = identity.hashing.admit()?;
    let secret_hash = identity.hashing.hash(turn, request.new_password).await?;
    let mut secret = [0_u8; 20];
    getrandom::fill(&mut secret).map_err(|error| Error::Internal(anyhow::anyhow!("draw a secret: {error}")))?;
    let totp = totp(&secret, &account.login)?;
    let sealed = identity.vault().seal(TOTP, account.user_id.as_bytes(), &secret)?;
    let mut conn = identity.base.pool.acquire().await?;
    store::prepare_enrolment(&mut conn, &challenge_hash, &sealed, &secret_hash).await?;
    Ok(EnrolResponse {
        otp_secret: totp_rs::Secret::from(secret).to_base32(),
        otpauth_url: totp.to_url().map_err(|error| Error::Internal(anyhow::anyhow!("{error}")))?,
    })
}

/// Second factor. A code works once, also among fifty at the same moment.
pub(crate) async fn verify_otp(identity: &Identity, request: &VerifyOtpRequest) -> Result<Tokens, Error> {
    let challenge_hash = identity.hash_of(&request.challenge);
    let mut conn = identity.base.pool.acquire().await?;
    let challenge =
        store::try_challenge(&mut conn, &challenge_hash, CODE_TRIES).await?.ok_or(Error::Unauthenticated)?;
    drop(conn);
    tracing::debug!(tries = challenge.tries, "Checking a one-time code");

    let mut tx = identity.base.pool.begin().await?;
    let account = store::find_account(&mut tx, challenge.subject)
        .await?
        .filter(|account| account.disabled_at.is_none())
        .ok_or(Error::Unauthenticated)?;
    let sealed = match challenge.step.as_str() {
        "enrol" => challenge.totp_sealed.clone(),
        "otp" => account.totp_sealed.clone(),
        _ => None,
    };
    let sealed = sealed.ok_or(Error::Unauthenticated)?;
    let secret = identity.vault().open(TOTP, account.user_id.as_bytes(), &sealed)?;
    let now = u64::try_from(identity.clock.now().unix_timestamp()).unwrap_or(0);
    let step = totp(&secret, &account.login)?.check(&request.code, now).ok_or(Error::Unauthenticated)?;
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    if !store::accept_step(&mut tx, account.user_id, step).await?
        || !store::finish_challenge(&mut tx, &challenge_hash).await?
    {
        return Err(Error::Unauthenticated);
    }
    if challenge.step == "enrol" {
        let secret_hash = challenge.secret_hash.ok_or(Error::Unauthenticated)?;
        if !store::finish_enrolment(&mut tx, account.user_id, &secret_hash, &sealed).await? {
            return Err(Error::Unauthenticated);
        }
    }
    store::clear_failures(&mut tx, account.user_id).await?;
    let session = store::insert_session(&mut tx, account.user_id, false, account.organisation_id, account.role).await?;
    let (tokens, _) = tokens(identity, &mut tx, &session).await?;
    tx.commit().await?;
    Ok(tokens)
}

/// New tokens for a refresh token. Reuse of an old one ends the session, except for one lost response.
pub(crate) async fn refresh(identity: &Identity, request: &RefreshTokensRequest) -> Result<Tokens, Error> {
    let now = identity.clock.now();
    let hash = identity.hash_of(&request.refresh_token);
    let mut tx = identity.base.pool.begin().await?;
    let token = store::lock_refresh(&mut tx, &hash).await?.ok_or(Error::Unauthenticated)?;
    let session = store::lock_session(&mut tx, token.session_id).await?.ok_or(Error::Unauthenticated)?;
    if now - session.used_at > IDLE || now - session.created_at > ABSOLUTE {
        store::end_session(&mut tx, session.session_id).await?;
        tx.commit().await?;
        return Err(Error::Unauthenticated);
    }
    if let Some(used_at) = token.used_at {
        let successor = token.successor.map(|sealed| identity.vault().open(SUCCESSOR, &hash, &sealed)).transpose()?;
        let successor = successor.and_then(|plain| String::from_utf8(plain).ok());
        let unused = match &successor {
            Some(text) => !store::is_used(&mut tx, &identity.hash_of(text)).await?,
            None => false,
        };
        return match successor {
            // The response got lost on the way: the same successor again.
            Some(refresh_token) if unused && now - used_at <= LOST_RESPONSE => {
                store::touch_session(&mut tx, session.session_id).await?;
                tx.commit().await?;
                access_token(identity, &session, refresh_token)
            }
            // Somebody holds a copy: nobody keeps the session.
            _ => {
                end(identity, &mut tx, session.session_id).await?;
                tx.commit().await?;
                Err(Error::Unauthenticated)
            }
        };
    }
    let (tokens, successor) = tokens(identity, &mut tx, &session).await?;
    let sealed = identity.vault().seal(SUCCESSOR, &hash, successor.as_bytes())?;
    store::use_refresh(&mut tx, &hash, &sealed).await?;
    store::touch_session(&mut tx, session.session_id).await?;
    tx.commit().await?;
    Ok(tokens)
}

pub(crate) async fn sign_out(identity: &Identity, caller: &Caller) -> Result<SignOutResponse, Error> {
    let mut tx = identity.base.pool.begin().await?;
    end(identity, &mut tx, caller.session_id).await?;
    tx.commit().await?;
    Ok(SignOutResponse {})
}

/// Issues tokens for a session; also returns the refresh token by itself.
pub(crate) async fn tokens(
    identity: &Identity,
    conn: &mut PgConnection,
    session: &Session,
) -> Result<(Tokens, String), Error> {
    let (refresh_token, hash) = identity.secret()?;
    store::insert_refresh(conn, &hash, session.session_id).await?;
    Ok((access_token(identity, session, refresh_token.clone())?, refresh_token))
}

fn access_token(identity: &Identity, session: &Session, refresh_token: String) -> Result<Tokens, Error> {
    let issued_at = identity.clock.now();
    let expires_at = issued_at + LIFETIME;
    let organisation = identity.base.directory.get(session.organisation_id);
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: session.subject,
        iat: issued_at.unix_timestamp(),
        exp: expires_at.unix_timestamp(),
        sid: session.session_id,
        org: session.organisation_id,
        knd: organisation.as_ref().map_or(0, |o| o.kind.into()),
        prf: organisation.as_ref().map_or(0, |o| o.prefecture),
        rol: i32::from(session.role),
    };
    if !session.is_patient && organisation.is_none() {
        // The directory has not heard of the organisation yet: a moment after its creation.
        return Err(Error::Exhausted);
    }
    Ok(Tokens {
        access_token: identity.signer.sign(TYPE, &claims)?,
        refresh_token,
        expires_at: Some(clock::to_proto(expires_at)),
    })
}

async fn end(identity: &Identity, conn: &mut PgConnection, session_id: Uuid) -> Result<(), Error> {
    store::end_session(conn, session_id).await?;
    let revoked = AccessRevoked {
        session_id: session_id.to_string(),
        user_id: String::new(),
        at: Some(clock::to_proto(identity.clock.now())),
    };
    outbox::add(conn, "access.revoked", &revoked).await?;
    Ok(())
}

/// SHA-1, six digits, thirty seconds, one step of tolerance for clocks: what every authenticator app speaks.
fn totp(secret: &[u8], login: &str) -> Result<Totp, Error> {
    Builder::new()
        .with_secret(secret)
        .with_skew(1)
        .with_issuer(Some("HER-SYS"))
        .with_account_name(login)
        .build()
        .map_err(|error| Error::Internal(anyhow::anyhow!("{error}")))
}
