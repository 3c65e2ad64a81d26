//! What the form says of risk, pregnancy, vaccination and travel: no answer contradicts the question it belongs to.

use proto::{
    notification::{Care, Findings, Form, Infection, Presence, Subject, Vaccination},
    registry::Sex,
};
use runtime::problem::Violation;
use time::Date;

use super::{findings::take_date, items::is_corpse};

/// Checks items 18 and 19, and brings their days to ISO.
pub(super) fn check_care(
    form: &mut Form,
    subject: &Subject,
    findings: &Findings,
    today: Date,
    found: &mut Vec<Violation>,
) {
    let is_corpse = is_corpse(form);
    if let Some(care) = &mut form.care {
        take_date(&mut care.admission_date, "form.care.admission_date", today, found);
        check_risk(care, subject, found);
    }
    if let Some(infection) = &mut form.infection {
        check_travel(infection, today, found);
    }
    if let Some(vaccination) = &mut form.vaccination {
        check_vaccination(vaccination, today, found);
    }
    if findings.post_mortem == Some(true) && !is_corpse {
        let ja = "検案は死体について行うものです。類型を確認してください";
        found.push(Violation::new("form.findings.post_mortem", ja, "must not be said of the living"));
    }
}

/// Item 19: what is said in detail of something that is not there.
fn check_risk(care: &Care, subject: &Subject, found: &mut Vec<Violation>) {
    let detailed = !care.risk_factors.is_empty() || !care.risk_factor_other.is_empty();
    if detailed && denied(care.risk_factor()) {
        let field = if care.risk_factors.is_empty() { "risk_factor_other" } else { "risk_factors" };
        found.push(only_where_yes(format!("form.care.{field}"), "重症化のリスク因子となる疾患等"));
    }
    if care.pregnancy() == Presence::Yes && subject.sex == i32::from(Sex::Male) {
        let ja = "性別が男の方に妊娠「有」は選択できません";
        found.push(Violation::new("form.care.pregnancy", ja, "must not be yes for a man"));
    }
    if care.pregnancy_weeks.is_some() && care.pregnancy() != Presence::Yes {
        found.push(only_where_yes("form.care.pregnancy_weeks", "妊娠"));
    }
}

/// Item 18: 出国日 and 入国日 belong to a place abroad.
fn check_travel(infection: &mut Infection, today: Date, found: &mut Vec<Violation>) {
    take_date(&mut infection.departure_date, "form.infection.departure_date", today, found);
    take_date(&mut infection.return_date, "form.infection.return_date", today, found);
    let dated = !infection.departure_date.is_empty() || !infection.return_date.is_empty();
    if dated && infection.abroad.is_empty() {
        let ja = "出国日・入国日があるときは、国外の国名が必要です";
        found.push(Violation::new("form.infection.abroad", ja, "is required with the days of the stay"));
    }
}

/// Item 18: ワクチン接種歴.
fn check_vaccination(vaccination: &mut Vaccination, today: Date, found: &mut Vec<Violation>) {
    take_date(&mut vaccination.last_date, "form.vaccination.last_date", today, found);
    if vaccination.presence() == Presence::Yes {
        return;
    }
    let of = "ワクチン接種歴";
    if vaccination.doses.is_some() {
        found.push(only_where_yes("form.vaccination.doses", of));
    }
    if !vaccination.last_date.is_empty() {
        found.push(only_where_yes("form.vaccination.last_date", of));
    }
    if !vaccination.product.is_empty() {
        found.push(only_where_yes("form.vaccination.product", of));
    }
}

/// Whether an answer says that there is none, or that nobody knows.
fn denied(presence: Presence) -> bool {
    matches!(presence, Presence::No | Presence::Unknown)
}

fn only_where_yes(field: impl Into<String>, of: &str) -> Violation {
    let ja = format!("{of}が「有」のときだけ入力してください");
    Violation::new(field, ja, "must be empty unless the answer it belongs to is yes")
}

#[cfg(test)]
mod tests {
    use proto::{
        notification::{Care, Form, Infection, Presence, RiskFactor, Vaccination},
        registry::{DiagnosisClass, Sex},
    };
    use time::{Date, macros::date};

    use crate::{
        fixture::{PREFECTURE, form as good},
        form::{Filer, check},
    };

    const TODAY: Date = date!(2021 - 08 - 10);
    const YES: i32 = Presence::Yes as i32;
    const NO: i32 = Presence::No as i32;
    const UNKNOWN: i32 = Presence::Unknown as i32;

    fn faults(form: Form) -> Vec<String> {
        let filer = Filer { today: TODAY, prefecture: PREFECTURE };
        let form = Form { report_date: "2021-08-10".to_owned(), ..form };
        check(form, filer, &[]).err().unwrap_or_default().into_iter().map(|fault| fault.field).collect()
    }

