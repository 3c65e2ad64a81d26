//! Dated rules: how long contacts are observed, when reports are due, what raises an alert, when a person is released.

use std::sync::LazyLock;

use serde::Deserialize;
use time::{Date, macros::format_description};

/// How long somebody is observed after the last contact, from a day on.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ContactDays {
    #[serde(deserialize_with = "iso_date")]
    effective_from: Date,
    days: i64,
}

/// Which oxygen saturation raises which alert, in percent.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Alerts {
    /// 中等症II.
    pub urgent_spo2_at_most: i32,
    /// 中等症I.
    pub caution_spo2_at_most: i32,
}

/// The rules of observation.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Observation {
    /// When a report is due where nothing else was agreed, `HH:MM` in Japan.
    pub times: Vec<String>,
    contact_days: Vec<ContactDays>,
    /// Thresholds.
    pub alerts: Alerts,
}

/// A version of the observation form.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Form {
    /// Its name.
    pub version: String,
    /// First day in force.
    #[serde(deserialize_with = "iso_date")]
    pub effective_from: Date,
    /// Where it comes from.
    pub source: String,
    /// What is asked.
    pub items: Vec<Item>,
}

/// A question.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Item {
    /// The field that takes the answer.
    pub field: String,
    /// In Japanese.
    pub ja: String,
    /// In English.
    pub en: String,
}

/// A version of the release criteria (退院基準・療養解除基準).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Release {
    /// First day in force; its name.
    #[serde(deserialize_with = "iso_date")]
    pub effective_from: Date,
    /// The notice.
    pub source: String,
    /// For people who fell ill: any one of these suffices. Day 0 is the day of onset.
    pub symptomatic: Vec<Way>,
    /// For people who did not: any one suffices. Day 0 is the day of sampling.
    pub asymptomatic: Vec<Way>,
}

/// One way to be released: everything in it must hold.
#[derive(Clone, Debug, Deserialize)]
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

#[expect(clippy::expect_used, reason = "the files are part of the program; a unit test reads them all")]
static OBSERVATION: LazyLock<Observation> =
    LazyLock::new(|| serde_json::from_str(include_str!("../rules/observation.json")).expect("rules/observation.json"));
#[expect(clippy::expect_used, reason = "the files are part of the program; a unit test reads them all")]
static FORMS: LazyLock<Vec<Form>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../rules/forms.json")).expect("rules/forms.json"));
#[expect(clippy::expect_used, reason = "the files are part of the program; a unit test reads them all")]
static RELEASE: LazyLock<Vec<Release>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../rules/release.json")).expect("rules/release.json"));

/// The rules of observation.
pub(crate) fn observation() -> &'static Observation {
    &OBSERVATION
}

impl Observation {
    /// 濃厚接触者: the last day of observation. The day of the last contact is day 0.
    pub(crate) fn last_day(&self, last_contact: Date) -> Date {
        let days = latest(&self.contact_days, last_contact, |rule| rule.effective_from).map_or(14, |rule| rule.days);
        last_contact.saturating_add(time::Duration::days(days))
    }
}

/// The form in force on a day; before the first one, the first.
pub(crate) fn form(on: Date) -> Option<&'static Form> {
    latest(&FORMS, on, |form| form.effective_from)
}

/// The form with a name.
pub(crate) fn form_named(version: &str) -> Option<&'static Form> {
    FORMS.iter().find(|form| form.version == version)
}

/// The release criteria in force on a day; before the first ones, the first.
pub(crate) fn release(on: Date) -> Option<&'static Release> {
    latest(&RELEASE, on, |rule| rule.effective_from)
}

fn latest<T>(versions: &[T], on: Date, from: impl Fn(&T) -> Date) -> Option<&T> {
    versions.iter().rev().find(|version| from(version) <= on).or_else(|| versions.first())
}

fn iso_date<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Date, D::Error> {
    let text = String::deserialize(deserializer)?;
    Date::parse(&text, format_description!("[year]-[month]-[day]")).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use proto::followup::HealthReport;
    use time::macros::date;

    use super::{FORMS, RELEASE, form, observation, release};

    #[test]
    fn versions_are_in_order_and_one_is_in_force_on_every_day() {
        assert!(FORMS.is_sorted_by_key(|form| form.effective_from));
        assert!(RELEASE.is_sorted_by_key(|rule| rule.effective_from));
        assert_eq!(release(date!(2020 - 06 - 11)).map(|r| r.effective_from), Some(date!(2020 - 05 - 29)));
        assert_eq!(release(date!(2020 - 06 - 12)).map(|r| r.effective_from), Some(date!(2020 - 06 - 12)));
        assert!(form(date!(2019 - 01 - 01)).is_some());
    }

    #[test]
    fn a_contact_of_2020_is_observed_for_fourteen_days() {
        assert_eq!(observation().last_day(date!(2020 - 06 - 01)), date!(2020 - 06 - 15));
        assert_eq!(observation().last_day(date!(2022 - 08 - 01)), date!(2022 - 08 - 06));
    }

    #[test]
    fn every_question_has_a_field_that_takes_the_answer() {
        let descriptor = proto::pool().get_message_by_name("hersys.followup.v1.HealthReport").unwrap();
        let _ = HealthReport::default();
        for item in FORMS.iter().flat_map(|form| &form.items) {
            assert!(descriptor.get_field_by_name(&item.field).is_some(), "{}", item.field);
        }
    }
}
