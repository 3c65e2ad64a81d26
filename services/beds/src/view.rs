//! Admissions and capacity as the API shows them.

use access::{Directory, Relations, caller::Hidden, classes};
use chassis::Error;
use proto::{
    beds::{Admission as View, AdmissionState, Capability, Capacity, CodedFacts, Refusal},
    registry::{CaseChanged, Relation},
};
use runtime::clock::to_proto;
use time::OffsetDateTime;
use uuid::Uuid;
use vault::{Place, Vault};

use crate::{capacity::CapacityRow, domain::Admission, store::RefusalRow};

/// Why a facility declined.
pub(crate) const REASON: Place = Place { table: "refusal", column: "reason" };

/// How the caller stands to an admission.
pub(crate) enum As {
    /// The facility that was asked: coded facts, and nothing of what others answered.
    Facility(Hidden),
    /// Somebody with relations to the case.
    Related(Relations),
}

/// An admission as the caller may see it.
pub(crate) fn admission(
    vault: &Vault,
    admission: &Admission,
    case: Option<&CaseChanged>,
    refusals: &[RefusalRow],
    seen: &As,
    now: OffsetDateTime,
) -> Result<View, Error> {
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    let state = admission.state_at(now);
    // What ran out is no longer anybody's.
    let current = |id: Option<Uuid>| id.filter(|_| state != AdmissionState::Requested);
    let mut view = View {
        admission_id: admission.id.to_string(),
        case_id: admission.case_id.to_string(),
        state: state.into(),
        capability: admission.capability.into(),
        facility_id: id(current(admission.facility_id)),
        held_until: admission.held_until.filter(|_| state == AdmissionState::Offered).map(to_proto),
        etag: admission.version.to_string(),
        requested_by_id: admission.requested_by.to_string(),
        // Who has left is no longer the facility's to follow.
        facts: case.filter(|_| !(matches!(seen, As::Facility(_)) && state == AdmissionState::Left)).map(facts),
        refusals: Vec::new(),
        requested_at: Some(to_proto(admission.requested_at)),
        arrived_at: admission.arrived_at.map(to_proto),
        left_at: admission.left_at.map(to_proto),
        destination: admission.destination.into(),
        bed_number: admission.bed_number.filter(|_| state != AdmissionState::Requested).unwrap_or(0),
    };
    let relations = match seen {
        As::Facility(hidden) => {
            let lodging = admission.capability == Capability::LodgingRoom;
            let relation = if lodging { Relation::LodgingFacility } else { Relation::TreatingInstitution };
            Relations::hiding(vec![relation], *hidden)
        }
        As::Related(relations) => {
            let looks = relations.iter().copied().any(looks_for_a_bed);
            for row in refusals.iter().filter(|row| looks && row.admission_id == admission.id) {
                let reason = vault.open(REASON, &reason_row(row.admission_id, row.facility_id), &row.reason)?;
                view.refusals.push(Refusal {
                    facility_id: row.facility_id.to_string(),
                    at: Some(to_proto(row.at)),
                    reason: String::from_utf8_lossy(&reason).into_owned(),
                });
            }
            relations.clone()
        }
    };
    classes::mask(&view, "hersys.beds.v1.Admission", &relations).map_err(Error::Internal)
}

/// What a reason is bound to: this admission, this facility.
pub(crate) fn reason_row(admission: Uuid, facility: Uuid) -> Vec<u8> {
    [admission.as_bytes().as_slice(), facility.as_bytes().as_slice()].concat()
}

/// Relations that look for a bed.
pub(crate) fn looks_for_a_bed(relation: Relation) -> bool {
    matches!(relation, Relation::ResponsibleCentre | Relation::ReceivingCentre | Relation::Prefecture)
}

fn facts(case: &CaseChanged) -> CodedFacts {
    CodedFacts {
        age_band: case.age_band,
        sex: case.sex,
        severity: case.severity,
        diagnosis_class: case.diagnosis_class,
        test_result: case.test_result,
        admission_necessity: case.admission_necessity,
        onset_date: case.onset_date.clone(),
    }
}

/// A facility's capacity.
pub(crate) fn capacity(directory: &Directory, row: &CapacityRow) -> Capacity {
    let small = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    Capacity {
        facility_id: row.facility_id.to_string(),
        capability: i32::from(row.capability),
        secured: row.secured,
        ready: row.ready,
        occupied: small(row.occupied),
        reported_at: Some(to_proto(row.reported_at)),
        held: small(row.held),
        free: small(row.free()),
        facility_name: directory.get(row.facility_id).map(|entry| entry.name.clone()).unwrap_or_default(),
    }
}
