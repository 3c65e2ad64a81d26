//! The versions of the form as dated data: which items it requires, which are asked for later.

use std::{collections::HashMap, sync::LazyLock};

use proto::{
    notification::{AskedOf, Demand, Purpose},
    registry::{Specimen, TestMethod},
};
use serde::Deserialize;
use time::{Date, macros::format_description};

/// A day as the rules write it, `2020-05-13`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Day(#[serde(deserialize_with = "iso_date")] pub Date);

/// A version of form 6-1, named by the day it took effect in the nation.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FormVersion {
    #[serde(deserialize_with = "iso_date")]
    effective_from: Date,
    /// What it rests on.
    pub law: String,
    /// By prefecture, where it began before.
    #[serde(default)]
    prefecture_starts: HashMap<u8, Day>,
    /// Items of which the original could not be read.
    #[serde(default)]
    unverified: Vec<String>,
    required: HashMap<String, Vec<String>>,
    /// By purpose and item, the name of an [`AskedOf`]: who is refused without a required item. The others are asked for it later.
    #[serde(default)]
    required_of: HashMap<String, HashMap<String, String>>,
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

#[derive(Deserialize)]
struct File {
    source: String,
    majority: Vec<Majority>,
    /// By item, the name of an [`AskedOf`].
    only: HashMap<String, String>,
    versions: Vec<FormVersion>,
}

/// The file is part of the binary: that it can be read and what it says are tested below.
static FILE: LazyLock<File> = LazyLock::new(|| {
    let mut file: File = serde_json::from_str(include_str!("../../rules/forms.json")).unwrap_or(File {
        source: String::new(),
        majority: Vec::new(),
        only: HashMap::new(),
        versions: Vec::new(),
    });
    file.versions.sort_by_key(|version| version.effective_from);
    file.majority.sort_by_key(|rule| rule.effective_from);
    file
});

/// The notices that the versions come from.
pub(super) fn source() -> &'static str {
    &FILE.source
}

/// Whom an item is asked of only.
pub(super) fn asked_of(item: &str) -> AskedOf {
    people(FILE.only.get(item))
}

