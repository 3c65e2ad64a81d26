//! Who is observed, until when, and what is due next.

use access::{CaseId, OrganisationId};
use proto::{
    followup::PlanState,
    registry::{CaseChanged, CaseRole, DiagnosisClass, Outcome, Placement, TestResult},
};
use runtime::{
    clock::{JAPAN, day_in_japan},
    problem::{Text, text},
};
use time::{Date, Duration, OffsetDateTime, Time, UtcOffset};

use super::rules;

/// A first report is not due sooner than this after the plan opens.
const SETTLE: Duration = Duration::hours(4);
/// A report made earlier than this before its deadline is kept, and does not stand for it.
const WINDOW: Duration = Duration::hours(12);

/// A plan of observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub case_id: CaseId,
    /// From 1; every change of what was agreed, and why, adds one.
    pub version: i64,
    pub state: PlanState,
    pub reason: Reason,
    pub owner: Option<OrganisationId>,
    pub last_day: Option<Date>,
    /// `HH:MM` in Japan.
    pub times: Vec<String>,
    pub awaited: Option<Slot>,
    /// A due report did not come, and nobody has settled it.
    pub overdue: bool,
}

/// The report that is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// From here on a report counts for this slot: the moment the one before was due.
    pub opens_at: OffsetDateTime,
    pub due_at: OffsetDateTime,
}

/// What became of a slot, as the database keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub(crate) enum SlotState {
    Open = 1,
    Reported = 2,
    Missed = 3,
    /// Agreed otherwise, or not observed any more.
    Void = 4,
}

/// What a plan is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlanChange {
    pub case_id: CaseId,
    pub state: PlanState,
    pub reason: Reason,
    pub owner: Option<OrganisationId>,
    pub last_day: Option<Date>,
}

/// A report that is to become due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub case_id: CaseId,
    pub slot: Slot,
    /// The agreed times, for the next moment should this one have been answered already.
    pub times: Vec<String>,
    /// No report is due after this day.
    pub last_day: Option<Date>,
}

impl Due {
    /// The first one of a plan that opens now.
    pub(crate) fn first(case_id: CaseId, times: &[String], last_day: Option<Date>, now: OffsetDateTime) -> Self {
        let slot = Slot { opens_at: now, due_at: next_due(now + SETTLE, times) };
        Self { case_id, slot, times: times.to_vec(), last_day }
    }

    /// The one after a moment that was answered or missed.
    pub(crate) fn after(plan: &Plan, due_at: OffsetDateTime, now: OffsetDateTime) -> Self {
        let slot = Slot { opens_at: due_at, due_at: next_due(due_at.max(now), &plan.times) };
        Self { case_id: plan.case_id, slot, times: plan.times.clone(), last_day: plan.last_day }
    }

    /// Whether it would lie after the last day.
    pub(crate) fn is_over(&self) -> bool {
        self.last_day.is_some_and(|last| day_in_japan(self.slot.due_at) > last)
    }
}

/// What a person's state asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    /// Reports are due, for a contact until the last day.
    Active(Option<Date>),
    /// The ward observes.
    Paused,
    /// No more reports.
    Closed(Reason),
}

impl Observation {
    /// As the registry knows the person.
    pub(crate) fn of(case: &CaseChanged, today: Date) -> Self {
        let positive = case.test_result == i32::from(TestResult::Positive)
            || [DiagnosisClass::Confirmed, DiagnosisClass::AsymptomaticCarrier]
                .iter()
                .any(|class| case.diagnosis_class == i32::from(*class));
        if case.outcome != i32::from(Outcome::Unspecified) {
            return Self::Closed(Reason::Ended);
        }
        if [Placement::Hospital, Placement::TemporaryFacility].iter().any(|ward| case.placement == i32::from(*ward)) {
            return Self::Paused;
        }
        // 退院 is not 自宅療養: nobody asks for a daily report until somebody says that the person is cared for again.
        if case.placement == i32::from(Placement::Discharged) {
            return Self::Closed(Reason::Discharged);
        }
        if case.role == i32::from(CaseRole::CloseContact) && !positive {
            // A negative test does not end the observation of a contact: illness may still come.
            let last_contact = japan::date::parse(&case.last_contact_date).ok();
            return match last_contact.and_then(|day| rules::observation().last_day(day)) {
                Some(day) if day < today => Self::Closed(Reason::DaysOver),
                day => Self::Active(day),
            };
        }
        if case.test_result == i32::from(TestResult::Negative) && !positive {
            return Self::Closed(Reason::Negative);
        }
        Self::Active(None)
    }

    /// The plan that follows from it.
    pub(crate) fn plan(self, case_id: CaseId, owner: Option<OrganisationId>) -> PlanChange {
        let (state, reason, last_day) = match self {
            Self::Active(last_day) => (PlanState::Active, Reason::Registered, last_day),
            Self::Paused => (PlanState::Paused, Reason::InHospital, None),
            Self::Closed(reason) => (PlanState::Closed, reason, None),
        };
        PlanChange { case_id, state, reason, owner, last_day }
    }
}

/// Why a plan is as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(i16)]
pub(crate) enum Reason {
    #[default]
    Registered = 1,
    InHospital = 2,
    Ended = 3,
    Negative = 4,
    DaysOver = 5,
    Discharged = 6,
}

impl From<Reason> for i32 {
    fn from(reason: Reason) -> Self {
        reason as Self
    }
}

impl TryFrom<i32> for Reason {
    type Error = i32;

    fn try_from(number: i32) -> Result<Self, i32> {
        [Self::Registered, Self::InHospital, Self::Ended, Self::Negative, Self::DaysOver, Self::Discharged]
            .into_iter()
            .find(|reason| i32::from(*reason) == number)
            .ok_or(number)
    }
}

