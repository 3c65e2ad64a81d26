//! What was found in the person, and when: dates that can be, in an order that can be.

use japan::{
    date,
    order::{self, Conflict, Event, Verdict},
};
use proto::{
    notification::{Diagnosis, Findings, Symptom},
    registry::{DiagnosisClass, Specimen, TestResult},
};
use runtime::problem::Violation;
use time::Date;

use super::items::{Parts, is_corpse};

/// The days of the form, and where each stands.
const DAYS: [(Event, &str); 12] = [
    (Event::Birth, "form.subject.birth_date"),
    (Event::Vaccination, "form.vaccination.last_date"),
    (Event::Departure, "form.infection.departure_date"),
    (Event::Infection, "form.findings.infection_date"),
    (Event::Return, "form.infection.return_date"),
    (Event::Onset, "form.findings.onset_date"),
    (Event::FirstVisit, "form.findings.first_visit_date"),
    (Event::Sampling, "form.findings.diagnoses"),
    (Event::Diagnosis, "form.findings.diagnosis_date"),
    (Event::Admission, "form.care.admission_date"),
    (Event::Report, "form.report_date"),
    (Event::Death, "form.findings.death_date"),
];

/// Where a day stands on the form, if it is there.
pub(super) fn place(of: Event) -> Option<&'static str> {
    DAYS.iter().find(|(event, _)| *event == of).map(|(_, field)| *field)
}

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
        if !diagnosis.specimen_other.is_empty() && diagnosis.specimen() != Specimen::Other {
            let field = format!("form.findings.diagnoses[{index}].specimen_other");
            let ja = "検体の種類が「その他」のときだけ入力してください";
            found.push(Violation::new(field, ja, "must be empty unless the specimen is another one"));
        }
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

/// Dates in an order that cannot be, or that seldom is and that nobody confirmed.
pub(super) fn check_order(
    parts: Parts<'_>,
    (report_date, today): (Option<Date>, Date),
    confirmed: &[String],
    found: &mut Vec<Violation>,
) {
    let Parts { form, subject, findings } = parts;
    let mut days: Vec<(Event, Date)> = report_date.map(|date| (Event::Report, date)).into_iter().collect();
    let mut take = |event, text: &str| days.extend(date::parse(text).ok().map(|date| (event, date)));
    take(Event::Birth, &subject.birth_date);
    take(Event::Infection, &findings.infection_date);
    take(Event::Onset, &findings.onset_date);
    take(Event::FirstVisit, &findings.first_visit_date);
    take(Event::Diagnosis, &findings.diagnosis_date);
    take(Event::Death, &findings.death_date);
    take(Event::Admission, form.care.as_ref().map_or("", |care| &care.admission_date));
    if let Some(infection) = &form.infection {
        take(Event::Departure, &infection.departure_date);
        take(Event::Return, &infection.return_date);
    }
    take(Event::Vaccination, form.vaccination.as_ref().map_or("", |vaccination| &vaccination.last_date));
    for diagnosis in &findings.diagnoses {
        take(Event::Sampling, &diagnosis.sampled_date);
    }
    // What lies in the future was named before.
    days.retain(|(_, day)| *day <= today);

    let mut named: Vec<&'static str> = Vec::new();
    let mut name = |field: &'static str, ja: String, en: String| {
        if !named.contains(&field) {
            named.push(field);
            found.push(Violation::new(field, ja, en));
        }
    };
    // People went abroad before anything happened.
    let earlier = |event| matches!(event, Event::Birth | Event::Departure);
    for (event, _) in days.iter().filter(|(event, day)| !earlier(*event) && *day < order::FIRST) {
        let (ja, en) = (format!("{}が 2020-01-01 より前です", event.ja()), "must not be before 2020-01-01");
        name(field(*event), ja, en.to_owned());
    }
    let conflicts = order::of_form(&days, is_corpse(form));
    let (impossible, unusual): (Vec<_>, Vec<_>) =
        conflicts.into_iter().partition(|conflict| conflict.verdict == Verdict::Impossible);
    for Conflict { earlier, later, .. } in &impossible {
        let ja = format!("{}が{}より後です", earlier.ja(), later.ja());
        name(at_fault(*earlier, *later), ja, format!("{} must not be after {}", earlier.en(), later.en()));
    }
    // What is only unusual is asked when the rest is right.
    for Conflict { earlier, later, .. } in unusual.iter().filter(|_| impossible.is_empty()) {
        let pair = earlier.after(*later);
        if !confirmed.contains(&pair) {
            let (first, second) = (earlier.ja(), later.ja());
            let ja = format!("{first}が{second}より後です。正しければ、確認済み（{pair}）として再度送信してください");
            let (first, second) = (earlier.en(), later.en());
            let en = format!("{first} is after {second}, which is unusual; if so, send {pair} in confirmed_warnings");
            name(at_fault(*earlier, *later), ja, en);
        }
    }
}

/// Of two days in the wrong order, the one to look at. The day of the report is seldom wrong.
fn at_fault(earlier: Event, later: Event) -> &'static str {
    field(if later == Event::Report { earlier } else { later })
}

/// What contradicts the class (類型).
pub(super) fn check_class(parts: Parts<'_>, found: &mut Vec<Violation>) {
    let Parts { form, findings, .. } = parts;
    let class: DiagnosisClass = data::code(form.diagnosis_class);
    let ill = findings.symptoms().any(|symptom| symptom != Symptom::None);
    if class == DiagnosisClass::AsymptomaticCarrier && (ill || !findings.onset_date.is_empty()) {
        let field = if ill { "form.findings.symptoms" } else { "form.findings.onset_date" };
        let ja = "無症状病原体保有者に症状・発病年月日はありません。症状があれば患者（確定例）です";
        found.push(Violation::new(field, ja, "must be empty for an asymptomatic carrier"));
    }
    let negative = |diagnosis: &Diagnosis| diagnosis.result() == TestResult::Negative;
    let confirmed =
        matches!(class, DiagnosisClass::Confirmed | DiagnosisClass::AsymptomaticCarrier | DiagnosisClass::Deceased);
    if confirmed && !findings.diagnoses.is_empty() && findings.diagnoses.iter().all(negative) {
        let ja = "陰性の検査だけでは、この類型の診断になりません";
        found.push(Violation::new("form.diagnosis_class", ja, "must not rest on negative tests alone"));
    }
    if !is_corpse(form) && class == DiagnosisClass::AsymptomaticCarrier && !findings.death_date.is_empty() {
        let ja = "死亡年月日があるときは、類型を確認してください";
        found.push(Violation::new("form.findings.death_date", ja, "must be empty for an asymptomatic carrier"));
    }
}

fn field(event: Event) -> &'static str {
    place(event).unwrap_or("form")
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