fn people(name: Option<&String>) -> AskedOf {
    name.and_then(|name| AskedOf::from_str_name(&format!("ASKED_OF_{name}"))).unwrap_or_default()
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

    /// Its first day in a prefecture.
    pub(super) fn begins_in(&self, prefecture: u8) -> Date {
        self.prefecture_starts.get(&prefecture).map_or(self.effective_from, |day| day.0)
    }

    /// Whether the original of an item could not be read.
    pub(super) fn is_unverified(&self, item: &str) -> bool {
        self.unverified.iter().any(|unverified| unverified == item)
    }

    /// What a filing without an item means.
    pub(super) fn demand(&self, purpose: Purpose, item: &str) -> Demand {
        let among = |items: &[String]| items.iter().any(|known| known == item);
        if among(self.required(purpose)) {
            Demand::Required
        } else if among(self.chased(purpose)) {
            Demand::Chased
        } else {
            Demand::Unspecified
        }
    }

    /// Items without which the form is refused.
    pub(super) fn required(&self, purpose: Purpose) -> &[String] {
        self.required.get(purpose.as_str_name()).map_or(&[], Vec::as_slice)
    }

    /// Of whom only a required item is required.
    pub(super) fn required_of(&self, purpose: Purpose, item: &str) -> AskedOf {
        people(self.required_of.get(purpose.as_str_name()).and_then(|items| items.get(item)))
    }

    /// Items that are asked for later.
    pub(super) fn chased(&self, purpose: Purpose) -> &[String] {
        self.chased.get(purpose.as_str_name()).map_or(&[], Vec::as_slice)
    }

    /// The methods of diagnosis that the form has.
    pub(super) fn methods(&self) -> impl Iterator<Item = TestMethod> {
        self.methods.iter().filter_map(|name| TestMethod::from_str_name(name))
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

/// The version in force on a day in a prefecture; before the first one, the first.
pub(super) fn in_force(on: Date, prefecture: u8) -> Option<&'static FormVersion> {
    FILE.versions.iter().rev().find(|version| version.begins_in(prefecture) <= on).or_else(|| FILE.versions.first())
}

/// Every version, oldest first.
#[cfg(test)]
pub(super) fn all() -> &'static [FormVersion] {
    &FILE.versions
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
        notification::{AskedOf, Demand, Purpose},
        registry::{Specimen, TestMethod},
    };
    use time::{Date, macros::date};

    use super::{FILE, FormVersion, asked_of, majority, named};
    use crate::{
        fixture::PREFECTURE,
        form::{catalogue, items},
    };

    fn in_force(on: Date) -> Option<&'static FormVersion> {
        super::in_force(on, PREFECTURE)
    }

    #[test]
    fn the_file_is_read_and_every_version_rules_both_purposes() {
        assert_eq!(FILE.versions.len(), 8);
        let known = |item: &String| assert!(catalogue::find(item).is_some(), "there is no item {item}");
        for version in &FILE.versions {
            for purpose in [Purpose::Notification, Purpose::TestReport] {
                assert!(!version.required(purpose).is_empty());
                for item in version.required(purpose).iter().chain(version.chased(purpose)) {
                    known(item);
                    assert!(items::may_be_asked_for(item), "nobody knows whether {item} is filled in");
                }
            }
            for (purpose, items) in &version.required_of {
                let purpose = Purpose::from_str_name(purpose).unwrap();
                for (item, name) in items {
                    assert!(version.required(purpose).contains(item), "{item} is not required of anybody");
                    assert_ne!(
                        version.required_of(purpose, item),
                        AskedOf::Unspecified,
                        "there is nobody called {name}"
                    );
                }
            }
            for name in version.methods.iter().chain(version.specimens.keys()) {
                assert!(TestMethod::from_str_name(name).is_some(), "there is no method {name}");
            }
            for name in version.specimens.values().flatten() {
                assert!(Specimen::from_str_name(name).is_some(), "there is no specimen {name}");
            }
            version.unverified.iter().for_each(known);
            assert!(version.prefecture_starts.keys().all(|prefecture| (1..=47).contains(prefecture)));
            assert!(version.prefecture_starts.values().all(|day| day.0 < version.effective_from));
            assert!(!version.law.is_empty());
        }
        for (item, name) in &FILE.only {
            known(item);
            assert_ne!(asked_of(item), AskedOf::Unspecified, "there is nobody called {name}");
        }
        assert_eq!(asked_of("1"), AskedOf::Unspecified);
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
        assert_eq!(on(date!(2022 - 01 - 26)), date!(2021 - 02 - 10));
        assert_eq!(on(date!(2022 - 01 - 27)), date!(2022 - 01 - 27));
        assert_eq!(on(date!(2022 - 06 - 29)), date!(2022 - 01 - 27));
        assert_eq!(on(date!(2022 - 06 - 30)), date!(2022 - 06 - 30));
        assert!(!in_force(date!(2020 - 05 - 12)).unwrap().has(TestMethod::AntigenQualitative));
        assert!(in_force(date!(2020 - 05 - 13)).unwrap().has(TestMethod::AntigenQualitative));
    }

    /// 発生届の限定（緊急避難措置）の概要 (2022-08-26): Miyagi, Ibaraki, Tottori and Saga began on 2022-09-02, the nation on 09-26.
    #[test]
    fn a_prefecture_may_begin_before_the_nation() {
        let limited = date!(2022 - 09 - 26);
        for (prefecture, day, begun) in [
            (4, date!(2022 - 09 - 01), false),
            (4, date!(2022 - 09 - 02), true),
            (41, date!(2022 - 09 - 25), true),
            (PREFECTURE, date!(2022 - 09 - 25), false),
            (PREFECTURE, limited, true),
        ] {
            let version = super::in_force(day, prefecture).unwrap();
            assert_eq!(version.effective_from() == limited, begun, "{prefecture} {day}");
        }
        assert_eq!(named(limited).unwrap().begins_in(31), date!(2022 - 09 - 02));
    }

    /// Kyoto medical association, 届出の基準等について（一部改正）(2021-02-10): what was added then. Kyoto hospital association (2022-07-01):
    /// what 施行規則 dropped on 2022-06-30. Shizuoka's form of 2022-09-26: 治療薬・酸素投与の必要性.
    #[test]
    fn a_version_asks_for_what_its_notice_added_and_for_nothing_that_was_dropped() {
        let on = |day, item| in_force(day).unwrap().demand(Purpose::Notification, item);
        for item in [
            "11.spo2",
            "18.vaccination",
            "19.risk_factor",
            "19.immunosuppression",
            "19.pregnancy",
            "19.remote_consultation",
        ] {
            assert_eq!(on(date!(2021 - 02 - 09), item), Demand::Unspecified, "{item}");
            assert_eq!(on(date!(2021 - 02 - 10), item), Demand::Chased, "{item}");
        }
        for item in ["6", "7", "11", "13", "15", "18"] {
            assert_eq!(on(date!(2022 - 06 - 29), item), Demand::Chased, "{item}");
            assert_eq!(on(date!(2022 - 06 - 30), item), Demand::Unspecified, "{item}");
        }
        for item in ["12.sampled", "14", "physician"] {
            assert_eq!(on(date!(2022 - 06 - 30), item), Demand::Required, "{item}");
        }
        // 施行規則, comparison table of 2022-06-30: 保護者の氏名及び住所 became 保護者の氏名及び電話番号.
        for (item, before, after) in
            [("9", Demand::Chased, Demand::Chased), ("10", Demand::Chased, Demand::Unspecified)]
        {
            assert_eq!((on(date!(2022 - 06 - 29), item), on(date!(2022 - 06 - 30), item)), (before, after), "{item}");
        }
        for day in [date!(2022 - 06 - 30), date!(2022 - 08 - 04), date!(2022 - 09 - 26)] {
            assert_eq!(on(day, "10.phone"), Demand::Chased, "{day}");
        }
        for item in ["19.drug_needed", "19.oxygen_needed", "category"] {
            assert_eq!(on(date!(2022 - 09 - 25), item), Demand::Unspecified, "{item}");
            assert_eq!(on(date!(2022 - 09 - 26), item), Demand::Chased, "{item}");
        }
    }

    /// MHLW letter 2022-08-04 (plan21, NIID 週報 2022 week 37): the days of diagnosis and sampling may be left out; MHLW letter
    /// 2022-09-12, p. 5: not any more of those who are notified since 2022-09-26.
    #[test]
    fn from_august_to_september_2022_the_days_of_diagnosis_and_sampling_are_asked_for_later() {
        let on = |day, item| in_force(day).unwrap().demand(Purpose::Notification, item);
        for item in ["12.sampled", "14"] {
            assert_eq!(on(date!(2022 - 08 - 03), item), Demand::Required, "{item}");
            assert_eq!(on(date!(2022 - 08 - 04), item), Demand::Chased, "{item}");
            assert_eq!(on(date!(2022 - 09 - 25), item), Demand::Chased, "{item}");
            assert_eq!(on(date!(2022 - 09 - 26), item), Demand::Required, "{item}");
            assert!(in_force(date!(2022 - 08 - 04)).unwrap().is_unverified(item), "{item}");
        }
        let miyagi = super::in_force(date!(2022 - 09 - 02), 4).unwrap();
        assert_eq!(miyagi.demand(Purpose::Notification, "14"), Demand::Required, "it began before the nation");
        assert_eq!(on(date!(2022 - 08 - 04), "physician"), Demand::Required);
    }

    /// 令和2年5月29日事務連絡 1(3): 12 is a basic item of the negative suspected case too. みなし陽性 since late January 2022.
    #[test]
    fn from_january_2022_a_test_is_required_only_of_whoever_was_tested() {
        let of = |day, purpose, item| in_force(day).unwrap().required_of(purpose, item);
        for (day, purpose, item, expected) in [
            (date!(2022 - 01 - 26), Purpose::Notification, "12", AskedOf::Unspecified),
            (date!(2022 - 01 - 27), Purpose::Notification, "12", AskedOf::Tested),
            (date!(2022 - 01 - 27), Purpose::TestReport, "12", AskedOf::Unspecified),
            (date!(2022 - 06 - 30), Purpose::Notification, "12.sampled", AskedOf::Tested),
            (date!(2022 - 06 - 30), Purpose::Notification, "14", AskedOf::Unspecified),
            (date!(2022 - 09 - 26), Purpose::Notification, "12.sampled", AskedOf::Tested),
        ] {
            assert_eq!(of(day, purpose, item), expected, "{day} {item}");
            assert_eq!(in_force(day).unwrap().demand(purpose, item), Demand::Required, "{day} {item}");
        }
    }

    #[test]
    fn a_version_is_named_by_its_first_day() {
        assert!(named(date!(2020 - 05 - 13)).is_some() && named(date!(2020 - 05 - 14)).is_none());
    }
}
