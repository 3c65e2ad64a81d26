//! Sign-in of staff, and sessions: two factors, tokens of ten minutes, refresh tokens that work once.

use access::{
    Caller,
    token::{AUDIENCE, Claims, ISSUER, LIFETIME, TYPE},
};
use chassis::Error;
use data::outbox;
use proto::identity::{
    AccessRevoked, ChangePasswordRequest, ChangePasswordResponse, EndSessionRequest, EndSessionResponse, EnrolRequest,
    EnrolResponse, ListSessionsResponse, NextStep, RefreshTokensRequest, ReplaceRecoveryCodesResponse, Role,
    Session as SessionView, SignInRequest, SignInResponse, SignOutResponse, StepUpRequest, Tokens, VerifyOtpRequest,
    VerifyRecoveryCodeRequest,
};
use runtime::{clock, problem::text};
use sqlx::PgConnection;
use time::OffsetDateTime;
use totp_rs::{Builder, Totp};
use uuid::Uuid;
use vault::Place;

use crate::{
    domain::{self, ABSOLUTE, CHALLENGE, CODE_TRIES, IDLE, LOST_RESPONSE},
    rpc::{Identity, TOTP},
    store::{self, Account, Session, accounts},
    terms,
};

const SUCCESSOR: Place = Place { table: "refresh_token", column: "successor" };

/// First factor. Whatever is wrong, the answer is the same, after the same work: one write and one hash.
pub(crate) async fn sign_in(identity: &Identity, request: SignInRequest) -> Result<SignInResponse, Error> {
    let now = identity.clock.now();
    // Turned away before it counts: a storm must not make anybody's credential rest.
    let turn = identity.hashing.admit()?;
    let (account, device) = counted(identity, &request.login, &request.device_token).await?;
    let resting = account.as_ref().is_some_and(|a| a.next_try_at.is_some_and(|at| now < at));
    let hash = account.as_ref().filter(|_| !resting).map(|a| a.secret_hash.clone());
    let fits = identity.verify(turn, request.password, hash).await?;
    let account = account.filter(|account| {
        fits && account.disabled_at.is_none() && account.secret_expires_at.is_none_or(|at| now <= at)
    });
    let Some(account) = account else { return Err(Error::Unauthenticated) };
    // The count stays after a right password: only the second factor clears it, so codes are not guessed without end.
    let (step, next_step) = if account.secret_is_initial { ("enrol", NextStep::Enrol) } else { ("otp", NextStep::Otp) };
    let (challenge, challenge_hash) = identity.secret()?;
    let mut conn = identity.base.pool.acquire().await?;
    store::insert_challenge(&mut conn, &challenge_hash, account.user_id, step, None, now + CHALLENGE).await?;
    if let Some(device) = device {
        store::note_device(&mut conn, &challenge_hash, &device).await?;
    }
    Ok(SignInResponse { challenge, next_step: next_step.into() })
}

