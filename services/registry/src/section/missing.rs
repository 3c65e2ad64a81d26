//! Which required items (◎) are still empty, as far as a case has come.

use proto::registry::{Case as View, DiagnosisClass, MissingItem, Outcome, Placement, Severity, TestResult};

use super::definitions::{self, Item, When};

/// The required items that are empty, and who usually fills them in.
pub(crate) fn missing(view: &View) -> Vec<MissingItem> {
    let sections =
        [&view.contact_sections, &view.clinical_sections, &view.epidemiology_sections, &view.administrative_sections];
    let answered = |item: &str| {
        sections
            .iter()
            .flat_map(|sections| sections.iter())
            .flat_map(|section| &section.answers)
            .any(|a| a.item == item)
    };
    let items = definitions::latest().sections.iter().flat_map(|section| &section.items);
    let is_missing = |item: &&Item| {
        let filled = match &item.kept_in {
            None => answered(&item.id),
            Some(place) => kept(view, place).unwrap_or(true),
        };
        item.required.is_some_and(|when| has_come(view, when)) && !filled
    };
    items
        .filter(is_missing)
        .map(|item| MissingItem { item_id: item.id.clone(), fillers: item.fillers().map(Into::into).collect() })
        .collect()
}

fn has_come(view: &View, when: When) -> bool {
    let notified = !view.report_date.is_empty();
    let hospital = || view.stays.iter().any(|stay| stay.placement() == Placement::Hospital);
    match when {
        When::Always => true,
        When::Notified => notified,
        When::Tested => view.tests.iter().any(|test| test.result() != TestResult::Pending),
        When::Symptomatic => notified && view.diagnosis_class() == DiagnosisClass::Confirmed,
        When::Severe => view.clinical_states.iter().any(|state| state.severity() == Severity::Severe),
        When::InHospital => view.placement() == Placement::Hospital,
        When::Discharged => view.placement() == Placement::Discharged,
        When::Released => view.outcome() == Outcome::Released && hospital(),
        When::Died => view.outcome() == Outcome::Died,
        When::CaredFor => matches!(view.placement(), Placement::Home | Placement::Lodging),
    }
}

/// Whether what stands elsewhere is filled in. `None` where another service keeps it.
fn kept(view: &View, place: &str) -> Option<bool> {
    let person = view.person.clone().unwrap_or_default();
    let told = || view.tests.iter().filter(|test| test.result() != TestResult::Pending);
    Some(match place {
        // Minted with the case.
        "access_id" => true,
        "person.name_kanji" => !person.name_kanji.is_empty(),
        "person.name_kana" => !person.name_kana.is_empty() || japan::name::is_latin(&person.name_kanji),
        "person.sex" => person.sex != 0,
        "person.birth_date" => !person.birth_date.is_empty(),
        "person.address" => !person.address.is_empty(),
        "person.phone" => !person.phone.is_empty(),
        "person.mail" => !person.mail.is_empty(),
        "age_band" => view.age_band != 0,
        // A report has always reached a centre.
        "grants" | "report_date" => !view.report_date.is_empty(),
        "tests" => !view.tests.is_empty(),
        "tests.result" => told().next().is_some(),
        "tests.result_date" => told().all(|test| !test.result_date.is_empty()),
        "tests.is_administrative" => told().all(|test| test.is_administrative.is_some()),
        "first_visit_date" => !view.first_visit_date.is_empty(),
        "diagnosis_date" => !view.diagnosis_date.is_empty(),
        "infection_date" => !view.infection_date.is_empty(),
        "onset_date" => !view.onset_date.is_empty(),
        "placement" => view.placement != 0,
        "stays.facility_id" => view
            .stays
            .iter()
            .filter(|stay| stay.placement() == Placement::Hospital)
            .all(|stay| !stay.facility_id.is_empty()),
        "stays.discharge" => view
            .stays
            .iter()
            .rfind(|stay| stay.placement() == Placement::Hospital)
            .is_none_or(|stay| !stay.until_date.is_empty()),
        "clinical_states" => !view.clinical_states.is_empty(),
        "outcome" => view.outcome != 0,
        "outcome_date" => !view.outcome_date.is_empty(),
        "diagnosis_class" => view.diagnosis_class != 0,
        "findings.symptoms" => view.findings.iter().any(|answer| answer.item == "symptoms"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proto::registry::{Case as View, DiagnosisClass, Outcome, Placement, Stay, Test, TestResult};

    use super::{definitions, kept, missing};

    fn ids(view: &View) -> Vec<String> {
        missing(view).into_iter().map(|item| item.item_id).collect()
    }

    #[test]
    fn what_stands_elsewhere_is_looked_for_there() {
        let services = ["followup", "notification"];
        let items = definitions::latest().sections.iter().flat_map(|section| &section.items);
        for place in items.filter_map(|item| item.kept_in.as_deref()) {
            assert_eq!(kept(&View::default(), place).is_none(), services.contains(&place), "{place}");
        }
    }

    #[test]
    fn an_item_is_asked_for_when_the_case_has_come_so_far() {
        let view = View::default();
        let basic = ["name_kanji", "name_kana", "sex", "birth_date", "age"];
        assert_eq!(ids(&view), basic);
        let test = Test { result: TestResult::Pending.into(), ..Test::default() };
        let pending = View { tests: vec![test], ..view.clone() };
        assert_eq!(ids(&pending), basic, "nobody knows the day of a result that is not there");
        let test = Test { result: TestResult::Negative.into(), ..Test::default() };
        let tested = ids(&View { tests: vec![test], ..view.clone() });
        assert!(["result_date", "is_administrative"].iter().all(|item| tested.contains(&(*item).to_owned())));

        let notified = View {
            report_date: "2020-06-01".to_owned(),
            diagnosis_class: DiagnosisClass::Confirmed.into(),
            ..view.clone()
        };
        let asked = ids(&notified);
        for item in ["onset_date", "infection_link", "elderly_in_household", "symptoms", "admitted"] {
            assert!(asked.contains(&item.to_owned()), "{item}");
        }
        let carrier = View { diagnosis_class: DiagnosisClass::AsymptomaticCarrier.into(), ..notified };
        assert!(!ids(&carrier).contains(&"onset_date".to_owned()), "a carrier has none");

        let stay = |placement: Placement, until: &str| Stay {
            placement: placement.into(),
            until_date: until.to_owned(),
            ..Stay::default()
        };
        let left = View {
            placement: Placement::Discharged.into(),
            stays: vec![stay(Placement::Hospital, "2020-06-03"), stay(Placement::Discharged, "")],
            ..view.clone()
        };
        assert!(ids(&left).contains(&"outcome".to_owned()), "退院 is no outcome");
        let released =
            View { outcome: Outcome::Released.into(), stays: vec![stay(Placement::Hospital, "")], ..view.clone() };
        assert!(ids(&released).contains(&"discharge_date".to_owned()));
        let died = View { outcome: Outcome::Died.into(), ..view };
        assert!(ids(&died).contains(&"death_date".to_owned()));
    }
}
