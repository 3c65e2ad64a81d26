//! IDs: issued, disabled, and the first one of a new system.

use std::path::Path;

use access::{
    Caller,
    audit::{self, Act, Actor},
};
use anyhow::Context as _;
use chassis::{Error, once};
use data::outbox;
use proto::identity::{
    AccessRevoked, DisableUserRequest, DisableUserResponse, IssueUserRequest, IssueUserResponse, Organisation,
    OrganisationKind, Rights, Role,
};
use runtime::{clock, problem::text};
use uuid::Uuid;

use crate::{
    domain::{self, Body, INITIAL_SECRET},
    organisations,
    rpc::Identity,
    store::{self, NewAccount},
};

/// The log-in of the first administrator.
const FIRST_LOGIN: &str = "admin";

pub(crate) async fn issue(
    identity: &Identity,
    caller: &Caller,
    request: IssueUserRequest,
) -> Result<IssueUserResponse, Error> {
    let key = once::key(identity.vault(), caller, "IssueUser", &request.request_id, &request)?;
    // Hashing takes long: before the transaction opens.
    let (initial_secret, _) = identity.secret()?;
    let secret_hash = identity.hashing.hash(identity.hashing.admit()?, initial_secret.clone()).await?;

    let mut tx = identity.base.pool.begin().await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    let target = Uuid::try_parse(&request.organisation_id).map_err(|_| Error::NotFound("organisation"))?;
    let role = Role::try_from(request.role).unwrap_or(Role::Unspecified);
    let below = in_scope(&mut tx, caller, target).await?;
    if !domain::role_fits(role, below.kind) {
        return Err(Error::invalid(
            "role",
            "この機関の種別では使えない役割です",
            "does not exist in this kind of organisation",
        ));
    }
    let user_id = Uuid::now_v7();
    let expires_at = identity.clock.now() + INITIAL_SECRET;
    let new = NewAccount {
        user_id,
        login: &request.login,
        organisation_id: target,
        role: small(request.role),
        secret_hash: &secret_hash,
        expires_at,
        issued_by: Some(caller.user_id),
    };
    store::insert_account(&mut tx, &new).await.map_err(|error| match constraint(&error) {
        Some("account_login_key") => Error::invalid("login", "使用済みのログインIDです", "is taken"),
        _ => Error::Database(error),
    })?;
    audit::record(&mut tx, &act(caller, "IssueUser", key.request_id), &[user_id]).await?;
    let answer = IssueUserResponse {
        user_id: user_id.to_string(),
        initial_secret,
        expires_at: Some(clock::to_proto(expires_at)),
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
    let secret_hash = identity.hashing.hash(identity.hashing.admit()?, secret.clone()).await?;
    let body = Body { id: Uuid::now_v7(), kind: OrganisationKind::Ministry, prefecture: 0, parent_id: None };
    let ministry = Organisation {
        organisation_id: body.id.to_string(),
        kind: body.kind.into(),
        name: "厚生労働省".to_owned(),
        rights: Rights::Entry.into(),
        ..Organisation::default()
    };
    organisations::add(&mut tx, &ministry, &body).await?;
    let new = NewAccount {
        user_id: Uuid::now_v7(),
        login: FIRST_LOGIN,
        organisation_id: body.id,
        role: small(Role::Administrator.into()),
        secret_hash: &secret_hash,
        expires_at: identity.clock.now() + INITIAL_SECRET,
        issued_by: None,
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

async fn in_scope(conn: &mut sqlx::PgConnection, caller: &Caller, target: Uuid) -> Result<Body, Error> {
    let above = store::find_body(conn, caller.organisation_id).await?.ok_or(Error::NotFound("organisation"))?;
    let below = store::find_body(conn, target).await?.ok_or(Error::NotFound("organisation"))?;
    if domain::supervises(&above, &below) { Ok(below) } else { Err(Error::NotFound("organisation")) }
}

fn act<'a>(caller: &'a Caller, rpc: &'static str, request_id: Uuid) -> Act<'a> {
    Act { actor: Actor::Caller(caller), rpc, groups: &[], request_id: Some(request_id), on_behalf_of: None }
}

fn constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error().and_then(|e| e.constraint())
}

fn small(number: i32) -> i16 {
    i16::try_from(number).unwrap_or(0)
}
