//! The versions of the form as dated data: which items it requires, which are asked for later.

use std::{collections::HashMap, sync::LazyLock};

use proto::{
    notification::Purpose,
    registry::{Specimen, TestMethod},
};
use serde::Deserialize;
use time::{Date, macros::format_description};

/// A version of form 6-1, named by the day it took effect.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FormVersion {
    #[serde(deserialize_with = "iso_date")]
    effective_from: Date,
    required: HashMap<String, Vec<String>>,
    chased: HashMap<String, Vec<String>>,
    methods: Vec<String>,
    /// By method, where the form prints fewer specimens than there are.
    #[serde(default)]
    specimens: HashMap<String, Vec<String>>,
}

/// From which age on somebody is of age (成年).
#[derive(Clone, Copy, Debug, Deserialize)]
struct Majority {
    #[serde(deserialize_with = "iso_date")]
    effective_from: Date,
    years: u8,
}

/// Whom an item is asked of only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Only {
    /// 未成年: items 9 and 10.
    Minor,
    /// Who has symptoms: a carrier fell ill on no day.
    Ill,
    /// 死体: item 17.
    Deceased,
}

#[derive(Deserialize)]
struct File {
    majority: Vec<Majority>,
    only: HashMap<String, Only>,
    versions: Vec<FormVersion>,
}

/// The file is part of the binary: that it can be read and what it says are tested below.
static FILE: LazyLock<File> = LazyLock::new(|| {
    let mut file: File = serde_json::from_str(include_str!("../../rules/forms.json")).unwrap_or(File {
        majority: Vec::new(),
        only: HashMap::new(),
        versions: Vec::new(),
    });
    file.versions.sort_by_key(|version| version.effective_from);
    file.majority.sort_by_key(|rule| rule.effective_from);
    file
});

/// Whom an item is asked of only; `None` where it is asked of everybody.
pub(super) fn only(item: &str) -> Option<Only> {
    FILE.only.get(item).copied()
}

/// The age from which on somebody is of age on a day.
pub(super) fn majority(on: Date) -> u8 {
    let rule = FILE.majority.iter().rev().find(|rule| rule.effective_from <= on).or(FILE.majority.first());
    rule.map_or(0, |rule| rule.years)
}

impl FormVersion {
    pub(super) fn effective_from(&self) -> Date {
        self.effective_from
    }

    /// Items without which the form is refused.
    pub(super) fn required(&self, purpose: Purpose) -> &[String] {
        self.required.get(purpose.as_str_name()).map_or(&[], Vec::as_slice)
    }

    /// Items that are asked for later.
    pub(super) fn chased(&self, purpose: Purpose) -> &[String] {
        self.chased.get(purpose.as_str_name()).map_or(&[], Vec::as_slice)
    }

    /// Whether the form has a method of diagnosis.
    pub(super) fn has(&self, method: TestMethod) -> bool {
        self.methods.iter().any(|name| name == method.as_str_name())
    }

    /// Whether the form has a specimen for a method. One that is not stated is none that it has not.
    pub(super) fn takes(&self, method: TestMethod, specimen: Specimen) -> bool {
        let printed = self.specimens.get(method.as_str_name());
        specimen == Specimen::Unspecified
            || printed.is_none_or(|printed| printed.iter().any(|name| name == specimen.as_str_name()))
    }
}

/// The version in force on a day; before the first one, the first.
pub(super) fn in_force(on: Date) -> Option<&'static FormVersion> {
    FILE.versions.iter().rev().find(|version| version.effective_from <= on).or_else(|| FILE.versions.first())
}

/// The version of this name.
pub(super) fn named(effective_from: Date) -> Option<&'static FormVersion> {
    FILE.versions.iter().find(|version| version.effective_from == effective_from)
}

fn iso_date<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
    let text = String::deserialize(deserializer)?;
    Date::parse(&text, format_description!("[year]-[month]-[day]")).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use proto::{
        notification::Purpose,
        registry::{Specimen, TestMethod},
    };
    use time::macros::date;

    use super::{FILE, in_force, majority, named};
    use crate::form::items;

    #[test]
    fn the_file_is_read_and_every_version_rules_both_purposes() {
        assert_eq!(FILE.versions.len(), 5);
        for version in &FILE.versions {
            for purpose in [Purpose::Notification, Purpose::TestReport] {
                assert!(!version.required(purpose).is_empty());
                for item in version.required(purpose).iter().chain(version.chased(purpose)) {
                    assert!(items::find(item).is_some(), "there is no item {item}");
                }
            }
            for name in version.methods.iter().chain(version.specimens.keys()) {
                assert!(TestMethod::from_str_name(name).is_some(), "there is no method {name}");
            }
            for name in version.specimens.values().flatten() {
                assert!(Specimen::from_str_name(name).is_some(), "there is no specimen {name}");
            }
        }
        for item in FILE.only.keys() {
            assert!(items::find(item).is_some(), "there is no item {item}");
        }
    }

    #[test]
    fn who_is_of_age_changed_overnight() {
        assert_eq!((majority(date!(2022 - 03 - 31)), majority(date!(2022 - 04 - 01))), (20, 18));
    }

    #[test]
    fn a_swab_of_the_nose_is_a_specimen_of_antigen_tests_from_october_2020() {
        let takes = |day, specimen| in_force(day).unwrap().takes(TestMethod::AntigenQualitative, specimen);
        assert!(takes(date!(2020 - 10 - 02), Specimen::NasalSwab));
        assert!(!takes(date!(2020 - 10 - 02), Specimen::Saliva) && takes(date!(2020 - 10 - 02), Specimen::Unspecified));
        assert!(takes(date!(2020 - 10 - 01), Specimen::Saliva), "nobody knows what was printed before");
        let quantitative = in_force(date!(2020 - 10 - 02)).unwrap();
        assert!(quantitative.takes(TestMethod::AntigenQuantitative, Specimen::Saliva));
    }

    #[test]
    fn the_day_decides_the_version() {
        let on = |date| in_force(date).unwrap().effective_from();
        assert_eq!(on(date!(2020 - 01 - 29)), date!(2020 - 02 - 01));
        assert_eq!(on(date!(2020 - 05 - 12)), date!(2020 - 02 - 01));
        assert_eq!(on(date!(2020 - 05 - 13)), date!(2020 - 05 - 13));
        assert_eq!(on(date!(2020 - 10 - 01)), date!(2020 - 05 - 13));
        assert_eq!(on(date!(2021 - 02 - 10)), date!(2021 - 02 - 10));
        assert_eq!(on(date!(2022 - 06 - 29)), date!(2021 - 02 - 10));
        assert_eq!(on(date!(2022 - 06 - 30)), date!(2022 - 06 - 30));
        assert!(!in_force(date!(2020 - 05 - 12)).unwrap().has(TestMethod::AntigenQualitative));
        assert!(in_force(date!(2020 - 05 - 13)).unwrap().has(TestMethod::AntigenQualitative));
    }

    #[test]
    fn a_version_is_named_by_its_first_day() {
        assert!(named(date!(2020 - 05 - 13)).is_some() && named(date!(2020 - 05 - 14)).is_none());
    }
}
