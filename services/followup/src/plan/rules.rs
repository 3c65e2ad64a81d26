//! How long contacts are observed, and when a report is due where nothing else was agreed.

use std::sync::LazyLock;

use serde::Deserialize;
use time::{Date, Duration};

use crate::dated;

#[derive(Debug, Deserialize)]
struct ContactDays {
    #[serde(deserialize_with = "dated::iso_date")]
    effective_from: Date,
    days: i64,
}

/// The rules of observation.
#[derive(Debug, Deserialize)]
pub(crate) struct Observation {
    /// `HH:MM` in Japan.
    pub times: Vec<String>,
    contact_days: Vec<ContactDays>,
}

#[expect(clippy::expect_used, reason = "the file is part of the program; a unit test reads it")]
static OBSERVATION: LazyLock<Observation> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../rules/observation.json")).expect("rules/observation.json")
});

pub(crate) fn observation() -> &'static Observation {
    &OBSERVATION
}

impl Observation {
    /// 濃厚接触者: the last day of observation. The day of the last contact is day 0.
    pub(crate) fn last_day(&self, last_contact: Date) -> Option<Date> {
        let rule = dated::in_force(&self.contact_days, last_contact, |rule| rule.effective_from)?;
        Some(last_contact.saturating_add(Duration::days(rule.days)))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::observation;

    #[test]
    fn a_contact_of_2020_is_observed_for_fourteen_days() {
        assert!(observation().contact_days.is_sorted_by_key(|rule| rule.effective_from));
        assert_eq!(observation().last_day(date!(2020 - 06 - 01)), Some(date!(2020 - 06 - 15)));
        assert_eq!(observation().last_day(date!(2022 - 08 - 01)), Some(date!(2022 - 08 - 06)));
    }
}
