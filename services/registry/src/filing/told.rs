//! What a notification (発生届) tells about a case, part by part.

use access::OrganisationId;
use data::Failure;
use japan::date;
use proto::{
    identity::OrganisationKind as Kind,
    notification::{Care, Diagnosis, Form, Presence, Severity as Graded},
    registry::{AdmissionNecessity, DayKind, DiagnosisClass, Outcome, Placement, Severity, TestResult},
};
use time::Date;

use super::model::Filing;
use crate::{
    course::{ClinicalState, Stay, Test},
    fact::{Answered, Content, Need, Report, Slot},
    person,
};

/// Every part of a form that says something. Items are those of form 6-1.
pub(super) fn told(filing: &Filing, filer: Kind, prefecture: u8) -> Result<Vec<(Slot, Content)>, Failure> {
    let form = &filing.form;
    let on = day(&form.report_date)?.ok_or_else(|| Failure::Dead("the form carries no report date".to_owned()))?;
    let class = data::code(form.diagnosis_class);
    let found = form.findings.clone().unwrap_or_default();
    let diagnosed = day(&found.diagnosis_date)?;

    let report = Report { class, on, centre: filing.centre, prefecture };
    let mut told = vec![
        (Slot::REPORT, Content::Report(report)),
        (Slot::DESCRIPTION, person::described(&filing.person, diagnosed.unwrap_or(on))),
    ];
    for (slot, kind, text) in [
        (Slot::ONSET, DayKind::Onset, &found.onset_date),
        (Slot::DIAGNOSIS, DayKind::Diagnosis, &found.diagnosis_date),
        (Slot::FIRST_VISIT, DayKind::FirstVisit, &found.first_visit_date),
        (Slot::INFECTION, DayKind::Infection, &found.infection_date),
    ] {
        told.extend(day(text)?.map(|date| (slot, Content::Day(kind, date))));
    }
    for (place, diagnosis) in found.diagnoses.iter().enumerate().filter(|(_, told)| **told != Diagnosis::default()) {
        told.push((Slot::test(place), Content::Test(test(diagnosis, class)?)));
    }
    let died_on = day(&found.death_date)?;
    if died_on.is_some() || matches!(class, DiagnosisClass::Deceased | DiagnosisClass::SuspectedDeceased) {
        told.push((Slot::DEATH, Content::Ending(Outcome::Died, died_on)));
    }
    if let Some(care) = &form.care {
        let hospital = Some(filing.reporter).filter(|_| filer == Kind::Hospital);
        told.extend(of_care(care, on, hospital)?);
    }
    let answers = answers(form);
    if !answers.is_empty() {
        told.push((Slot::FINDINGS, Content::Findings(answers)));
    }
    Ok(told)
}

/// Item 19.
fn of_care(care: &Care, on: Date, hospital: Option<OrganisationId>) -> Result<Vec<(Slot, Content)>, Failure> {
    let mut told = Vec::new();
    if care.admitted == Some(true) {
        let since = day(&care.admission_date)?.unwrap_or(on);
        let stay = Stay { placement: Placement::Hospital, since, since_time: None, facility_id: hospital };
        told.push((Slot::ADMISSION, Content::Stay(stay)));
    }
    let severity = match data::code(care.severity) {
        Graded::Unspecified => None,
        Graded::Mild => Some(Severity::Mild),
        Graded::ModerateI => Some(Severity::ModerateI),
        Graded::ModerateIi => Some(Severity::ModerateIi),
        Graded::Severe => Some(Severity::Severe),
    };
    told.extend(severity.map(|severity| {
        let state = ClinicalState { on, severity, icu: false, ventilator: false, ecmo: false };
        (Slot::SEVERITY, Content::State(state))
    }));
    told.extend(care.admission_needed.map(|needed| {
        let necessity = if needed { AdmissionNecessity::Needed } else { AdmissionNecessity::NotNeeded };
        (Slot::NECESSITY, Content::Need(Need { necessity, on }))
    }));
    Ok(told)
}

/// What is answered by codes, numbers and days: symptoms, oxygen saturation, risk, pregnancy, vaccination, need of treatment.
fn answers(form: &Form) -> Vec<Answered> {
    let found = form.findings.clone().unwrap_or_default();
    let care = form.care.clone().unwrap_or_default();
    let vaccination = form.vaccination.clone().unwrap_or_default();
    let age_months = form.subject.as_ref().and_then(|subject| subject.age_months);
    let list = |codes: Vec<&str>, prefix: &str| codes.into_iter().map(|name| code(name, prefix)).collect();
    let presence = |stated: Presence| match stated {
        Presence::Unspecified => Vec::new(),
        stated => vec![code(stated.as_str_name(), "PRESENCE_")],
    };
    let flag = |stated: Option<bool>| stated.map(|yes| if yes { "yes" } else { "no" }.to_owned()).into_iter().collect();
    let number = |stated: Option<i32>| stated.iter().map(ToString::to_string).collect();
    let on = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty()).into_iter().collect();
    let answers: [(&str, Vec<String>); 15] = [
        ("symptoms", list(found.symptoms().map(|symptom| symptom.as_str_name()).collect(), "SYMPTOM_")),
        ("spo2_percent", number(found.spo2_percent)),
        ("risk_factors", list(care.risk_factors().map(|risk| risk.as_str_name()).collect(), "RISK_FACTOR_")),
        ("risk_factor", presence(care.risk_factor())),
        ("immunosuppression", presence(care.immunosuppression())),
        ("pregnancy", presence(care.pregnancy())),
        ("pregnancy_weeks", number(care.pregnancy_weeks)),
        ("vaccination", presence(vaccination.presence())),
        ("vaccination_doses", number(vaccination.doses)),
        ("vaccination_date", on(&vaccination.last_date)),
        ("remote_consultation", flag(care.remote_consultation)),
        ("drug_needed", flag(care.drug_needed)),
        ("oxygen_needed", flag(care.oxygen_needed)),
        ("post_mortem", flag(found.post_mortem)),
        ("age_months", number(age_months)),
    ];
    answers
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(item, values)| Answered { item: item.to_owned(), values })
        .collect()
}

