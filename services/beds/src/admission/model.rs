//! How an admission proceeds, and what moves it.

use access::{CaseId, OrganisationId};
use proto::beds::{AdmissionState as State, Capability, Destination};
use runtime::problem::{Why, why};
use time::{Duration, OffsetDateTime};

data::id!(
    /// An admission: a search for a bed, and the stay that comes of it.
    AdmissionId,
    "admission"
);
data::id!(
    /// A bed taken for a while, by an admission.
    StayId,
    "stay"
);

/// For how long a bed is held where nothing else is asked.
const HOLD: Duration = Duration::minutes(30);

/// An admission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    pub id: AdmissionId,
    pub case_id: CaseId,
    /// From 1; every change adds one.
    pub version: i64,
    /// Where it stands, as stored: an offer may have run out.
    pub state: State,
    /// As of when it stands there.
    pub since: OffsetDateTime,
    /// What the bed must be able to do.
    pub capability: Capability,
    /// Whose coordinators see it.
    pub prefecture: u8,
    pub requested_by: OrganisationId,
    /// The facility that was asked.
    pub facility_id: Option<OrganisationId>,
    /// The bed that is held or taken.
    pub stay_id: Option<StayId>,
    pub bed_number: Option<i32>,
    /// Until when it is held.
    pub held_until: Option<OffsetDateTime>,
    pub requested_at: OffsetDateTime,
    pub arrived_at: Option<OffsetDateTime>,
    pub left_at: Option<OffsetDateTime>,
    /// Where the patient went.
    pub destination: Destination,
    pub updated_at: OffsetDateTime,
}

/// A bed that is held for an admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    pub stay_id: StayId,
    pub bed_number: i32,
    pub until: OffsetDateTime,
}