    /// A woman.
    fn cared(care: Care) -> Form {
        let mut form = good();
        form.subject.as_mut().unwrap().sex = Sex::Female.into();
        Form { care: Some(care), ..form }
    }

    fn vaccinated(vaccination: Vaccination) -> Form {
        Form { vaccination: Some(vaccination), ..good() }
    }

    fn travelled(departure: &str, back: &str, infected: &str) -> Form {
        let infection = Infection {
            abroad: "イタリア".to_owned(),
            departure_date: departure.to_owned(),
            return_date: back.to_owned(),
            ..Infection::default()
        };
        let mut form = Form { infection: Some(infection), ..good() };
        form.findings.as_mut().unwrap().infection_date = infected.to_owned();
        form
    }

    /// 別記様式6-1 as amended on 2021-02-10 (Kyoto medical association), items 18 and 19.
    #[test]
    fn yes_no_and_unknown_are_answers_and_details_belong_to_a_yes() {
        let care = Care::default;
        let copd = || vec![i32::from(RiskFactor::Copd)];
        let doses = |presence| vaccinated(Vaccination { presence, doses: Some(2), ..Vaccination::default() });
        for (form, fault) in [
            (cared(Care { risk_factor: NO, immunosuppression: UNKNOWN, pregnancy: UNKNOWN, ..care() }), ""),
            (cared(Care { risk_factor: YES, risk_factors: copd(), ..care() }), ""),
            (cared(Care { risk_factors: copd(), ..care() }), ""),
            (cared(Care { risk_factor: NO, risk_factors: copd(), ..care() }), "form.care.risk_factors"),
            (
                cared(Care { risk_factor: UNKNOWN, risk_factor_other: "喘息".to_owned(), ..care() }),
                "form.care.risk_factor_other",
            ),
            (cared(Care { pregnancy: YES, pregnancy_weeks: Some(20), ..care() }), ""),
            (cared(Care { pregnancy: NO, pregnancy_weeks: Some(20), ..care() }), "form.care.pregnancy_weeks"),
            (Form { care: Some(Care { pregnancy: YES, ..care() }), ..good() }, "form.care.pregnancy"),
            (doses(YES), ""),
            (doses(NO), "form.vaccination.doses"),
            (doses(UNKNOWN), "form.vaccination.doses"),
            (
                vaccinated(Vaccination { last_date: "2021-07-01".to_owned(), ..Vaccination::default() }),
                "form.vaccination.last_date",
            ),
            (
                vaccinated(Vaccination { presence: NO, product: "BNT162b2".to_owned(), ..Vaccination::default() }),
                "form.vaccination.product",
            ),
        ] {
            let expected: Vec<&str> = Some(fault).filter(|fault| !fault.is_empty()).into_iter().collect();
            assert_eq!(faults(form), expected);
        }
    }

    /// 別記様式6-1, item 18: 国外 with 出国日 and 入国日; item 14: 検案 of a corpse.
    #[test]
    fn days_abroad_and_of_a_vaccination_stand_in_the_one_order() {
        let in_july = |day: &str| {
            let last_date = day.to_owned();
            vaccinated(Vaccination { presence: YES, last_date, ..Vaccination::default() })
        };
        let nowhere = {
            let infection = Infection { return_date: "2020-03-01".to_owned(), ..Infection::default() };
            Form { infection: Some(infection), ..good() }
        };
        let mut examined = good();
        examined.findings.as_mut().unwrap().post_mortem = Some(true);
        let corpse = Form { diagnosis_class: DiagnosisClass::Deceased.into(), ..examined.clone() };
        for (form, fault) in [
            (travelled("2019-12-20", "2020-03-01", "2020-02-20"), ""),
            (travelled("2020-03-02", "2020-03-01", ""), "form.infection.return_date"),
            (travelled("2020-02-20", "2020-03-01", "2020-02-10"), "form.findings.infection_date"),
            (travelled("2020-02-20", "2020-03-01", "2020-03-02"), "form.infection.return_date"),
            (travelled("x", "", ""), "form.infection.departure_date"),
            (nowhere, "form.infection.abroad"),
            (in_july("R3.7.1"), ""),
            (in_july("2021-08-11"), "form.vaccination.last_date"),
            (in_july("1970-01-01"), "form.vaccination.last_date"),
            (examined, "form.findings.post_mortem"),
            (corpse, ""),
        ] {
            let expected: Vec<&str> = Some(fault).filter(|fault| !fault.is_empty()).into_iter().collect();
            assert_eq!(faults(form), expected);
        }
    }
}