impl Reason {
    pub(crate) fn text(self) -> Text {
        match self {
            Self::Registered => text("登録時から健康観察中です。", "Observed since registration."),
            Self::InHospital => text("入院中のため、病棟が観察します。", "In hospital: the ward observes."),
            Self::Ended => text("転帰が登録されたため終了しました。", "Over: the outcome is recorded."),
            Self::Negative => text("検査が陰性のため終了しました。", "Over: the test was negative."),
            Self::Discharged => text("退院したため終了しました。", "Over: discharged from hospital."),
            Self::DaysOver => text("観察期間が満了しました。", "Over: the days of observation have passed."),
        }
    }
}

/// Whether a report at a moment answers what is due: not what was due before, and not what is due only tomorrow.
pub(crate) fn counts(at: OffsetDateTime, slot: Slot) -> bool {
    at >= slot.opens_at && at >= slot.due_at - WINDOW
}

/// The next moment a report is due after another: the earliest of the agreed times of the day in Japan.
pub(crate) fn next_due(after: OffsetDateTime, times: &[String]) -> OffsetDateTime {
    let local = after.to_offset(JAPAN);
    let times = || times.iter().filter_map(|text| time_of_day(text));
    let on =
        |day: Date| times().map(move |time| day.with_time(time).assume_offset(JAPAN)).filter(|at| *at > after).min();
    on(local.date())
        .or_else(|| local.date().next_day().and_then(on))
        .unwrap_or(after + Duration::days(1))
        .to_offset(UtcOffset::UTC)
}

fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::from_hms(hour.parse().ok()?, minute.parse().ok()?, 0).ok()
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::registry::{CaseChanged, CaseRole, Outcome, Placement, TestResult};
    use time::macros::{date, datetime};

    use super::{Due, Observation, Reason, Slot, counts, next_due};

    const TODAY: time::Date = date!(2020 - 06 - 10);

    #[test]
    fn a_plan_follows_result_placement_and_outcome() {
        let of = |case: &CaseChanged| Observation::of(case, TODAY);
        let case = CaseChanged::default();
        assert_eq!(of(&case), Observation::Active(None), "before the result is known");
        let negative = CaseChanged { test_result: TestResult::Negative.into(), ..case.clone() };
        assert_eq!(of(&negative), Observation::Closed(Reason::Negative));
        let positive = CaseChanged { test_result: TestResult::Positive.into(), ..case };
        assert_eq!(of(&positive), Observation::Active(None));
        let hospital = CaseChanged { placement: Placement::Hospital.into(), ..positive.clone() };
        assert_eq!(of(&hospital), Observation::Paused);
        let discharged = CaseChanged { placement: Placement::Discharged.into(), ..positive.clone() };
        assert_eq!(of(&discharged), Observation::Closed(Reason::Discharged));
        let home_again = CaseChanged { placement: Placement::Home.into(), ..hospital };
        assert_eq!(of(&home_again), Observation::Active(None));
        let over = CaseChanged { outcome: Outcome::Released.into(), ..positive };
        assert_eq!(of(&over), Observation::Closed(Reason::Ended));
    }

    #[test]
    fn a_contact_is_observed_to_the_last_day_also_after_a_negative_test() {
        let contact = CaseChanged {
            role: CaseRole::CloseContact.into(),
            last_contact_date: "2020-06-01".to_owned(),
            test_result: TestResult::Negative.into(),
            ..CaseChanged::default()
        };
        let last = Observation::Active(Some(date!(2020 - 06 - 15)));
        assert_eq!(Observation::of(&contact, TODAY), last);
        assert_eq!(Observation::of(&contact, date!(2020 - 06 - 15)), last);
        assert_eq!(Observation::of(&contact, date!(2020 - 06 - 16)), Observation::Closed(Reason::DaysOver));
        let ill = CaseChanged { test_result: TestResult::Positive.into(), ..contact };
        let after = Observation::of(&ill, date!(2020 - 06 - 16));
        assert_eq!(after, Observation::Active(None), "a contact who fell ill is a patient");
    }

    #[test]
    fn reports_are_due_at_the_agreed_times_in_japan() {
        let times = ["20:00".to_owned(), "08:30".to_owned()];
        let due = |after| next_due(after, &times);
        assert_eq!(due(datetime!(2020-06-10 08:00 +9)), datetime!(2020-06-10 08:30 +9));
        assert_eq!(due(datetime!(2020-06-10 08:30 +9)), datetime!(2020-06-10 20:00 +9));
        assert_eq!(due(datetime!(2020-06-10 20:00 +9)), datetime!(2020-06-11 08:30 +9));
        let first = Due::first(CaseId::NIL, &["08:30".to_owned()], None, datetime!(2020-06-10 08:00 +9));
        assert_eq!(first.slot.due_at, datetime!(2020-06-11 08:30 +9), "not within the first four hours");
    }

    #[test]
    fn a_second_report_in_the_evening_does_not_stand_for_tomorrow() {
        let slot = Slot { opens_at: datetime!(2020-06-10 08:30 +9), due_at: datetime!(2020-06-11 08:30 +9) };
        assert!(!counts(datetime!(2020-06-10 18:00 +9), slot));
        assert!(counts(datetime!(2020-06-10 21:00 +9), slot));
        assert!(!counts(datetime!(2020-06-10 07:00 +9), slot), "that one stands for the day itself");
    }

    #[test]
    fn a_reason_survives_the_database() {
        for number in 1..=6 {
            assert_eq!(Reason::try_from(number).map(i32::from), Ok(number));
        }
        assert_eq!(Reason::try_from(7), Err(7));
    }
}
