//! The order of the days of a case: what is recorded now must not make a course that nobody can live through.

use chassis::Error;
use japan::order::{self, Conflict, Event};
use proto::registry::{DayKind, DiagnosisClass, Outcome, TestResult};
use runtime::problem::why;
use time::Date;

use crate::fact::{Content, Fact, standing};

/// Refuses what contradicts the other facts of a case, and did not before.
///
/// # Errors
/// The pairs of days that are in the wrong order, each by name.
pub(crate) fn check(before: &[Fact], after: &[Fact]) -> Result<(), Error> {
    let known = conflicts(before);
    let new: Vec<Conflict> = conflicts(after).into_iter().filter(|conflict| !known.contains(conflict)).collect();
    let Some(conflict) = new.first() else { return Ok(()) };
    let Conflict { earlier, later, .. } = *conflict;
    Err(Error::Precondition(why(
        "IMPOSSIBLE_ORDER",
        format!("{}が{}より後になります。", earlier.ja(), later.ja()),
        format!("{} would be after {}.", capital(earlier.en()), later.en()),
    )))
}

fn conflicts(facts: &[Fact]) -> Vec<Conflict> {
    let mut days: Vec<(Event, Date)> = Vec::new();
    let mut is_corpse = false;
    for fact in standing(facts) {
        match fact.content.as_ref() {
            Some(Content::Report(report)) => {
                is_corpse |= matches!(report.class, DiagnosisClass::Deceased | DiagnosisClass::SuspectedDeceased);
            }
            Some(Content::Day(kind, day)) => days.extend(event(*kind).map(|event| (event, *day))),
            Some(Content::Test(test)) if test.result != TestResult::Pending => {
                days.extend(test.sampled_on.map(|day| (Event::Sampling, day)));
            }
            Some(Content::Stay(stay)) => days.push((Event::Admission, stay.since)),
            Some(Content::Ending(Outcome::Died, Some(day))) => days.push((Event::Death, *day)),
            Some(Content::Ending(_, Some(day))) => days.push((Event::Outcome, *day)),
            _ => {}
        }
    }
    order::of_case(&days, is_corpse)
}

fn event(kind: DayKind) -> Option<Event> {
    match kind {
        DayKind::Unspecified => None,
        DayKind::Onset => Some(Event::Onset),
        DayKind::Diagnosis => Some(Event::Diagnosis),
        DayKind::FirstVisit => Some(Event::FirstVisit),
        DayKind::Infection => Some(Event::Infection),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
