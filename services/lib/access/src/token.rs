//! Access tokens: ES256 JWTs that live ten minutes. Every service checks them with identity's public keys.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use proto::identity::{GetJwksRequest, OrganisationKind, Role, sign_in_service_client::SignInServiceClient};
use runtime::mesh::Channel;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Caller, caller::Hidden};

/// The issuer named in every token (`iss`).
pub const ISSUER: &str = "https://identity.hersys.internal";
/// The audience named in every token (`aud`).
pub const AUDIENCE: &str = "hersys";
/// The `typ` of an access token (RFC 9068), so that nothing else signed by identity can pass for one.
pub const TYPE: &str = "at+jwt";
/// How long a token lives.
pub const LIFETIME: time::Duration = time::Duration::minutes(10);

/// How many valid tokens are remembered, so that each signature is checked only once.
const REMEMBERED: usize = 20_000;
/// An unknown key id makes us ask identity again, but at most this often.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// Known keys are fetched again after this long.
const RENEW: Duration = Duration::from_mins(1);
/// How long a caller may wait for that.
const BRIEFLY: Duration = Duration::from_millis(300);
/// The most characters in a token; honest ones are shorter.
const LONGEST: usize = 4_096;

/// The claims of a token. Short names keep it small.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// The issuer: [`ISSUER`].
    pub iss: String,
    /// The audience: [`AUDIENCE`].
    pub aud: String,
    /// The user; for a patient the case, for a proxy the proxy, for another system its account.
    pub sub: Uuid,
    /// Issued at, in Unix seconds.
    pub iat: i64,
    /// The milliseconds of that second: a token issued after a revocation within the same second is valid.
    #[serde(default)]
    pub ims: u16,
    /// Expires at, in Unix seconds.
    pub exp: i64,
    /// The session the token belongs to.
    pub sid: Uuid,
    /// The user's organisation; nil for a patient or proxy.
    pub org: Uuid,
    /// The organisation's kind, by number.
    pub knd: i32,
    /// The organisation's prefecture, 1 to 47, 0 for national bodies.
    pub prf: u8,
    /// The user's role, by number.
    pub rol: i32,
    /// When both factors were last given, in Unix seconds (`auth_time` of `OpenID` Connect).
    #[serde(rename = "auth_time")]
    pub authenticated: i64,
    /// The case of a patient or proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cas: Option<Uuid>,
    /// Field groups this ID does not see, one bit each.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hid: u16,
    /// The terms of use are due: the token is good for accepting them and nothing else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub due: bool,
    /// The RPCs another system may call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scp: Option<Vec<String>>,
    /// The calls per second another system may make; 0 for the gateway's own limit.
    #[serde(default, skip_serializing_if = "is_nought")]
    pub cps: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(bits: &u16) -> bool {
    *bits == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_nought(number: &u32) -> bool {
    *number == 0
}

/// Checks tokens with identity's keys, and remembers the valid ones.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    identity: Channel,
    keys: ArcSwap<HashMap<String, DecodingKey>>,
    asked: tokio::sync::Mutex<Option<Instant>>,
    good: Mutex<HashMap<[u8; 32], Caller>>,
}

