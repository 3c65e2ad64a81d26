//! What an admission makes of a case.

use access::OrganisationId;
use proto::{
    beds::{AdmissionState, Destination},
    registry::{Outcome, Placement, Relation},
};
use runtime::{clock::day_in_japan, problem::Why};
use time::OffsetDateTime;

use crate::{
    case::{Case, Grant},
    course::Stay,
};

/// What beds told of an admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    pub state: AdmissionState,
    /// A room in lodging (宿泊療養), not a bed in a hospital.
    pub lodging: bool,
    pub facility: OrganisationId,
    /// Where the patient went.
    pub destination: Destination,
    /// The patient lies in another bed already, which tells of it.
    pub moved_on: bool,
    pub at: OffsetDateTime,
}

impl Admission {
    /// The relation of the facility to the case.
    pub(crate) fn relation(&self) -> Relation {
        if self.lodging { Relation::LodgingFacility } else { Relation::TreatingInstitution }
    }

    /// What happens to the relation with this version of a case. `was_there` tells whether the facility has the patient, or had.
    pub(crate) fn grant(&self, case: &Case, was_there: bool) -> Option<Grant> {
        let ended = Grant::ended(case, self.facility, self.relation());
        match self.state {
            AdmissionState::Accepted | AdmissionState::Arrived => {
                Some(Grant::begun(case, self.facility, self.relation()))
            }
            // A hospital goes on writing about the stay it had; lodging sees its residents only.
            AdmissionState::Left => Some(ended).filter(|_| self.lodging),
            // A facility that has the patient, or had, keeps what it sees: it was another admission that was called off.
            AdmissionState::Cancelled => Some(ended).filter(|_| !was_there),
            AdmissionState::Unspecified | AdmissionState::Requested | AdmissionState::Offered => None,
        }
    }

    /// Where the patient is from here on, as far as this tells.
    pub(crate) fn stay(&self) -> Option<Stay> {
        let (placement, facility_id) = match self.state {
            AdmissionState::Arrived if self.lodging => (Placement::Lodging, Some(self.facility)),
            AdmissionState::Arrived => (Placement::Hospital, Some(self.facility)),
            AdmissionState::Left if !self.moved_on => (placement_after(self.destination)?, None),
            _ => return None,
        };
        Some(Stay { placement, since: day_in_japan(self.at), facility_id })
    }
}

impl Case {
    /// Takes an admission into account. Returns the stay that begins, if one does.
    ///
    /// # Errors
    /// When the patient died there, and before onset or sampling.
    pub(crate) fn take_admission(&mut self, admission: &Admission) -> Result<Option<Stay>, Why> {
        let died = admission.state == AdmissionState::Left && admission.destination == Destination::Died;
        if died && self.is_open() {
            self.end(Outcome::Died, Some(day_in_japan(admission.at)))?;
        }
        let stay = admission.stay().filter(|_| self.is_open());
        if let Some(stay) = &stay {
            self.place(stay);
        }
        Ok(stay)
    }
}

/// Where somebody is after a bed, as far as leaving it tells. The dead have an outcome and no placement.
fn placement_after(destination: Destination) -> Option<Placement> {
    match destination {
        Destination::Discharged | Destination::Home => Some(Placement::Home),
        Destination::Lodging | Destination::Hospital => Some(Placement::Waiting),
        Destination::Died | Destination::Unspecified => None,
    }
}
