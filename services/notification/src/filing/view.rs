//! A notification as those concerned may see it.

use access::{OrganisationId, Relations, classes};
use anyhow::Context as _;
use chassis::{Base, Error};
use prost::Message as _;
use proto::{
    notification::{Form, Notification as View},
    registry::Relation,
};
use runtime::clock::to_proto;
use vault::Vault;

use super::{
    model::Notification,
    store::{FORM, REASON},
};

/// A notification as its relations show it.
pub(crate) fn shown(base: &Base, notification: &Notification, relations: &Relations) -> Result<View, Error> {
    let name = |id: OrganisationId| base.directory.get(id).map(|entry| entry.name.clone()).unwrap_or_default();
    let knows = notification.for_caller;
    let at_own_desk = knows.in_own_inbox && at_work(relations);
    let view = View {
        notification_id: notification.id.to_string(),
        number: notification.number.clone(),
        state: notification.state.into(),
        form: Some(form(&base.vault, notification)?),
        reporter_id: notification.reporter_id.to_string(),
        reporter_name: name(notification.reporter_id),
        receiving_centre_id: notification.receiving_centre.to_string(),
        receiving_centre_name: name(notification.receiving_centre),
        receive_time: Some(to_proto(notification.received_at)),
        acknowledge_time: notification.acknowledged_at.map(to_proto),
        case_id: data::text(notification.case_id.filter(|_| knows.by_case).or(notification.named_case_id)),
        missing_items: notification.missing.clone(),
        etag: notification.revision.to_string(),
        version: notification.version,
        reason: reason(&base.vault, notification)?,
        entered_by_id: data::text(notification.entered_by),
        channel: notification.channel.into(),
        told_time: notification.told_at.map(to_proto),
        arrive_time: Some(to_proto(notification.arrived_at)),
        assigned_user_id: data::text(notification.assigned_to.filter(|_| at_own_desk)),
        assign_time: notification.assigned_at.filter(|_| at_own_desk).map(to_proto),
    };
    classes::mask(&view, relations).map_err(Error::Internal)
}

/// Whose work it is within a centre is no concern of those outside, nor of a centre that read along before it got the case.
fn at_work(relations: &Relations) -> bool {
    relations.iter().any(|relation| matches!(relation, Relation::ReceivingCentre | Relation::ResponsibleCentre))
}

/// Why it was returned or withdrawn.
fn reason(vault: &Vault, notification: &Notification) -> Result<String, Error> {
    let Some(sealed) = &notification.reason else { return Ok(String::new()) };
    let plain = vault.open(REASON, notification.id.uuid().as_bytes(), sealed)?;
    String::from_utf8(plain).map_err(|error| Error::Internal(error.into()))
}

/// The form as filed.
pub(super) fn form(vault: &Vault, notification: &Notification) -> Result<Form, Error> {
    let plain = vault.open(FORM, notification.id.uuid().as_bytes(), &notification.form)?;
    Form::decode(plain.as_slice()).context("read a stored form").map_err(Error::Internal)
}
