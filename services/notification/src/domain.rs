//! What must hold for a form before it is filed. No I/O.

use japan::{date, person};
use proto::{
    notification::{Findings, Form, Purpose, Subject, Symptom},
    registry::{DiagnosisClass, Sex, TestMethod},
};
use runtime::problem::Violation;
use time::Date;

use crate::rules::{self, FormVersion};

runtime::id!(
    /// A notification.
    NotificationId
);

/// A form that holds: dates in ISO, telephone in its normal form, names exactly as typed.
pub struct Checked {
    /// The form as it will be stored.
    pub form: Form,
    /// The version it was checked against.
    pub version: Date,
    /// Items that are still missing.
    pub missing: Vec<String>,
}

/// Checks a form as of a day and brings it to its stored form.
///
/// # Errors
/// Every field at fault, by its path.
pub fn check(mut form: Form, today: Date) -> Result<Checked, Vec<Violation>> {
    let mut found = Vec::new();
    let report_date = take_date(&mut form.report_date, "form.report_date", today, &mut found);
    let version = version_of(&form.form_version, report_date.unwrap_or(today), &mut found);
    let mut findings = form.findings.take().unwrap_or_default();
    let mut subject = form.subject.take().unwrap_or_default();

    check_subject(&mut subject, today, &mut found);
    check_findings(&mut findings, today, &mut found);
    check_order(&form, &findings, &subject, report_date, &mut found);
    if let Some(care) = &mut form.care {
        take_date(&mut care.admitted_on, "form.care.admitted_on", today, &mut found);
    }
    form.subject = Some(subject);
    form.findings = Some(findings);

    let Some(version) = version else { return Err(found) };
    form.form_version = version.effective_from().to_string();
    let purpose = Purpose::try_from(form.purpose).unwrap_or(Purpose::Notification);
    for item in version.required(purpose).iter().filter(|item| !holds(&form, item)) {
        let (field, name) = label(item);
        found.push(Violation::new(field, format!("「{item} {name}」は必須です"), format!("item {item} is required")));
    }
    for (index, diagnosis) in form.findings.iter().flat_map(|f| &f.diagnoses).enumerate() {
        if !TestMethod::try_from(diagnosis.method).is_ok_and(|method| version.knows(method)) {
            found.push(Violation::new(
                format!("form.findings.diagnoses[{index}].method"),
                format!("{} 施行の様式にない診断方法です", version.effective_from()),
                format!("is not part of the form of {}", version.effective_from()),
            ));
        }
    }
    if !found.is_empty() {
        return Err(found);
    }
    let missing = version.chased(purpose).iter().filter(|item| !holds(&form, item)).cloned().collect();
    Ok(Checked { form, version: version.effective_from(), missing })
}

fn version_of(named: &str, report_date: Date, found: &mut Vec<Violation>) -> Option<&'static FormVersion> {
    if named.is_empty() {
        return rules::in_force(report_date);
    }
    let version = date::parse(named).ok().and_then(rules::named);
    let in_force = rules::in_force(report_date);
    match version {
        None => found.push(Violation::new("form.form_version", "存在しない様式の版です", "is no version of the form")),
        // A form may be filed late, on the version of its day; not on one that came later.
        Some(version) if in_force.is_some_and(|v| v.effective_from() < version.effective_from()) => {
            found.push(Violation::new(
                "form.form_version",
                "報告年月日の時点で施行されていない様式です",
                "was not in force on the report date",
            ));
        }
        Some(_) => {}
    }
    version
}

fn check_subject(subject: &mut Subject, today: Date, found: &mut Vec<Violation>) {
    let typed = person::Typed {
        name_kanji: &subject.name_kanji,
        name_kana: &subject.name_kana,
        birth_date: &subject.birth_date,
        phone: &subject.phone,
        mail: &subject.mail,
        municipality_code: &subject.whereabouts_code,
        has_age_band: subject.stated_age_band != 0,
    };
    match person::check(&typed, today) {
        Ok(checked) => {
            subject.birth_date = checked.birth_date.map(|date| date.to_string()).unwrap_or_default();
            subject.phone = checked.phone;
        }
        Err(findings) => found.extend(findings.into_iter().map(|finding| {
            let field = if finding.field == "municipality_code" { "whereabouts_code" } else { finding.field };
            Violation::new(format!("form.subject.{field}"), finding.ja, finding.en)
        })),
    }
}

