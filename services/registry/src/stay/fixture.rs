//! What tests let beds tell.

use access::CaseId;
use proto::beds::{AdmissionChanged, AdmissionState, Capability};
use runtime::clock::to_proto;
use testing::{Body, NOW};
use uuid::Uuid;

/// An admission in a facility changed.
pub(crate) fn told(case: CaseId, facility: Body, state: AdmissionState, capability: Capability) -> AdmissionChanged {
    AdmissionChanged {
        admission_id: Uuid::now_v7().to_string(),
        case_id: case.to_string(),
        state: state.into(),
        capability: capability.into(),
        facility_id: facility.id.to_string(),
        change_time: Some(to_proto(NOW)),
        ..AdmissionChanged::default()
    }
}
