//! The versions of the form as dated data: which items it requires, which are asked for later.

use std::{collections::HashMap, sync::LazyLock};

use proto::{notification::Purpose, registry::TestMethod};
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
}

#[derive(Deserialize)]
struct File {
    versions: Vec<FormVersion>,
}

/// The file is part of the binary: that it can be read and what it says are tested below.
static VERSIONS: LazyLock<Vec<FormVersion>> = LazyLock::new(|| {
    let file: File =
        serde_json::from_str(include_str!("../../rules/forms.json")).unwrap_or(File { versions: Vec::new() });
    let mut versions = file.versions;
    versions.sort_by_key(|version| version.effective_from);
    versions
});

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
}

/// The version in force on a day; before the first one, the first.
pub(super) fn in_force(on: Date) -> Option<&'static FormVersion> {
    VERSIONS.iter().rev().find(|version| version.effective_from <= on).or_else(|| VERSIONS.first())
}

/// The version of this name.
pub(super) fn named(effective_from: Date) -> Option<&'static FormVersion> {
    VERSIONS.iter().find(|version| version.effective_from == effective_from)
}

fn iso_date<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
    let text = String::deserialize(deserializer)?;
    Date::parse(&text, format_description!("[year]-[month]-[day]")).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use proto::{notification::Purpose, registry::TestMethod};
    use time::macros::date;

    use super::{VERSIONS, in_force, named};
    use crate::form::items;

    #[test]
    fn the_file_is_read_and_every_version_rules_both_purposes() {
        assert_eq!(VERSIONS.len(), 2);
        for version in VERSIONS.iter() {
            for purpose in [Purpose::Notification, Purpose::TestReport] {
                assert!(!version.required(purpose).is_empty());
                for item in version.required(purpose).iter().chain(version.chased(purpose)) {
                    assert!(items::find(item).is_some(), "there is no item {item}");
                }
            }
            for name in &version.methods {
                assert!(TestMethod::from_str_name(name).is_some(), "there is no method {name}");
            }
        }
    }

    #[test]
    fn the_day_decides_the_version() {
        let on = |date| in_force(date).unwrap().effective_from();
        assert_eq!(on(date!(2020 - 01 - 29)), date!(2020 - 02 - 01));
        assert_eq!(on(date!(2020 - 05 - 12)), date!(2020 - 02 - 01));
        assert_eq!(on(date!(2020 - 05 - 13)), date!(2020 - 05 - 13));
        assert!(!in_force(date!(2020 - 05 - 12)).unwrap().has(TestMethod::AntigenQualitative));
        assert!(in_force(date!(2020 - 05 - 13)).unwrap().has(TestMethod::AntigenQualitative));
    }

    #[test]
    fn a_version_is_named_by_its_first_day() {
        assert!(named(date!(2020 - 05 - 13)).is_some() && named(date!(2020 - 05 - 14)).is_none());
    }
}
