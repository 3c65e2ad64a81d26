//! Reports that carry a warning sign (緊急性の高い症状).

mod acknowledge;
mod model;
mod raise;
mod store;
mod watch;

pub(crate) use acknowledge::acknowledge;
pub(crate) use model::{Alert, advice};
pub(crate) use raise::raise;
pub(crate) use store::latest;
pub(crate) use watch::watch;

use proto::followup::Alert as View;
use runtime::clock::to_proto;

/// An alert as the API shows it.
pub(crate) fn shown(alert: &Alert) -> View {
    View {
        alert_id: alert.id.to_string(),
        case_id: alert.case_id.to_string(),
        level: alert.level.into(),
        reasons: alert.worries.iter().map(|worry| worry.text().shown().to_owned()).collect(),
        raise_time: Some(to_proto(alert.raised_at)),
        owner_organisation_id: data::text(alert.owner),
        owner_user_id: data::text(alert.taken_by),
        acknowledge_time: alert.acknowledged_at.map(to_proto),
        etag: alert.version.to_string(),
    }
}
