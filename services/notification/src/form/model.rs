//! What must hold of a form before it is filed.

use japan::{age, date, person};
use proto::{
    notification::{Care, Form, Purpose, Subject},
    registry::{DiagnosisClass, TestMethod},
};
use runtime::problem::Violation;
use time::Date;

use super::{
    findings::{check_class, check_findings, check_order, take_date},
    items::{self, Parts},
    versions::{self, FormVersion, Only},
};

/// A form that holds: dates in ISO, telephone in its normal form, names exactly as typed.
pub(crate) struct Checked {
    pub form: Form,
    /// The version it was checked against.
    pub version: Date,
    /// Items that are still missing.
    pub missing: Vec<String>,
}

/// Checks a form as of a day and brings it to the form it is stored in. `confirmed` names the unusual orders of days that the filer says
/// are so.
///
/// # Errors
/// Every field at fault, by its path.
pub(crate) fn check(mut form: Form, today: Date, confirmed: &[String]) -> Result<Checked, Vec<Violation>> {
    let mut found = Vec::new();
    let mut findings = form.findings.take().unwrap_or_default();
    let mut subject = form.subject.take().unwrap_or_default();
    let report_date = take_date(&mut form.report_date, "form.report_date", today, &mut found);
    let version = version_of(&form.form_version, report_date.unwrap_or(today), &mut found);

    check_subject(&mut subject, today, &mut found);
    check_findings(&mut findings, today, &mut found);
    if let Some(Care { admission_date, .. }) = &mut form.care {
        take_date(admission_date, "form.care.admission_date", today, &mut found);
    }
    let parts = Parts { form: &form, subject: &subject, findings: &findings };
    check_order(parts, (report_date, today), confirmed, &mut found);
    check_class(parts, &mut found);

    let Some(version) = version else { return Err(found) };
    let purpose: Purpose = data::code(form.purpose);
    check_version(parts, version, purpose, &mut found);
    if !found.is_empty() {
        return Err(found);
    }

    let missing = missing(parts, version.chased(purpose)).map(|(number, _)| number.to_owned()).collect();
    let effective_from = version.effective_from();
    let form =
        Form { form_version: effective_from.to_string(), subject: Some(subject), findings: Some(findings), ..form };
    Ok(Checked { form, version: effective_from, missing })
}

/// Those of some items that are asked of this person and not filled in.
fn missing<'a>(parts: Parts<'a>, numbers: &'a [String]) -> impl Iterator<Item = (&'a str, &'static items::Item)> {
    let known = numbers.iter().filter_map(|number| Some((number.as_str(), items::find(number)?)));
    known.filter(move |(number, item)| is_asked(parts, number) && !item.is_filled(parts))
}

/// Whether an item is asked of this person at all.
fn is_asked(parts: Parts<'_>, number: &str) -> bool {
    let class: DiagnosisClass = data::code(parts.form.diagnosis_class);
    match versions::only(number) {
        None => true,
        Some(Only::Minor) => is_minor(parts),
        Some(Only::Ill) => matches!(class, DiagnosisClass::Confirmed | DiagnosisClass::Suspected),
        Some(Only::Deceased) => matches!(class, DiagnosisClass::Deceased | DiagnosisClass::SuspectedDeceased),
    }
}

/// 未成年 on the day of the report.
fn is_minor(parts: Parts<'_>) -> bool {
    let day = |text: &str| date::parse(text).ok();
    let age = day(&parts.form.report_date)
        .zip(day(&parts.subject.birth_date))
        .and_then(|(on, born)| Some((on, age::on(on, born)?)));
    age.is_some_and(|(on, years)| years < versions::majority(on))
}

fn version_of(named: &str, report_date: Date, found: &mut Vec<Violation>) -> Option<&'static FormVersion> {
    let in_force = versions::in_force(report_date);
    if named.is_empty() {
        return in_force;
    }
    let version = date::parse(named).ok().and_then(versions::named);
    match version {
        None => {
            found.push(Violation::new("form.form_version", "存在しない様式の版です", "must be a version of the form"));
        }
        // A form may be filed late, on the version of its day; not on one that came later.
        Some(version) if in_force.is_some_and(|v| v.effective_from() < version.effective_from()) => {
            found.push(Violation::new(
                "form.form_version",
                "報告年月日の時点で施行されていない様式です",
                "must have been in force on the report date",
            ));
        }
        Some(_) => {}
    }
    version
}

