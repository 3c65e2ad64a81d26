//! What must hold of a form before it is filed.

use japan::{date, person};
use proto::{
    notification::{Demand, Form, Purpose, Subject},
    registry::{AgeBand, TestMethod, TestResult},
};
use runtime::problem::Violation;
use time::Date;

use super::{
    care::check_care,
    catalogue::{self, Item},
    findings::{check_class, check_findings, check_order, take_date},
    items::{self, Parts},
    versions::{self, FormVersion},
};

/// When a form is filed, and in which prefecture.
#[derive(Clone, Copy)]
pub(crate) struct Filer {
    pub today: Date,
    pub prefecture: u8,
}

/// A form that holds: dates in ISO, telephone in its normal form, names exactly as typed.
pub(crate) struct Checked {
    pub form: Form,
    /// The version it was checked against.
    pub version: Date,
    /// Items that are still missing.
    pub missing: Vec<String>,
}

/// What a filing of a form would be told.
pub(crate) struct Review {
    pub faults: Vec<Violation>,
    /// Items that are required or asked for later, and are not filled in.
    pub missing: Vec<String>,
}

/// Checks a form and brings it to the form it is stored in. `confirmed` names the unusual orders of days that the filer says are so.
///
/// # Errors
/// Every field at fault, by its path.
pub(crate) fn check(form: Form, filer: Filer, confirmed: &[String]) -> Result<Checked, Vec<Violation>> {
    let Examined { form, version, chased, faults, .. } = examine(form, filer, confirmed);
    match version {
        Some(version) if faults.is_empty() => {
            let effective_from = version.effective_from();
            let form = Form { form_version: effective_from.to_string(), ..form };
            Ok(Checked { form, version: effective_from, missing: chased })
        }
        _ => Err(faults),
    }
}

/// Says what a form that may be incomplete still lacks.
pub(crate) fn review(form: Form, filer: Filer) -> Review {
    let Examined { required, chased, faults, .. } = examine(form, filer, &[]);
    Review { faults, missing: [required, chased].concat() }
}

struct Examined {
    form: Form,
    version: Option<&'static FormVersion>,
    /// Required items that are missing; each is a fault too.
    required: Vec<String>,
    chased: Vec<String>,
    faults: Vec<Violation>,
}

fn examine(mut form: Form, filer: Filer, confirmed: &[String]) -> Examined {
    let today = filer.today;
    let mut found = Vec::new();
    let mut findings = form.findings.take().unwrap_or_default();
    let mut subject = form.subject.take().unwrap_or_default();
    if form.report_date.is_empty() {
        found.push(Violation::new("form.report_date", "報告年月日は必須です", "is required"));
    }
    let report_date = take_date(&mut form.report_date, "form.report_date", today, &mut found);
    let version = version_of(&form.form_version, (report_date.unwrap_or(today), filer.prefecture), &mut found);

    check_subject(&mut subject, today, &mut found);
    check_findings(&mut findings, today, &mut found);
    check_care(&mut form, &subject, &findings, today, &mut found);
    let parts = Parts { form: &form, subject: &subject, findings: &findings };
    check_age(parts, &mut found);
    check_order(parts, (report_date, today), confirmed, &mut found);
    check_class(parts, &mut found);

    let purpose: Purpose = data::code(form.purpose);
    let numbers = |items: Vec<&Item>| items.into_iter().map(|item| item.number.clone()).collect::<Vec<_>>();
    let (mut required, mut chased) = (Vec::new(), Vec::new());
    if let Some(version) = version {
        // Whoever is not refused without a required item is asked for it later.
        let is_bound = |item: &&Item| items::is_among(version.required_of(purpose, &item.number), parts);
        (required, chased) = missing(parts, version.required(purpose)).into_iter().partition(is_bound);
        chased.extend(missing(parts, version.chased(purpose)));
        for item in &required {
            let ja = format!("「{} {}」は必須です", item.number, item.ja);
            found.push(Violation::new(item.field(), ja, format!("is required (item {})", item.number)));
        }
        check_diagnoses(parts, version, purpose, &mut found);
    }
    let (required, chased) = (numbers(required), numbers(chased));
    let form = Form { subject: Some(subject), findings: Some(findings), ..form };
    Examined { form, version, required, chased, faults: found }
}

