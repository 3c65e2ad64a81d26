//! The present state of a case: a pure function of the set of its facts, whatever order they were recorded in.

use access::{CaseId, OrganisationId};
use proto::registry::{
    AdmissionNecessity, AgeBand, DayKind, DiagnosisClass, Outcome, Placement, Severity, Sex, TestResult,
};
use time::Date;

use super::model::{ClinicalState, Test};
use super::told::{exposures, stays, tests, weighed};
use crate::fact::{Content, Exposure, Fact, FactId, Report, Source, standing};

/// What the facts of a case say together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "columns of the table")]
pub(crate) struct Course {
    /// The highest class that was notified.
    pub diagnosis_class: DiagnosisClass,
    /// The day the case counts on: that of the first positive report, else of the first report.
    pub report_date: Option<Date>,
    /// The centre that received that report, and its prefecture.
    pub received: Option<(OrganisationId, u8)>,
    pub onset_date: Option<Date>,
    pub diagnosis_date: Option<Date>,
    pub first_visit_date: Option<Date>,
    pub infection_date: Option<Date>,
    /// 検体採取日: of the first positive test, else of the first test.
    pub test_date: Option<Date>,
    /// Of the latest sample that has a result.
    pub test_result: TestResult,
    pub test_count: i32,
    /// The latest negative sample, and the one before, in a row.
    pub negative_on: Option<Date>,
    pub negative_before_on: Option<Date>,
    pub severity: Severity,
    pub icu: bool,
    pub ventilator: bool,
    pub ecmo: bool,
    /// On a ventilator or ECMO at any time.
    pub ventilated: bool,
    pub admission_necessity: AdmissionNecessity,
    pub placement: Placement,
    pub placement_since: Option<Date>,
    pub facility_id: Option<OrganisationId>,
    pub outcome: Outcome,
    pub outcome_date: Option<Date>,
    pub sex: Sex,
    pub age_band: AgeBand,
    /// 最終接触日: of the latest exposure.
    pub last_contact_on: Option<Date>,
    /// Whom that was to, where it is known.
    pub index_case_id: Option<CaseId>,
}

impl Course {
    /// What facts say together.
    pub(crate) fn of<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Self {
        let facts: Vec<&Fact> = facts.into_iter().collect();
        let stands = standing(facts.iter().copied());
        let mut course = Self::default();
        course.take_reports(&stands);
        course.take_days(&stands);
        course.take_tests(&stands);
        course.take_states(&stands);
        course.take_stays(&stands);
        course.take_endings(&stands, &facts);
        course.take_descriptions(&stands);
        course.take_exposures(&stands);
        course
    }

    /// Day 0 of release: the onset, else the first positive sample.
    pub(crate) fn day_zero(&self) -> Option<Date> {
        self.onset_date.or(self.test_date.filter(|_| self.is_positive()))
    }

    /// 陽性者: by the last test or by what was notified.
    pub(crate) fn is_positive(&self) -> bool {
        self.test_result == TestResult::Positive || is_positive(self.diagnosis_class)
    }

    fn take_exposures(&mut self, facts: &[&Fact]) {
        let exposed = exposures(facts).into_iter().max_by_key(|(weight, exposure)| (exposure.on, *weight));
        if let Some((_, Exposure { index, on })) = exposed {
            (self.last_contact_on, self.index_case_id) = (Some(on), index);
        }
    }

    fn take_reports(&mut self, facts: &[&Fact]) {
        let reports: Vec<(&Report, FactId)> = facts
            .iter()
            .filter_map(|fact| match &fact.content {
                Some(Content::Report(report)) => Some((report, fact.subject)),
                _ => None,
            })
            .collect();
        let first = |of: &dyn Fn(&Report) -> bool| {
            reports.iter().filter(|(report, _)| of(report)).min_by_key(|(report, subject)| (report.on, *subject))
        };
        let counted = first(&|report| is_positive(report.class)).or_else(|| first(&|_| true));
        self.report_date = counted.map(|(report, _)| report.on);
        self.received = counted.map(|(report, _)| (report.centre, report.prefecture));
        let class = reports.iter().map(|(report, _)| report.class).max_by_key(|class| rank(*class));
        self.diagnosis_class = class.unwrap_or_default();
    }

    fn take_days(&mut self, facts: &[&Fact]) {
        let day = |wanted: DayKind| {
            weighed(facts, |content| match content {
                Content::Day(kind, date) if *kind == wanted => Some(*date),
                _ => None,
            })
            .max_by_key(|(weight, _)| *weight)
            .map(|(_, date)| date)
        };
        self.onset_date = day(DayKind::Onset);
        self.diagnosis_date = day(DayKind::Diagnosis);
        self.first_visit_date = day(DayKind::FirstVisit);
        self.infection_date = day(DayKind::Infection);
    }

