//! ES256 signatures that others can check: tokens and receipts.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use aws_lc_rs::{
    digest,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use data::sqlx::{self, PgPool};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::json;

use crate::{Place, Vault, keys::KNOWN_AFTER};

/// Where signing keys are stored.
pub const KEYS: Place = Place { table: "signing_key", column: "sealed" };

/// The public keys of a service as a JSON Web Key Set.
pub type Jwks = String;

/// Signs with the service's newest key that every process already knows.
#[derive(Clone)]
pub struct Signer {
    state: Arc<ArcSwap<State>>,
}

struct State {
    kid: String,
    key: EncodingKey,
    jwks: Jwks,
    live: Jwks,
}

/// How long a replaced key still counts as live: the longest life of a token, plus clock skew.
const OUTLIVES: Duration = Duration::from_mins(11);

impl Signer {
    /// Loads the signing keys, and creates the first one if there is none.
    ///
    /// # Errors
    /// When the database or the vault refuses.
    pub async fn load(vault: &Vault, pool: &PgPool) -> anyhow::Result<Self> {
        let new = NewKey::draw(vault)?;
        // Only the first process of a new service succeeds; everybody else reads what it wrote.
        sqlx::query(
            "insert into signing_key (kid, sealed, public)
             select $1, $2, $3 from (select pg_advisory_xact_lock(7)) as alone where not exists (select from signing_key)",
        )
        .bind(&new.kid)
        .bind(new.sealed)
        .bind(&new.public)
        .execute(pool)
        .await
        .context("keep the first signing key")?;
        let state = read(vault, pool).await?;
        Ok(Self { state: Arc::new(ArcSwap::from_pointee(state)) })
    }

    /// Rereads the keys: another process may have created one, or a new one may have come into use.
    ///
    /// # Errors
    /// When the database or the vault refuses.
    pub async fn refresh(&self, vault: &Vault, pool: &PgPool) -> anyhow::Result<()> {
        self.state.store(Arc::new(read(vault, pool).await?));
        Ok(())
    }

    /// Creates a new key, published at once and used once every process knows it. Returns its id.
    ///
    /// # Errors
    /// When the database or the vault refuses.
    pub async fn rotate(&self, vault: &Vault, pool: &PgPool) -> anyhow::Result<String> {
        let new = NewKey::draw(vault)?;
        sqlx::query(
            "insert into signing_key (kid, sealed, public, used_from)
             values ($1, $2, $3, now() + make_interval(secs => $4))",
        )
        .bind(&new.kid)
        .bind(new.sealed)
        .bind(&new.public)
        .bind(KNOWN_AFTER.as_secs_f64())
        .execute(pool)
        .await
        .context("keep a signing key")?;
        self.refresh(vault, pool).await?;
        Ok(new.kid)
    }

    /// A compact JWS over claims.
    ///
    /// # Errors
    /// When the claims cannot be written as JSON.
    pub fn sign(&self, r#type: &str, claims: &impl Serialize) -> anyhow::Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(r#type.to_owned());
        let state = self.state.load();
        header.kid = Some(state.kid.clone());
        jsonwebtoken::encode(&header, claims, &state.key).context("sign")
    }

    /// Every public key there ever was, for checking what was signed long ago: receipts and checkpoints.
    pub fn jwks(&self) -> Jwks {
        self.state.load().jwks.clone()
    }

    /// The public keys that sign now, are about to, or did until a moment ago: for checking tokens. A leaked key that
    /// was replaced stops proving tokens once it is no longer among them.
    pub fn live_jwks(&self) -> Jwks {
        self.state.load().live.clone()
    }
}

/// A key as stored: id, sealed private half, public half, whether it is in use, whether it still proves tokens.
type Stored = (String, Vec<u8>, Vec<u8>, bool, bool);

/// A new key, not stored yet.
struct NewKey {
    kid: String,
    sealed: Vec<u8>,
    public: Vec<u8>,
}

impl NewKey {
    fn draw(vault: &Vault) -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("make a signing key")?;
        let public = pair.public_key().as_ref().to_vec();
        let fingerprint = digest::digest(&digest::SHA256, &public);
        let kid = URL_SAFE_NO_PAD.encode(fingerprint.as_ref().get(..12).unwrap_or_default());
        let pkcs8 = pair.to_pkcs8v1().context("encode a signing key")?;
        let sealed = vault.seal(KEYS, kid.as_bytes(), pkcs8.as_ref())?;
        Ok(Self { kid, sealed, public })
    }
}

/// Every public key proves what it signed for ever, except tokens. The newest one in use signs.
async fn read(vault: &Vault, pool: &PgPool) -> anyhow::Result<State> {
    let stored: Vec<Stored> = sqlx::query_as(
        "select kid, sealed, public, used_from <= now(),
                coalesce(lead(used_from) over (order by created_at, kid) > now() - make_interval(secs => $1), true)
         from signing_key order by created_at desc, kid",
    )
    .bind(OUTLIVES.as_secs_f64())
    .fetch_all(pool)
    .await
    .context("read the signing keys")?;
    // Only a key sealed by this service counts: a public key that somebody else wrote into the table proves nothing.
    let mut rows = Vec::new();
    for (kid, sealed, public, in_use, live) in stored {
        let own = vault
            .open(KEYS, kid.as_bytes(), &sealed)
            .ok()
            .and_then(|pkcs8| EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).ok());
        if own.is_some_and(|pair| pair.public_key().as_ref() == public.as_slice()) {
            rows.push((kid, sealed, public, in_use, live));
        } else {
            tracing::error!(kid, "A signing key is not this service's own and was left out");
        }
    }
    let keys: Vec<_> = rows.iter().map(|(kid, _, public, ..)| jwk(kid, public)).collect::<anyhow::Result<_>>()?;
    let live: Vec<_> = rows.iter().zip(&keys).filter(|((.., live), _)| *live).map(|(_, key)| key.clone()).collect();
    let live = json!({ "keys": live }).to_string();
    let (kid, sealed, ..) = rows.into_iter().find(|(.., in_use, _)| *in_use).context("no signing key")?;
    let pkcs8 = vault.open(KEYS, kid.as_bytes(), &sealed)?;
    Ok(State { kid, key: EncodingKey::from_ec_der(&pkcs8), jwks: json!({ "keys": keys }).to_string(), live })
}

/// A public key, given as an uncompressed point, as a JSON Web Key.
fn jwk(kid: &str, public: &[u8]) -> anyhow::Result<serde_json::Value> {
    let (x, y) = public.get(1..65).and_then(|point| point.split_at_checked(32)).context("malformed public key")?;
    Ok(json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    }))
}
