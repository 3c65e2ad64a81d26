//! What a course is made of.

use access::OrganisationId;
use proto::registry::{Placement, Severity, Specimen, TestMethod, TestResult};
use time::{Date, Time};

/// One test of one specimen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Test {
    pub method: TestMethod,
    pub specimen: Specimen,
    pub result: TestResult,
    /// 検体採取日.
    pub sampled_on: Option<Date>,
    /// 結果判明日.
    pub result_on: Option<Date>,
    /// 結果予定日.
    pub expected_on: Option<Date>,
    /// 検査施設.
    pub facility_id: Option<OrganisationId>,
    /// 行政検査に該当するか.
    pub administrative: Option<bool>,
}

impl Test {
    /// Whether two records tell of one test of one specimen: a result belongs to the test that was under way, and a form repeats what
    /// the test site recorded. Without a day of sampling only the same words do.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let unknown = |one: Specimen| one == Specimen::Unspecified;
        // A notification states no method since 2022-06-30.
        let unstated = |one: TestMethod| one == TestMethod::Unspecified;
        let method = self.method == other.method || unstated(self.method) || unstated(other.method);
        let specimen = self.specimen == other.specimen || unknown(self.specimen) || unknown(other.specimen);
        let pending = |test: &Self| test.result == TestResult::Pending;
        let result = self.result == other.result || pending(self) || pending(other);
        if self.sampled_on.is_none() && other.sampled_on.is_none() {
            return self.method == other.method && self.specimen == other.specimen && self.result == other.result;
        }
        method && self.sampled_on == other.sampled_on && specimen && result
    }

    /// What two records of one test say together.
    pub(crate) fn with(self, other: &Self) -> Self {
        let pending = self.result == TestResult::Pending;
        Self {
            method: if self.method == TestMethod::Unspecified { other.method } else { self.method },
            specimen: if self.specimen == Specimen::Unspecified { other.specimen } else { self.specimen },
            result: if pending { other.result } else { self.result },
            sampled_on: self.sampled_on.or(other.sampled_on),
            result_on: self.result_on.or(other.result_on),
            expected_on: self.expected_on.or(other.expected_on),
            facility_id: self.facility_id.or(other.facility_id),
            administrative: self.administrative.or(other.administrative),
        }
    }
}

/// Where a person is cared for from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stay {
    pub placement: Placement,
    pub since: Date,
    /// The time of that day in Japan, where it is known.
    pub since_time: Option<Time>,
    /// The hospital or lodging.
    pub facility_id: Option<OrganisationId>,
}

impl Stay {
    /// When it began. What is known by the day only began with the day.
    pub(crate) fn began(&self) -> (Date, Time) {
        // To the minute, as it is kept: what is derived now is derived when it is read again.
        let minute = |time: Time| Time::from_hms(time.hour(), time.minute(), 0).unwrap_or(time);
        (self.since, self.since_time.map_or(Time::MIDNIGHT, minute))
    }
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

#[cfg(test)]
mod tests {
    use proto::registry::{Specimen, TestMethod, TestResult};
    use time::macros::date;

    use super::Test;

    /// 施行規則 since 2022-06-30: a notification states the day of sampling, and no method.
    #[test]
    fn a_test_without_a_method_is_the_one_that_was_sampled_on_that_day() {
        let of = |method, result, day| Test {
            method,
            specimen: Specimen::Unspecified,
            result,
            sampled_on: Some(day),
            result_on: None,
            expected_on: None,
            facility_id: None,
            administrative: None,
        };
        let (first, second) = (date!(2022 - 07 - 01), date!(2022 - 07 - 02));
        let (pcr, antigen) = (TestMethod::NucleicAcid, TestMethod::AntigenQualitative);
        let told = of(TestMethod::Unspecified, TestResult::Positive, first);
        for (held, same) in [
            (of(pcr, TestResult::Positive, first), true),
            (of(antigen, TestResult::Positive, first), true),
            (of(pcr, TestResult::Pending, first), true),
            (of(pcr, TestResult::Negative, first), false),
            (of(pcr, TestResult::Positive, second), false),
        ] {
            assert_eq!((told.is_same(&held), held.is_same(&told)), (same, same), "{held:?}");
            assert!(!same || told.with(&held).method == held.method && held.with(&told).method == held.method);
        }
        assert!(!of(pcr, TestResult::Positive, first).is_same(&of(antigen, TestResult::Positive, first)));
    }
}
