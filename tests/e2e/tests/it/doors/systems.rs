//! Other government systems: a key of their own, scopes, rotation with overlap.

use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use client::Client;
use e2e::{Refused as _, World, eventually, person, register, request_id};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proto::{
    identity::{
        CreateServiceAccountRequest, DisableServiceAccountRequest, ExchangeAssertionRequest, Role, ServiceAccount,
    },
    notification::ListInboxRequest,
    registry::ListCasesRequest,
};
use serde_json::{Value, json};
use tonic::Code;
use uuid::Uuid;

use crate::Outcome;

/// Whom an assertion is for.
const AUDIENCE: &str = "https://identity.hersys.internal";

/// A system's key.
struct Key {
    kid: String,
    pkcs8: Vec<u8>,
    jwk: Value,
}

impl Key {
    fn draw(kid: &str) -> anyhow::Result<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        // An uncompressed point: a mark, then both coordinates.
        let point = pair.public_key().as_ref();
        let (x, y) = (point.get(1..33).context("a point")?, point.get(33..65).context("a point")?);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": B64.encode(x), "y": B64.encode(y) });
        Ok(Self { kid: kid.to_owned(), pkcs8: pair.to_pkcs8v1()?.as_ref().to_vec(), jwk })
    }

    fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) };
        Ok(jsonwebtoken::encode(&header, claims, &EncodingKey::from_ec_der(&self.pkcs8))?)
    }
}

fn set(keys: &[&Key]) -> String {
    json!({ "keys": keys.iter().map(|key| key.jwk.clone()).collect::<Vec<_>>() }).to_string()
}

fn claims(account: &str) -> Value {
    let now = runtime::Clock::system().now().unix_timestamp();
    json!({ "iss": account, "sub": account, "aud": AUDIENCE, "iat": now, "exp": now + 60, "jti": Uuid::now_v7() })
}

async fn exchange(client: &Client, assertion: String) -> Result<String, Code> {
    let request = ExchangeAssertionRequest { assertion };
    let answer = client.sign_ins().exchange_assertion(request).await;
    answer.map(|tokens| tokens.into_inner().access_token).map_err(|status| status.code())
}

async fn create(admin: &Client, world: &World, scopes: &[&str], keys: &[&Key]) -> anyhow::Result<ServiceAccount> {
    let request = CreateServiceAccountRequest {
        request_id: request_id(),
        organisation_id: world.organisation("clinic")?,
        name: "電子カルテ".to_owned(),
        scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        jwks_json: set(keys),
        calls_per_second: 50,
    };
    Ok(admin.service_accounts().create_service_account(admin.request(request)).await?.into_inner())
}

#[tokio::test]
async fn a_system_calls_what_its_scopes_name_and_nothing_else() -> Outcome {
    let world = World::shared()?;
    let admin = world.admin().await?;
    let key = Key::draw("k1")?;
    let scopes = ["hersys.registry.v1.CaseService/RegisterCase", "hersys.registry.v1.CaseService/ListCases"];
    let account = create(&admin, &world, &scopes, &[&key]).await?;
    let client = world.stack.client()?;
    let token = exchange(&client, key.sign(&claims(&account.service_account_id))?)
        .await
        .map_err(|c| anyhow::anyhow!("{c:?}"))?;
    let system = client.clone().with_token(token);
    register(&system, person()).await?;
    let list = || system.request(ListCasesRequest { page_size: 1, ..ListCasesRequest::default() });
    system.cases().list_cases(list()).await?;
    let inbox = system.request(ListInboxRequest::default());
    assert_eq!(system.inbox().list_inbox(inbox).await.refused().code(), Code::PermissionDenied, "no scope");

    // What an organisation's people may not, its systems may not either, whatever the scope says.
    let beyond = create(&admin, &world, &["hersys.identity.v1.UserService/IssueUser"], &[&key]).await?;
    let token = exchange(&client, key.sign(&claims(&beyond.service_account_id))?)
        .await
        .map_err(|c| anyhow::anyhow!("{c:?}"))?;
    let system_beyond = client.clone().with_token(token);
    let issue = system_beyond.request(proto::identity::IssueUserRequest::default());
    assert_eq!(system_beyond.users().issue_user(issue).await.refused().code(), Code::PermissionDenied);

    let disable = DisableServiceAccountRequest {
        request_id: request_id(),
        service_account_id: account.service_account_id.clone(),
        etag: String::new(),
    };
    admin.service_accounts().disable_service_account(admin.request(disable)).await?;
    eventually("the system is out", Duration::from_secs(5), || async {
        Ok(system.cases().list_cases(list()).await.is_err())
    })
    .await?;
    assert_eq!(exchange(&client, key.sign(&claims(&account.service_account_id))?).await, Err(Code::Unauthenticated));
    Ok(())
}

#[tokio::test]
async fn no_forged_or_repeated_assertion_is_taken() -> Outcome {
    let world = World::shared()?;
    let admin = world.admin().await?;
    let (key, stranger) = (Key::draw("k1")?, Key::draw("k1")?);
    let scope = ["hersys.registry.v1.CaseService/ListCases"];
    let account = create(&admin, &world, &scope, &[&key]).await?.service_account_id;
    let other = create(&admin, &world, &scope, &[&stranger]).await?.service_account_id;
    let client = world.stack.client()?;
    let with = |field: &str, value: Value| {
        let mut claims = claims(&account);
        if let Some(held) = claims.get_mut(field) {
            *held = value;
        }
        key.sign(&claims)
    };
    let now = runtime::Clock::system().now().unix_timestamp();
    let good = key.sign(&claims(&account))?;
    let (head, rest) = good.split_once('.').unwrap();
    let (body, signature) = rest.split_once('.').unwrap();
    let person = world.at_work("clinic", Role::Clerk).await?;
    let forged = vec![
        ("another's key", stranger.sign(&claims(&account))?),
        ("another's account", key.sign(&claims(&other))?),
        ("another audience", with("aud", json!("hersys"))?),
        ("no audience", with("aud", Value::Null)?),
        ("over", with("exp", json!(now - 1))?),
        ("too long", with("exp", json!(now + 3_600))?),
        ("from the future", with("iat", json!(now + 600))?),
        ("no jti", with("jti", Value::Null)?),
        ("short jti", with("jti", json!("1"))?),
        ("exp as text", with("exp", json!((now + 60).to_string()))?),
        ("issuer not subject", with("iss", json!(other))?),
        ("unsigned", format!("{head}.{body}.")),
        ("alg none", format!("{}.{body}.", B64.encode(r#"{"alg":"none","kid":"k1"}"#))),
        ("alg HS256", format!("{}.{body}.{signature}", B64.encode(r#"{"alg":"HS256","kid":"k1"}"#))),
        ("another kid", format!("{}.{body}.{signature}", B64.encode(r#"{"alg":"ES256","kid":"k2"}"#))),
        ("an access token", person.session().unwrap().access_token.clone()),
        ("nonsense", "x".repeat(3_000)),
    ];
    for (what, assertion) in forged {
        assert_eq!(exchange(&client, assertion).await, Err(Code::Unauthenticated), "{what}");
    }
    assert!(exchange(&client, good.clone()).await.is_ok());
    assert_eq!(exchange(&client, good).await, Err(Code::Unauthenticated), "once");
    Ok(())
}
