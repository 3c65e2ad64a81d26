//! Cases as their relations show them.

use std::collections::HashMap;

use access::{CaseId, Relations, classes};
use chassis::Error;
use proto::registry::{
    Case as View, ClinicalState as StateView, Grant as GrantView, Person, Relation, Stay as StayView, Test as TestView,
};
use runtime::clock::to_proto;
use sqlx::PgConnection;
use vault::Vault;

use super::{
    grants::{self, Grant},
    model::Case,
    store,
};
use crate::{
    access_id, course,
    fact::{self, Fact, FactId},
    filing::{self, NotificationId},
    person::{self, SealedPerson},
    section,
    transfer::{self, Transfer},
};

/// What the tables besides `cases` know of some cases.
struct Around {
    persons: HashMap<CaseId, SealedPerson>,
    facts: HashMap<CaseId, Vec<Fact>>,
    sections: HashMap<CaseId, Vec<section::Stored>>,
    notifications: HashMap<CaseId, Vec<NotificationId>>,
    grants: HashMap<CaseId, Vec<Grant>>,
    transfers: HashMap<CaseId, Transfer>,
    /// The episodes before, where there was one.
    previous: HashMap<CaseId, Case>,
}

impl Around {
    /// One query per table, however many cases.
    async fn load(conn: &mut PgConnection, ids: &[CaseId], previous: &[CaseId]) -> sqlx::Result<Self> {
        let previous = if previous.is_empty() { Vec::new() } else { store::find_all(conn, previous).await? };
        Ok(Self {
            persons: person::of_cases(conn, ids).await?.into_iter().collect(),
            facts: by_case(fact::of_cases(conn, ids).await?.into_iter().map(|fact| (fact.case_id, fact))),
            sections: by_case(section::of_cases(conn, ids).await?.into_iter().map(|stored| (stored.case_id, stored))),
            notifications: by_case(filing::notifications_of(conn, ids).await?),
            grants: by_case(grants::of_cases(conn, ids).await?.into_iter().map(|grant| (grant.case_id, grant))),
            transfers: transfer::latest_of(conn, ids).await?.into_iter().map(|last| (last.case_id, last)).collect(),
            previous: previous.into_iter().map(|case| (case.id, case)).collect(),
        })
    }
}

fn by_case<T>(rows: impl IntoIterator<Item = (CaseId, T)>) -> HashMap<CaseId, Vec<T>> {
    rows.into_iter().fold(HashMap::new(), |mut found, (case, row)| {
        found.entry(case).or_default().push(row);
        found
    })
}

/// A case as its relations show it.
pub(crate) async fn view(
    vault: &Vault,
    conn: &mut PgConnection,
    case: Case,
    relations: &Relations,
) -> Result<View, Error> {
    let mut views = views(vault, conn, vec![(case, relations.clone())]).await?;
    views.pop().ok_or(Error::NotFound("case"))
}

/// Cases as their relations show them.
pub(crate) async fn views(
    vault: &Vault,
    conn: &mut PgConnection,
    cases: Vec<(Case, Relations)>,
) -> Result<Vec<View>, Error> {
    let ids: Vec<CaseId> = cases.iter().map(|(case, _)| case.id).collect();
    // The centre at work knows of another case of the person; who only reports this one does not. Where nothing is notified yet, only a
    // centre that knows the other case: registering somebody tells nobody that the person was there before.
    let works = |relation: &Relation| matches!(relation, Relation::ResponsibleCentre | Relation::ReceivingCentre);
    let others: Vec<CaseId> = cases.iter().flat_map(|(case, _)| [case.previous, case.same_person]).flatten().collect();
    let sight = if others.is_empty() { Vec::new() } else { grants::of_cases(conn, &others).await? };
    let knows = |case: &Case, other: CaseId| {
        let centre = case.responsible_centre;
        sight
            .iter()
            .any(|grant| grant.case_id == other && Some(grant.organisation_id) == centre && grant.until.is_none())
    };
    let tells = |case: &Case| case.previous.filter(|id| case.course.report_date.is_some() || knows(case, *id));
    let before: Vec<CaseId> =
        cases.iter().filter(|(_, relations)| relations.iter().any(works)).filter_map(|(case, _)| tells(case)).collect();
    let mut around = Around::load(conn, &ids, &before).await?;
    cases
        .into_iter()
        .map(|(case, relations)| {
            let mut view = shown(vault, &case, &mut around)?;
            if relations.iter().any(works) {
                view.same_person_case_id = data::text(case.same_person.filter(|other| knows(&case, *other)));
            }
            classes::mask(&view, &relations).map_err(Error::Internal)
        })
        .collect()
}

