//! An admission: from the request for a bed to the day the patient leaves it. The trunk of this service.

mod answer;
mod change;
mod get;
mod list;
mod model;
mod store;
mod view;

pub(crate) use answer::insert_refusal;
pub(crate) use change::{Locked, Who, change, coordinates, leave_origin, must_coordinate, view_of};
pub(crate) use get::get;
pub(crate) use list::list;
pub(crate) use model::{Admission, AdmissionId, Hold, StayId, held_until};
pub(crate) use store::{insert, lock_open, save};
pub(crate) use view::{As, REASON, reason_row};

use proto::beds::AdmissionChanged;
use runtime::clock::to_proto;
use time::OffsetDateTime;

/// The event that tells where an admission stands, as of a moment.
pub(crate) fn changed(admission: &Admission, at: OffsetDateTime) -> AdmissionChanged {
    AdmissionChanged {
        admission_id: admission.id.to_string(),
        case_id: admission.case_id.to_string(),
        state: admission.state.into(),
        capability: admission.capability.into(),
        facility_id: data::text(admission.facility_id),
        destination: admission.destination.into(),
        change_time: Some(to_proto(at)),
        entry_time: Some(to_proto(admission.updated_at)),
        ..AdmissionChanged::default()
    }
}
