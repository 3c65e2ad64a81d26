//! What an admission makes of a case.

use access::OrganisationId;
use proto::{
    beds::{AdmissionState, Destination},
    registry::{Authority, Channel, Outcome, Placement, Relation},
};
use runtime::clock::{JAPAN, day_in_japan};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    case::{Case, Grant},
    course::Stay,
    fact::{Content, Fact, FactId, Recorder, Source},
};

/// What beds told of an admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    pub id: Uuid,
    pub state: AdmissionState,
    /// A room in lodging (宿泊療養), not a bed in a hospital.
    pub lodging: bool,
    pub facility: OrganisationId,
    /// Where the patient went.
    pub destination: Destination,
    /// The patient lies in another bed already, which tells of it.
    pub moved_on: bool,
    /// As of when.
    pub at: OffsetDateTime,
    pub entered: Entered,
}

/// Who entered it: the facility, or whom it told (代行入力).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entered {
    /// Whom the facility told.
    pub by: Option<OrganisationId>,
    pub channel: Channel,
    pub told_at: Option<OffsetDateTime>,
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

    /// What it tells of the case.
    pub(crate) fn facts(&self, case: &Case) -> Vec<Fact> {
        let died = self.state == AdmissionState::Left && self.destination == Destination::Died;
        let death = died.then(|| Content::Ending(Outcome::Died, Some(day_in_japan(self.at))));
        let told = death.or_else(|| self.stay().map(Content::Stay));
        told.map(|content| self.fact(case, content)).into_iter().collect()
    }

    fn fact(&self, case: &Case, content: Content) -> Fact {
        // The word of the facility counts as its own, whoever types it in.
        let Entered { by, channel, told_at, at } = self.entered;
        let recorder = Recorder {
            organisation: by.or(Some(self.facility)),
            user: None,
            on_behalf_of: by.map(|_| self.facility),
            channel,
            told_at,
            authority: Authority::TreatingInstitution,
            at,
        };
        let id = FactId::at(at);
        recorder.about(case, id, id, Some(content), Source::Admission(self.id))
    }

    /// Where the patient is from here on, as far as this tells.
    fn stay(&self) -> Option<Stay> {
        let (placement, facility_id) = match self.state {
            AdmissionState::Arrived if self.lodging => (Placement::Lodging, Some(self.facility)),
            AdmissionState::Arrived => (Placement::Hospital, Some(self.facility)),
            AdmissionState::Left if !self.moved_on => (placement_after(self.destination)?, None),
            _ => return None,
        };
        let local = self.at.to_offset(JAPAN);
        Some(Stay { placement, since: local.date(), since_time: Some(local.time()), facility_id })
    }
}

/// Where somebody is after a bed, as far as leaving it tells. The dead have an outcome and no placement.
fn placement_after(destination: Destination) -> Option<Placement> {
    match destination {
        // 退院 is not 自宅療養: whoever is discharged is in nobody's care, until the centre says how the episode ended.
        Destination::Discharged => Some(Placement::Discharged),
        Destination::Home => Some(Placement::Home),
        Destination::Lodging | Destination::Hospital => Some(Placement::Waiting),
        Destination::Died | Destination::Unspecified => None,
    }
}
