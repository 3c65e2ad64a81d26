//! Other government systems: an account with scopes, proved by a key of its own (RFC 7523, `private_key_jwt`). No shared secret.

use access::{
    Caller, audit,
    caller::Hidden,
    token::{AUDIENCE, ISSUER},
};
use chassis::{Error, once};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use proto::identity::{
    CreateServiceAccountRequest, DisableServiceAccountRequest, ExchangeAssertionRequest, ReplaceServiceKeysRequest,
    Role, ServiceAccount, Tokens,
};
use runtime::problem::text;
use serde::Deserialize;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    rpc::Identity,
    sessions::{self, Subject},
    store::{
        accounts::{self, ServiceRow},
        contracts,
    },
    users::{act, in_scope},
};

/// How long an assertion may be good.
const LIFETIME: Duration = Duration::minutes(5);
/// What other clocks may be off.
const SKEW: Duration = Duration::seconds(30);

/// What an assertion says.
#[derive(Deserialize)]
struct Assertion {
    iss: Uuid,
    sub: Uuid,
    exp: i64,
    iat: i64,
    jti: String,
}

pub(crate) async fn create(
    identity: &Identity,
    caller: &Caller,
    request: CreateServiceAccountRequest,
) -> Result<ServiceAccount, Error> {
    let key = once::key(identity.vault(), caller, "CreateServiceAccount", &request.request_id, &request)?;
    let target = Uuid::try_parse(&request.organisation_id).map_err(|_| Error::NotFound("organisation"))?;
    check_keys(&request.jwks_json)?;
    for (index, scope) in request.scopes.iter().enumerate() {
        let known = proto::rule(&format!("/{scope}")).is_some_and(|rule| rule.http.is_some());
        if !known {
            return Err(Error::invalid(
                format!("scopes[{index}]"),
                "公開された RPC ではありません",
                "is no public RPC, as package.Service/Method",
            ));
        }
    }
    full_sight(caller)?;
    let mut tx = identity.base.pool.begin().await?;
    in_scope(&mut tx, caller, target).await?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    let row = ServiceRow {
        service_account_id: Uuid::now_v7(),
        organisation_id: target,
        name: request.name,
        scopes: request.scopes,
        jwks: request.jwks_json,
        calls_per_second: request.calls_per_second,
        issued_by: caller.user_id,
        disabled_at: None,
    };
    accounts::insert_service(&mut tx, &row).await?;
    audit::record(&mut tx, &act(caller, key.rpc, key.request_id), &[row.service_account_id]).await?;
    let answer = shown(&row);
    once::answer(&mut tx, identity.vault(), &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

pub(crate) async fn replace_keys(
    identity: &Identity,
    caller: &Caller,
    request: ReplaceServiceKeysRequest,
) -> Result<ServiceAccount, Error> {
    let key = once::key(identity.vault(), caller, "ReplaceServiceKeys", &request.request_id, &request)?;
    check_keys(&request.jwks_json)?;
    full_sight(caller)?;
    change(identity, caller, &request.service_account_id, key, Some(request.jwks_json), false).await
}

pub(crate) async fn disable(
    identity: &Identity,
    caller: &Caller,
    request: DisableServiceAccountRequest,
) -> Result<ServiceAccount, Error> {
    let key = once::key(identity.vault(), caller, "DisableServiceAccount", &request.request_id, &request)?;
    change(identity, caller, &request.service_account_id, key, None, true).await
}

async fn change(
    identity: &Identity,
    caller: &Caller,
    id: &str,
    key: data::request::Key,
    jwks: Option<String>,
    disable: bool,
) -> Result<ServiceAccount, Error> {
    let id = Uuid::try_parse(id).map_err(|_| Error::NotFound("service account"))?;
    let mut tx = identity.base.pool.begin().await?;
    let row = accounts::lock_service(&mut tx, id).await?.ok_or(Error::NotFound("service account"))?;
    in_scope(&mut tx, caller, row.organisation_id).await.map_err(|_| Error::NotFound("service account"))?;
    if let Some(answer) = once::claim(&mut tx, identity.vault(), &key).await? {
        return Ok(answer);
    }
    let jwks = jwks.unwrap_or_else(|| row.jwks.clone());
    let disabled_at = if disable { Some(identity.clock.now()) } else { row.disabled_at };
    accounts::change_service(&mut tx, id, &jwks, disabled_at.is_some()).await?;
    // Tokens are asked for again within ten minutes anyway; after a change of keys, at once.
    sessions::end_all(identity, &mut tx, id).await?;
    audit::record(&mut tx, &act(caller, key.rpc, key.request_id), &[id]).await?;
    let answer = shown(&ServiceRow { jwks, disabled_at, ..row });
    once::answer(&mut tx, identity.vault(), &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

/// A system sees what its scopes name: an administrator with narrowed sight makes none, and gives none a key.
fn full_sight(caller: &Caller) -> Result<(), Error> {
    if caller.hidden == Hidden::default() {
        return Ok(());
    }
    Err(Error::Denied(text(
        "閲覧範囲が限られた ID では他システムの ID を管理できません。",
        "An ID with narrowed sight manages no accounts of other systems.",
    )))
}

/// Tokens for an assertion. Whatever is wrong with it, the answer is the same.
pub(crate) async fn exchange(identity: &Identity, request: &ExchangeAssertionRequest) -> Result<Tokens, Error> {
    let now = identity.clock.now();
    let token = request.assertion.as_str();
    // Read before it is proved, only to find the key that must prove it.
    let claimed: Assertion =
        jsonwebtoken::dangerous::insecure_decode(token).map_err(|_| Error::Unauthenticated)?.claims;
    let mut conn = identity.base.pool.acquire().await?;
    let row = accounts::find_service(&mut conn, claimed.sub)
        .await?
        .filter(|row| row.disabled_at.is_none())
        .ok_or(Error::Unauthenticated)?;
    drop(conn);
    let assertion = proved(token, &row.jwks).ok_or(Error::Unauthenticated)?;
    let moment = |seconds| OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Error::Unauthenticated);
    let (issued_at, expires_at) = (moment(assertion.iat)?, moment(assertion.exp)?);
    let timely = issued_at <= now + SKEW && now < expires_at && expires_at - issued_at <= LIFETIME;
    let own = assertion.iss == row.service_account_id && assertion.sub == row.service_account_id;
    if !timely || !own || !(16..=100).contains(&assertion.jti.len()) {
        return Err(Error::Unauthenticated);
    }
    let mut tx = identity.base.pool.begin().await?;
    // Again, in the transaction that uses the assertion up: it may have been disabled meanwhile.
    accounts::lock_service(&mut tx, row.service_account_id)
        .await?
        .filter(|row| row.disabled_at.is_none())
        .ok_or(Error::Unauthenticated)?;
    let jti = identity.hash_of(&format!("jti|{}|{}", row.service_account_id, assertion.jti));
    if !accounts::use_assertion(&mut tx, &jti, expires_at).await? {
        return Err(Error::Unauthenticated);
    }
    contracts::forget_old_assertions(&mut tx, now).await?;
    tx.commit().await?;
    sessions::signed(
        identity,
        Subject {
            id: row.service_account_id,
            session_id: Uuid::now_v7(),
            organisation_id: row.organisation_id,
            role: Role::System,
            authenticated_at: now,
            case_id: None,
            hidden: 0,
            terms_due: false,
            scopes: Some(row.scopes),
            calls_per_second: u32::try_from(row.calls_per_second).unwrap_or(0),
        },
    )
}

/// The assertion, where one of the account's own keys signed it.
fn proved(token: &str, jwks: &str) -> Option<Assertion> {
    let header = decode_header(token).ok()?;
    if header.alg != Algorithm::ES256 {
        return None;
    }
    let set: JwkSet = serde_json::from_str(jwks).ok()?;
    let key = DecodingKey::from_jwk(set.find(header.kid.as_deref()?)?).ok()?;
    let mut rules = Validation::new(Algorithm::ES256);
    rules.algorithms = vec![Algorithm::ES256];
    rules.set_audience(&[ISSUER]);
    rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    rules.leeway = 0;
    debug_assert_ne!(ISSUER, AUDIENCE, "an access token is no assertion");
    decode::<Assertion>(token, &key, &rules).ok().map(|data| data.claims)
}

/// Public ES256 keys with ids, one to four of them: two while they overlap in a rotation.
fn check_keys(jwks: &str) -> Result<(), Error> {
    let set: Option<JwkSet> = serde_json::from_str(jwks).ok();
    let good = set.is_some_and(|set| {
        (1..=4).contains(&set.keys.len())
            && set.keys.iter().all(|jwk| {
                jwk.common.key_id.as_deref().is_some_and(|kid| !kid.is_empty() && kid.len() <= 100)
                    && matches!(&jwk.algorithm, jsonwebtoken::jwk::AlgorithmParameters::EllipticCurve(ec)
                        if ec.curve == jsonwebtoken::jwk::EllipticCurve::P256)
                    && DecodingKey::from_jwk(jwk).is_ok()
            })
    });
    // A private key sent by mistake must not be kept.
    let private = serde_json::from_str::<serde_json::Value>(jwks).ok().is_some_and(|value| {
        value.get("keys").and_then(|keys| keys.as_array()).is_some_and(|keys| keys.iter().any(|k| k.get("d").is_some()))
    });
    if good && !private {
        return Ok(());
    }
    Err(Error::invalid(
        "jwks_json",
        "公開鍵（P-256、kid 付き）を1〜4個、JWK Set で指定してください",
        "is a JSON Web Key Set of one to four public P-256 keys with ids",
    ))
}

fn shown(row: &ServiceRow) -> ServiceAccount {
    let key_ids = serde_json::from_str::<JwkSet>(&row.jwks)
        .map(|set| set.keys.into_iter().filter_map(|jwk| jwk.common.key_id).collect())
        .unwrap_or_default();
    ServiceAccount {
        service_account_id: row.service_account_id.to_string(),
        organisation_id: row.organisation_id.to_string(),
        name: row.name.clone(),
        scopes: row.scopes.clone(),
        key_ids,
        calls_per_second: row.calls_per_second,
        disabled: row.disabled_at.is_some(),
    }
}
