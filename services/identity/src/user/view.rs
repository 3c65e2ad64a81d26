//! An ID as the API shows it to administrators.

use chassis::Error;
use proto::identity::{IssueUserResponse, User as View};
use runtime::clock::to_proto;
use vault::Vault;

use super::{
    HOLDER,
    model::{Made, User, groups_of},
    slip::{self, Slip},
};
use crate::service::Identity;

pub(super) fn shown(vault: &Vault, user: &User) -> Result<View, Error> {
    Ok(View {
        user_id: user.id.to_string(),
        login: user.login.clone(),
        organisation_id: user.organisation_id.to_string(),
        role: user.role.into(),
        holder_name: holder_name(vault, user)?,
        state: user.state().into(),
        issuer_id: data::text(user.issued_by),
        issue_time: Some(to_proto(user.issued_at)),
        last_sign_in_time: user.last_sign_in_at.map(to_proto),
        hidden_groups: groups_of(user.hidden),
        terms_version: user.terms_version,
        etag: user.version.to_string(),
    })
}

pub(super) fn holder_name(vault: &Vault, user: &User) -> Result<String, Error> {
    let Some(sealed) = &user.holder else { return Ok(String::new()) };
    let plain = vault.open(HOLDER, user.id.uuid().as_bytes(), sealed)?;
    Ok(String::from_utf8_lossy(&plain).into_owned())
}

/// A fresh secret, with the slip to hand over where it is asked for.
pub(super) async fn issued(
    identity: &Identity,
    made: &Made,
    login: &str,
    holder: &str,
    with_slip: bool,
) -> Result<IssueUserResponse, Error> {
    let slip_pdf =
        if with_slip { slip::pages(identity, vec![Slip::new(login, holder, made)]).await? } else { Vec::new() };
    Ok(IssueUserResponse {
        user_id: made.user_id.to_string(),
        initial_secret: made.initial_secret.clone(),
        expire_time: Some(to_proto(made.expires_at)),
        slip_pdf,
    })
}
