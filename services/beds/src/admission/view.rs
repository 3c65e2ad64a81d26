//! An admission as those concerned may see it.

use access::{OrganisationId, Relations, caller::Hidden, classes};
use chassis::Error;
use proto::{
    beds::{Admission as View, AdmissionState, Capability, CodedFacts, FacilityAnswer, Refusal},
    registry::{CaseChanged, Relation},
};
use runtime::clock::to_proto;
use time::OffsetDateTime;
use vault::{Place, Vault};

use super::{
    answer::{Answer, Answers, RefusalRow},
    coordinates,
    model::{Admission, AdmissionId},
};

/// Why a facility declined.
pub(crate) const REASON: Place = Place { table: "refusal", column: "reason" };

/// How the caller stands to an admission.
pub(crate) enum As {
    /// The facility that was asked: coded facts, and nothing of what others answered.
    Facility(OrganisationId, Hidden),
    /// Somebody with relations to the case.
    Related(Relations),
}

impl As {
    /// The relations that decide what is shown. A facility that was asked has none yet: it sees as one that has accepted would, and
    /// the facts it is shown carry no name.
    pub(crate) fn relations(&self, capability: Capability) -> Relations {
        match self {
            Self::Facility(_, hidden) => {
                let lodging = capability == Capability::LodgingRoom;
                let relation = if lodging { Relation::LodgingFacility } else { Relation::TreatingInstitution };
                Relations::hiding(vec![relation], *hidden)
            }
            Self::Related(relations) => relations.clone(),
        }
    }
}

/// An admission as the caller may see it.
pub(crate) fn shown(
    vault: &Vault,
    admission: &Admission,
    case: Option<&CaseChanged>,
    answers: &Answers,
    seen: &As,
    now: OffsetDateTime,
) -> Result<View, Error> {
    let state = admission.state_at(now);
    // What ran out is no longer anybody's.
    let offered = state != AdmissionState::Requested;
    // Who has left is no longer the facility's to follow.
    let followed = !(matches!(seen, As::Facility(..)) && state == AdmissionState::Left);
    let coordinating = matches!(seen, As::Related(relations) if relations.iter().copied().any(coordinates));
    // A facility is not told what others answered.
    let own = |answer: &&Answer| matches!(seen, As::Facility(facility, _) if *facility == answer.facility_id);
    let all = answers.all.iter().filter(|answer| answer.admission_id == admission.id);
    let refusals = answers.refusals.iter().filter(|row| coordinating && row.admission_id == admission.id);
    let view = View {
        admission_id: admission.id.to_string(),
        case_id: admission.case_id.to_string(),
        state: state.into(),
        requester_id: admission.requested_by.to_string(),
        capability: admission.capability.into(),
        facts: case.filter(|_| followed).map(facts),
        facility_id: data::text(admission.facility_id.filter(|_| offered)),
        bed_number: admission.bed_number.filter(|_| offered).unwrap_or(0),
        hold_expire_time: admission.held_until.filter(|_| state == AdmissionState::Offered).map(to_proto),
        refusals: refusals.map(|row| refusal(vault, row)).collect::<Result<_, _>>()?,
        request_time: Some(to_proto(admission.requested_at)),
        arrival_time: admission.arrived_at.map(to_proto),
        leave_time: admission.left_at.map(to_proto),
        destination: admission.destination.into(),
        etag: admission.version.to_string(),
        answers: all.filter(|answer| coordinating || own(answer)).map(told).collect(),
    };
    classes::mask(&view, &seen.relations(admission.capability)).map_err(Error::Internal)
}

fn told(answer: &Answer) -> FacilityAnswer {
    FacilityAnswer {
        state: answer.state.into(),
        facility_id: answer.facility_id.to_string(),
        entered_by_id: answer.entered_by.to_string(),
        channel: answer.channel.into(),
        told_time: answer.told_at.map(to_proto),
        entry_time: Some(to_proto(answer.entered_at)),
    }
}

fn refusal(vault: &Vault, row: &RefusalRow) -> Result<Refusal, Error> {
    let reason = vault.open(REASON, &reason_row(row.admission_id, row.facility_id), &row.reason)?;
    Ok(Refusal {
        facility_id: row.facility_id.to_string(),
        refusal_time: Some(to_proto(row.at)),
        reason: String::from_utf8_lossy(&reason).into_owned(),
    })
}

/// What a reason is bound to: this admission, this facility.
pub(crate) fn reason_row(admission: AdmissionId, facility: OrganisationId) -> Vec<u8> {
    [admission.uuid().into_bytes(), facility.uuid().into_bytes()].concat()
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
