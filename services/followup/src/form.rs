//! A report checked against the form it answers.

use japan::date;
use proto::followup::{FormItem, HealthReport, ReportForm};
use runtime::problem::Violation;
use time::Date;

use crate::rules::{self, Form};

/// Below and above, a thermometer was misread.
const TEMPERATURES: std::ops::RangeInclusive<i32> = 300..=450;
/// Below, an oximeter was misread.
const LOWEST_SPO2: i32 = 30;

/// Checks a report: numbers a body can have, dates that can be, only what the form asks. Dates come out in ISO.
///
/// # Errors
/// Every field at fault.
pub(crate) fn check(
    mut report: HealthReport,
    version: &str,
    today: Date,
) -> Result<(HealthReport, &'static Form), Vec<Violation>> {
    let mut found = Vec::new();
    let form = if version.is_empty() { rules::form(today) } else { rules::form_named(version) };
    let temperature = report.temperature_decicelsius;
    if temperature != 0 && !TEMPERATURES.contains(&temperature) {
        found.push(Violation::new(
            "report.temperature_decicelsius",
            "体温は30.0〜45.0℃（0.1℃単位、36.8℃は368）です",
            "is between 300 and 450 tenths of a degree (36.8 °C is 368)",
        ));
    }
    if report.spo2_percent != 0 && report.spo2_percent < LOWEST_SPO2 {
        found.push(Violation::new("report.spo2_percent", "30〜100％です", "is between 30 and 100 percent"));
    }
    if !report.relieved_on.is_empty() {
        match date::parse(&report.relieved_on) {
            Ok(day) if day > today => {
                found.push(Violation::new("report.relieved_on", "未来の日付です", "lies in the future"));
            }
            Ok(day) => report.relieved_on = day.to_string(),
            Err(why) => found.push(Violation::new("report.relieved_on", "日付が正しくありません", why)),
        }
    }
    let Some(form) = form else {
        found.push(Violation::new("form_version", "その様式はありません", "names no version of the form"));
        return Err(found);
    };
    if report == HealthReport::default() {
        found.push(Violation::new("report", "少なくとも1項目を入力してください", "answers nothing"));
    }
    if found.is_empty() { Ok((report, form)) } else { Err(found) }
}

/// The form as the API shows it.
pub(crate) fn shown(form: &Form) -> ReportForm {
    let item = |item: &rules::Item| FormItem { field: item.field.clone(), ja: item.ja.clone(), en: item.en.clone() };
    ReportForm {
        version: form.version.clone(),
        effective_from: form.effective_from.to_string(),
        source: form.source.clone(),
        items: form.items.iter().map(item).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proto::followup::{Answer, HealthReport};
    use time::macros::date;

    use super::check;

    const TODAY: time::Date = date!(2020 - 06 - 10);

    fn faults(report: HealthReport, version: &str) -> Vec<String> {
        check(report, version, TODAY).err().unwrap_or_default().into_iter().map(|v| v.field).collect()
    }

    #[test]
    fn a_body_has_numbers_a_body_can_have() {
        let cough = HealthReport { cough: Answer::Yes.into(), ..HealthReport::default() };
        assert_eq!(faults(cough.clone(), ""), Vec::<String>::new());
        let degrees = HealthReport { temperature_decicelsius: 38, ..cough.clone() };
        assert_eq!(faults(degrees, ""), ["report.temperature_decicelsius"]);
        assert_eq!(faults(HealthReport { spo2_percent: 9, ..cough.clone() }, ""), ["report.spo2_percent"]);
        let tomorrow = HealthReport { relieved_on: "2020-06-11".to_owned(), ..cough.clone() };
        assert_eq!(faults(tomorrow, ""), ["report.relieved_on"]);
        assert_eq!(faults(cough, "1999-01-01"), ["form_version"]);
        assert_eq!(faults(HealthReport::default(), ""), ["report"]);
    }
}