fn code(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// Item 12. Since 2022-06-30 a notification states the day of sampling alone: the class says how the test came out, where it rests on one.
fn test(diagnosis: &Diagnosis, class: DiagnosisClass) -> Result<Test, Failure> {
    let result = match (data::code(diagnosis.result), class) {
        (
            TestResult::Unspecified,
            DiagnosisClass::Confirmed | DiagnosisClass::AsymptomaticCarrier | DiagnosisClass::Deceased,
        ) => TestResult::Positive,
        // Nobody said what came of the sample yet.
        (TestResult::Unspecified, _) => TestResult::Pending,
        (stated, _) => stated,
    };
    Ok(Test {
        method: data::code(diagnosis.method),
        specimen: data::code(diagnosis.specimen),
        result,
        sampled_on: day(&diagnosis.sampled_date)?,
        result_on: None,
        expected_on: None,
        facility_id: None,
        administrative: None,
    })
}

/// A stored date; notification has brought it to ISO before.
fn day(text: &str) -> Result<Option<Date>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    date::parse(text).map(Some).map_err(|_| Failure::Dead("the form carries an impossible date".to_owned()))
}

#[cfg(test)]
mod tests {
    use proto::{
        notification::{Care, Diagnosis, Findings, Form, Presence, RiskFactor, Symptom, Vaccination},
        registry::{DiagnosisClass, TestMethod, TestResult},
    };
    use time::macros::date;

    use super::{answers, test};

    /// 施行規則 since 2022-06-30: 検体採取年月日 in place of 診断方法. 確定例・無症状病原体保有者 are diagnosed by a positive test.
    #[test]
    fn where_a_form_states_the_day_of_sampling_alone_its_class_says_how_the_test_came_out() {
        let unstated = TestResult::Unspecified;
        for (class, stated, result) in [
            (DiagnosisClass::Confirmed, unstated, TestResult::Positive),
            (DiagnosisClass::AsymptomaticCarrier, unstated, TestResult::Positive),
            (DiagnosisClass::Deceased, unstated, TestResult::Positive),
            (DiagnosisClass::Suspected, unstated, TestResult::Pending),
            (DiagnosisClass::SuspectedDeceased, unstated, TestResult::Pending),
            (DiagnosisClass::Suspected, TestResult::Negative, TestResult::Negative),
            (DiagnosisClass::Confirmed, TestResult::Negative, TestResult::Negative),
            (DiagnosisClass::Confirmed, TestResult::Pending, TestResult::Pending),
        ] {
            let sampled_date = "2022-07-01".to_owned();
            let diagnosis = Diagnosis { result: stated.into(), sampled_date, ..Diagnosis::default() };
            let told = test(&diagnosis, class).unwrap_or_else(|_| panic!("a day that can be"));
            assert_eq!((told.result, told.method), (result, TestMethod::Unspecified), "{class:?} {stated:?}");
            assert_eq!(told.sampled_on, Some(date!(2022 - 07 - 01)));
        }
    }

    /// 別記様式6-1, items 5, 11, 14, 18 and 19: what is answered by yes, no and unknown is no less an answer than a code.
    #[test]
    fn what_the_form_answers_reaches_the_case_and_what_it_leaves_open_does_not() {
        assert!(answers(&Form::default()).is_empty());
        let (yes, no, unknown) = (Presence::Yes.into(), Presence::No.into(), Presence::Unknown.into());
        let form = Form {
            findings: Some(Findings {
                symptoms: vec![Symptom::Fever.into(), Symptom::Cough.into()],
                spo2_percent: Some(95),
                ..Findings::default()
            }),
            care: Some(Care {
                risk_factor: yes,
                risk_factors: vec![RiskFactor::Copd.into()],
                immunosuppression: unknown,
                pregnancy: no,
                drug_needed: Some(true),
                remote_consultation: Some(false),
                ..Care::default()
            }),
            vaccination: Some(Vaccination {
                presence: yes,
                doses: Some(2),
                last_date: "2021-07-01".to_owned(),
                product: "BNT162b2".to_owned(),
            }),
            ..Form::default()
        };
        let told: Vec<String> =
            answers(&form).into_iter().map(|answer| format!("{}={}", answer.item, answer.values.join(","))).collect();
        let expected = [
            "symptoms=fever,cough",
            "spo2_percent=95",
            "risk_factors=copd",
            "risk_factor=yes",
            "immunosuppression=unknown",
            "pregnancy=no",
            "vaccination=yes",
            "vaccination_doses=2",
            "vaccination_date=2021-07-01",
            "remote_consultation=no",
            "drug_needed=yes",
        ];
        assert_eq!(told, expected, "free text is no code");
    }
}
