//! IDs: issued, disabled, and the first one of a new system.

use std::path::Path;

use access::{
    Caller,
    audit::{self, Act, Actor},
    caller::Hidden,
};
use anyhow::Context as _;
use chassis::{Error, once, page};
use data::outbox;
use proto::identity::{
    AccessRevoked, DisableUserRequest, DisableUserResponse, IssueUserRequest, IssueUserResponse, ListUsersRequest,
    ListUsersResponse, Organisation, OrganisationKind, ResetUserRequest, Rights, Role, UnlockUserRequest,
    UpdateUserRequest, User, UserState,
};
use proto::options::Group;
use runtime::{clock, problem::text};
use time::OffsetDateTime;
use uuid::Uuid;
use vault::Place;

use crate::{
    domain::{self, Body, INITIAL_SECRET},
    messages, organisations,
    rpc::Identity,
    sessions, slip,
    store::{
        self, NewAccount,
        accounts::{self, UserRow},
    },
};

/// The log-in of the first administrator.
const FIRST_LOGIN: &str = "admin";

/// Where the holder's name lies.
pub(crate) const HOLDER: Place = Place { table: "account", column: "holder_sealed" };
/// Where the holder's mail lies.
pub(crate) const MAIL: Place = Place { table: "account", column: "mail_sealed" };

/// An ID to be made.
pub(crate) struct NewUser<'a> {
    pub organisation_id: Uuid,
    pub login: &'a str,
    pub role: Role,
    pub holder_name: &'a str,
    pub mail: &'a str,
    pub hidden: Hidden,
}

/// An ID that was made, and its secret.
pub(crate) struct Made {
    pub user_id: Uuid,
    pub initial_secret: String,
    pub expires_at: OffsetDateTime,
}

