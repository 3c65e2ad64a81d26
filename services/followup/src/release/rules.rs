//! Versions of the release criteria.

use std::sync::LazyLock;

use serde::Deserialize;
use time::Date;

use crate::dated;

/// A version of the release criteria (退院基準・療養解除基準).
#[derive(Debug, Deserialize)]
pub(crate) struct Release {
    /// First day in force; its name.
    #[serde(deserialize_with = "dated::iso_date")]
    pub effective_from: Date,
    /// The notice.
    pub source: String,
    /// For people who fell ill: any one of these suffices. Day 0 is the day of onset.
    pub symptomatic: Vec<Way>,
    /// For people who did not: any one suffices. Day 0 is the day of sampling.
    pub asymptomatic: Vec<Way>,
}

/// One way to be released: everything in it must hold.
#[derive(Debug, Deserialize)]
pub(crate) struct Way {
    /// Only for people cared for here.
    pub setting: Option<Setting>,
    /// Days that must have passed since day 0: the person is released the day after.
    pub days: Option<i64>,
    /// Days that must have passed since symptoms were relieved (72 hours are three).
    pub relief_days: Option<i64>,
    /// Symptoms were relieved before this many days since day 0.
    pub relief_before_day: Option<i64>,
    /// Two negative samples at least a day apart.
    #[serde(default)]
    pub negative_tests: bool,
}

/// Whom a way is for. Who was ventilated is released by the ways for the ventilated alone.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Setting {
    /// Was on a ventilator or ECMO.
    Ventilated,
    /// Was not.
    Others,
    /// In hospital.
    Hospital,
    /// At home or in lodging.
    Elsewhere,
}

#[expect(clippy::expect_used, reason = "the file is part of the program; a unit test reads it")]
static RELEASE: LazyLock<Vec<Release>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../rules/release.json")).expect("rules/release.json"));

/// The criteria in force on a day; before the first ones, the first.
pub(crate) fn on(day: Date) -> Option<&'static Release> {
    dated::in_force(&RELEASE, day, |rule| rule.effective_from)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::{RELEASE, on};

    #[test]
    fn versions_are_in_order_and_one_is_in_force_on_every_day() {
        assert!(RELEASE.is_sorted_by_key(|rule| rule.effective_from));
        let from = |day| on(day).map(|rule| rule.effective_from);
        assert_eq!(from(date!(2020 - 06 - 11)), Some(date!(2020 - 05 - 29)));
        assert_eq!(from(date!(2020 - 06 - 12)), Some(date!(2020 - 06 - 12)));
        assert_eq!(from(date!(2020 - 01 - 01)), Some(date!(2020 - 05 - 29)));
    }
}
