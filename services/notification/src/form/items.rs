//! The items of the form by number: whether each is filled in, and of whom it is asked.

use std::ops::RangeInclusive;

use japan::{age, date, name};
use proto::{
    notification::{AskedOf, Care, Diagnosis, Findings, Form, Infection, Presence, Subject, Vaccination},
    registry::{AgeBand, DiagnosisClass, Sex},
};

use super::versions;

/// A form, taken apart.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub form: &'a Form,
    pub subject: &'a Subject,
    pub findings: &'a Findings,
}

/// From which age on everybody is notified (四類型).
const AGED: u8 = 65;

/// Whether the item of this number is filled in; `None` where no rule may ask for it.
pub(super) fn is_filled(number: &str, parts: Parts<'_>) -> Option<bool> {
    let Parts { form, subject, findings } = parts;
    let care = |is_stated: fn(&Care) -> bool| form.care.as_ref().is_some_and(is_stated);
    let said = |text: &str| !text.trim().is_empty();
    Some(match number {
        "1" => form.diagnosis_class != 0,
        "2" => said(&subject.name_kanji),
        "3" => subject.sex != 0,
        "4" => !subject.birth_date.is_empty() || subject.stated_age_band != 0 || subject.age_months.is_some(),
        "6" => said(&subject.occupation),
        "7" => said(&subject.address),
        "8" => said(&subject.whereabouts) || said(&subject.whereabouts_code),
        "9" => said(&subject.guardian_name),
        "10" => said(&subject.guardian_address) || said(&subject.guardian_phone),
        "10.phone" => said(&subject.guardian_phone),
        "11" => !findings.symptoms.is_empty(),
        "11.spo2" => findings.spo2_percent.is_some(),
        "12" => findings.diagnoses.iter().any(|diagnosis| *diagnosis != Diagnosis::default()),
        "12.sampled" => findings.diagnoses.iter().any(|diagnosis| !diagnosis.sampled_date.is_empty()),
        "13" => !findings.first_visit_date.is_empty(),
        "14" => !findings.diagnosis_date.is_empty(),
        "14.post_mortem" => findings.post_mortem.is_some(),
        "15" => !findings.infection_date.is_empty(),
        "16" => !findings.onset_date.is_empty(),
        "17" => !findings.death_date.is_empty(),
        "18" => form.infection.as_ref().is_some_and(|infection| *infection != Infection::default()),
        "18.vaccination" => form.vaccination.as_ref().is_some_and(|vaccination| vaccination.presence != 0),
        "19" => care(|care| *care != Care::default()),
        "19.risk_factor" => care(|care| care.risk_factor != 0 || !care.risk_factors.is_empty()),
        "19.immunosuppression" => care(|care| care.immunosuppression != 0),
        "19.pregnancy" => care(|care| care.pregnancy != 0),
        "19.severity" => care(|care| care.severity != 0),
        "19.admission_needed" => care(|care| care.admission_needed.is_some()),
        "19.remote_consultation" => care(|care| care.remote_consultation.is_some()),
        "19.drug_needed" => care(|care| care.drug_needed.is_some()),
        "19.oxygen_needed" => care(|care| care.oxygen_needed.is_some()),
        "category" => is_of_a_category(parts),
        "physician" => {
            let both = |is: &proto::notification::Physician| said(&is.name) && said(&is.institution_name);
            form.physician.as_ref().is_some_and(both)
        }
        _ => return None,
    })
}

/// Whether the rules may ask for the item of this number.
#[cfg(test)]
pub(super) fn may_be_asked_for(number: &str) -> bool {
    let (form, subject, findings) = (Form::default(), Subject::default(), Findings::default());
    is_filled(number, Parts { form: &form, subject: &subject, findings: &findings }).is_some()
}

/// Whether an item is asked of this person at all.
pub(super) fn is_asked(number: &str, parts: Parts<'_>) -> bool {
    is_among(versions::asked_of(number), parts)
}