impl Admission {
    /// A new request.
    pub(crate) fn requested(
        case_id: CaseId,
        capability: Capability,
        prefecture: u8,
        requested_by: OrganisationId,
        now: OffsetDateTime,
    ) -> Self {
        Self {
            id: AdmissionId::new(),
            case_id,
            version: 1,
            state: State::Requested,
            since: now,
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
    pub(crate) fn state_at(&self, now: OffsetDateTime) -> State {
        let ran_out = self.state == State::Offered && self.held_until.is_none_or(|until| until <= now);
        if ran_out { State::Requested } else { self.state }
    }

    /// The facility that may act on it at a moment: none after an offer ran out.
    pub(crate) fn facility_at(&self, now: OffsetDateTime) -> Option<OrganisationId> {
        self.facility_id.filter(|_| !matches!(self.state_at(now), State::Requested | State::Cancelled))
    }

    /// Whether a bed may be held for it: asked before one is taken from others.
    ///
    /// # Errors
    /// Unless it waits for one.
    pub(crate) fn may_be_offered(&self, now: OffsetDateTime) -> Result<(), Why> {
        self.expect(&[State::Requested], now)
    }

    /// A bed is held for it.
    ///
    /// # Errors
    /// Unless it waits for one.
    pub(crate) fn offer(&mut self, facility: OrganisationId, hold: Hold, now: OffsetDateTime) -> Result<(), Why> {
        self.may_be_offered(now)?;
        self.state = State::Offered;
        self.facility_id = Some(facility);
        self.stay_id = Some(hold.stay_id);
        self.bed_number = Some(hold.bed_number);
        self.held_until = Some(hold.until);
        self.step(now);
        Ok(())
    }

    /// The facility takes the patient.
    ///
    /// # Errors
    /// Unless the offer stands.
    pub(crate) fn accept(&mut self, now: OffsetDateTime) -> Result<(), Why> {
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
    pub(crate) fn decline(&mut self, now: OffsetDateTime) -> Result<(), Why> {
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
    pub(crate) fn cancel(&mut self, now: OffsetDateTime) -> Result<(), Why> {
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
    pub(crate) fn arrive(&mut self, now: OffsetDateTime) -> Result<(), Why> {
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
    pub(crate) fn leave(&mut self, destination: Destination, now: OffsetDateTime) -> Result<(), Why> {
        self.expect(&[State::Arrived], now)?;
        self.state = State::Left;
        self.destination = destination;
        self.left_at = Some(now);
        self.step(now);
        Ok(())
    }

    /// As of when a facility's answer counts that was told at a moment: an answer to an offer from the offer on, the rest as of when it
    /// was told. `None` where that was before the step before it.
    pub(crate) fn counts_at(&self, told_at: Option<OffsetDateTime>, now: OffsetDateTime) -> Option<OffsetDateTime> {
        match told_at {
            None => Some(now),
            // They speak first and enter the offer afterwards.
            Some(at) if self.state == State::Offered => Some(at.max(self.since)),
            Some(at) => (at >= self.since).then_some(at),
        }
    }

    /// What counts as of an earlier moment was recorded now.
    pub(crate) fn recorded(&mut self, now: OffsetDateTime) {
        self.updated_at = now.max(self.updated_at);
    }

    fn step(&mut self, at: OffsetDateTime) {
        self.version += 1;
        self.since = at;
        self.updated_at = at.max(self.updated_at);
    }

    fn expect(&self, states: &[State], now: OffsetDateTime) -> Result<(), Why> {
        let state = self.state_at(now);
        if states.contains(&state) {
            return Ok(());
        }
        let (reason, ja, en) = match state {
            State::Requested if self.state == State::Offered => {
                ("HOLD_RAN_OUT", "仮押さえの期限が切れています。", "The hold has run out.")
            }
            State::Requested => ("NO_BED_HELD", "受入先を調整中です。", "No bed is held yet."),
            State::Offered => {
                ("AWAITING_ANSWER", "受入機関の回答待ちです。", "A facility has been asked and has not answered.")
            }
            State::Accepted => ("ACCEPTED", "受入が決まっています。", "A facility has accepted."),
            State::Arrived => ("ARRIVED", "既に到着しています。", "The patient has arrived."),
            State::Left => ("LEFT", "既に退院・退所しています。", "The patient has left."),
            State::Cancelled | State::Unspecified => {
                ("WITHDRAWN", "取り消されています。", "The request was withdrawn.")
            }
        };
        Err(why(reason, ja, en))
    }
}

/// Until when a bed is held.
pub(crate) fn held_until(minutes: Option<i32>, now: OffsetDateTime) -> OffsetDateTime {
    now + minutes.map_or(HOLD, |minutes| Duration::minutes(i64::from(minutes)))
}

#[cfg(test)]
mod tests {
    use access::{CaseId, OrganisationId};
    use proto::beds::{AdmissionState as State, Capability, Destination};
    use time::{Duration, OffsetDateTime, macros::datetime};
    use uuid::Uuid;

    use super::{Admission, Hold, StayId, held_until};

    const NOW: OffsetDateTime = datetime!(2020-06-01 12:00 UTC);
    const UNTIL: OffsetDateTime = datetime!(2020-06-01 12:30 UTC);
    const LATER: OffsetDateTime = datetime!(2020-06-01 12:31 UTC);

    fn facility(number: u128) -> OrganisationId {
        Uuid::from_u128(number).into()
    }

    fn hold(until: OffsetDateTime) -> Hold {
        Hold { stay_id: StayId::NIL, bed_number: 1, until }
    }

    fn offered() -> Admission {
        let mut admission = Admission::requested(CaseId::NIL, Capability::General, 27, facility(9), NOW);
        admission.offer(facility(1), hold(UNTIL), NOW).unwrap();
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
        assert!(admission.offer(facility(2), hold(UNTIL), NOW).is_err(), "one facility at a time");
        assert_eq!(admission.facility_at(NOW), Some(facility(1)));
        assert_eq!(admission.state_at(UNTIL), State::Requested);
        assert_eq!(admission.facility_at(LATER), None);
        assert!(admission.accept(LATER).is_err());
        admission.offer(facility(2), hold(LATER + Duration::hours(1)), LATER).unwrap();
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
    fn what_was_told_counts_from_then_and_never_before_the_step_before() {
        let (early, asked) = (NOW - Duration::minutes(5), NOW + Duration::minutes(5));
        let mut admission = offered();
        assert_eq!(admission.counts_at(None, LATER), Some(LATER));
        assert_eq!(admission.counts_at(Some(asked), LATER), Some(asked));
        assert_eq!(admission.counts_at(Some(early), LATER), Some(NOW), "they spoke first and offered then");
        admission.accept(asked).unwrap();
        admission.recorded(LATER);
        assert_eq!((admission.since, admission.updated_at), (asked, LATER));
        assert_eq!(admission.counts_at(Some(NOW), LATER), None);
        assert_eq!(admission.counts_at(Some(asked), LATER), Some(asked));
    }

    #[test]
    fn a_bed_is_held_for_half_an_hour_unless_asked_otherwise() {
        assert_eq!(held_until(None, NOW), UNTIL);
        assert_eq!(held_until(Some(31), NOW), LATER);
    }
}
