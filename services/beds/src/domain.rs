//! How an admission proceeds, and who may move it. No I/O.

use proto::{
    beds::{AdmissionState as State, Capability, Destination},
    identity::OrganisationKind as Kind,
};
use runtime::problem::{Text, text};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// For how long a bed is held where nothing else is asked.
const HOLD: Duration = Duration::minutes(30);

/// An admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The admission.
    pub id: Uuid,
    /// The case.
    pub case_id: Uuid,
    /// From 1; every change adds one.
    pub version: i64,
    /// Where it stands, as stored: an offer may have run out.
    pub state: State,
    /// What is needed.
    pub capability: Capability,
    /// Whose coordinators see it.
    pub prefecture: u8,
    /// Who asked.
    pub requested_by: Uuid,
    /// The facility that was asked.
    pub facility_id: Option<Uuid>,
    /// The bed that is held or taken.
    pub stay_id: Option<Uuid>,
    /// Its number.
    pub bed_number: Option<i32>,
    /// Until when it is held.
    pub held_until: Option<OffsetDateTime>,
    /// When it was asked for.
    pub requested_at: OffsetDateTime,
    /// When the patient arrived.
    pub arrived_at: Option<OffsetDateTime>,
    /// When the patient left.
    pub left_at: Option<OffsetDateTime>,
    /// Where to.
    pub destination: Destination,
    /// When it last changed.
    pub updated_at: OffsetDateTime,
}

impl Admission {
    /// A new request.
    pub fn requested(
        case_id: Uuid,
        capability: Capability,
        prefecture: u8,
        requested_by: Uuid,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            id: Uuid::now_v7(),
            case_id,
            version: 1,
            state: State::Requested,
            capability,
            prefecture,
            requested_by,
            facility_id: None,
            stay_id: None,
            bed_number: None,
            held_until: None,
            requested_at: now,
            arrived_at: None,
            left_at: None,
            destination: Destination::Unspecified,
            updated_at: now,
        }
    }

    /// Where it stands at a moment: an offer that ran out is a request again.
    pub fn state_at(&self, now: OffsetDateTime) -> State {
        let ran_out = self.state == State::Offered && self.held_until.is_none_or(|until| until <= now);
        if ran_out { State::Requested } else { self.state }
    }

    /// The facility that may act on it at a moment: none after an offer ran out.
    pub fn facility_at(&self, now: OffsetDateTime) -> Option<Uuid> {
        self.facility_id.filter(|_| !matches!(self.state_at(now), State::Requested | State::Cancelled))
    }

    /// A bed is held for it.
    ///
    /// # Errors
    /// Unless it waits for one.
    pub fn offer(
        &mut self,
        facility: Uuid,
        stay: Uuid,
        bed: i32,
        until: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<(), Text> {
        self.expect(&[State::Requested], now)?;
        self.state = State::Offered;
        self.facility_id = Some(facility);
        (self.stay_id, self.bed_number, self.held_until) = (Some(stay), Some(bed), Some(until));
        self.step(now);
        Ok(())
    }

    /// The facility takes the patient.
    ///
    /// # Errors
    /// Unless the offer stands.
    pub fn accept(&mut self, now: OffsetDateTime) -> Result<(), Text> {
        self.expect(&[State::Offered], now)?;
        self.state = State::Accepted;
        self.held_until = None;
        self.step(now);
        Ok(())
    }

    /// The facility does not take the patient: the search goes on.
    ///
    /// # Errors
    /// Unless the offer stands.
    pub fn decline(&mut self, now: OffsetDateTime) -> Result<(), Text> {
        self.expect(&[State::Offered], now)?;
        self.state = State::Requested;
        self.facility_id = None;
        (self.stay_id, self.bed_number, self.held_until) = (None, None, None);
        self.step(now);
        Ok(())
    }

    /// The search is given up.
    ///
    /// # Errors
    /// Once the patient is there.
    pub fn cancel(&mut self, now: OffsetDateTime) -> Result<(), Text> {
        self.expect(&[State::Requested, State::Offered, State::Accepted], now)?;
        // A facility that never accepted has nothing to lose by this, and is not told of it.
        if self.state != State::Accepted {
            self.facility_id = None;
        }
        self.state = State::Cancelled;
        self.held_until = None;
        self.step(now);
        Ok(())
    }

    /// The patient is there.
    ///
    /// # Errors
    /// Unless the facility accepted.
    pub fn arrive(&mut self, now: OffsetDateTime) -> Result<(), Text> {
        self.expect(&[State::Accepted], now)?;
        self.state = State::Arrived;
        self.arrived_at = Some(now);
        self.step(now);
        Ok(())
    }

    /// The patient left.
    ///
    /// # Errors
    /// Unless the patient is there.
    pub fn leave(&mut self, destination: Destination, now: OffsetDateTime) -> Result<(), Text> {
        self.expect(&[State::Arrived], now)?;
        self.state = State::Left;
        self.destination = destination;
        self.left_at = Some(now);
        self.step(now);
        Ok(())
    }

    fn step(&mut self, now: OffsetDateTime) {
        self.version += 1;
        self.updated_at = now.max(self.updated_at);
    }

    fn expect(&self, states: &[State], now: OffsetDateTime) -> Result<(), Text> {
        let state = self.state_at(now);
        if states.contains(&state) {
            return Ok(());
        }
        let (ja, en) = match state {
            State::Requested if self.state == State::Offered => {
                ("仮押さえの期限が切れています。", "The hold has run out.")
            }
            State::Requested => ("受入先を調整中です。", "No bed is held yet."),
            State::Offered => ("受入機関の回答待ちです。", "A facility has been asked and has not answered."),
            State::Accepted => ("受入が決まっています。", "A facility has accepted."),
            State::Arrived => ("既に到着しています。", "The patient has arrived."),
            State::Left => ("既に退院・退所しています。", "The patient has left."),
            State::Cancelled | State::Unspecified => ("取り消されています。", "The request was withdrawn."),
        };
        Err(text(ja, en))
    }
}

