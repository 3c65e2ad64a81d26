//! What a notification (発生届) tells about a case, part by part.

use access::OrganisationId;
use data::Failure;
use japan::date;
use proto::{
    identity::OrganisationKind as Kind,
    notification::{Care, Diagnosis, Findings as Found, Severity as Graded},
    registry::{AdmissionNecessity, DayKind, DiagnosisClass, Outcome, Placement, Severity},
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
    for (place, diagnosis) in found.diagnoses.iter().enumerate() {
        told.push((Slot::test(place), Content::Test(test(diagnosis)?)));
    }
    let died_on = day(&found.death_date)?;
    if died_on.is_some() || matches!(class, DiagnosisClass::Deceased | DiagnosisClass::SuspectedDeceased) {
        told.push((Slot::DEATH, Content::Ending(Outcome::Died, died_on)));
    }
    if let Some(care) = &form.care {
        let hospital = Some(filing.reporter).filter(|_| filer == Kind::Hospital);
        told.extend(of_care(care, on, hospital)?);
    }
    let answers = answers(&found, form.care.as_ref());
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

/// What is answered by codes: symptoms, oxygen saturation, risk factors.
fn answers(found: &Found, care: Option<&Care>) -> Vec<Answered> {
    let answer = |item: &str, values: Vec<String>| Answered { item: item.to_owned(), values };
    let symptoms = found.symptoms().map(|symptom| code(symptom.as_str_name(), "SYMPTOM_")).collect();
    let risks = care.into_iter().flat_map(Care::risk_factors);
    let risks = risks.map(|risk| code(risk.as_str_name(), "RISK_FACTOR_")).collect();
    [
        answer("symptoms", symptoms),
        answer("spo2_percent", found.spo2_percent.iter().map(ToString::to_string).collect()),
        answer("risk_factors", risks),
    ]
    .into_iter()
    .filter(|answer| !answer.values.is_empty())
    .collect()
}

fn code(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_lowercase()
}

/// Item 12.
fn test(diagnosis: &Diagnosis) -> Result<Test, Failure> {
    Ok(Test {
        method: data::code(diagnosis.method),
        specimen: data::code(diagnosis.specimen),
        result: data::code(diagnosis.result),
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
