//! What is recorded of a course, read and checked.

use access::{Directory, OrganisationId};
use chassis::Error;
use japan::date;
use proto::{
    identity::OrganisationKind as Kind,
    registry::{ClinicalState as StateView, Placement, Severity, Stay as StayView, Test as TestView, TestResult},
};
use runtime::problem::why;
use time::{Date, Time};

use super::model::{ClinicalState, Stay, Test};
use crate::case::{optional_date, organisation, required_date};

impl Test {
    /// Reads what was stored. `None` where it cannot be understood.
    pub(crate) fn stored(test: &TestView) -> Option<Self> {
        let day = |text: &str| if text.is_empty() { Some(None) } else { date::parse(text).ok().map(Some) };
        Some(Self {
            method: data::code(test.method),
            specimen: data::code(test.specimen),
            result: data::code(test.result),
            sampled_on: day(&test.sampled_date)?,
            result_on: day(&test.result_date)?,
            expected_on: day(&test.expected_date)?,
            facility_id: OrganisationId::optional(&test.facility_id).ok()?,
            administrative: test.is_administrative,
        })
    }
}

impl Stay {
    /// Reads what was stored. `None` where it cannot be understood.
    pub(crate) fn stored(stay: &StayView) -> Option<Self> {
        Some(Self {
            placement: data::code(stay.placement),
            since: date::parse(&stay.since_date).ok()?,
            since_time: time_of_day(&stay.since_time_of_day),
            facility_id: OrganisationId::optional(&stay.facility_id).ok()?,
        })
    }
}

impl ClinicalState {
    /// Reads what was stored. `None` where it cannot be understood.
    pub(crate) fn stored(state: &StateView) -> Option<Self> {
        Some(Self {
            on: date::parse(&state.observation_date).ok()?,
            severity: data::code(state.severity),
            icu: state.icu,
            ventilator: state.ventilator,
            ecmo: state.ecmo,
        })
    }
}

/// A test as somebody records it.
pub(crate) fn read_test(directory: &Directory, field: &str, given: &TestView, today: Date) -> Result<Test, Error> {
    let at = |name: &str| format!("{field}.{name}");
    let sampled_on = optional_date(&at("sampled_date"), &given.sampled_date, today)?;
    let result_on = optional_date(&at("result_date"), &given.result_date, today)?;
    let result = data::code(given.result);
    if sampled_on.zip(result_on).is_some_and(|(sampled, told)| told < sampled) {
        return Err(Error::invalid(
            at("result_date"),
            "検体採取日より前です",
            "must not be before the day of sampling",
        ));
    }
    if result == TestResult::Pending && result_on.is_some() {
        return Err(Error::invalid(
            at("result_date"),
            "検査中の検査に結果判明日はありません",
            "must be empty while the test is under way",
        ));
    }
    Ok(Test {
        method: data::code(given.method),
        specimen: data::code(given.specimen),
        result,
        sampled_on,
        result_on,
        expected_on: expected_date(&at("expected_date"), &given.expected_date)?,
        facility_id: facility(directory, &at("facility_id"), &given.facility_id, tests, sampled_on.unwrap_or(today))?,
        administrative: given.is_administrative,
    })
}

/// A stay as somebody records it.
pub(crate) fn read_stay(directory: &Directory, field: &str, given: &StayView, today: Date) -> Result<Stay, Error> {
    let at = |name: &str| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
    let since = required_date(&at("since_date"), &given.since_date, today)?;
    let placement = data::code(given.placement);
    // A stay in a hospital that has closed since is a fact: it must have been open on the day.
    let facility_id = facility(directory, &at("facility_id"), &given.facility_id, takes_patients_in, since)?;
    if facility_id.is_some() && !has_facility(placement) {
        return Err(Error::invalid(
            at("facility_id"),
            "この居所には施設を指定できません",
            "must be empty for this placement",
        ));
    }
    let since_time = time_of_day(&given.since_time_of_day);
    if since_time.is_none() && !given.since_time_of_day.is_empty() {
        return Err(Error::invalid(
            at("since_time_of_day"),
            "時刻で入力してください（例: 09:30）",
            "must be a time such as 09:30",
        ));
    }
    Ok(Stay { placement, since, since_time, facility_id })
}

/// How ill somebody is, as somebody records it.
pub(crate) fn read_state(field: &str, given: &StateView, today: Date) -> Result<ClinicalState, Error> {
    let state = ClinicalState {
        on: required_date(&format!("{field}.observation_date"), &given.observation_date, today)?,
        severity: data::code(given.severity),
        icu: given.icu,
        ventilator: given.ventilator,
        ecmo: given.ecmo,
    };
    let supported = state.icu || state.ventilator || state.ecmo;
    if supported && state.severity != Severity::Severe {
        return Err(Error::Precondition(why(
            "MUST_BE_SEVERE",
            "ICU・人工呼吸器・ECMO の患者の重症度は「重症」です。",
            "A patient in intensive care, on a ventilator or on ECMO is severe.",
        )));
    }
    Ok(state)
}

fn facility(
    directory: &Directory,
    field: &str,
    id: &str,
    fits: fn(Kind) -> bool,
    day: Date,
) -> Result<Option<OrganisationId>, Error> {
    if id.is_empty() { Ok(None) } else { organisation(directory, field, id, fits, day).map(Some) }
}

fn tests(kind: Kind) -> bool {
    matches!(kind, Kind::Clinic | Kind::Hospital | Kind::Laboratory | Kind::QuarantineStation | Kind::HealthCentre)
}

fn takes_patients_in(kind: Kind) -> bool {
    matches!(kind, Kind::Hospital | Kind::LodgingFacility)
}

fn has_facility(placement: Placement) -> bool {
    matches!(placement, Placement::Hospital | Placement::Lodging | Placement::TemporaryFacility)
}

/// A day that may lie ahead.
fn expected_date(field: &str, text: &str) -> Result<Option<Date>, Error> {
    optional_date(field, text, Date::MAX)
}

fn time_of_day(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::from_hms(hour.parse().ok()?, minute.parse().ok()?, 0).ok()
}
