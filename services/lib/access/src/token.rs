//! Access tokens: ES256 JWTs that live ten minutes. Every service checks them with identity's public keys.

mod claims;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use jsonwebtoken::{Algorithm, DecodingKey, decode_header, jwk::JwkSet};
use proto::identity::{GetJwksRequest, sign_in_service_client::SignInServiceClient};
use runtime::{
    Shutdown,
    mesh::Channel,
    problem::{self, Unproved},
};
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tonic::Status;

use crate::Caller;
pub use claims::Claims;
use claims::verify;

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
/// Identity is asked again for keys at most this often.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Known keys are fetched again after this long.
const RENEW: Duration = Duration::from_mins(1);
/// How long identity may take to answer.
const FETCH: Duration = Duration::from_secs(3);
/// How long a caller waits for that.
const BRIEFLY: Duration = Duration::from_millis(1_500);
/// The most characters in a token; honest ones are shorter.
const LONGEST: usize = 4_096;

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// Whatever is wrong with it: it is not one of ours, or no longer.
    Bad,
    /// It was one of ours.
    Expired,
    /// Its key is not known and identity does not answer: nobody can say whether it is good.
    Unknown,
}

impl From<Rejected> for Status {
    fn from(rejected: Rejected) -> Self {
        match rejected {
            Rejected::Bad => problem::unauthenticated(Unproved::SignInRequired),
            Rejected::Expired => problem::unauthenticated(Unproved::TokenExpired),
            Rejected::Unknown => problem::unavailable(),
        }
    }
}

/// Checks tokens with identity's keys, and remembers the valid ones.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    keys: ArcSwap<HashMap<String, DecodingKey>>,
    /// How often identity has answered.
    answered: watch::Sender<u64>,
    /// Somebody has seen a key that is not known.
    wanted: Notify,
    good: Mutex<HashMap<[u8; 32], Caller>>,
}

impl Verifier {
    /// A verifier that follows the keys which identity publishes, beside its callers. They are kept in a file: a process
    /// that starts while identity is away knows them all the same.
    pub fn follow(identity: Channel, file: Option<PathBuf>, shutdown: &Shutdown) -> Self {
        let kept = file.as_deref().and_then(|file| keys_of(&std::fs::read_to_string(file).ok()?).ok());
        let inner = Inner {
            keys: ArcSwap::from_pointee(kept.unwrap_or_default()),
            answered: watch::channel(0).0,
            wanted: Notify::new(),
            good: Mutex::default(),
        };
        let verifier = Self { inner: Arc::new(inner) };
        let (this, stop) = (verifier.clone(), shutdown.clone());
        shutdown.spawn("token-keys", async move {
            tokio::select! {
                () = stop.requested() => {}
                () = this.fetch_again_and_again(identity, file) => {}
            }
        });
        verifier
    }

    /// Whether keys are known, for the readiness probe.
    pub fn is_ready(&self) -> bool {
        !self.inner.keys.load().is_empty()
    }

    /// The caller behind a token.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub async fn check(&self, token: &str, now: OffsetDateTime) -> Result<Caller, Rejected> {
        if token.len() > LONGEST {
            return Err(Rejected::Bad);
        }
        let fingerprint = digest::digest(&digest::SHA256, token.as_bytes());
        let fingerprint: [u8; 32] = fingerprint.as_ref().try_into().map_err(|_| Rejected::Bad)?;
        let remembered = self.inner.good.lock().ok().and_then(|good| good.get(&fingerprint).cloned());
        if let Some(caller) = remembered {
            return if now < caller.expires_at { Ok(caller) } else { Err(Rejected::Expired) };
        }
        let header = decode_header(token).map_err(|_| Rejected::Bad)?;
        if header.alg != Algorithm::ES256 || header.typ.as_deref() != Some(TYPE) {
            return Err(Rejected::Bad);
        }
        let kid = header.kid.ok_or(Rejected::Bad)?;
        let known = self.inner.keys.load().contains_key(&kid);
        // An unknown key may be a new one: identity is asked once for all who wait.
        let asked = known || self.asked_again().await;
        let keys = self.inner.keys.load_full();
        let key = keys.get(&kid).ok_or(if asked { Rejected::Bad } else { Rejected::Unknown })?;
        let caller = verify(token, key, now)?;
        if let Ok(mut good) = self.inner.good.lock() {
            if good.len() >= REMEMBERED {
                good.retain(|_, caller| now < caller.expires_at);
                if good.len() >= REMEMBERED {
                    good.clear();
                }
            }
            good.insert(fingerprint, caller.clone());
        }
        Ok(caller)
    }

    /// Has identity asked, and waits briefly. Whether it has answered.
    async fn asked_again(&self) -> bool {
        let mut answered = self.inner.answered.subscribe();
        self.inner.wanted.notify_one();
        tokio::time::timeout(BRIEFLY, answered.changed()).await.is_ok()
    }

    /// Once a minute, because a key that identity no longer names is no longer valid; at once when a key is wanted, but at
    /// most once a second.
    async fn fetch_again_and_again(&self, identity: Channel, file: Option<PathBuf>) {
        loop {
            let pause = match tokio::time::timeout(FETCH, fetch(&identity)).await {
                Ok(Ok((jwks, keys))) => {
                    self.inner.keys.store(Arc::new(keys));
                    self.inner.answered.send_modify(|count| *count += 1);
                    if let Some(file) = &file
                        && let Err(error) = keep(file, &jwks).await
                    {
                        tracing::warn!(%error, "Could not keep identity's keys");
                    }
                    RENEW
                }
                Ok(Err(error)) => {
                    tracing::warn!(error = %format!("{error:#}"), "Could not fetch identity's keys");
                    ASK_AGAIN
                }
                Err(_elapsed) => {
                    tracing::warn!("Identity does not answer");
                    ASK_AGAIN
                }
            };
            tokio::time::sleep(ASK_AGAIN).await;
            let _ = tokio::time::timeout(pause.saturating_sub(ASK_AGAIN), self.inner.wanted.notified()).await;
        }
    }
}

async fn fetch(identity: &Channel) -> anyhow::Result<(String, HashMap<String, DecodingKey>)> {
    let mut client = SignInServiceClient::new(identity.clone());
    let jwks = client.get_jwks(GetJwksRequest {}).await.context("ask identity")?.into_inner().jwks_json;
    let keys = keys_of(&jwks)?;
    Ok((jwks, keys))
}

/// Keeps the keys, whole or not at all.
async fn keep(file: &Path, jwks: &str) -> std::io::Result<()> {
    let beside = file.with_extension("new");
    tokio::fs::write(&beside, jwks).await?;
    tokio::fs::rename(&beside, file).await
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