/// Whether this person is one of some.
pub(super) fn is_among(people: AskedOf, parts: Parts<'_>) -> bool {
    let Parts { form, subject, .. } = parts;
    let class: DiagnosisClass = data::code(form.diagnosis_class);
    match people {
        AskedOf::Unspecified => true,
        AskedOf::Minor => {
            let majority = date::parse(&form.report_date).map(versions::majority);
            age(parts).zip(majority.ok()).is_some_and(|(years, majority)| *years.end() < majority)
        }
        AskedOf::Ill => matches!(class, DiagnosisClass::Confirmed | DiagnosisClass::Suspected),
        AskedOf::Deceased => is_corpse(form),
        AskedOf::Infant => age(parts).is_none_or(|years| years.contains(&0)),
        AskedOf::Female => subject.sex == i32::from(Sex::Female),
        AskedOf::Pregnant => form.care.as_ref().is_some_and(|care| care.pregnancy() == Presence::Yes),
        AskedOf::Vaccinated => form.vaccination.as_ref().map(Vaccination::presence) == Some(Presence::Yes),
        AskedOf::Traveller => form.infection.as_ref().is_some_and(|infection| !infection.abroad.is_empty()),
        AskedOf::Tested => !matches!(class, DiagnosisClass::Suspected | DiagnosisClass::SuspectedDeceased),
        AskedOf::NotLatin => !name::is_latin(&subject.name_kanji),
    }
}

/// The class says that the person is dead.
pub(super) fn is_corpse(form: &Form) -> bool {
    matches!(data::code(form.diagnosis_class), DiagnosisClass::Deceased | DiagnosisClass::SuspectedDeceased)
}

/// The age in years on the report date: of the birth date, or as the months or the band say that stand in its place.
fn age(parts: Parts<'_>) -> Option<RangeInclusive<u8>> {
    let Parts { form, subject, .. } = parts;
    let day = |text: &str| date::parse(text).ok();
    if let Some((on, born)) = day(&form.report_date).zip(day(&subject.birth_date)) {
        return age::on(on, born).map(|years| years..=years);
    }
    if subject.age_months.is_some() {
        return Some(0..=0);
    }
    match subject.stated_age_band() {
        AgeBand::Unspecified | AgeBand::Unknown => None,
        AgeBand::Under10 => Some(0..=9),
        AgeBand::AgeBand10s => Some(10..=19),
        AgeBand::AgeBand20s => Some(20..=29),
        AgeBand::AgeBand30s => Some(30..=39),
        AgeBand::AgeBand40s => Some(40..=49),
        AgeBand::AgeBand50s => Some(50..=59),
        AgeBand::AgeBand60s => Some(60..=69),
        AgeBand::AgeBand70s => Some(70..=79),
        AgeBand::AgeBand80s => Some(80..=89),
        AgeBand::AgeBand90s => Some(90..=99),
        AgeBand::AgeBand100OrOver => Some(100..=u8::MAX),
        AgeBand::Preschool => Some(0..=6),
        // Pupils of a high school are 18 before they leave it.
        AgeBand::SchoolAge => Some(6..=18),
    }
}

/// Whether the form says why the person is notified since 2022-09-26: one of the four categories (四類型), or dead. A physician may
/// file on the need of a drug without a risk factor, which the ordinance does not ask for.
fn is_of_a_category(parts: Parts<'_>) -> bool {
    let aged = age(parts).is_some_and(|years| *years.start() >= AGED);
    let care = parts.form.care.as_ref().is_some_and(|care| {
        let admission = care.admitted == Some(true) || care.admission_needed == Some(true);
        let treatment = care.drug_needed == Some(true) || care.oxygen_needed == Some(true);
        admission || treatment || care.pregnancy() == Presence::Yes
    });
    is_corpse(parts.form) || !parts.findings.death_date.is_empty() || aged || care
}

#[cfg(test)]
mod tests {
    use proto::{
        notification::{
            AskedOf, Care, Diagnosis, Findings, Form, Infection, Physician, Presence, Subject, Vaccination,
        },
        registry::{AgeBand, DiagnosisClass, Sex},
    };

    use super::{Parts, is_among, is_asked, is_filled};

