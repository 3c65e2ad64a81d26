//! ES256 signatures that others can check: tokens and receipts.

use anyhow::Context as _;
use aws_lc_rs::{
    digest,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use data::sqlx::{self, PgPool};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::json;

use crate::{Place, Vault};

const KEYS: Place = Place { table: "signing_key", column: "sealed" };

/// The public keys of a service as a JSON Web Key Set.
pub type Jwks = String;

/// Signs with the newest signing key of the service.
#[derive(Clone)]
pub struct Signer {
    kid: String,
    key: EncodingKey,
    jwks: Jwks,
}

impl Signer {
    /// Loads the signing keys, making the first one where there is none.
    ///
    /// # Errors
    /// When the database or the vault refuses.
    pub async fn load(vault: &Vault, pool: &PgPool) -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("make a signing key")?;
        let public = pair.public_key().as_ref().to_vec();
        let fingerprint = digest::digest(&digest::SHA256, &public);
        let kid = URL_SAFE_NO_PAD.encode(fingerprint.as_ref().get(..12).unwrap_or_default());
        let pkcs8 = pair.to_pkcs8v1().context("encode a signing key")?;
        let sealed = vault.seal(KEYS, kid.as_bytes(), pkcs8.as_ref())?;
        // Only the first process of a new service succeeds; everybody else reads what it wrote.
        sqlx::query(
            "insert into signing_key (kid, sealed, public)
             select $1, $2, $3 from (select pg_advisory_xact_lock(7)) as alone where not exists (select from signing_key)",
        )
        .bind(&kid)
        .bind(sealed)
        .bind(&public)
        .execute(pool)
        .await
        .context("keep the first signing key")?;

        let rows: Vec<(String, Vec<u8>, Vec<u8>)> =
            sqlx::query_as("select kid, sealed, public from signing_key order by created_at desc, kid")
                .fetch_all(pool)
                .await
                .context("read the signing keys")?;
        let keys: Vec<_> = rows.iter().map(|(kid, _, public)| jwk(kid, public)).collect::<anyhow::Result<_>>()?;
        let (kid, sealed, _) = rows.into_iter().next().context("no signing key")?;
        let pkcs8 = vault.open(KEYS, kid.as_bytes(), &sealed)?;
        Ok(Self { kid, key: EncodingKey::from_ec_der(&pkcs8), jwks: json!({ "keys": keys }).to_string() })
    }

    /// A compact JWS over claims.
    ///
    /// # Errors
    /// When the claims cannot be written as JSON.
    pub fn sign(&self, r#type: &str, claims: &impl Serialize) -> anyhow::Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(r#type.to_owned());
        header.kid = Some(self.kid.clone());
        jsonwebtoken::encode(&header, claims, &self.key).context("sign")
    }

    /// The public keys, for whoever checks.
    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }
}

/// A public key, given as an uncompressed point, as a JSON Web Key.
fn jwk(kid: &str, public: &[u8]) -> anyhow::Result<serde_json::Value> {
    let (x, y) = public.get(1..65).and_then(|point| point.split_at_checked(32)).context("malformed public key")?;
    Ok(json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
        "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    }))
}