pub(crate) async fn issue(
    identity: &Identity,
    caller: &Caller,
    request: IssueUserRequest,
) -> Result<IssueUserResponse, Error> {
    let key = once::key(identity.vault(), caller, "IssueUser", &request.request_id, &request)?;
    let mut tx = identity.base.pool.begin().await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    let target = Uuid::try_parse(&request.organisation_id).map_err(|_| Error::NotFound("organisation"))?;
    let below = in_scope(&mut tx, caller, target).await?;
    let new = NewUser {
        organisation_id: target,
        login: &request.login,
        role: Role::try_from(request.role).unwrap_or_default(),
        holder_name: &request.holder_name,
        mail: &request.mail,
        hidden: hidden_of(&request.hidden_groups),
    };
    let made = make(identity, &mut tx, caller, &below, &new).await?;
    audit::record(&mut tx, &act(caller, "IssueUser", key.request_id), &[made.user_id]).await?;
    let slip_pdf = if request.with_slip {
        slip::pages(identity, vec![slip::Slip::new(&request.login, &request.holder_name, &made)]).await?
    } else {
        Vec::new()
    };
    let answer = IssueUserResponse {
        user_id: made.user_id.to_string(),
        initial_secret: made.initial_secret,
        expires_at: Some(clock::to_proto(made.expires_at)),
        slip_pdf,
    };
    once::answer(&mut tx, identity.vault(), &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Makes an ID inside an organisation of the caller's scope.
pub(crate) async fn make(
    identity: &Identity,
    conn: &mut sqlx::PgConnection,
    caller: &Caller,
    below: &Body,
    new: &NewUser<'_>,
) -> Result<Made, Error> {
    if !domain::role_fits(new.role, below.kind) {
        return Err(Error::invalid(
            "role",
            "この機関の種別では使えない役割です",
            "does not exist in this kind of organisation",
        ));
    }
    let hidden = widened(caller, new.hidden)?;
    if !new.mail.is_empty() && !messages::is_mail(new.mail) {
        return Err(Error::invalid("mail", "メールアドレスを確認してください", "is no mail address"));
    }
    let (initial_secret, _) = identity.secret()?;
    let user_id = Uuid::now_v7();
    let sealed = |place, text: &str| {
        (!text.is_empty()).then(|| identity.vault().seal(place, user_id.as_bytes(), text.as_bytes())).transpose()
    };
    let (holder, mail) = (sealed(HOLDER, new.holder_name)?, sealed(MAIL, new.mail)?);
    let expires_at = identity.clock.now() + INITIAL_SECRET;
    let account = NewAccount {
        user_id,
        login: new.login,
        organisation_id: new.organisation_id,
        role: small(new.role.into()),
        secret_hash: &identity.initial_hash(&initial_secret),
        expires_at,
        issued_by: Some(caller.user_id),
        holder_sealed: holder.as_deref(),
        mail_sealed: mail.as_deref(),
        hidden: i32::from(hidden.bits()),
    };
    store::insert_account(conn, &account).await.map_err(|error| match constraint(&error) {
        Some("account_login_key") => Error::invalid("login", "使用済みのログインIDです", "is taken"),
        _ => Error::Database(error),
    })?;
    if !new.mail.is_empty() {
        messages::initial_secret(identity, conn, new.mail, new.login, &initial_secret).await?;
    }
    Ok(Made { user_id, initial_secret, expires_at })
}

/// The hidden groups of a request.
pub(crate) fn hidden_of(groups: &[i32]) -> Hidden {
    Hidden::of(groups.iter().filter_map(|number| Group::try_from(*number).ok()))
}

/// What an issuer does not see, nobody the issuer makes sees.
fn widened(caller: &Caller, asked: Hidden) -> Result<Hidden, Error> {
    let bits = caller.hidden.bits();
    if asked.bits() & bits == bits {
        return Ok(asked);
    }
    Err(Error::invalid(
        "hidden_groups",
        "発行者自身の閲覧範囲を超える ID は発行できません",
        "must hide at least what the issuer does not see",
    ))
}

pub(crate) async fn list(
    identity: &Identity,
    caller: &Caller,
    request: &ListUsersRequest,
) -> Result<ListUsersResponse, Error> {
    let after = match request.page_token.as_str() {
        "" => Uuid::nil(),
        token => Uuid::try_parse(token)
            .map_err(|_| Error::invalid("page_token", "不正なページトークンです", "is no page token"))?,
    };
    let target = match request.organisation_id.as_str() {
        "" => caller.organisation_id,
        id => Uuid::try_parse(id).map_err(|_| Error::NotFound("organisation"))?,
    };
    let size = page::size(request.page_size);
    let mut tx = identity.base.pool.begin().await?;
    in_scope(&mut tx, caller, target).await?;
    let rows = accounts::page(&mut tx, target, after, size).await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.user_id).collect();
    let groups = [2];
    let act =
        Act { actor: Actor::Caller(caller), rpc: "ListUsers", groups: &groups, request_id: None, on_behalf_of: None };
    audit::record(&mut tx, &act, &ids).await?;
    tx.commit().await?;
    let next = rows.last().filter(|_| i64::try_from(rows.len()).is_ok_and(|n| n == size)).map(|row| row.user_id);
    let users = rows.iter().map(|row| shown(identity, row)).collect::<Result<_, _>>()?;
    Ok(ListUsersResponse { users, next_page_token: next.map(|id| id.to_string()).unwrap_or_default() })
}

fn shown(identity: &Identity, row: &UserRow) -> Result<User, Error> {
    let holder = match &row.holder_sealed {
        Some(sealed) => identity.vault().open(HOLDER, row.user_id.as_bytes(), sealed)?,
        None => Vec::new(),
    };
    let state = if row.disabled_at.is_some() {
        UserState::Disabled
    } else if row.failures >= domain::HARD_STOP {
        UserState::Locked
    } else if row.secret_is_initial {
        UserState::Initial
    } else {
        UserState::Active
    };
    let hidden = Hidden::from_bits(u16::try_from(row.hidden).unwrap_or(0));
    let groups = (2..=7).filter(|number| Group::try_from(*number).is_ok_and(|group| hidden.hides(group)));
    Ok(User {
        user_id: row.user_id.to_string(),
        login: row.login.clone(),
        organisation_id: row.organisation_id.to_string(),
        role: i32::from(row.role),
        holder_name: String::from_utf8_lossy(&holder).into_owned(),
        state: state.into(),
        issued_by_id: row.issued_by.map(|id| id.to_string()).unwrap_or_default(),
        issued_at: Some(clock::to_proto(row.created_at)),
        last_sign_in_at: row.last_sign_in_at.map(clock::to_proto),
        hidden_groups: groups.collect(),
        terms_version: row.terms_version,
    })
}

/// An ID of the caller's scope, locked. Another one does not exist for the caller.
async fn locked(conn: &mut sqlx::PgConnection, caller: &Caller, user_id: &str) -> Result<(UserRow, Body), Error> {
    let id = Uuid::try_parse(user_id).map_err(|_| Error::NotFound("user"))?;
    let row = accounts::lock(conn, id).await?.ok_or(Error::NotFound("user"))?;
    let below = in_scope(conn, caller, row.organisation_id).await.map_err(|_| Error::NotFound("user"))?;
    Ok((row, below))
}

pub(crate) async fn update(identity: &Identity, caller: &Caller, request: UpdateUserRequest) -> Result<User, Error> {
    let key = once::key(identity.vault(), caller, "UpdateUser", &request.request_id, &request)?;
    let mut tx = identity.base.pool.begin().await?;
    let (row, below) = locked(&mut tx, caller, &request.user_id).await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    if row.user_id == caller.user_id {
        return Err(Error::Precondition(text(
            "自分自身のIDの権限は変更できません。",
            "Nobody changes what the own ID may do.",
        )));
    }
    let role = Role::try_from(request.role).unwrap_or_default();
    if !domain::role_fits(role, below.kind) {
        return Err(Error::invalid(
            "role",
            "この機関の種別では使えない役割です",
            "does not exist in this kind of organisation",
        ));
    }
    let hidden = widened(caller, hidden_of(&request.hidden_groups))?;
    accounts::change(&mut tx, row.user_id, small(request.role), i32::from(hidden.bits())).await?;
    sessions::end_all(identity, &mut tx, row.user_id).await?;
    audit::record(&mut tx, &act(caller, "UpdateUser", key.request_id), &[row.user_id]).await?;
    let row = accounts::lock(&mut tx, row.user_id).await?.ok_or(Error::NotFound("user"))?;
    let answer = shown(identity, &row)?;
    once::answer(&mut tx, identity.vault(), &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

pub(crate) async fn unlock(identity: &Identity, caller: &Caller, request: UnlockUserRequest) -> Result<User, Error> {
    let key = once::key(identity.vault(), caller, "UnlockUser", &request.request_id, &request)?;
    let mut tx = identity.base.pool.begin().await?;
    let (row, _) = locked(&mut tx, caller, &request.user_id).await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    store::lift_stop(&mut tx, row.user_id).await?;
    audit::record(&mut tx, &act(caller, "UnlockUser", key.request_id), &[row.user_id]).await?;
    let answer = shown(identity, &UserRow { failures: 0, ..row })?;
    once::answer(&mut tx, identity.vault(), &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Starts over for a lost factor. The issuer never learns or chooses the password.
pub(crate) async fn reset(
    identity: &Identity,
    caller: &Caller,
    request: ResetUserRequest,
) -> Result<IssueUserResponse, Error> {
    let key = once::key(identity.vault(), caller, "ResetUser", &request.request_id, &request)?;
    let mut tx = identity.base.pool.begin().await?;
    let (row, _) = locked(&mut tx, caller, &request.user_id).await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    if row.disabled_at.is_some() {
        return Err(Error::Precondition(text("停止されたIDです。", "This ID is disabled.")));
    }
    if row.user_id == caller.user_id {
        return Err(Error::Precondition(text(
            "自分自身のIDは再発行できません。発行者に依頼してください。",
            "Nobody resets the own ID: ask whoever issued it.",
        )));
    }
    // Who resets holds the secret for a while: nobody gets at an ID that sees more than the own one.
    widened(caller, Hidden::from_bits(u16::try_from(row.hidden).unwrap_or(0)))?;
    let (initial_secret, _) = identity.secret()?;
    let expires_at = identity.clock.now() + INITIAL_SECRET;
    accounts::reset(&mut tx, row.user_id, &identity.initial_hash(&initial_secret), expires_at).await?;
    sessions::end_all(identity, &mut tx, row.user_id).await?;
    audit::record(&mut tx, &act(caller, "ResetUser", key.request_id), &[row.user_id]).await?;
    let made = Made { user_id: row.user_id, initial_secret, expires_at };
    let holder = shown(identity, &row)?.holder_name;
    let slip_pdf = if request.with_slip {
        slip::pages(identity, vec![slip::Slip::new(&row.login, &holder, &made)]).await?
    } else {
        Vec::new()
    };
    let answer = IssueUserResponse {
        user_id: row.user_id.to_string(),
        initial_secret: made.initial_secret,
        expires_at: Some(clock::to_proto(expires_at)),
        slip_pdf,
    };
    once::answer(&mut tx, identity.vault(), &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

pub(crate) async fn disable(
    identity: &Identity,
    caller: &Caller,
    request: DisableUserRequest,
) -> Result<DisableUserResponse, Error> {
    let key = once::key(identity.vault(), caller, "DisableUser", &request.request_id, &request)?;
    let mut tx = identity.base.pool.begin().await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    let user_id = Uuid::try_parse(&request.user_id).map_err(|_| Error::NotFound("user"))?;
    let account = store::find_account(&mut tx, user_id).await?.ok_or(Error::NotFound("user"))?;
    in_scope(&mut tx, caller, account.organisation_id).await.map_err(|_| Error::NotFound("user"))?;
    if user_id == caller.user_id {
        // The last administrator would lock everybody out, and could not undo it.
        return Err(Error::Precondition(text("自分自身のIDは停止できません。", "Nobody disables the own ID.")));
    }
    if store::disable_account(&mut tx, user_id).await? {
        let revoked = AccessRevoked {
            session_id: String::new(),
            user_id: user_id.to_string(),
            at: Some(clock::to_proto(identity.clock.now())),
        };
        outbox::add(&mut tx, "access.revoked", &revoked).await?;
    }
    audit::record(&mut tx, &act(caller, "DisableUser", key.request_id), &[user_id]).await?;
    let answer = DisableUserResponse {};
    once::answer(&mut tx, identity.vault(), &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

/// A new system gets its ministry and one administrator. The one-time secret goes to the given file, never to the log.
/// Does nothing where there is an account already.
pub(crate) async fn bootstrap(identity: &Identity, file: &Path) -> anyhow::Result<()> {
    let mut tx = identity.base.pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock(11)").execute(&mut *tx).await?;
    if store::any_account(&mut tx).await? {
        return Ok(());
    }
    let (secret, _) = identity.secret()?;
    let body = Body { id: Uuid::now_v7(), kind: OrganisationKind::Ministry, prefecture: 0, parent_id: None };
    let ministry = Organisation {
        organisation_id: body.id.to_string(),
        kind: body.kind.into(),
        name: "厚生労働省".to_owned(),
        rights: Rights::Entry.into(),
        ..Organisation::default()
    };
    organisations::add(&mut tx, &ministry, &body, None).await?;
    let new = NewAccount {
        user_id: Uuid::now_v7(),
        login: FIRST_LOGIN,
        organisation_id: body.id,
        role: small(Role::Administrator.into()),
        secret_hash: &identity.initial_hash(&secret),
        expires_at: identity.clock.now() + INITIAL_SECRET,
        issued_by: None,
        holder_sealed: None,
        mail_sealed: None,
        hidden: 0,
    };
    store::insert_account(&mut tx, &new).await?;
    // Written before the commit: a secret nobody can read would lock everybody out.
    tokio::fs::write(file, format!("{FIRST_LOGIN}\n{secret}\n"))
        .await
        .with_context(|| format!("write the first administrator's secret to {}", file.display()))?;
    tx.commit().await?;
    identity.base.wake.relay();
    tracing::info!("Made the first administrator");
    Ok(())
}

/// An organisation that the caller's supervises. Another one does not exist for the caller.
pub(crate) async fn in_scope(conn: &mut sqlx::PgConnection, caller: &Caller, target: Uuid) -> Result<Body, Error> {
    let above = store::find_body(conn, caller.organisation_id).await?.ok_or(Error::NotFound("organisation"))?;
    let below = store::find_body(conn, target).await?.ok_or(Error::NotFound("organisation"))?;
    if domain::supervises(&above, &below) { Ok(below) } else { Err(Error::NotFound("organisation")) }
}

/// An ID has a holder's name and mail; an organisation a person who answers for it.
const HOLDER_GROUPS: &[i16] = &[2, 3];

pub(crate) fn act<'a>(caller: &'a Caller, rpc: &'static str, request_id: Uuid) -> Act<'a> {
    Act { actor: Actor::Caller(caller), rpc, groups: HOLDER_GROUPS, request_id: Some(request_id), on_behalf_of: None }
}

pub(crate) fn constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().and_then(|e| e.constraint())
}

fn small(number: i32) -> i16 {
    i16::try_from(number).unwrap_or(0)
}
