//! Versions of the form, a report checked against the one it answers, and what a report does to the plan.

use std::sync::LazyLock;

use access::{CaseId, OrganisationId};
use japan::date;
use proto::followup::HealthReport;
use runtime::problem::Violation;
use serde::Deserialize;
use time::{Date, OffsetDateTime};

use crate::{
    dated,
    plan::{self, Due, Plan},
};

data::id!(
    /// A health report.
    ReportId,
    "report"
);

/// A stored report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub id: ReportId,
    pub at: OffsetDateTime,
    /// `None` where the person reported.
    pub by_organisation: Option<OrganisationId>,
    pub form_version: String,
    /// The coded answers: a `HealthReport` without its message.
    pub answers: Vec<u8>,
    /// What the person wrote, sealed.
    pub message: Option<Vec<u8>>,
}

/// A report to be stored.
#[derive(Clone, Debug)]
pub(crate) struct NewReport {
    pub report: Report,
    pub case_id: CaseId,
    /// The version of the case it was judged by.
    pub case_version: i64,
    /// The slot it answers, by when that is due.
    pub answers_slot: Option<OffsetDateTime>,
}

/// A version of the observation form.
#[derive(Debug, Deserialize)]
pub(crate) struct Form {
    pub version: String,
    #[serde(deserialize_with = "dated::iso_date")]
    pub effective_from: Date,
    pub source: String,
    pub items: Vec<Item>,
}

/// A question.
#[derive(Debug, Deserialize)]
pub(crate) struct Item {
    /// The field of `HealthReport` that takes the answer.
    pub field: String,
    pub ja: String,
    pub en: String,
}

#[expect(clippy::expect_used, reason = "the file is part of the program; a unit test reads it")]
static FORMS: LazyLock<Vec<Form>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../rules/forms.json")).expect("rules/forms.json"));

impl Form {
    /// The one in force on a day; before the first one, the first.
    pub(crate) fn on(day: Date) -> Option<&'static Self> {
        dated::in_force(&FORMS, day, |form| form.effective_from)
    }

    /// The one with this name.
    pub(crate) fn named(version: &str) -> Option<&'static Self> {
        FORMS.iter().find(|form| form.version == version)
    }
}

/// Checks what the contract's own rules do not: dates, the version of the form, and that something is answered. Dates come out in
/// ISO.
///
/// # Errors
/// Every field at fault.
pub(crate) fn check(
    mut report: HealthReport,
    version: &str,
    today: Date,
) -> Result<(HealthReport, &'static Form), Vec<Violation>> {
    let mut found = Vec::new();
    let form = if version.is_empty() { Form::on(today) } else { Form::named(version) };
    if !report.relief_date.is_empty() {
        match date::parse(&report.relief_date) {
            Ok(day) if day > today => {
                found.push(Violation::new("report.relief_date", "未来の日付です", "must not be in the future"));
            }
            Ok(day) => report.relief_date = day.to_string(),
            Err(why) => found.push(Violation::new("report.relief_date", "日付が正しくありません", why)),
        }
    }
    if report == HealthReport::default() {
        found.push(Violation::new("report", "少なくとも1項目を入力してください", "must answer at least one question"));
    }
    let Some(form) = form else {
        found.push(Violation::new("form_version", "その様式はありません", "must name a version of the form"));
        return Err(found);
    };
    if found.is_empty() { Ok((report, form)) } else { Err(found) }
}

/// What a report does to the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Step {
    /// The slot it answers, by when that was due.
    pub answers: Option<OffsetDateTime>,
    /// The slot that follows.
    pub open: Option<Due>,
    /// When the person reports next.
    pub next_due: Option<OffsetDateTime>,
}

impl Step {
    /// Of a report at a moment.
    pub(crate) fn of(plan: Option<&Plan>, now: OffsetDateTime) -> Self {
        let Some((plan, slot)) = plan.and_then(|plan| Some((plan, plan.awaited?))) else { return Self::default() };
        if plan.overdue || !plan::counts(now, slot) {
            // A late report settles what was missed; what is awaited next stays awaited. So it does after a second one.
            return Self { next_due: Some(slot.due_at), ..Self::default() };
        }
        let next = Due::after(plan, slot.due_at, now);
        let next_due = Some(next.slot.due_at).filter(|_| !next.is_over());
        Self { answers: Some(slot.due_at), open: Some(next), next_due }
    }
}

#[cfg(test)]
mod tests {
    use proto::followup::{Answer, HealthReport};
    use time::macros::date;

    use super::{FORMS, Form, check};

    const TODAY: time::Date = date!(2020 - 06 - 10);

    fn faults(report: HealthReport, version: &str) -> Vec<String> {
        check(report, version, TODAY).err().unwrap_or_default().into_iter().map(|v| v.field).collect()
    }

    #[test]
    fn a_report_answers_something_on_a_form_that_exists() {
        let cough = HealthReport { cough: Answer::Yes.into(), ..HealthReport::default() };
        assert_eq!(faults(cough.clone(), ""), Vec::<String>::new());
        let tomorrow = HealthReport { relief_date: "2020-06-11".to_owned(), ..cough.clone() };
        assert_eq!(faults(tomorrow, ""), ["report.relief_date"]);
        assert_eq!(faults(cough, "1999-01-01"), ["form_version"]);
        assert_eq!(faults(HealthReport::default(), "1999-01-01"), ["report", "form_version"]);
    }

    #[test]
    fn dates_come_out_in_iso() {
        let relieved = HealthReport { relief_date: "R2.6.9".to_owned(), ..HealthReport::default() };
        assert_eq!(check(relieved, "", TODAY).unwrap().0.relief_date, "2020-06-09");
    }

    #[test]
    fn versions_are_in_order_and_one_is_in_force_on_every_day() {
        assert!(FORMS.is_sorted_by_key(|form| form.effective_from));
        assert!(Form::on(date!(2019 - 01 - 01)).is_some());
    }

    #[test]
    fn every_question_has_a_field_that_takes_the_answer() {
        let descriptor = proto::pool().get_message_by_name("hersys.followup.v1.HealthReport").unwrap();
        for item in FORMS.iter().flat_map(|form| &form.items) {
            assert!(descriptor.get_field_by_name(&item.field).is_some(), "{}", item.field);
        }
    }
}
