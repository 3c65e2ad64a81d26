//! What was found in the person, and when: dates that can be, in an order that can be.

use japan::date;
use proto::{
    notification::{Findings, Symptom},
    registry::DiagnosisClass,
};
use runtime::problem::Violation;
use time::Date;

use super::items::Parts;

pub(super) fn check_findings(findings: &mut Findings, today: Date, found: &mut Vec<Violation>) {
    for (value, field) in [
        (&mut findings.first_visit_date, "first_visit_date"),
        (&mut findings.diagnosis_date, "diagnosis_date"),
        (&mut findings.infection_date, "infection_date"),
        (&mut findings.onset_date, "onset_date"),
        (&mut findings.death_date, "death_date"),
    ] {
        take_date(value, &format!("form.findings.{field}"), today, found);
    }
    for (index, diagnosis) in findings.diagnoses.iter_mut().enumerate() {
        let field = format!("form.findings.diagnoses[{index}].sampled_date");
        take_date(&mut diagnosis.sampled_date, &field, today, found);
    }
    let none = findings.symptoms.contains(&i32::from(Symptom::None));
    if none && findings.symptoms.len() > 1 {
        found.push(Violation::new(
            "form.findings.symptoms",
            "「なし」は他の症状と同時に選べません",
            "must name no other symptom beside `none`",
        ));
    }
}

/// Dates that contradict each other.
pub(super) fn check_order(parts: Parts<'_>, report_date: Option<Date>, found: &mut Vec<Violation>) {
    let Parts { form, subject, findings } = parts;
    let day = |text: &str| date::parse(text).ok();
    let corpse =
        matches!(data::code(form.diagnosis_class), DiagnosisClass::Deceased | DiagnosisClass::SuspectedDeceased);
    let onset = day(&findings.onset_date);

    if let (Some(onset), Some(report)) = (onset, report_date)
        && onset > report
    {
        let en = "must not be after the report date";
        found.push(Violation::new("form.findings.onset_date", "報告年月日より後です", en));
    }
    if let (Some(born), Some(onset)) = (day(&subject.birth_date), onset)
        && onset < born
    {
        let en = "must not be before the birth date";
        found.push(Violation::new("form.findings.onset_date", "生年月日より前です", en));
    }
    if let (Some(died), Some(diagnosed)) = (day(&findings.death_date), day(&findings.diagnosis_date))
        && died < diagnosed
        && !corpse
    {
        let en = "must not be before the diagnosis";
        found.push(Violation::new("form.findings.death_date", "診断年月日より前です", en));
    }
}

/// Reads a date, writes it back in ISO, and notes a fault.
pub(super) fn take_date(value: &mut String, field: &str, today: Date, found: &mut Vec<Violation>) -> Option<Date> {
    if value.is_empty() {
        return None;
    }
    match date::parse(value) {
        Ok(date) if date > today => {
            found.push(Violation::new(field, "未来の日付です", "must not be in the future"));
            None
        }
        Ok(date) => {
            *value = date.to_string();
            Some(date)
        }
        Err(why) => {
            let ja = "日付が正しくありません（例: 2020-05-13、R2.5.13）";
            found.push(Violation::new(field, ja, format!("must be a date ({why})")));
            None
        }
    }
}