fn shown(vault: &Vault, case: &Case, around: &mut Around) -> Result<View, Error> {
    let person: Option<Person> =
        around.persons.remove(&case.id).map(|sealed| person::open(vault, &sealed)).transpose()?;
    let transfer = around.transfers.remove(&case.id);
    let facts = around.facts.remove(&case.id).unwrap_or_default();
    let stands = fact::standing(&facts);
    let course = &case.course;
    let mut view = View {
        case_id: case.id.to_string(),
        etag: case.version.to_string(),
        person,
        role: case.role().into(),
        index_case_id: data::text(course.index_case_id),
        last_contact_date: data::text(course.last_contact_on),
        diagnosis_class: course.diagnosis_class.into(),
        report_date: data::text(course.report_date),
        onset_date: data::text(course.onset_date),
        diagnosis_date: data::text(course.diagnosis_date),
        tests: shown_tests(&stands),
        severity: course.severity.into(),
        clinical_states: shown_states(&stands),
        admission_necessity: course.admission_necessity.into(),
        placement: course.placement.into(),
        stays: shown_stays(&stands),
        responsible_centre_id: data::text(case.responsible_centre),
        transfer: transfer.map(|transfer| transfer::shown(vault, &transfer)).transpose()?,
        referred_to_id: data::text(case.referred_to),
        outcome: course.outcome.into(),
        outcome_date: data::text(course.outcome_date),
        notification_ids: around
            .notifications
            .remove(&case.id)
            .unwrap_or_default()
            .iter()
            .map(NotificationId::to_string)
            .collect(),
        grants: listed::<_, GrantView>(&mut around.grants, case.id),
        create_time: Some(to_proto(case.created_at)),
        update_time: Some(to_proto(case.updated_at)),
        age_band: course.age_band.into(),
        first_visit_date: data::text(course.first_visit_date),
        infection_date: data::text(course.infection_date),
        day_zero_date: data::text(course.day_zero()),
        findings: course::findings(&stands).into_iter().map(Into::into).collect(),
        ..View::default()
    };
    if let Some(before) = case.previous.and_then(|id| around.previous.get(&id)) {
        view.previous_case_id = before.id.to_string();
        view.previous_access_id = access_id::open(vault, before)?;
    }
    section::show(vault, &mut view, around.sections.remove(&case.id).unwrap_or_default())?;
    view.missing_items = section::missing(&view);
    Ok(view)
}

fn shown_tests(facts: &[&Fact]) -> Vec<TestView> {
    let shown = |(id, test): (FactId, course::Test)| TestView { fact_id: id.to_string(), ..test.into() };
    course::numbered_tests(facts).into_iter().map(shown).collect()
}

fn shown_states(facts: &[&Fact]) -> Vec<StateView> {
    let shown = |(id, state): (FactId, course::ClinicalState)| StateView { fact_id: id.to_string(), ..state.into() };
    course::states(facts).into_iter().map(shown).collect()
}

/// Stays as they follow each other: each lasts until the next one begins.
fn shown_stays(facts: &[&Fact]) -> Vec<StayView> {
    let stays = course::stays(facts);
    let next = |place: usize| data::text(stays.get(place + 1).map(|(_, next)| next.since));
    let shown = |(place, (id, stay)): (usize, &(FactId, course::Stay))| StayView {
        fact_id: id.to_string(),
        until_date: next(place),
        ..(*stay).into()
    };
    stays.iter().enumerate().map(shown).collect()
}

fn listed<T, V: From<T>>(rows: &mut HashMap<CaseId, Vec<T>>, case: CaseId) -> Vec<V> {
    rows.remove(&case).unwrap_or_default().into_iter().map(V::from).collect()
}