fn check_findings(findings: &mut Findings, today: Date, found: &mut Vec<Violation>) {
    for (value, field) in [
        (&mut findings.first_visit_on, "first_visit_on"),
        (&mut findings.diagnosed_on, "diagnosed_on"),
        (&mut findings.infected_on, "infected_on"),
        (&mut findings.onset_on, "onset_on"),
        (&mut findings.died_on, "died_on"),
    ] {
        take_date(value, &format!("form.findings.{field}"), today, found);
    }
    for (index, diagnosis) in findings.diagnoses.iter_mut().enumerate() {
        take_date(&mut diagnosis.sampled_on, &format!("form.findings.diagnoses[{index}].sampled_on"), today, found);
    }
    let none = findings.symptoms.contains(&i32::from(Symptom::None));
    if none && findings.symptoms.len() > 1 {
        found.push(Violation::new(
            "form.findings.symptoms",
            "「なし」は他の症状と同時に選べません",
            "`none` excludes all others",
        ));
    }
    if !(findings.spo2_percent == 0 || (50..=100).contains(&findings.spo2_percent)) {
        found.push(Violation::new(
            "form.findings.spo2_percent",
            "酸素飽和度は50〜100で入力してください",
            "must lie between 50 and 100",
        ));
    }
}

/// Dates that contradict each other.
fn check_order(
    form: &Form,
    findings: &Findings,
    subject: &Subject,
    report_date: Option<Date>,
    found: &mut Vec<Violation>,
) {
    let day = |text: &str| date::parse(text).ok();
    let corpse = matches!(
        DiagnosisClass::try_from(form.diagnosis_class),
        Ok(DiagnosisClass::Deceased | DiagnosisClass::SuspectedDeceased)
    );
    if let (Some(onset), Some(report)) = (day(&findings.onset_on), report_date)
        && onset > report
    {
        found.push(Violation::new("form.findings.onset_on", "報告年月日より後です", "lies after the report date"));
    }
    if let (Some(born), Some(onset)) = (day(&subject.birth_date), day(&findings.onset_on))
        && onset < born
    {
        found.push(Violation::new("form.findings.onset_on", "生年月日より前です", "lies before birth"));
    }
    if let (Some(died), Some(diagnosed)) = (day(&findings.died_on), day(&findings.diagnosed_on))
        && died < diagnosed
        && !corpse
    {
        found.push(Violation::new("form.findings.died_on", "診断年月日より前です", "lies before the diagnosis"));
    }
}

/// Reads a date, writes it back in ISO, and notes a fault.
fn take_date(value: &mut String, field: &str, today: Date, found: &mut Vec<Violation>) -> Option<Date> {
    if value.is_empty() {
        return None;
    }
    match date::parse(value) {
        Ok(date) if date > today => {
            found.push(Violation::new(field, "未来の日付です", "lies in the future"));
            None
        }
        Ok(date) => {
            *value = date.to_string();
            Some(date)
        }
        Err(why) => {
            found.push(Violation::new(field, "日付が正しくありません（例: 2020-05-13、R2.5.13）", why));
            None
        }
    }
}

/// Whether a form holds an item.
fn holds(form: &Form, item: &str) -> bool {
    let subject = form.subject.clone().unwrap_or_default();
    let findings = form.findings.clone().unwrap_or_default();
    match item {
        "1" => form.diagnosis_class != 0,
        "2" => !subject.name_kanji.is_empty(),
        "3" => subject.sex != i32::from(Sex::Unspecified),
        "4" => !subject.birth_date.is_empty() || subject.stated_age_band != 0,
        "6" => !subject.occupation.is_empty(),
        "7" => !subject.address.is_empty(),
        "8" => !subject.whereabouts.is_empty() || !subject.whereabouts_code.is_empty(),
        "11" => !findings.symptoms.is_empty(),
        "12" => !findings.diagnoses.is_empty(),
        "13" => !findings.first_visit_on.is_empty(),
        "14" => !findings.diagnosed_on.is_empty(),
        "15" => !findings.infected_on.is_empty(),
        "16" => !findings.onset_on.is_empty(),
        "18" => form.infection.is_some(),
        "19" => form.care.is_some(),
        _ => true,
    }
}

