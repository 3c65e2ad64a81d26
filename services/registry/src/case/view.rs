//! Cases as their relations show them.

use std::collections::HashMap;

use access::{CaseId, Relations, classes};
use chassis::Error;
use proto::registry::{Case as View, Grant as GrantView, Person};
use runtime::clock::to_proto;
use sqlx::PgConnection;
use vault::Vault;

use super::{
    grants::{self, Grant},
    model::Case,
};
use crate::{
    course::{self, ClinicalState, Stay, Test},
    filing::{self, NotificationId},
    person::{self, SealedPerson},
    transfer::{self, Transfer},
};

/// What the tables besides `cases` know of some cases.
struct Around {
    persons: HashMap<CaseId, SealedPerson>,
    tests: HashMap<CaseId, Vec<Test>>,
    notifications: HashMap<CaseId, Vec<NotificationId>>,
    grants: HashMap<CaseId, Vec<Grant>>,
    stays: HashMap<CaseId, Vec<Stay>>,
    states: HashMap<CaseId, Vec<ClinicalState>>,
    transfers: HashMap<CaseId, Transfer>,
}

impl Around {
    /// One query per table, however many cases.
    async fn load(conn: &mut PgConnection, ids: &[CaseId]) -> sqlx::Result<Self> {
        Ok(Self {
            persons: person::of_cases(conn, ids).await?.into_iter().collect(),
            tests: by_case(course::tests_of(conn, ids).await?),
            notifications: by_case(filing::notifications_of(conn, ids).await?),
            grants: by_case(grants::of_cases(conn, ids).await?.into_iter().map(|grant| (grant.case_id, grant))),
            stays: by_case(course::stays_of(conn, ids).await?),
            states: by_case(course::states_of(conn, ids).await?),
            transfers: transfer::latest_of(conn, ids).await?.into_iter().map(|last| (last.case_id, last)).collect(),
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
pub(super) async fn views(
    vault: &Vault,
    conn: &mut PgConnection,
    cases: Vec<(Case, Relations)>,
) -> Result<Vec<View>, Error> {
    let ids: Vec<CaseId> = cases.iter().map(|(case, _)| case.id).collect();
    let mut around = Around::load(conn, &ids).await?;
    cases
        .into_iter()
        .map(|(case, relations)| {
            let view = shown(vault, &case, &mut around)?;
            classes::mask(&view, &relations).map_err(Error::Internal)
        })
        .collect()
}

fn shown(vault: &Vault, case: &Case, around: &mut Around) -> Result<View, Error> {
    let person: Option<Person> =
        around.persons.remove(&case.id).map(|sealed| person::open(vault, &sealed)).transpose()?;
    let transfer = around.transfers.remove(&case.id);
    Ok(View {
        case_id: case.id.to_string(),
        etag: case.version.to_string(),
        person,
        role: case.role.into(),
        index_case_id: data::text(case.index_case_id),
        last_contact_date: data::text(case.last_contact_on),
        diagnosis_class: case.diagnosis_class.into(),
        report_date: data::text(case.report_date),
        onset_date: data::text(case.onset_date),
        diagnosis_date: data::text(case.diagnosis_date),
        tests: listed(&mut around.tests, case.id),
        severity: case.severity.into(),
        clinical_states: listed(&mut around.states, case.id),
        admission_necessity: case.admission_necessity.into(),
        placement: case.placement.into(),
        stays: listed(&mut around.stays, case.id),
        responsible_centre_id: data::text(case.responsible_centre),
        transfer: transfer.map(|transfer| transfer::shown(vault, &transfer)).transpose()?,
        referred_to_id: data::text(case.referred_to),
        outcome: case.outcome.into(),
        outcome_date: data::text(case.outcome_date),
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
    })
}

fn listed<T, V: From<T>>(rows: &mut HashMap<CaseId, Vec<T>>, case: CaseId) -> Vec<V> {
    rows.remove(&case).unwrap_or_default().into_iter().map(V::from).collect()
}
