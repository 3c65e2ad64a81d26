//! What tests, severity, placement and outcome make of a case.

use access::OrganisationId;
use proto::registry::{Outcome, Placement, Severity, Specimen, TestMethod, TestResult};
use runtime::problem::{Why, why};
use time::Date;

use crate::case::Case;

/// One test of one specimen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    pub method: TestMethod,
    pub specimen: Specimen,
    pub result: TestResult,
    /// 検体採取日.
    pub sampled_on: Option<Date>,
}

/// Where a person is cared for from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    pub placement: Placement,
    pub since: Date,
    /// The hospital or lodging.
    pub facility_id: Option<OrganisationId>,
}

/// How ill a person is on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClinicalState {
    pub on: Date,
    /// 重症度.
    pub severity: Severity,
    pub icu: bool,
    pub ventilator: bool,
    pub ecmo: bool,
}

impl Case {
    /// Takes a test into account. The day of the first positive sample is the case's test date.
    pub(crate) fn take_test(&mut self, test: &Test) {
        // What was sampled before the day of the first positive sample says nothing against it, whenever it is recorded.
        let before = |day: Option<Date>| day.zip(self.test_date).is_some_and(|(day, positive)| day < positive);
        if self.test_result == TestResult::Positive && test.result == TestResult::Negative && before(test.sampled_on) {
            self.test_count += 1;
            return;
        }
        let first_positive = test.result == TestResult::Positive && self.test_result != TestResult::Positive;
        if self.test_date.is_none() || first_positive {
            self.test_date = test.sampled_on.or(self.test_date);
        }
        if test.result != TestResult::Pending || self.test_result == TestResult::Unspecified {
            self.test_result = test.result;
        }
        match test.result {
            TestResult::Negative => {
                // By the day of sampling, in whatever order they are recorded.
                let mut days: Vec<Date> =
                    [self.negative_on, self.negative_before_on, test.sampled_on].into_iter().flatten().collect();
                days.sort_unstable_by(|one, other| other.cmp(one));
                (self.negative_on, self.negative_before_on) = (days.first().copied(), days.get(1).copied());
            }
            TestResult::Pending => {}
            _ => (self.negative_on, self.negative_before_on) = (None, None),
        }
        self.test_count += 1;
    }

    /// The person is cared for somewhere else from a day on.
    pub(crate) fn place(&mut self, stay: &Stay) {
        self.placement = stay.placement;
        self.placement_since = Some(stay.since);
        self.facility_id = stay.facility_id;
    }

    /// Takes into account how ill the person is. A day that was reported later than a newer one is history only.
    ///
    /// # Errors
    /// Where the state contradicts itself.
    pub(crate) fn take_state(&mut self, state: &ClinicalState, latest: Option<Date>) -> Result<(), Why> {
        let supported = state.icu || state.ventilator || state.ecmo;
        if supported && state.severity != Severity::Severe {
            return Err(why(
                "MUST_BE_SEVERE",
                "ICU・人工呼吸器・ECMO の患者の重症度は「重症」です。",
                "A patient in intensive care, on a ventilator or on ECMO is severe.",
            ));
        }
        self.ventilated |= state.ventilator || state.ecmo;
        if latest.is_none_or(|latest| latest <= state.on) {
            self.severity = state.severity;
            (self.icu, self.ventilator, self.ecmo) = (state.icu, state.ventilator, state.ecmo);
        }
        Ok(())
    }

    /// Ends the episode.
    ///
    /// # Errors
    /// When it has ended otherwise: a wrong outcome is corrected, not overwritten.
    pub(crate) fn end(&mut self, outcome: Outcome, date: Option<Date>) -> Result<(), Why> {
        if !self.is_open() && self.outcome != outcome {
            return Err(why(
                "OTHER_OUTCOME",
                "この症例は既に転帰が登録されています。",
                "This case already has another outcome.",
            ));
        }
        self.may_end_on(date)?;
        self.outcome = outcome;
        self.outcome_date = date.or(self.outcome_date);
        Ok(())
    }

    /// Puts right how the episode ended, or that it has not.
    ///
    /// # Errors
    /// When it would have ended before it began.
    pub(crate) fn correct_end(&mut self, outcome: Outcome, date: Option<Date>) -> Result<(), Why> {
        self.may_end_on(date)?;
        self.outcome = outcome;
        self.outcome_date = date.filter(|_| outcome != Outcome::Unspecified);
        Ok(())
    }