    fn take_tests(&mut self, facts: &[&Fact]) {
        let tests = tests(facts);
        self.test_count = i32::try_from(tests.len()).unwrap_or(i32::MAX);
        let positive = |test: &&Test| test.result == TestResult::Positive;
        let sampled = |test: &Test| test.sampled_on;
        let first_positive = tests.iter().filter(positive).filter_map(sampled).min();
        self.test_date = first_positive.or_else(|| tests.iter().filter_map(sampled).min());

        // In the order of sampling; of one day, what is against the person's being free of it counts last.
        let mut told: Vec<&Test> = tests.iter().filter(|test| test.result != TestResult::Pending).collect();
        told.sort_by_key(|test| (test.sampled_on.or(test.result_on), test.result != TestResult::Negative));
        self.test_result = match told.last() {
            Some(test) => test.result,
            None if !tests.is_empty() => TestResult::Pending,
            None => TestResult::Unspecified,
        };
        let in_a_row = told.iter().rev().take_while(|test| test.result == TestResult::Negative);
        let mut negatives: Vec<Date> = in_a_row.filter_map(|test| test.sampled_on).collect();
        negatives.dedup();
        (self.negative_on, self.negative_before_on) = (negatives.first().copied(), negatives.get(1).copied());
    }

    fn take_states(&mut self, facts: &[&Fact]) {
        let state = |content: &Content| match content {
            Content::State(state) => Some(*state),
            _ => None,
        };
        let latest = weighed(facts, state).max_by_key(|(weight, state)| (state.on, *weight)).map(|(_, state)| state);
        if let Some(ClinicalState { severity, icu, ventilator, ecmo, .. }) = latest {
            (self.severity, self.icu, self.ventilator, self.ecmo) = (severity, icu, ventilator, ecmo);
        }
        self.ventilated = weighed(facts, state).any(|(_, state)| state.ventilator || state.ecmo);
        let need = weighed(facts, |content| match content {
            Content::Need(need) => Some(*need),
            _ => None,
        });
        let latest = need.max_by_key(|(weight, need)| (need.on, *weight));
        self.admission_necessity = latest.map(|(_, need)| need.necessity).unwrap_or_default();
    }

    fn take_stays(&mut self, facts: &[&Fact]) {
        if let Some((_, stay)) = stays(facts).last() {
            (self.placement, self.placement_since) = (stay.placement, Some(stay.since));
            self.facility_id = stay.facility_id;
        }
    }

    /// Death is death, by whatever door it was told; else the latest word counts.
    fn take_endings(&mut self, facts: &[&Fact], all: &[&Fact]) {
        let endings = |died: bool| {
            weighed(facts, move |content| match content {
                Content::Ending(outcome, date) if (*outcome == Outcome::Died) == died => Some((*outcome, *date)),
                _ => None,
            })
        };
        // Who knows the day knows more.
        let death = endings(true).max_by_key(|(weight, (_, date))| (date.is_some(), *weight));
        let other = || endings(false).max_by_key(|(weight, (_, date))| (*date, *weight));
        if let Some((_, (outcome, date))) = death.or_else(other) {
            (self.outcome, self.outcome_date) = (outcome, date);
        } else if facts.is_empty() && all.iter().any(|fact| matches!(fact.source, Source::Notification { .. })) {
            self.outcome = Outcome::EnteredInError;
        }
    }

    /// Knowing more wins over knowing less.
    fn take_descriptions(&mut self, facts: &[&Fact]) {
        let said = || {
            weighed(facts, |content| match content {
                Content::Description(sex, age_band, born) => Some((*sex, *age_band, *born)),
                _ => None,
            })
        };
        let sex = said().max_by_key(|(weight, (sex, ..))| (matches!(sex, Sex::Male | Sex::Female), *weight));
        self.sex = sex.map(|(_, (sex, ..))| sex).unwrap_or_default();
        let band = said().max_by_key(|(weight, (_, band, born))| (*born, knowledge(*band), *weight));
        self.age_band = band.map(|(_, (_, band, _))| band).unwrap_or_default();
    }
}

/// 陽性者.
fn is_positive(class: DiagnosisClass) -> bool {
    matches!(class, DiagnosisClass::Confirmed | DiagnosisClass::AsymptomaticCarrier | DiagnosisClass::Deceased)
}

/// How much a class says: a suspicion gives way to a finding.
fn rank(class: DiagnosisClass) -> u8 {
    match class {
        DiagnosisClass::Unspecified => 0,
        DiagnosisClass::Suspected => 1,
        DiagnosisClass::SuspectedDeceased => 2,
        DiagnosisClass::AsymptomaticCarrier => 3,
        DiagnosisClass::Confirmed => 4,
        DiagnosisClass::Deceased => 5,
    }
}

/// How much a band says.
fn knowledge(band: AgeBand) -> u8 {
    match band {
        AgeBand::Unspecified => 0,
        AgeBand::Unknown => 1,
        AgeBand::Preschool | AgeBand::SchoolAge => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod permutations;
#[cfg(test)]
mod tests;
