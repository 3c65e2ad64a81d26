//! What a token claims, and what of it is believed.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use proto::identity::{OrganisationKind, Role};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{AUDIENCE, ISSUER, LIFETIME, Rejected};
use crate::{Caller, caller::Hidden};

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

/// The caller behind a token, where the key signed it and its claims are such as we make.
pub(super) fn verify(token: &str, key: &DecodingKey, now: OffsetDateTime) -> Result<Caller, Rejected> {
    let mut rules = Validation::new(Algorithm::ES256);
    rules.algorithms = vec![Algorithm::ES256];
    rules.set_audience(&[AUDIENCE]);
    rules.set_issuer(&[ISSUER]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    // When it ends is asked below, by the service's clock.
    rules.validate_exp = false;
    let claims = decode::<Claims>(token, key, &rules).map_err(|_| Rejected::Bad)?.claims;
    let caller = caller(claims, now).ok_or(Rejected::Bad)?;
    if now < caller.expires_at { Ok(caller) } else { Err(Rejected::Expired) }
}

/// The caller that the claims of a token of ours describe; `None` where we issue no such token.
fn caller(claims: Claims, now: OffsetDateTime) -> Option<Caller> {
    let issued_at = OffsetDateTime::from_unix_timestamp(claims.iat).ok()?;
    let issued_at = issued_at + time::Duration::milliseconds(i64::from(claims.ims.min(999)));
    let expires_at = OffsetDateTime::from_unix_timestamp(claims.exp).ok()?;
    // We issue no token that lives longer or comes from the future.
    let plausible = expires_at - issued_at <= LIFETIME && issued_at <= now + time::Duration::seconds(30);
    let role = Role::try_from(claims.rol).ok()?;
    plausible.then_some(Caller {
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