/// Where an item stands in the message, and its name on the form.
fn label(item: &str) -> (&'static str, &'static str) {
    match item {
        "1" => ("form.diagnosis_class", "診断した者の類型"),
        "2" => ("form.subject.name_kanji", "当該者氏名"),
        "3" => ("form.subject.sex", "性別"),
        "4" => ("form.subject.birth_date", "生年月日"),
        "8" => ("form.subject.whereabouts", "当該者所在地"),
        "12" => ("form.findings.diagnoses", "診断方法"),
        _ => ("form", "項目"),
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        notification::{Diagnosis, Findings, Form, Purpose, Subject, Symptom},
        registry::{DiagnosisClass, Sex, Specimen, TestMethod, TestResult},
    };
    use time::macros::date;

    use super::check;

    const TODAY: time::Date = date!(2020 - 06 - 01);

    fn good() -> Form {
        Form {
            purpose: Purpose::Notification.into(),
            report_date: "令和2年5月20日".to_owned(),
            diagnosis_class: DiagnosisClass::Confirmed.into(),
            subject: Some(Subject {
                name_kanji: "髙﨑 𠮷男".to_owned(),
                name_kana: "ﾀｶｻｷ ﾖｼｵ".to_owned(),
                sex: Sex::Male.into(),
                birth_date: "S55.1.31".to_owned(),
                whereabouts: "大阪市北区".to_owned(),
                whereabouts_code: "271004".to_owned(),
                ..Subject::default()
            }),
            findings: Some(Findings {
                diagnoses: vec![Diagnosis {
                    method: TestMethod::NucleicAcid.into(),
                    specimen: Specimen::Saliva.into(),
                    result: TestResult::Positive.into(),
                    sampled_on: "2020-05-19".to_owned(),
                }],
                ..Findings::default()
            }),
            ..Form::default()
        }
    }

    fn faults(form: Form) -> Vec<String> {
        check(form, TODAY).err().unwrap_or_default().into_iter().map(|v| v.field).collect()
    }

    fn with_subject(change: impl FnOnce(&mut Subject)) -> Form {
        let mut form = good();
        change(form.subject.as_mut().unwrap());
        form
    }

    fn with_findings(change: impl FnOnce(&mut Findings)) -> Form {
        let mut form = good();
        change(form.findings.as_mut().unwrap());
        form
    }

    #[test]
    fn names_stay_as_typed_and_dates_become_iso() {
        let checked = check(good(), TODAY).unwrap_or_else(|_| panic!("refused"));
        let subject = checked.form.subject.unwrap();
        assert_eq!(subject.name_kanji, "髙﨑 𠮷男");
        assert_eq!(subject.name_kana, "ﾀｶｻｷ ﾖｼｵ");
        assert_eq!(subject.birth_date, "1980-01-31");
        assert_eq!(checked.form.report_date, "2020-05-20");
        assert_eq!(checked.version, date!(2020 - 05 - 13));
        assert_eq!(checked.missing, ["6", "7", "11", "13", "14", "15", "16", "18", "19"]);
    }

    #[test]
    fn the_basic_items_suffice_for_a_test_report() {
        let form = Form { purpose: Purpose::TestReport.into(), ..good() };
        assert!(check(form, TODAY).is_ok_and(|checked| checked.missing.is_empty()));
    }

    #[test]
    fn a_missing_basic_item_is_named_by_field() {
        assert_eq!(faults(Form { diagnosis_class: 0, ..good() }), ["form.diagnosis_class"]);
        assert_eq!(faults(with_subject(|s| s.sex = 0)), ["form.subject.sex"]);
        assert_eq!(faults(with_findings(|f| f.diagnoses.clear())), ["form.findings.diagnoses"]);
        assert_eq!(
            faults(with_subject(|s| {
                s.whereabouts.clear();
                s.whereabouts_code.clear();
            })),
            ["form.subject.whereabouts"]
        );
    }

    #[test]
    fn before_the_may_form_the_earlier_one_rules() {
        let early = |form: Form| Form { report_date: "2020-03-01".to_owned(), ..form };
        assert!(check(early(with_findings(|f| f.diagnoses.clear())), TODAY).is_ok());
        let antigen = with_findings(|f| f.diagnoses[0].method = TestMethod::AntigenQualitative.into());
        assert!(check(antigen.clone(), TODAY).is_ok());
        let antigen = with_findings(|f| {
            f.diagnoses[0].method = TestMethod::AntigenQualitative.into();
            f.diagnoses[0].sampled_on = "2020-02-28".to_owned();
        });
        assert_eq!(faults(early(antigen)), ["form.findings.diagnoses[0].method"]);
        let future = Form { form_version: "2020-05-13".to_owned(), ..early(good()) };
        assert_eq!(faults(future), ["form.form_version"]);
    }

    #[test]
    fn dates_that_cannot_be_are_named() {
        assert_eq!(faults(Form { report_date: "2020-02-30".to_owned(), ..good() }), ["form.report_date"]);
        assert_eq!(faults(Form { report_date: "2020-06-02".to_owned(), ..good() }), ["form.report_date"]);
        assert_eq!(faults(with_findings(|f| f.onset_on = "2020-05-21".to_owned())), ["form.findings.onset_on"]);
        assert_eq!(faults(with_findings(|f| f.onset_on = "1970-01-01".to_owned())), ["form.findings.onset_on"]);
    }

    #[test]
    fn contradictions_are_named() {
        let both = vec![Symptom::None.into(), Symptom::Fever.into()];
        assert_eq!(faults(with_findings(|f| f.symptoms = both)), ["form.findings.symptoms"]);
        assert_eq!(faults(with_findings(|f| f.spo2_percent = 7)), ["form.findings.spo2_percent"]);
    }
}
