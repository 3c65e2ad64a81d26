//! By when what tasks ask for should be done.

use std::sync::LazyLock;

use serde::Deserialize;
use time::{Date, Duration};

use crate::dated;

#[derive(Debug, Deserialize)]
struct Within {
    #[serde(deserialize_with = "dated::iso_date")]
    effective_from: Date,
    days: i64,
}

/// The rules of tasks.
#[derive(Debug, Deserialize)]
pub(crate) struct Tasks {
    missing_items: Vec<Within>,
}

#[expect(clippy::expect_used, reason = "the file is part of the program; a unit test reads it")]
static TASKS: LazyLock<Tasks> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../rules/tasks.json")).expect("rules/tasks.json"));

pub(crate) fn tasks() -> &'static Tasks {
    &TASKS
}

impl Tasks {
    /// The day by which missing items should be supplied, of a form that lacks them since a day.
    pub(crate) fn missing_items_due(&self, since: Date) -> Option<Date> {
        let rule = dated::in_force(&self.missing_items, since, |rule| rule.effective_from)?;
        Some(since.saturating_add(Duration::days(rule.days)))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::tasks;

    #[test]
    fn missing_items_are_due_after_a_week() {
        assert!(tasks().missing_items.is_sorted_by_key(|rule| rule.effective_from));
        assert_eq!(tasks().missing_items_due(date!(2020 - 06 - 01)), Some(date!(2020 - 06 - 08)));
    }
}