impl Verifier {
    /// A verifier that fetches the keys which identity publishes.
    pub fn new(identity: Channel) -> Self {
        let inner =
            Inner { identity, keys: ArcSwap::default(), asked: tokio::sync::Mutex::default(), good: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Whether identity's keys are known, for the readiness probe. Asks for them if they are not.
    pub async fn is_ready(&self) -> bool {
        if self.inner.keys.load().is_empty() {
            self.ask().await;
        }
        !self.inner.keys.load().is_empty()
    }

    /// The caller behind a token; `None` whatever is wrong with it.
    pub async fn check(&self, token: &str, now: OffsetDateTime) -> Option<Caller> {
        if token.len() > LONGEST {
            return None;
        }
        let fingerprint: [u8; 32] = digest::digest(&digest::SHA256, token.as_bytes()).as_ref().try_into().ok()?;
        let remembered = self.inner.good.lock().ok().and_then(|good| good.get(&fingerprint).cloned());
        if let Some(caller) = remembered {
            return (now < caller.expires_at).then_some(caller);
        }
        let header = decode_header(token).ok()?;
        if header.alg != Algorithm::ES256 || header.typ.as_deref() != Some(TYPE) {
            return None;
        }
        let kid = header.kid?;
        if self.inner.keys.load().contains_key(&kid) {
            self.ask_again().await;
        } else {
            self.ask().await;
        }
        let keys = self.inner.keys.load_full();
        let caller = verify(token, keys.get(&kid)?, now)?;
        if let Ok(mut good) = self.inner.good.lock() {
            if good.len() >= REMEMBERED {
                good.retain(|_, caller| now < caller.expires_at);
                if good.len() >= REMEMBERED {
                    good.clear();
                }
            }
            good.insert(fingerprint, caller.clone());
        }
        Some(caller)
    }

    async fn ask(&self) {
        let mut asked = self.inner.asked.lock().await;
        if asked.is_some_and(|at| at.elapsed() < ASK_AGAIN) && !self.inner.keys.load().is_empty() {
            return;
        }
        *asked = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => self.inner.keys.store(Arc::new(keys)),
            Err(error) => tracing::warn!(error = %format!("{error:#}"), "Could not fetch identity's keys"),
        }
    }

    /// Asks again once a minute: a key that identity no longer names is no longer valid. One caller asks, briefly;
    /// without an answer the keys stay as they are.
    async fn ask_again(&self) {
        let Ok(mut asked) = self.inner.asked.try_lock() else { return };
        if asked.is_some_and(|at| at.elapsed() < RENEW) {
            return;
        }
        *asked = Some(Instant::now());
        if let Ok(Ok(keys)) = tokio::time::timeout(BRIEFLY, self.fetch()).await {
            self.inner.keys.store(Arc::new(keys));
        }
    }

    async fn fetch(&self) -> anyhow::Result<HashMap<String, DecodingKey>> {
        let mut client = SignInServiceClient::new(self.inner.identity.clone());
        let answer = client.get_jwks(GetJwksRequest {}).await.context("ask identity")?.into_inner();
        keys_of(&answer.jwks_json)
    }
}

/// The ES256 keys of a JSON Web Key Set.
pub fn keys_of(jwks: &str) -> anyhow::Result<HashMap<String, DecodingKey>> {
    let set: JwkSet = jsonwebtoken_json(jwks)?;
    let mut keys = HashMap::new();
    for jwk in &set.keys {
        let kid = jwk.common.key_id.clone().context("a key has no id")?;
        keys.insert(kid, DecodingKey::from_jwk(jwk).context("read a key")?);
    }
    Ok(keys)
}

fn jsonwebtoken_json(jwks: &str) -> anyhow::Result<JwkSet> {
    serde_json::from_str(jwks).context("read the key set")
}

fn verify(token: &str, key: &DecodingKey, now: OffsetDateTime) -> Option<Caller> {
    let mut rules = Validation::new(Algorithm::ES256);
    rules.algorithms = vec![Algorithm::ES256];
    rules.set_audience(&[AUDIENCE]);
    rules.set_issuer(&[ISSUER]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    rules.leeway = 0;
    let claims = decode::<Claims>(token, key, &rules).ok()?.claims;
    let issued_at = OffsetDateTime::from_unix_timestamp(claims.iat).ok()?;
    let issued_at = issued_at + time::Duration::milliseconds(i64::from(claims.ims.min(999)));
    let expires_at = OffsetDateTime::from_unix_timestamp(claims.exp).ok()?;
    // We issue no token that lives longer or comes from the future.
    let plausible = expires_at - issued_at <= LIFETIME && issued_at <= now + time::Duration::seconds(30);
    let role = Role::try_from(claims.rol).ok()?;
    (plausible && now < expires_at).then_some(Caller {
        user_id: claims.sub.into(),
        organisation_id: claims.org.into(),
        kind: OrganisationKind::try_from(claims.knd).ok()?,
        prefecture: claims.prf,
        role,
        session_id: claims.sid.into(),
        case_id: matches!(role, Role::Patient | Role::Proxy).then_some(claims.cas).flatten().map(Into::into),
        hidden: Hidden::from_bits(claims.hid),
        terms_due: claims.due,
        authenticated_at: OffsetDateTime::from_unix_timestamp(claims.authenticated).ok()?,
        // Another system without scopes may call nothing.
        scopes: (role == Role::System).then(|| claims.scp.unwrap_or_default().into()),
        calls_per_second: claims.cps,
        issued_at,
        expires_at,
    })
}