/// The account of a log-in, the attempt counted before anything is checked: on the device where it is known, so that guesses
/// from elsewhere cannot lock its owner out, otherwise on the account.
async fn counted(
    identity: &Identity,
    login: &str,
    device_token: &str,
) -> Result<(Option<Account>, Option<Vec<u8>>), Error> {
    let mut conn = identity.base.pool.acquire().await?;
    if !device_token.is_empty() {
        let device = identity.hash_of(device_token);
        if let Some(next_try_at) = accounts::count_device_attempt(&mut conn, &device, login, domain::rests()).await? {
            accounts::forget_device_after(&mut conn, &device, domain::DEVICE_STOP).await?;
            let account = store::find_login(&mut conn, login).await?;
            return Ok((account.map(|account| Account { next_try_at, ..account }), Some(device)));
        }
    }
    let account = store::count_attempt(&mut conn, login, domain::rests()).await?;
    if account.is_none() {
        accounts::note_stray(&mut conn, &identity.hash_of(login)).await?;
    }
    Ok((account, None))
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
    refuse_easy(&request.new_password, &account.login)?;
    let turn = identity.hashing.admit()?;
    let secret_hash = identity.hashing.hash(turn, request.new_password).await?;
    let mut secret = [0_u8; 20];
    getrandom::fill(&mut secret).map_err(|error| Error::Internal(anyhow::anyhow!("draw a secret: {error}")))?;
    let totp = totp(&secret, &account.login)?;
    let sealed = identity.vault().seal(TOTP, account.user_id.as_bytes(), &secret)?;
    let mut conn = identity.base.pool.acquire().await?;
    // In force only once the authenticator is proved: whoever saw the slip changes nothing of an ID in use.
    let (recovery_codes, recovery) = drawn_recovery_codes(identity, account.user_id)?;
    if !store::prepare_enrolment(&mut conn, &challenge_hash, &sealed, &secret_hash, &recovery).await? {
        return Err(Error::Unauthenticated);
    }
    Ok(EnrolResponse {
        recovery_codes,
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
        accounts::replace_recovery_codes(&mut tx, account.user_id, &challenge.recovery.unwrap_or_default()).await?;
        store::drop_challenges(&mut tx, account.user_id).await?;
    }
    let tokens = open(identity, &mut tx, &account, challenge.device_hash.as_deref()).await?;
    tx.commit().await?;
    Ok(tokens)
}

/// Second factor with a recovery code, for a lost authenticator.
pub(crate) async fn verify_recovery(identity: &Identity, request: &VerifyRecoveryCodeRequest) -> Result<Tokens, Error> {
    let challenge_hash = identity.hash_of(&request.challenge);
    let mut conn = identity.base.pool.acquire().await?;
    let challenge = store::try_challenge(&mut conn, &challenge_hash, CODE_TRIES)
        .await?
        .filter(|challenge| challenge.step == "otp")
        .ok_or(Error::Unauthenticated)?;
    drop(conn);
    let mut tx = identity.base.pool.begin().await?;
    let account = store::find_account(&mut tx, challenge.subject)
        .await?
        .filter(|account| account.disabled_at.is_none())
        .ok_or(Error::Unauthenticated)?;
    let code_hash = recovery_hash(identity, account.user_id, &request.recovery_code);
    if !accounts::use_recovery_code(&mut tx, account.user_id, &code_hash).await?
        || !store::finish_challenge(&mut tx, &challenge_hash).await?
    {
        return Err(Error::Unauthenticated);
    }
    tracing::info!(user_id = %account.user_id, "A recovery code stood for the authenticator");
    let tokens = open(identity, &mut tx, &account, challenge.device_hash.as_deref()).await?;
    tx.commit().await?;
    Ok(tokens)
}

/// Both factors were right: a session, and a device that is known from now on.
async fn open(
    identity: &Identity,
    conn: &mut PgConnection,
    account: &Account,
    device: Option<&[u8]>,
) -> Result<Tokens, Error> {
    store::clear_failures(conn, account.user_id).await?;
    let session =
        store::insert_session(conn, account.user_id, false, account.organisation_id, account.role, None).await?;
    // A device that is known keeps the token it has.
    let device_token = if let Some(hash) = device {
        accounts::remember_device(conn, hash, account.user_id).await?;
        String::new()
    } else {
        let (token, hash) = identity.secret()?;
        accounts::remember_device(conn, &hash, account.user_id).await?;
        token
    };
    let (tokens, _) = tokens(identity, conn, &session).await?;
    Ok(Tokens { device_token, ..tokens })
}

/// A fresh one-time code within a session.
pub(crate) async fn step_up(identity: &Identity, caller: &Caller, request: &StepUpRequest) -> Result<Tokens, Error> {
    let now = identity.clock.now();
    let account = counted_on_session(identity, caller).await?;
    let sealed = account.totp_sealed.clone().ok_or(Error::Unauthenticated)?;
    let secret = identity.vault().open(TOTP, account.user_id.as_bytes(), &sealed)?;
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
    let step = totp(&secret, &account.login)?.check(&request.code, seconds).ok_or(Error::Unauthenticated)?;
    let mut tx = identity.base.pool.begin().await?;
    if !store::accept_step(&mut tx, account.user_id, i64::try_from(step).unwrap_or(i64::MAX)).await? {
        return Err(Error::Unauthenticated);
    }
    let session = store::step_up(&mut tx, caller.session_id).await?.ok_or(Error::Unauthenticated)?;
    // The session's refresh token stays good: only the access token is new.
    let tokens = access_token(identity, &mut tx, &session, String::new()).await?;
    tx.commit().await?;
    Ok(tokens)
}

pub(crate) async fn list(identity: &Identity, caller: &Caller) -> Result<ListSessionsResponse, Error> {
    let mut conn = identity.base.pool.acquire().await?;
    let now = identity.clock.now();
    let rows = accounts::sessions(&mut conn, caller.user_id).await?;
    let alive = rows.into_iter().filter(|(_, created, used)| now - *used <= IDLE && now - *created <= ABSOLUTE);
    let sessions = alive
        .map(|(id, created_at, used_at)| SessionView {
            session_id: id.to_string(),
            created_at: Some(clock::to_proto(created_at)),
            used_at: Some(clock::to_proto(used_at)),
            current: id == caller.session_id,
        })
        .collect();
    Ok(ListSessionsResponse { sessions })
}

pub(crate) async fn end_one(
    identity: &Identity,
    caller: &Caller,
    request: &EndSessionRequest,
) -> Result<EndSessionResponse, Error> {
    let id = Uuid::try_parse(&request.session_id).map_err(|_| Error::NotFound("session"))?;
    let mut tx = identity.base.pool.begin().await?;
    store::lock_session(&mut tx, id)
        .await?
        .filter(|session| session.subject == caller.user_id)
        .ok_or(Error::NotFound("session"))?;
    end(identity, &mut tx, id).await?;
    tx.commit().await?;
    Ok(EndSessionResponse {})
}

/// The account behind a session, the attempt counted on the session before anything is checked: neither codes nor passwords
/// are guessed without end from a stolen one, and strangers' guesses elsewhere do not hold up its owner.
async fn counted_on_session(identity: &Identity, caller: &Caller) -> Result<Account, Error> {
    at_work(caller)?;
    let now = identity.clock.now();
    let mut tx = identity.base.pool.begin().await?;
    let session = store::lock_session(&mut tx, caller.session_id).await?.ok_or(Error::Unauthenticated)?;
    if now - session.used_at > IDLE || now - session.created_at > ABSOLUTE {
        return Err(Error::Unauthenticated);
    }
    let in_time = accounts::count_on_session(&mut tx, caller.session_id, domain::SESSION_STOP).await?;
    if !in_time {
        end(identity, &mut tx, caller.session_id).await?;
    }
    let account = store::find_account(&mut tx, caller.user_id).await?;
    tx.commit().await?;
    account.filter(|account| in_time && account.disabled_at.is_none()).ok_or(Error::Unauthenticated)
}

/// Patients, proxies and other systems have no authenticator, no password and no recovery codes.
fn at_work(caller: &Caller) -> Result<(), Error> {
    if caller.is_citizen() || caller.scopes.is_some() {
        return Err(Error::Denied(text("職員のIDに限ります。", "This is for people at work.")));
    }
    Ok(())
}

/// A new password; every other session ends.
pub(crate) async fn change_password(
    identity: &Identity,
    caller: &Caller,
    request: ChangePasswordRequest,
) -> Result<ChangePasswordResponse, Error> {
    let turn = identity.hashing.admit()?;
    let account = counted_on_session(identity, caller).await?;
    refuse_easy(&request.new_password, &account.login)?;
    if !identity.verify(turn, request.current_password, Some(account.secret_hash.clone())).await? {
        return Err(Error::invalid("current_password", "パスワードが違います", "is not the password in use"));
    }
    let secret_hash = identity.hashing.hash(identity.hashing.admit()?, request.new_password).await?;
    let mut tx = identity.base.pool.begin().await?;
    accounts::set_password(&mut tx, caller.user_id, &secret_hash).await?;
    store::drop_challenges(&mut tx, caller.user_id).await?;
    for session in accounts::end_sessions(&mut tx, caller.user_id, Some(caller.session_id)).await? {
        announce_end(identity, &mut tx, session).await?;
    }
    tx.commit().await?;
    Ok(ChangePasswordResponse {})
}

pub(crate) async fn replace_recovery_codes(
    identity: &Identity,
    caller: &Caller,
) -> Result<ReplaceRecoveryCodesResponse, Error> {
    at_work(caller)?;
    let mut tx = identity.base.pool.begin().await?;
    let recovery_codes = fresh_recovery_codes(identity, &mut tx, caller.user_id).await?;
    tx.commit().await?;
    Ok(ReplaceRecoveryCodesResponse { recovery_codes })
}

/// Ten codes of 120 random bits each, in groups a person can copy. Only keyed hashes are kept.
async fn fresh_recovery_codes(
    identity: &Identity,
    conn: &mut PgConnection,
    user_id: Uuid,
) -> Result<Vec<String>, Error> {
    let (codes, hashes) = drawn_recovery_codes(identity, user_id)?;
    accounts::replace_recovery_codes(conn, user_id, &hashes).await?;
    Ok(codes)
}

fn drawn_recovery_codes(identity: &Identity, user_id: Uuid) -> Result<(Vec<String>, Vec<Vec<u8>>), Error> {
    let codes = (0..10).map(|_| drawn_code(24)).collect::<Result<Vec<_>, _>>()?;
    let hashes = codes.iter().map(|code| recovery_hash(identity, user_id, code)).collect();
    Ok((codes, hashes))
}

fn recovery_hash(identity: &Identity, user_id: Uuid, code: &str) -> Vec<u8> {
    identity.hash_of(&format!("recovery|{user_id}|{}", plain_code(code)))
}

/// A code as it was typed, without what people put between.
pub(crate) fn plain_code(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// A random code of Crockford's base 32 in groups of six, five bits per character.
pub(crate) fn drawn_code(characters: usize) -> Result<String, Error> {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut bytes = vec![0; characters];
    getrandom::fill(&mut bytes).map_err(|error| Error::Internal(anyhow::anyhow!("draw a code: {error}")))?;
    let text: Vec<char> =
        bytes.iter().map(|byte| ALPHABET.get(usize::from(byte % 32)).map_or('0', |c| char::from(*c))).collect();
    Ok(text.chunks(6).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

fn refuse_easy(password: &str, login: &str) -> Result<(), Error> {
    if domain::password_is_good(password, login) {
        return Ok(());
    }
    Err(Error::invalid(
        "new_password",
        "推測されやすいパスワードです。12文字以上で、よく使われる語を避けてください",
        "is easy to guess: at least 12 characters beyond the well-known words",
    ))
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
                let tokens = access_token(identity, &mut tx, &session, refresh_token).await?;
                tx.commit().await?;
                Ok(tokens)
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
    Ok((access_token(identity, conn, session, refresh_token.clone()).await?, refresh_token))
}

/// The access token of a session as role, hidden groups and terms stand now.
async fn access_token(
    identity: &Identity,
    conn: &mut PgConnection,
    session: &Session,
    refresh_token: String,
) -> Result<Tokens, Error> {
    let role = Role::try_from(i32::from(session.role)).unwrap_or_default();
    let (hidden, terms_due) = if session.is_patient {
        (0, 0)
    } else {
        // Read here, behind whatever was waited for: an ID that was disabled or got another role meanwhile opens nothing.
        let account = store::find_account(conn, session.subject)
            .await?
            .filter(|account| account.disabled_at.is_none() && account.role == session.role)
            .ok_or(Error::Unauthenticated)?;
        (account.hidden, terms::due(role, account.terms_version, identity.clock.today_in_japan()))
    };
    let case_id = session.is_patient.then(|| session.case_id.unwrap_or(session.subject));
    let claims = Subject {
        id: session.subject,
        session_id: session.session_id,
        organisation_id: session.organisation_id,
        role,
        authenticated_at: session.authenticated_at,
        case_id,
        hidden: u16::try_from(hidden).unwrap_or(0),
        terms_due: terms_due > 0,
        scopes: None,
        calls_per_second: 0,
    };
    let tokens = signed(identity, claims)?;
    Ok(Tokens { refresh_token, terms_due, ..tokens })
}

/// Whom a token is for.
pub(crate) struct Subject {
    pub id: Uuid,
    pub session_id: Uuid,
    pub organisation_id: Uuid,
    pub role: Role,
    pub authenticated_at: OffsetDateTime,
    pub case_id: Option<Uuid>,
    pub hidden: u16,
    pub terms_due: bool,
    pub scopes: Option<Vec<String>>,
    pub calls_per_second: u32,
}

/// A signed access token.
pub(crate) fn signed(identity: &Identity, subject: Subject) -> Result<Tokens, Error> {
    let issued_at = identity.clock.now();
    let expires_at = issued_at + LIFETIME;
    let organisation = identity.base.directory.get(subject.organisation_id);
    if subject.case_id.is_none() && organisation.is_none() {
        // The directory has not heard of the organisation yet: a moment after its creation.
        return Err(Error::Exhausted);
    }
    let today = clock::day_in_japan(issued_at);
    if organisation.as_ref().is_some_and(|o| o.suspended || !o.exists.contain(today)) {
        return Err(Error::Unauthenticated);
    }
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: subject.id,
        iat: issued_at.unix_timestamp(),
        ims: issued_at.millisecond(),
        exp: expires_at.unix_timestamp(),
        sid: subject.session_id,
        org: subject.organisation_id,
        knd: organisation.as_ref().map_or(0, |o| o.kind.into()),
        prf: organisation.as_ref().map_or(0, |o| o.prefecture),
        rol: subject.role.into(),
        authenticated: subject.authenticated_at.unix_timestamp(),
        cas: subject.case_id,
        hid: subject.hidden,
        due: subject.terms_due,
        scp: subject.scopes,
        cps: subject.calls_per_second,
    };
    Ok(Tokens {
        access_token: identity.base.signer.sign(TYPE, &claims)?,
        expires_at: Some(clock::to_proto(expires_at)),
        ..Tokens::default()
    })
}

async fn end(identity: &Identity, conn: &mut PgConnection, session_id: Uuid) -> Result<(), Error> {
    store::end_session(conn, session_id).await?;
    announce_end(identity, conn, session_id).await
}

async fn announce_end(identity: &Identity, conn: &mut PgConnection, session_id: Uuid) -> Result<(), Error> {
    let revoked = AccessRevoked {
        session_id: session_id.to_string(),
        user_id: String::new(),
        at: Some(clock::to_proto(identity.clock.now())),
    };
    outbox::add(conn, "access.revoked", &revoked).await?;
    Ok(())
}

/// Ends every session of a subject and refuses its tokens everywhere.
pub(crate) async fn end_all(identity: &Identity, conn: &mut PgConnection, subject: Uuid) -> Result<(), Error> {
    accounts::end_sessions(conn, subject, None).await?;
    let revoked = AccessRevoked {
        session_id: String::new(),
        user_id: subject.to_string(),
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