    fn may_end_on(&self, date: Option<Date>) -> Result<(), Why> {
        if let (Some(reported), Some(ended)) = (self.onset_date.or(self.test_date), date)
            && ended < reported
        {
            return Err(why(
                "OUTCOME_BEFORE_ONSET",
                "転帰日が発病日・検体採取日より前です。",
                "The outcome is before onset and sampling.",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use proto::registry::{Outcome, Severity, Specimen, TestMethod, TestResult};
    use time::{OffsetDateTime, macros::date};

    use super::{Case, ClinicalState, Test};
    use crate::{access_id::Access, person::PersonId};

    fn case() -> Case {
        let access = Access { sealed: Vec::new(), hash: Vec::new() };
        Case::opened(CaseId::new(), PersonId::new(), access, OffsetDateTime::UNIX_EPOCH)
    }

    fn test(result: TestResult, day: u8) -> Test {
        let sampled_on = Some(time::Date::from_calendar_date(2020, time::Month::May, day).unwrap());
        Test { method: TestMethod::NucleicAcid, specimen: Specimen::Saliva, result, sampled_on }
    }

    #[test]
    fn the_first_positive_sample_dates_the_case() {
        let mut case = case();
        case.take_test(&test(TestResult::Negative, 1));
        assert_eq!(case.test_date, Some(date!(2020 - 05 - 01)));
        case.take_test(&test(TestResult::Positive, 3));
        case.take_test(&test(TestResult::Positive, 5));
        case.take_test(&test(TestResult::Pending, 6));
        assert_eq!(
            (case.test_date, case.test_result, case.test_count),
            (Some(date!(2020 - 05 - 03)), TestResult::Positive, 4)
        );
    }

    #[test]
    fn negative_samples_count_in_a_row_and_a_positive_one_starts_over() {
        let mut case = case();
        case.take_test(&test(TestResult::Negative, 7));
        case.take_test(&test(TestResult::Pending, 8));
        case.take_test(&test(TestResult::Negative, 8));
        assert_eq!(
            (case.negative_on, case.negative_before_on),
            (Some(date!(2020 - 05 - 08)), Some(date!(2020 - 05 - 07)))
        );
        case.take_test(&test(TestResult::Positive, 9));
        assert_eq!((case.negative_on, case.negative_before_on), (None, None));
        case.take_test(&test(TestResult::Negative, 12));
        case.take_test(&test(TestResult::Negative, 11));
        assert_eq!(
            (case.negative_on, case.negative_before_on),
            (Some(date!(2020 - 05 - 12)), Some(date!(2020 - 05 - 11)))
        );
    }

    #[test]
    fn an_old_negative_recorded_late_says_nothing_against_a_positive() {
        let mut case = case();
        case.take_test(&test(TestResult::Positive, 9));
        case.take_test(&test(TestResult::Negative, 3));
        assert_eq!((case.test_result, case.negative_on, case.test_count), (TestResult::Positive, None, 2));
    }

    #[test]
    fn intensive_care_is_severe_and_an_older_day_does_not_overwrite_a_newer_one() {
        let mut case = case();
        let state = |day, severity, icu| ClinicalState {
            on: time::Date::from_calendar_date(2020, time::Month::May, day).unwrap(),
            severity,
            icu,
            ventilator: false,
            ecmo: false,
        };
        assert!(case.take_state(&state(5, Severity::Mild, true), None).is_err());
        case.take_state(&state(5, Severity::Severe, true), None).unwrap();
        case.take_state(&state(3, Severity::Mild, false), Some(date!(2020 - 05 - 05))).unwrap();
        assert_eq!((case.severity, case.icu), (Severity::Severe, true));
        case.take_state(&state(9, Severity::ModerateI, false), Some(date!(2020 - 05 - 05))).unwrap();
        assert_eq!((case.severity, case.icu), (Severity::ModerateI, false));
    }

    #[test]
    fn an_outcome_is_not_overwritten_by_another() {
        let mut case = case();
        assert!(case.end(Outcome::Released, Some(date!(2020 - 05 - 20))).is_ok());
        assert!(case.end(Outcome::Released, None).is_ok());
        assert_eq!(case.outcome_date, Some(date!(2020 - 05 - 20)));
        assert!(case.end(Outcome::Died, None).is_err());
    }
}