/// Until when a bed is held.
pub fn held_until(minutes: i32, now: OffsetDateTime) -> OffsetDateTime {
    now + if minutes > 0 { Duration::minutes(i64::from(minutes)) } else { HOLD }
}

/// Whether an organisation of a kind has beds of a capability.
pub fn has(kind: Kind, capability: Capability) -> bool {
    match capability {
        Capability::LodgingRoom => kind == Kind::LodgingFacility,
        Capability::Unspecified => false,
        _ => kind == Kind::Hospital,
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        beds::{AdmissionState as State, Capability, Destination},
        identity::OrganisationKind as Kind,
    };
    use time::{Duration, OffsetDateTime, macros::datetime};
    use uuid::Uuid;

    use super::{Admission, has, held_until};

    const NOW: OffsetDateTime = datetime!(2020-06-01 12:00 UTC);
    const UNTIL: OffsetDateTime = datetime!(2020-06-01 12:30 UTC);
    const LATER: OffsetDateTime = datetime!(2020-06-01 12:31 UTC);

    fn offered() -> Admission {
        let mut admission = Admission::requested(Uuid::nil(), Capability::General, 27, Uuid::nil(), NOW);
        admission.offer(Uuid::from_u128(1), Uuid::nil(), 1, UNTIL, NOW).unwrap();
        admission
    }

    #[test]
    fn an_admission_goes_from_request_to_leave() {
        let mut admission = offered();
        admission.accept(NOW).unwrap();
        admission.arrive(NOW).unwrap();
        admission.leave(Destination::Home, NOW).unwrap();
        assert_eq!((admission.state, admission.version), (State::Left, 5));
        assert!(admission.leave(Destination::Home, NOW).is_err());
        assert!(admission.cancel(NOW).is_err());
    }

    #[test]
    fn an_offer_that_ran_out_is_a_request_again() {
        let mut admission = offered();
        assert!(admission.offer(Uuid::from_u128(2), Uuid::nil(), 1, UNTIL, NOW).is_err(), "one facility at a time");
        assert_eq!(admission.facility_at(NOW), Some(Uuid::from_u128(1)));
        assert_eq!(admission.state_at(UNTIL), State::Requested);
        assert_eq!(admission.facility_at(LATER), None);
        assert!(admission.accept(LATER).is_err());
        admission.offer(Uuid::from_u128(2), Uuid::nil(), 1, LATER + Duration::hours(1), LATER).unwrap();
        admission.accept(LATER).unwrap();
    }

    #[test]
    fn nobody_arrives_who_was_not_accepted() {
        let mut admission = offered();
        assert!(admission.arrive(NOW).is_err());
        admission.decline(NOW).unwrap();
        assert_eq!((admission.state, admission.facility_id), (State::Requested, None));
        assert!(admission.decline(NOW).is_err());
    }

    #[test]
    fn rooms_are_in_lodging_and_beds_in_hospitals() {
        assert!(has(Kind::LodgingFacility, Capability::LodgingRoom) && has(Kind::Hospital, Capability::Icu));
        assert!(!has(Kind::Hospital, Capability::LodgingRoom) && !has(Kind::Clinic, Capability::General));
        assert_eq!(held_until(0, NOW), UNTIL);
    }
}
