//! `ExchangeAssertion`: tokens of another system, for an assertion signed with a key of its own (RFC 7523, `private_key_jwt`).
//! Whoever does not hold a key of the account learns nothing.

use access::{
    SessionId,
    caller::Hidden,
    token::{AUDIENCE, ISSUER},
};
use chassis::{Anonymous, Call, Error};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, errors::ErrorKind, jwk::JwkSet};
use proto::identity::{ExchangeAssertionRequest, Role, Tokens};
use runtime::problem::Unproved;

use super::{model::Assertion, store};
use crate::{
    service::Identity,
    service_account::{self, Account},
    session::{self, Holder},
};

pub(crate) async fn exchange_assertion(
    identity: Identity,
    call: Call<ExchangeAssertionRequest, Anonymous>,
) -> Result<Tokens, Error> {
    let token = call.request.assertion.as_str();
    // Read before it is proved, only to find the key that must prove it.
    let claimed: Assertion = jsonwebtoken::dangerous::insecure_decode(token)
        .map_err(|_| Error::Unauthenticated(Unproved::AssertionWrong))?
        .claims;
    let mut conn = identity.base.pool.acquire().await?;
    let account = in_use(service_account::find(&mut conn, claimed.sub.into()).await?)?;
    drop(conn);
    let assertion = proved(token, &account.jwks)?;
    let id = account.id;
    let expires_at =
        assertion.good_until(id.uuid(), call.now).ok_or(Error::Unauthenticated(Unproved::AssertionExpired))?;

    let mut tx = identity.base.pool.begin().await?;
    // Again, in the transaction that uses the assertion up: it may have been disabled meanwhile.
    let account = in_use(service_account::lock(&mut tx, id).await?)?;
    // And its keys may have been replaced.
    proved(token, &account.jwks)?;
    let jti = identity.hash_of(&format!("jti|{id}|{}", assertion.jti));
    if !store::use_assertion(&mut tx, &jti, expires_at, call.now).await? {
        return Err(Error::Unauthenticated(Unproved::AssertionUsed));
    }
    tx.commit().await?;
    session::signed(&identity, holder(account, call.now))
}

fn in_use(account: Option<Account>) -> Result<Account, Error> {
    account.filter(|account| account.disabled_at.is_none()).ok_or(Error::Unauthenticated(Unproved::AssertionWrong))
}

/// The assertion, where one of the account's own keys signed it. Whoever holds the key has proved who they are: only they are told
/// more.
fn proved(token: &str, jwks: &str) -> Result<Assertion, Error> {
    let refused = |unproved| Error::Unauthenticated(unproved);
    let key = || {
        let header = decode_header(token).ok().filter(|header| header.alg == Algorithm::ES256)?;
        let set: JwkSet = serde_json::from_str(jwks).ok()?;
        DecodingKey::from_jwk(set.find(header.kid.as_deref()?)?).ok()
    };
    let key = key().ok_or(refused(Unproved::AssertionWrong))?;
    let mut rules = Validation::new(Algorithm::ES256);
    rules.algorithms = vec![Algorithm::ES256];
    rules.set_audience(&[ISSUER]);
    rules.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
    // When it ends is the model's to say, by the service's clock.
    rules.validate_exp = false;
    debug_assert_ne!(ISSUER, AUDIENCE, "an access token is no assertion");
    // The signature is checked before any claim.
    match decode::<Assertion>(token, &key, &rules) {
        Ok(data) => Ok(data.claims),
        Err(error) if *error.kind() == ErrorKind::InvalidAudience => Err(refused(Unproved::AssertionAudience)),
        Err(_) => Err(refused(Unproved::AssertionWrong)),
    }
}

fn holder(account: Account, now: time::OffsetDateTime) -> Holder {
    Holder {
        id: account.id.into(),
        session_id: SessionId::new(),
        organisation_id: account.organisation_id,
        role: Role::System,
        authenticated_at: now,
        case_id: None,
        hidden: Hidden::default(),
        terms_due: false,
        scopes: Some(account.scopes),
        calls_per_second: account.calls_per_second,
    }
}

