//! Accounts of other systems, and the keys that prove them.

use access::{Caller, OrganisationId, UserId, caller::Hidden};
use jsonwebtoken::{
    DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet},
};
use proto::identity::ServiceAccount as View;
use runtime::problem::{Violation, Why, why};
use time::OffsetDateTime;

data::id!(
    /// An account of another system.
    ServiceAccountId,
    "service account"
);

/// Its sessions and calls are its own.
impl From<ServiceAccountId> for UserId {
    fn from(id: ServiceAccountId) -> Self {
        id.uuid().into()
    }
}

/// An account of another system.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub id: ServiceAccountId,
    /// From 1; every change adds one.
    pub version: i64,
    pub organisation_id: OrganisationId,
    pub name: String,
    /// The RPCs it may call, as `package.Service/Method`.
    pub scopes: Vec<String>,
    /// Its public keys, a JSON Web Key Set.
    pub jwks: String,
    /// At most; 0 for the gateway's own limit.
    pub calls_per_second: u32,
    pub issued_by: UserId,
    pub disabled_at: Option<OffsetDateTime>,
}

impl Account {
    pub(super) fn shown(&self) -> View {
        let key_ids = serde_json::from_str::<JwkSet>(&self.jwks)
            .map(|set| set.keys.into_iter().filter_map(|jwk| jwk.common.key_id).collect())
            .unwrap_or_default();
        View {
            service_account_id: self.id.to_string(),
            organisation_id: self.organisation_id.to_string(),
            name: self.name.clone(),
            scopes: self.scopes.clone(),
            key_ids,
            calls_per_second: i32::try_from(self.calls_per_second).unwrap_or(i32::MAX),
            disabled: self.disabled_at.is_some(),
            etag: self.version.to_string(),
        }
    }
}

/// A system sees what its scopes name: an administrator with narrowed sight makes none, and gives none a key.
pub(super) fn must_see_everything(caller: &Caller) -> Result<(), Why> {
    if caller.hidden == Hidden::default() {
        return Ok(());
    }
    Err(why(
        "NARROWED_SIGHT",
        "閲覧範囲が限られた ID では他システムの ID を管理できません。",
        "An ID with narrowed sight manages no accounts of other systems.",
    ))
}

/// Each scope is an RPC that has a door to the outside.
pub(super) fn check_scopes(scopes: &[String]) -> Result<(), Vec<Violation>> {
    let public = |scope: &String| proto::rule(&format!("/{scope}")).is_some_and(|rule| rule.http.is_some());
    let why = ("公開された RPC ではありません", "must be a public RPC, as package.Service/Method");
    match scopes.iter().position(|scope| !public(scope)) {
        None => Ok(()),
        Some(index) => Err(vec![Violation::new(format!("scopes[{index}]"), why.0, why.1)]),
    }
}

/// Public ES256 keys with ids, one to four of them: two while they overlap in a rotation.
pub(super) fn check_keys(jwks: &str) -> Result<(), Vec<Violation>> {
    let set: Option<JwkSet> = serde_json::from_str(jwks).ok();
    let good = set.is_some_and(|set| (1..=4).contains(&set.keys.len()) && set.keys.iter().all(is_good));
    if good && !holds_private_key(jwks) {
        return Ok(());
    }
    let why = (
        "公開鍵（P-256、kid 付き）を1〜4個、JWK Set で指定してください",
        "must be a JSON Web Key Set of one to four public P-256 keys with ids",
    );
    Err(vec![Violation::new("jwks_json", why.0, why.1)])
}

fn is_good(jwk: &Jwk) -> bool {
    let p256 = matches!(&jwk.algorithm, AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256);
    let named = jwk.common.key_id.as_deref().is_some_and(|kid| !kid.is_empty() && kid.len() <= 100);
    p256 && named && DecodingKey::from_jwk(jwk).is_ok()
}

/// A private key sent by mistake must not be kept.
fn holds_private_key(jwks: &str) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_str(jwks).ok();
    value
        .as_ref()
        .and_then(|value| value.get("keys")?.as_array())
        .is_some_and(|keys| keys.iter().any(|key| key.get("d").is_some()))
}

/// A set with the public keys of the example in RFC 7515 (A.3), under these ids.
#[cfg(test)]
pub(super) fn example_keys(ids: &[&str]) -> String {
    let key = |id: &&str| {
        format!(
            r#"{{"kty":"EC","crv":"P-256","kid":"{id}","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}}"#
        )
    };
    format!(r#"{{"keys":[{}]}}"#, ids.iter().map(key).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::{check_keys, check_scopes, example_keys};

    #[test]
    fn keys_are_one_to_four_public_ones_with_ids() {
        check_keys(&example_keys(&["a"])).unwrap();
        check_keys(&example_keys(&["a", "b", "c", "d"])).unwrap();
        let private =
            example_keys(&["a"]).replace(r#""kid""#, r#""d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI","kid""#);
        for bad in [
            "{}",
            "not json",
            &example_keys(&[]),
            &example_keys(&["a", "b", "c", "d", "e"]),
            &example_keys(&[""]),
            &example_keys(&["a"]).replace("P-256", "P-384"),
            &private,
        ] {
            assert_eq!(check_keys(bad).unwrap_err()[0].field, "jwks_json", "{bad}");
        }
    }

    #[test]
    fn a_scope_is_a_public_rpc() {
        let scopes = |names: &[&str]| check_scopes(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let public = "hersys.statistics.v1.StatisticsService/GetSummary";
        scopes(&[public]).unwrap();
        let internal = "hersys.registry.v1.RegistryInternalService/BatchGetCases";
        assert_eq!(scopes(&[public, internal]).unwrap_err()[0].field, "scopes[1]");
        assert_eq!(scopes(&["GetSummary"]).unwrap_err()[0].field, "scopes[0]");
    }
}