/// Those of some items that are asked of this person and not filled in.
fn missing(parts: Parts<'_>, numbers: &[String]) -> Vec<&'static Item> {
    let lacks = |number: &&String| items::is_asked(number, parts) && items::is_filled(number, parts) == Some(false);
    numbers.iter().filter(lacks).filter_map(|number| catalogue::find(number)).collect()
}

fn version_of(
    named: &str,
    (report_date, prefecture): (Date, u8),
    found: &mut Vec<Violation>,
) -> Option<&'static FormVersion> {
    let in_force = versions::in_force(report_date, prefecture);
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

/// Item 12: whether the version of the form has the methods and specimens, and whether each diagnosis is whole. A form without the item
/// has the day of sampling alone.
fn check_diagnoses(parts: Parts<'_>, version: &FormVersion, purpose: Purpose, found: &mut Vec<Violation>) {
    let is_asked_for = version.demand(purpose, "12") != Demand::Unspecified;
    for (index, diagnosis) in parts.findings.diagnoses.iter().enumerate() {
        let has = |method| version.has(method) || (!is_asked_for && method == TestMethod::Unspecified);
        if is_asked_for && diagnosis.result() == TestResult::Unspecified {
            let field = format!("form.findings.diagnoses[{index}].result");
            found.push(Violation::new(field, "検査の結果を選択してください", "must be chosen"));
        }
        if !TestMethod::try_from(diagnosis.method).is_ok_and(has) {
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
    // 月齢 says that somebody is under ten where nothing else does.
    if subject.age_months.is_some() && subject.birth_date.is_empty() && subject.stated_age_band == 0 {
        subject.stated_age_band = AgeBand::Under10.into();
    }
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
    if !subject.whereabouts_phone.trim().is_empty() {
        match japan::phone::normalise(&subject.whereabouts_phone) {
            Some(phone) => subject.whereabouts_phone = phone,
            None => found.push(Violation::new(
                "form.subject.whereabouts_phone",
                "電話番号が正しくありません",
                "must be a telephone number",
            )),
        }
    }
}

/// Item 5: what is said of an infant's age agrees with items 4 and 5.
fn check_age(parts: Parts<'_>, found: &mut Vec<Violation>) {
    let Parts { form, subject, findings } = parts;
    let Some(stated) = subject.age_months else { return };
    let day = |text: &str| date::parse(text).ok();
    let on = day(&findings.diagnosis_date).or_else(|| day(&form.report_date));
    let known = on.zip(day(&subject.birth_date)).and_then(|(on, born)| japan::age::months(on, born));
    let band: AgeBand = data::code(subject.stated_age_band);
    let (ja, en) = match known {
        Some(known) if i32::from(known) != stated => (
            "生年月日から計算した診断時の月齢と一致しません",
            "must agree with the birth date on the day of the diagnosis",
        ),
        Some(_) => return,
        None if matches!(band, AgeBand::Unspecified | AgeBand::Unknown | AgeBand::Under10 | AgeBand::Preschool) => {
            return;
        }
        None => ("月齢を入力できるのは0歳児だけです", "must be empty unless the person is an infant"),
    };
    found.push(Violation::new("form.subject.age_months", ja, en));
}

#[cfg(test)]
mod tests {
    use proto::{
        notification::{Care, Diagnosis, Findings, Form, Physician, Purpose, Subject, Symptom},
        registry::{AgeBand, DiagnosisClass, Specimen, TestMethod, TestResult},
    };
    use time::{Date, macros::date};

    use super::Filer;
    use crate::fixture::{PREFECTURE, form as good};

    /// Nothing unusual is confirmed.
    fn check(form: Form, today: Date) -> Result<super::Checked, Vec<runtime::problem::Violation>> {
        super::check(form, filer(today), &[])
    }

    const TODAY: Date = date!(2020 - 06 - 01);

    fn filer(today: Date) -> Filer {
        Filer { today, prefecture: PREFECTURE }
    }

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
        let old = check(Form { report_date: "2022-06-29".to_owned(), ..reported("") }, today);
        assert!(old.is_err(), "diagnosed after the report");
        let checked = check(reported("2022-06-30"), today).unwrap_or_else(|_| panic!("refused"));
        assert_eq!(checked.version, date!(2022 - 06 - 30));
        let carried = ["16", "18.vaccination", "19.risk_factor", "19.immunosuppression", "19.severity"];
        assert_eq!(checked.missing, [carried.as_slice(), &["19.admission_needed"]].concat());
        let bare = Form { physician: None, findings: Some(Findings::default()), ..reported("2022-06-30") };
        let faults: Vec<String> =
            check(bare, today).err().unwrap_or_default().into_iter().map(|fault| fault.field).collect();
        let sampled = "form.findings.diagnoses.sampled_date";
        assert_eq!(faults, [sampled, "form.findings.diagnosis_date", "form.physician.name"]);
    }

    /// MHLW letter 2022-09-12: from 2022-09-26 four categories are notified; why, is asked for where the form does not say it.
    #[test]
    fn from_september_2022_the_category_is_asked_for_and_a_prefecture_may_have_begun_before() {
        let missing = |day: &str, prefecture, care: Care| {
            let mut form = with_findings(|findings| findings.diagnosis_date = day.to_owned());
            form.findings.as_mut().unwrap().diagnoses[0].sampled_date = day.to_owned();
            form.physician = Some(Physician {
                name: "浪速 一郎".to_owned(),
                institution_name: "なにわ診療所".to_owned(),
                ..Physician::default()
            });
            let form = Form { report_date: day.to_owned(), care: Some(care), ..form };
            let today = date!(2022 - 10 - 10);
            let checked = super::check(form, Filer { today, prefecture }, &[]).unwrap_or_else(|_| panic!("refused"));
            (checked.version, checked.missing.contains(&"category".to_owned()))
        };
        let (before, limited) = (date!(2022 - 08 - 04), date!(2022 - 09 - 26));
        assert_eq!(missing("2022-09-25", PREFECTURE, Care::default()), (before, false));
        assert_eq!(missing("2022-09-26", PREFECTURE, Care::default()), (limited, true));
        assert_eq!(missing("2022-09-02", 4, Care::default()), (limited, true), "Miyagi");
        let drug = Care { drug_needed: Some(true), ..Care::default() };
        assert_eq!(missing("2022-09-26", PREFECTURE, drug), (limited, false), "without a risk factor too");
    }

    /// 別記様式6-1, item 12: その他 with its text, and a result.
    #[test]
    fn a_diagnosis_is_whole_before_it_is_filed() {
        let with = |change: fn(&mut Diagnosis)| with_findings(|findings| change(&mut findings.diagnoses[0]));
        let other = with(|diagnosis| {
            diagnosis.specimen = Specimen::Other.into();
            "髄液".clone_into(&mut diagnosis.specimen_other);
        });
        assert_eq!(faults(other), [""; 0]);
        for (form, field) in [
            (with(|diagnosis| diagnosis.method = 0), "method"),
            (with(|diagnosis| diagnosis.result = 0), "result"),
            (with(|diagnosis| "髄液".clone_into(&mut diagnosis.specimen_other)), "specimen_other"),
        ] {
            assert_eq!(faults(form), [format!("form.findings.diagnoses[0].{field}")]);
        }
    }

    /// 施行規則 since 2022-06-30: 検体採取年月日 in place of 診断方法. 令和2年5月29日事務連絡: a test report has item 12.
    #[test]
    fn a_form_without_item_12_has_the_day_of_sampling_alone() {
        let reported = |day: &str, purpose: Purpose, diagnosis: Diagnosis| {
            let mut form = with_findings(|findings| {
                day.clone_into(&mut findings.diagnosis_date);
                findings.diagnoses = vec![Diagnosis { sampled_date: day.to_owned(), ..diagnosis }];
            });
            form.physician = Some(Physician {
                name: "浪速 一郎".to_owned(),
                institution_name: "なにわ診療所".to_owned(),
                ..Physician::default()
            });
            Form { report_date: day.to_owned(), purpose: purpose.into(), ..form }
        };
        let (notification, report) = (Purpose::Notification, Purpose::TestReport);
        let bare = Diagnosis::default;
        let by = |method: TestMethod| Diagnosis { method: method.into(), ..bare() };
        let positive = Diagnosis { result: TestResult::Positive.into(), ..bare() };
        for (form, expected) in [
            (reported("2022-06-29", notification, bare()), vec!["result", "method"]),
            (reported("2022-06-30", notification, bare()), vec![]),
            (reported("2022-07-01", notification, by(TestMethod::NucleicAcid)), vec![]),
            (reported("2022-07-01", notification, positive.clone()), vec![]),
            (reported("2022-08-04", notification, bare()), vec![]),
            (reported("2022-10-01", notification, bare()), vec![]),
            (reported("2022-07-01", report, bare()), vec!["result", "method"]),
            (reported("2022-07-01", report, by(TestMethod::NucleicAcid)), vec!["result"]),
            (reported("2022-07-01", report, positive), vec!["method"]),
            // What is asked for later is whole where it is there.
            (reported("2020-05-12", notification, bare()), vec!["result", "method"]),
        ] {
            let (day, purpose) = (form.report_date.clone(), form.purpose());
            let expected: Vec<String> =
                expected.iter().map(|field| format!("form.findings.diagnoses[0].{field}")).collect();
            let faults = check(form, date!(2022 - 10 - 10)).err().unwrap_or_default();
            let faults: Vec<String> = faults.into_iter().map(|fault| fault.field).collect();
            assert_eq!(faults, expected, "{day} {purpose:?}");
        }
    }

    /// みなし陽性 (since late January 2022): 疑似症患者 by clinical diagnosis. 令和2年5月29日事務連絡: a negative suspected case has item 12.
    #[test]
    fn who_was_not_tested_is_notified_without_a_test_and_asked_for_it_later() {
        let of = |day: &str, class: DiagnosisClass, purpose: Purpose| {
            let mut form = with_findings(|findings| {
                findings.diagnoses.clear();
                day.clone_into(&mut findings.diagnosis_date);
            });
            form.physician = Some(Physician {
                name: "浪速 一郎".to_owned(),
                institution_name: "なにわ診療所".to_owned(),
                ..Physician::default()
            });
            let form =
                Form { report_date: day.to_owned(), diagnosis_class: class.into(), purpose: purpose.into(), ..form };
            check(form, date!(2022 - 10 - 10)).map(|checked| checked.missing)
        };
        let (notification, report) = (Purpose::Notification, Purpose::TestReport);
        let (suspected, confirmed) = (DiagnosisClass::Suspected, DiagnosisClass::Confirmed);
        for (day, class, purpose, item, taken) in [
            ("2020-06-01", suspected, notification, "12", false),
            ("2022-01-26", suspected, notification, "12", false),
            ("2022-01-27", suspected, notification, "12", true),
            ("2022-01-27", DiagnosisClass::SuspectedDeceased, notification, "12", true),
            ("2022-01-27", confirmed, notification, "12", false),
            ("2022-01-27", DiagnosisClass::Deceased, notification, "12", false),
            ("2022-01-27", suspected, report, "12", false),
            ("2022-06-30", suspected, notification, "12.sampled", true),
            ("2022-06-30", confirmed, notification, "12.sampled", false),
            ("2022-06-30", suspected, report, "12", false),
            ("2022-08-04", confirmed, notification, "12.sampled", true),
            ("2022-09-26", suspected, notification, "12.sampled", true),
            ("2022-09-26", confirmed, notification, "12.sampled", false),
        ] {
            match of(day, class, purpose) {
                Ok(missing) => assert!(taken && missing.contains(&item.to_owned()), "{day} {class:?}: {missing:?}"),
                Err(faults) => {
                    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
                    let field = if item == "12" { "" } else { ".sampled_date" };
                    assert_eq!(fields, [format!("form.findings.diagnoses{field}")], "{day} {class:?}");
                    assert!(!taken, "{day} {class:?}");
                }
            }
        }
    }

    /// MHLW letter 2022-08-04: a low-risk patient is notified without the days of diagnosis and sampling.
    #[test]
    fn from_august_2022_a_patient_is_notified_without_the_days_of_diagnosis_and_sampling() {
        let on = |day: &str| {
            let physician = Physician {
                name: "浪速 一郎".to_owned(),
                institution_name: "なにわ診療所".to_owned(),
                ..Physician::default()
            };
            let form = Form { findings: None, physician: Some(physician), ..reported_on(day, good()) };
            check(form, date!(2022 - 10 - 10)).map(|checked| checked.missing).map_err(|faults| faults.len())
        };
        let asked = on("2022-08-04").unwrap();
        assert!(["12.sampled", "14"].iter().all(|item| asked.contains(&(*item).to_owned())), "{asked:?}");
        assert!(on("2022-09-25").is_ok());
        assert_eq!((on("2022-08-03"), on("2022-09-26")), (Err(2), Err(2)));
    }

    #[test]
    fn the_example_in_the_documents_is_a_form_that_can_be_filed() {
        use prost::{Message as _, Name as _};

        let example = include_str!("../../../../docs/example-form.json");
        let descriptor = proto::pool().get_message_by_name(&Form::full_name()).unwrap();
        let mut reader = serde_json::Deserializer::from_str(example);
        let read = prost_reflect::DynamicMessage::deserialize(descriptor, &mut reader).unwrap();
        let form = Form::decode(read.encode_to_vec().as_slice()).unwrap();
        assert_eq!(faults(form), [""; 0]);
    }

    #[test]
    fn what_an_incomplete_form_lacks_is_told_at_once() {
        let empty = Form { purpose: Purpose::Notification.into(), ..Form::default() };
        let review = super::review(empty, filer(TODAY));
        assert_eq!(review.missing[..6], ["1", "2", "3", "4", "8", "12"], "what is required comes first");
        assert!(review.missing.contains(&"7".to_owned()));
        let fields: Vec<&str> = review.faults.iter().map(|fault| fault.field.as_str()).collect();
        for field in ["form.report_date", "form.diagnosis_class", "form.subject.name_kanji", "form.findings.diagnoses"]
        {
            assert!(fields.contains(&field), "{field}");
        }
        let whole = super::review(good(), filer(TODAY));
        assert!(whole.faults.is_empty());
        assert_eq!(whole.missing, check(good(), TODAY).map(|checked| checked.missing).unwrap_or_default());
    }

    /// 別記様式6-1, item 5: 診断時の年齢（0歳は月齢）.
    #[test]
    fn the_age_of_an_infant_agrees_with_the_birth_date() {
        let infant = |born: &str, band: i32, months| {
            with_subject(|subject| {
                subject.birth_date = born.to_owned();
                subject.stated_age_band = band;
                subject.age_months = Some(months);
            })
        };
        let decade = |band: AgeBand| i32::from(band);
        for (form, fault) in [
            (infant("2019-10-20", 0, 7), false),
            (infant("2019-10-20", 0, 6), true),
            (infant("2018-10-20", 0, 7), true),
            (infant("", 0, 7), false),
            (infant("", decade(AgeBand::Under10), 0), false),
            (infant("", decade(AgeBand::AgeBand20s), 7), true),
        ] {
            let expected = if fault { vec!["form.subject.age_months"] } else { Vec::new() };
            assert_eq!(faults(form), expected);
        }
        let checked = check(infant("", 0, 7), TODAY).unwrap_or_else(|_| panic!("refused"));
        assert_eq!(checked.form.subject.unwrap().stated_age_band, decade(AgeBand::Under10));
        assert_eq!(
            faults(with_subject(|subject| subject.whereabouts_phone = "12".to_owned())),
            ["form.subject.whereabouts_phone"]
        );
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
        let asked = super::check(unusual.clone(), filer(TODAY), &[]).err().unwrap();
        assert_eq!((asked.len(), asked[0].field.as_str()), (1, "form.findings.diagnoses"));
        assert!(asked[0].rule.en.contains("ONSET_AFTER_SAMPLING"));
        assert!(super::check(unusual, filer(TODAY), &["ONSET_AFTER_SAMPLING".to_owned()]).is_ok());
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