    fn parts<R>(form: &Form, ask: impl FnOnce(Parts<'_>) -> R) -> R {
        let subject = form.subject.clone().unwrap_or_default();
        let findings = form.findings.clone().unwrap_or_default();
        ask(Parts { form, subject: &subject, findings: &findings })
    }

    fn person(born: &str, sex: Sex) -> Form {
        let subject = Subject { birth_date: born.to_owned(), sex: sex.into(), ..Subject::default() };
        Form { report_date: "2022-10-01".to_owned(), subject: Some(subject), ..Form::default() }
    }

    fn cared(care: Care) -> Form {
        Form { care: Some(care), ..person("1990-01-01", Sex::Female) }
    }

    #[test]
    fn an_item_is_asked_of_whom_it_concerns() {
        let adult = || person("1990-01-01", Sex::Male);
        let yes = i32::from(Presence::Yes);
        let vaccinated = Vaccination { presence: yes, ..Vaccination::default() };
        let abroad = Infection { abroad: "イタリア".to_owned(), ..Infection::default() };
        for (form, item, asked) in vec![
            (person("2004-10-02", Sex::Male), "9", true),
            (person("2004-10-01", Sex::Male), "9", false),
            (person("2022-01-01", Sex::Male), "5.months", true),
            (person("2021-10-01", Sex::Male), "5.months", false),
            (person("", Sex::Male), "5.months", true),
            (person("1990-01-01", Sex::Female), "19.pregnancy", true),
            (adult(), "19.pregnancy", false),
            (cared(Care { pregnancy: yes, ..Care::default() }), "19.pregnancy_weeks", true),
            (cared(Care::default()), "19.pregnancy_weeks", false),
            (Form { vaccination: Some(vaccinated), ..adult() }, "18.doses", true),
            (Form { vaccination: Some(Vaccination::default()), ..adult() }, "18.doses", false),
            (Form { infection: Some(abroad), ..adult() }, "18.departure", true),
            (Form { infection: Some(Infection::default()), ..adult() }, "18.departure", false),
            (adult(), "14.post_mortem", false),
            (Form { diagnosis_class: DiagnosisClass::Deceased.into(), ..adult() }, "14.post_mortem", true),
            (adult(), "1", true),
        ] {
            assert_eq!(parts(&form, |parts| is_asked(item, parts)), asked, "{item}");
        }
    }

    /// MHLW letter 2022-09-12 and Kanagawa's Q&A: 65 or older, admission, drug or oxygen, pregnant; deaths always.
    #[test]
    fn one_of_the_four_categories_is_a_reason_to_notify() {
        let yes = Some(true);
        let dead = Findings { death_date: "2022-09-30".to_owned(), ..Findings::default() };
        for (form, reason) in [
            (person("1957-10-01", Sex::Male), true),
            (person("1957-10-02", Sex::Male), false),
            (cared(Care { admission_needed: yes, ..Care::default() }), true),
            (cared(Care { admitted: yes, ..Care::default() }), true),
            (cared(Care { admission_needed: Some(false), ..Care::default() }), false),
            (cared(Care { drug_needed: yes, ..Care::default() }), true),
            (cared(Care { oxygen_needed: yes, ..Care::default() }), true),
            (cared(Care { pregnancy: Presence::Yes.into(), ..Care::default() }), true),
            (cared(Care { pregnancy: Presence::Unknown.into(), ..Care::default() }), false),
            (Form { diagnosis_class: DiagnosisClass::SuspectedDeceased.into(), ..person("", Sex::Male) }, true),
            (Form { findings: Some(dead), ..person("1990-01-01", Sex::Male) }, true),
        ] {
            assert_eq!(parts(&form, |parts| is_filled("category", parts)), Some(reason));
        }
    }

    /// 民法 第4条: of age at 20, and at 18 since 2022-04-01. A band that lies on both sides says neither.
    #[test]
    fn who_is_known_by_an_age_band_is_a_minor_or_aged_where_the_whole_band_is() {
        let of = |day: &str, band: AgeBand| {
            let mut form = Form { report_date: day.to_owned(), ..person("", Sex::Male) };
            form.subject.as_mut().unwrap().stated_age_band = band.into();
            form
        };
        let (old, new) = ("2022-03-31", "2022-10-01");
        for (form, minor, aged, infant) in [
            (of(new, AgeBand::Under10), true, false, true),
            (of(new, AgeBand::Preschool), true, false, true),
            (of(new, AgeBand::SchoolAge), false, false, false),
            (of(old, AgeBand::SchoolAge), true, false, false),
            (of(new, AgeBand::AgeBand10s), false, false, false),
            (of(old, AgeBand::AgeBand10s), true, false, false),
            (of(old, AgeBand::AgeBand20s), false, false, false),
            (of(new, AgeBand::AgeBand60s), false, false, false),
            (of(new, AgeBand::AgeBand70s), false, true, false),
            (of(new, AgeBand::AgeBand100OrOver), false, true, false),
            (of(new, AgeBand::Unknown), false, false, true),
            (of(new, AgeBand::Unspecified), false, false, true),
        ] {
            let band = form.subject.as_ref().unwrap().stated_age_band();
            for item in ["9", "10", "10.phone"] {
                assert_eq!(parts(&form, |parts| is_asked(item, parts)), minor, "{band:?} {item}");
            }
            assert_eq!(parts(&form, |parts| is_filled("category", parts)), Some(aged), "{band:?}");
            assert_eq!(parts(&form, |parts| is_asked("5.months", parts)), infant, "{band:?}");
        }
        let mut born = of(new, AgeBand::AgeBand70s);
        "1957-10-02".clone_into(&mut born.subject.as_mut().unwrap().birth_date);
        assert_eq!(parts(&born, |parts| is_filled("category", parts)), Some(false), "the birth date says more");
        let mut infant = person("", Sex::Male);
        infant.subject.as_mut().unwrap().age_months = Some(3);
        assert!(parts(&infant, |parts| is_asked("9", parts) && is_asked("5.months", parts)));
    }

    #[test]
    fn what_says_nothing_fills_in_nothing() {
        let blank = "　 ".to_owned();
        let said = Subject {
            occupation: blank.clone(),
            address: blank.clone(),
            whereabouts: blank.clone(),
            guardian_name: blank.clone(),
            guardian_phone: blank.clone(),
            ..Subject::default()
        };
        let empty = Form {
            subject: Some(said),
            findings: Some(Findings { diagnoses: vec![Diagnosis::default()], ..Findings::default() }),
            infection: Some(Infection::default()),
            care: Some(Care::default()),
            vaccination: Some(Vaccination::default()),
            physician: Some(Physician { name: blank.clone(), institution_name: blank, ..Physician::default() }),
            ..Form::default()
        };
        for item in
            ["6", "7", "8", "9", "10", "10.phone", "12", "12.sampled", "18", "18.vaccination", "19", "physician"]
        {
            assert_eq!(parts(&empty, |parts| is_filled(item, parts)), Some(false), "{item}");
        }
        let abroad = Infection { abroad: "イタリア".to_owned(), ..Infection::default() };
        let no = Care { admitted: Some(false), ..Care::default() };
        let sampled = Diagnosis { sampled_date: "2022-07-01".to_owned(), ..Diagnosis::default() };
        let stated = Form {
            findings: Some(Findings { diagnoses: vec![sampled], ..Findings::default() }),
            infection: Some(abroad),
            care: Some(no),
            ..Form::default()
        };
        for item in ["12", "12.sampled", "18", "19"] {
            assert_eq!(parts(&stated, |parts| is_filled(item, parts)), Some(true), "{item}");
        }
    }

    /// 施行規則 since 2022-06-30: 保護者の氏名及び電話番号, so that an address does not answer for the telephone.
    #[test]
    fn an_address_of_the_guardian_is_no_telephone() {
        let with = |address: &str, phone: &str| {
            let (guardian_address, guardian_phone) = (address.to_owned(), phone.to_owned());
            Form {
                subject: Some(Subject { guardian_address, guardian_phone, ..Subject::default() }),
                ..Form::default()
            }
        };
        for (form, either, phone) in
            [(with("大阪市北区", ""), true, false), (with("", "0612345678"), true, true), (with("", ""), false, false)]
        {
            let filled = |item| parts(&form, |parts| is_filled(item, parts));
            assert_eq!((filled("10"), filled("10.phone")), (Some(either), Some(phone)));
        }
    }

    #[test]
    fn who_was_tested_follows_from_the_class_and_a_latin_name_needs_no_kana() {
        let of = |class: DiagnosisClass| Form { diagnosis_class: class.into(), ..Form::default() };
        for (class, tested) in [
            (DiagnosisClass::Confirmed, true),
            (DiagnosisClass::AsymptomaticCarrier, true),
            (DiagnosisClass::Deceased, true),
            (DiagnosisClass::Unspecified, true),
            (DiagnosisClass::Suspected, false),
            (DiagnosisClass::SuspectedDeceased, false),
        ] {
            assert_eq!(parts(&of(class), |parts| is_among(AskedOf::Tested, parts)), tested, "{class:?}");
        }
        for (name, asked) in [("髙﨑 𠮷男", true), ("JOHN SMITH", false)] {
            let subject = Subject { name_kanji: name.to_owned(), ..Subject::default() };
            let form = Form { subject: Some(subject), ..Form::default() };
            assert_eq!(parts(&form, |parts| is_asked("2.kana", parts)), asked, "{name}");
        }
    }

    #[test]
    fn nobody_asks_for_what_no_rule_may_ask_for() {
        assert_eq!(parts(&Form::default(), |parts| is_filled("19.remarks", parts)), None);
    }
}