/// What the version of the form asks for.
fn check_version(parts: Parts<'_>, version: &FormVersion, purpose: Purpose, found: &mut Vec<Violation>) {
    for (number, item) in missing(parts, version.required(purpose)) {
        let ja = format!("「{number} {}」は必須です", item.name);
        found.push(Violation::new(item.field, ja, format!("is required (item {number})")));
    }
    for (index, diagnosis) in parts.findings.diagnoses.iter().enumerate() {
        if !TestMethod::try_from(diagnosis.method).is_ok_and(|method| version.has(method)) {
            found.push(Violation::new(
                format!("form.findings.diagnoses[{index}].method"),
                format!("{} 施行の様式にない診断方法です", version.effective_from()),
                format!("must be a method that the form of {} has", version.effective_from()),
            ));
        } else if !version.takes(diagnosis.method(), diagnosis.specimen()) {
            found.push(Violation::new(
                format!("form.findings.diagnoses[{index}].specimen"),
                format!("{} 施行の様式にない検体です", version.effective_from()),
                format!("must be a specimen that the form of {} has for this method", version.effective_from()),
            ));
        }
    }
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

#[cfg(test)]
mod tests {
    use proto::{
        notification::{Care, Findings, Form, Physician, Purpose, Subject, Symptom},
        registry::{DiagnosisClass, TestMethod, TestResult},
    };
    use time::{Date, macros::date};

    use crate::fixture::form as good;

    /// Nothing unusual is confirmed.
    fn check(form: Form, today: Date) -> Result<super::Checked, Vec<runtime::problem::Violation>> {
        super::check(form, today, &[])
    }

    const TODAY: Date = date!(2020 - 06 - 01);

    fn faults(form: Form) -> Vec<String> {
        check(form, TODAY).err().unwrap_or_default().into_iter().map(|violation| violation.field).collect()
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

    fn reported_on(day: &str, form: Form) -> Form {
        Form { report_date: day.to_owned(), ..form }
    }

    /// Without a diagnosis, or with one of a method, its specimen taken in February.
    fn diagnosed_by(method: Option<TestMethod>) -> Form {
        with_findings(|findings| {
            findings.diagnoses.truncate(usize::from(method.is_some()));
            for diagnosis in &mut findings.diagnoses {
                diagnosis.method = method.unwrap_or_default().into();
                diagnosis.sampled_date = "2020-02-28".to_owned();
            }
        })
    }

    #[test]
    fn names_stay_as_typed_and_dates_become_iso() {
        let checked = check(good(), TODAY).unwrap_or_else(|_| panic!("refused"));
        let subject = checked.form.subject.unwrap();
        assert_eq!(subject.name_kanji, "髙﨑 𠮷男");
        assert_eq!(subject.name_kana, "ﾀｶｻｷ ﾖｼｵ");
        assert_eq!(subject.birth_date, "1980-01-31");
        assert_eq!(checked.form.report_date, "2020-05-20");
        assert_eq!((checked.version, checked.form.form_version.as_str()), (date!(2020 - 05 - 13), "2020-05-13"));
        assert_eq!(checked.missing, ["6", "7", "11", "13", "14", "15", "16", "18", "19"]);
    }

    #[test]
    fn the_basic_items_suffice_for_a_test_report() {
        let form = Form { purpose: Purpose::TestReport.into(), ..good() };
        let checked = check(form, TODAY).unwrap_or_else(|_| panic!("refused"));
        assert_eq!(checked.missing, ["6", "7", "11", "13", "14", "15", "16", "18", "19"], "the rest is chased");
    }

    #[test]
    fn items_are_asked_of_whom_they_concern() {
        let missing = |form: Form| check(form, TODAY).map(|checked| checked.missing).unwrap_or_default();
        let asked = |form: Form, item: &str| missing(form).contains(&item.to_owned());
        let class = |class: DiagnosisClass| Form { diagnosis_class: class.into(), ..good() };
        assert!(asked(class(DiagnosisClass::Deceased), "17") && !asked(good(), "17"));
        assert!(asked(class(DiagnosisClass::SuspectedDeceased), "17"));
        assert!(asked(good(), "16") && !asked(class(DiagnosisClass::AsymptomaticCarrier), "16"));
        let born = |day: &str| with_subject(|subject| subject.birth_date = day.to_owned());
        for item in ["9", "10"] {
            assert!(asked(born("2000-05-21"), item), "nineteen on the day of the report");
            assert!(!asked(born("2000-05-20"), item), "twenty on that day");
        }
    }

    #[test]
    fn from_june_2022_fewer_items_are_asked_for_and_others_are_required() {
        let today = date!(2022 - 07 - 10);
        let form = with_findings(|findings| {
            findings.diagnoses[0].sampled_date = "2022-06-29".to_owned();
            findings.diagnosis_date = "2022-06-30".to_owned();
        });
        let reported = |day: &str| {
            let physician = Physician {
                name: "浪速 一郎".to_owned(),
                institution_name: "なにわ診療所".to_owned(),
                ..Physician::default()
            };
            Form { report_date: day.to_owned(), physician: Some(physician), ..form.clone() }
        };
        let old = super::check(Form { report_date: "2022-06-29".to_owned(), ..reported("") }, today, &[]);
        assert!(old.is_err(), "diagnosed after the report");
        let checked = super::check(reported("2022-06-30"), today, &[]).unwrap_or_else(|_| panic!("refused"));
        assert_eq!(checked.version, date!(2022 - 06 - 30));
        assert_eq!(checked.missing, ["16", "19.severity", "19.admission_needed"]);
        let bare = Form { physician: None, findings: Some(Findings::default()), ..reported("2022-06-30") };
        let faults: Vec<String> =
            super::check(bare, today, &[]).err().unwrap_or_default().into_iter().map(|fault| fault.field).collect();
        assert_eq!(faults, ["form.findings.diagnoses", "form.findings.diagnosis_date", "form.physician.name"]);
    }

    #[test]
    fn what_is_filled_in_is_not_missing() {
        let mut form = with_findings(|findings| findings.symptoms = vec![Symptom::Fever.into()]);
        form.care = Some(Care { admitted: Some(false), ..Care::default() });
        let missing = check(form, TODAY).map(|checked| checked.missing).unwrap_or_default();
        assert_eq!(missing, ["6", "7", "13", "14", "15", "16", "18"]);
    }

    #[test]
    fn a_missing_basic_item_is_named_by_field() {
        assert_eq!(faults(Form { diagnosis_class: 0, ..good() }), ["form.diagnosis_class"]);
        assert_eq!(faults(with_subject(|subject| subject.sex = 0)), ["form.subject.sex"]);
        assert_eq!(faults(diagnosed_by(None)), ["form.findings.diagnoses"]);
        let nowhere = with_subject(|subject| {
            subject.whereabouts.clear();
            subject.whereabouts_code.clear();
        });
        assert_eq!(faults(nowhere), ["form.subject.whereabouts"]);
        let nobody = with_subject(|subject| subject.name_kanji.clear());
        assert_eq!(faults(nobody), ["form.subject.name_kanji", "form.subject.name_kanji"]);
    }

    #[test]
    fn the_version_changes_overnight() {
        let (last, first) = ("2020-05-12", "2020-05-13");
        let version = |day| check(reported_on(day, good()), TODAY).map(|checked| checked.form.form_version);
        assert_eq!(version(last).ok().as_deref(), Some("2020-02-01"));
        assert_eq!(version(first).ok().as_deref(), Some("2020-05-13"));

        // Until then the method of diagnosis was asked for later, and there was no antigen test.
        let late = check(reported_on(last, diagnosed_by(None)), TODAY).map(|checked| checked.missing);
        assert!(late.is_ok_and(|missing| missing.contains(&"12".to_owned())));
        assert_eq!(faults(reported_on(first, diagnosed_by(None))), ["form.findings.diagnoses"]);
        let antigen = || diagnosed_by(Some(TestMethod::AntigenQualitative));
        assert_eq!(faults(reported_on(last, antigen())), ["form.findings.diagnoses[0].method"]);
        assert_eq!(faults(reported_on(first, antigen())), [""; 0]);
    }

    #[test]
    fn a_form_names_a_version_that_was_in_force() {
        let named = |day, version: &str| Form { form_version: version.to_owned(), ..reported_on(day, good()) };
        assert_eq!(faults(named("2020-05-12", "2020-05-13")), ["form.form_version"]);
        assert_eq!(faults(named("2020-05-20", "2020-05-14")), ["form.form_version"]);
        assert_eq!(faults(named("2020-05-20", "latest")), ["form.form_version"]);
        let old = check(named("2020-05-20", "2020-02-01"), TODAY);
        assert!(old.is_ok_and(|checked| checked.version == date!(2020 - 02 - 01)), "old paper is still taken");
    }

    #[test]
    fn the_person_is_checked_as_everywhere() {
        assert_eq!(
            faults(with_subject(|subject| subject.birth_date = "2020-06-02".to_owned())),
            ["form.subject.birth_date"]
        );
        let elsewhere = with_subject(|subject| subject.whereabouts_code = "271005".to_owned());
        assert_eq!(faults(elsewhere), ["form.subject.whereabouts_code"]);
    }

    #[test]
    fn dates_that_cannot_be_are_named() {
        assert_eq!(faults(reported_on("2020-02-30", good())), ["form.report_date"]);
        assert_eq!(faults(reported_on("2020-06-02", good())), ["form.report_date"]);
        let sampled = with_findings(|findings| findings.diagnoses[0].sampled_date = "never".to_owned());
        assert_eq!(faults(sampled), ["form.findings.diagnoses[0].sampled_date"]);
        let care = Some(Care { admission_date: "R2.13.1".to_owned(), ..Care::default() });
        assert_eq!(faults(Form { care, ..good() }), ["form.care.admission_date"]);
        for (change, field) in [
            (with_findings(|f| f.first_visit_date = "x".to_owned()), "first_visit_date"),
            (with_findings(|f| f.diagnosis_date = "x".to_owned()), "diagnosis_date"),
            (with_findings(|f| f.infection_date = "x".to_owned()), "infection_date"),
            (with_findings(|f| f.onset_date = "2020-05-21".to_owned()), "onset_date"),
            (with_findings(|f| f.onset_date = "1970-01-01".to_owned()), "onset_date"),
            (with_findings(|f| f.death_date = "x".to_owned()), "death_date"),
        ] {
            assert_eq!(faults(change), [format!("form.findings.{field}")]);
        }
    }

    #[test]
    fn an_order_that_cannot_be_is_refused_and_one_that_seldom_is_is_asked_back() {
        let days = |change: fn(&mut Findings)| with_findings(change);
        for (form, field) in [
            (days(|f| f.diagnoses[0].sampled_date = "2020-05-21".to_owned()), "form.findings.diagnoses"),
            (days(|f| f.onset_date = "2019-12-31".to_owned()), "form.findings.onset_date"),
            (
                days(|f| {
                    f.infection_date = "2020-05-11".to_owned();
                    f.onset_date = "2020-05-10".to_owned();
                }),
                "form.findings.onset_date",
            ),
            (
                days(|f| {
                    f.onset_date = "2020-05-10".to_owned();
                    f.death_date = "2020-05-09".to_owned();
                }),
                "form.findings.death_date",
            ),
        ] {
            assert_eq!(faults(form), [field]);
        }
        let unusual = days(|f| f.onset_date = "2020-05-14".to_owned());
        let asked = super::check(unusual.clone(), TODAY, &[]).err().unwrap();
        assert_eq!((asked.len(), asked[0].field.as_str()), (1, "form.findings.diagnoses"));
        assert!(asked[0].rule.en.contains("ONSET_AFTER_SAMPLING"));
        assert!(super::check(unusual, TODAY, &["ONSET_AFTER_SAMPLING".to_owned()]).is_ok());
    }

    #[test]
    fn a_class_is_not_contradicted() {
        let carrier = Form { diagnosis_class: DiagnosisClass::AsymptomaticCarrier.into(), ..good() };
        assert_eq!(faults(carrier.clone()), [""; 0]);
        let mut feverish = carrier.clone();
        feverish.findings.as_mut().unwrap().symptoms = vec![Symptom::Fever.into()];
        assert_eq!(faults(feverish), ["form.findings.symptoms"]);
        let mut without = carrier.clone();
        without.findings.as_mut().unwrap().symptoms = vec![Symptom::None.into()];
        assert_eq!(faults(without), [""; 0]);
        let mut ill = carrier;
        ill.findings.as_mut().unwrap().onset_date = "2020-05-11".to_owned();
        assert_eq!(faults(ill), ["form.findings.onset_date"]);

        let negative = with_findings(|f| f.diagnoses[0].result = TestResult::Negative.into());
        assert_eq!(faults(negative.clone()), ["form.diagnosis_class"]);
        let suspected = Form { diagnosis_class: DiagnosisClass::Suspected.into(), ..negative };
        assert_eq!(faults(suspected), [""; 0]);
    }

    #[test]
    fn contradictions_are_named() {
        let both = vec![Symptom::None.into(), Symptom::Fever.into()];
        assert_eq!(faults(with_findings(|findings| findings.symptoms = both)), ["form.findings.symptoms"]);
        let dead = with_findings(|findings| {
            findings.diagnosis_date = "2020-05-19".to_owned();
            findings.death_date = "2020-05-18".to_owned();
        });
        assert_eq!(faults(dead.clone()), ["form.findings.death_date"]);
        let corpse = Form { diagnosis_class: DiagnosisClass::Deceased.into(), ..dead };
        assert_eq!(faults(corpse), [""; 0], "a corpse is examined after the death");
    }
}