#[cfg(test)]
mod tests {
    use access::token::{AUDIENCE, ISSUER};
    use proto::identity::{
        CreateServiceAccountRequest, DisableServiceAccountRequest, ExchangeAssertionRequest, Role, Tokens,
    };
    use serde_json::{Value, json};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        fixture::{Scene, claims, request_id},
        service_account, sign_in,
    };

    const SCOPE: &str = "hersys.registry.v1.CaseService/GetCase";

    /// An account proved by the service's own signing key: any P-256 key does.
    async fn account(scene: &Scene) -> Result<String, Status> {
        let request = CreateServiceAccountRequest {
            request_id: request_id(),
            organisation_id: scene.hospital.id.to_string(),
            name: "電子カルテ".to_owned(),
            scopes: vec![SCOPE.to_owned()],
            jwks_json: scene.identity.base.signer.live_jwks(),
            calls_per_second: 3,
        };
        let made = scene.world.ask(&scene.identity, &scene.minister, request, service_account::create).await?;
        Ok(made.service_account_id)
    }

    fn said(scene: &Scene, account: &str) -> Value {
        let now = scene.world.clock.now().unix_timestamp();
        json!({ "iss": account, "sub": account, "aud": ISSUER, "iat": now, "exp": now + 300, "jti": request_id() })
    }

    async fn exchange(scene: &Scene, said: &Value) -> Result<Tokens, Status> {
        exchange_text(scene, scene.identity.base.signer.sign("JWT", said).unwrap()).await
    }

    async fn exchange_text(scene: &Scene, assertion: String) -> Result<Tokens, Status> {
        let request = ExchangeAssertionRequest { assertion };
        scene.world.ask_public(&scene.identity, request, sign_in::exchange_assertion).await
    }

    #[tokio::test]
    async fn an_assertion_gives_a_token_with_scopes_and_no_refresh_token_once() -> Outcome {
        let scene = Scene::new().await?;
        let account = account(&scene).await?;
        let assertion = said(&scene, &account);
        let tokens = exchange(&scene, &assertion).await?;
        let token = claims(&tokens);
        assert_eq!((token.rol, token.sub.to_string()), (i32::from(Role::System), account));
        assert_eq!((token.scp, token.cps), (Some(vec![SCOPE.to_owned()]), 3));
        assert_eq!((tokens.refresh_token.as_str(), tokens.device_token.as_str()), ("", ""));
        assert_eq!(exchange(&scene, &assertion).await.refused().code(), Code::Unauthenticated);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let id = account(&scene).await?;
        let with = |field: &str, value: Value| {
            let mut said = said(&scene, &id);
            said[field] = value;
            said
        };
        let now = scene.world.clock.now().unix_timestamp();
        let nobody = request_id();
        for (assertion, what) in [
            (with("sub", json!(nobody)), "nobody's"),
            (with("iss", json!(nobody)), "issued by another"),
            (with("aud", json!(AUDIENCE)), "for somebody else"),
            (with("exp", json!(now)), "over"),
            (with("exp", json!(now + 301)), "good for too long"),
            (with("iat", json!(now + 31)), "from the future"),
            (with("jti", json!("short")), "with an id that can be guessed"),
            (with("sub", json!("no id")), "malformed"),
        ] {
            assert_eq!(exchange(&scene, &assertion).await.refused().code(), Code::Unauthenticated, "{what}");
        }
        let signed = scene.identity.base.signer.sign("JWT", &said(&scene, &id))?;
        let (body, _) = signed.rsplit_once('.').unwrap();
        for (text, what) in [("nonsense".to_owned(), "no token"), (format!("{body}.AAAA"), "forged")] {
            assert_eq!(exchange_text(&scene, text).await.refused().code(), Code::Unauthenticated, "{what}");
        }
        let other = Scene::new().await?;
        let foreign = other.identity.base.signer.sign("JWT", &said(&scene, &id))?;
        assert_eq!(exchange_text(&scene, foreign).await.refused().code(), Code::Unauthenticated, "another's key");
        exchange(&scene, &said(&scene, &id)).await?;

        let request = DisableServiceAccountRequest {
            request_id: request_id(),
            service_account_id: id.clone(),
            ..DisableServiceAccountRequest::default()
        };
        scene.world.ask(&scene.identity, &scene.minister, request, service_account::disable).await?;
        assert_eq!(exchange(&scene, &said(&scene, &id)).await.refused().code(), Code::Unauthenticated, "disabled");
        Ok(())
    }

    #[tokio::test]
    async fn an_assertion_ends_after_five_minutes() -> Outcome {
        let scene = Scene::new().await?;
        let id = account(&scene).await?;
        let (first, second) = (said(&scene, &id), said(&scene, &id));
        scene.world.clock.advance(Duration::seconds(299));
        exchange(&scene, &first).await?;
        scene.world.clock.advance(Duration::SECOND);
        assert_eq!(exchange(&scene, &second).await.refused().code(), Code::Unauthenticated);
        Ok(())
    }
}
