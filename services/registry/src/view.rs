//! Cases as their relations show them.

use std::collections::HashMap;

use access::{Relations, classes};
use chassis::Error;
use proto::registry::{
    Case as CaseView, ClinicalState as StateView, Grant, Person, Stay as StayView, Test as TestView,
    Transfer as TransferView,
};
use runtime::clock::to_proto;
use sqlx::PgConnection;
use time::Date;
use uuid::Uuid;
use vault::{Place, Vault};

use crate::{
    domain::{Case, CaseId, ClinicalState, Stay, Test},
    history::{self, TransferRow},
    rpc::Registry,
    store::{self, GrantRow},
    write,
};

/// Why a case was handed over.
pub(crate) const REASON: Place = Place { table: "case_transfer", column: "reason" };

/// Why the answer was no.
pub(crate) const ANSWER_REASON: Place = Place { table: "case_transfer", column: "answer_reason" };

/// What the tables besides `cases` know of some cases.
struct Around {
    persons: HashMap<Uuid, (Uuid, Vec<u8>)>,
    tests: HashMap<CaseId, Vec<Test>>,
    notifications: HashMap<CaseId, Vec<Uuid>>,
    grants: HashMap<CaseId, Vec<GrantRow>>,
    stays: HashMap<CaseId, Vec<Stay>>,
    states: HashMap<CaseId, Vec<ClinicalState>>,
    transfers: HashMap<CaseId, Vec<TransferRow>>,
}

impl Around {
    /// One query per table, however many cases.
    async fn load(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Self> {
        let persons = store::persons_of(conn, ids).await?;
        Ok(Self {
            persons: persons.into_iter().map(|(case, person, sealed)| (case, (person, sealed))).collect(),
            tests: by_case(store::tests_of(conn, ids).await?),
            notifications: by_case(store::notifications_of(conn, ids).await?),
            grants: by_case(store::grants_of(conn, ids).await?.into_iter().map(|grant| (grant.case_id, grant))),
            stays: by_case(history::stays_of(conn, ids).await?),
            states: by_case(history::states_of(conn, ids).await?),
            transfers: by_case(history::transfers_of(conn, ids).await?.into_iter().map(|t| (t.case_id.into(), t))),
        })
    }
}

fn by_case<T>(rows: impl IntoIterator<Item = (CaseId, T)>) -> HashMap<CaseId, Vec<T>> {
    rows.into_iter().fold(HashMap::new(), |mut found, (case, row)| {
        found.entry(case).or_default().push(row);
        found
    })
}

impl Registry {
    /// A case as its relations show it.
    pub(crate) async fn view(
        &self,
        conn: &mut PgConnection,
        case: Case,
        relations: &Relations,
    ) -> Result<CaseView, Error> {
        let mut views = self.views(conn, vec![(case, relations.clone())]).await?;
        views.pop().ok_or(Error::NotFound("case"))
    }

    /// Cases as their relations show them.
    pub(crate) async fn views(
        &self,
        conn: &mut PgConnection,
        cases: Vec<(Case, Relations)>,
    ) -> Result<Vec<CaseView>, Error> {
        let ids: Vec<Uuid> = cases.iter().map(|(case, _)| case.id.uuid()).collect();
        let mut around = Around::load(conn, &ids).await?;
        cases
            .into_iter()
            .map(|(case, relations)| {
                let view = shown(&self.base.vault, &case, &mut around)?;
                classes::mask(&view, "hersys.registry.v1.Case", &relations).map_err(Error::Internal)
            })
            .collect()
    }
}

fn shown(vault: &Vault, case: &Case, around: &mut Around) -> Result<CaseView, Error> {
    let person: Option<Person> = match around.persons.get(&case.id.uuid()) {
        Some((id, sealed)) => Some(write::open_person(vault, *id, sealed)?),
        None => None,
    };
    let transfer = around.transfers.remove(&case.id).unwrap_or_default().pop();
    let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    Ok(CaseView {
        case_id: case.id.to_string(),
        etag: case.version.to_string(),
        person,
        diagnosis_class: case.diagnosis_class.into(),
        report_date: day(case.report_date),
        onset_date: day(case.onset_date),
        diagnosis_date: day(case.diagnosis_date),
        placement: case.placement.into(),
        outcome: case.outcome.into(),
        outcome_date: day(case.outcome_date),
        tests: around.tests.remove(&case.id).unwrap_or_default().iter().map(test_shown).collect(),
        notification_ids: around
            .notifications
            .remove(&case.id)
            .unwrap_or_default()
            .iter()
            .map(Uuid::to_string)
            .collect(),
        grants: around.grants.remove(&case.id).unwrap_or_default().into_iter().map(Grant::from).collect(),
        created_at: Some(to_proto(case.created_at)),
        updated_at: Some(to_proto(case.updated_at)),
        role: case.role.into(),
        index_case_id: id(case.index_case_id),
        last_contact_on: day(case.last_contact_on),
        severity: case.severity.into(),
        admission_necessity: case.admission_necessity.into(),
        stays: around.stays.remove(&case.id).unwrap_or_default().iter().map(stay_shown).collect(),
        clinical_states: around.states.remove(&case.id).unwrap_or_default().iter().map(state_shown).collect(),
        transfer: transfer.map(|transfer| transfer_shown(vault, &transfer)).transpose()?,
        responsible_centre_id: id(case.responsible_centre),
        referred_to_id: id(case.referred_to),
    })
}

fn test_shown(test: &Test) -> TestView {
    TestView {
        method: test.method.into(),
        specimen: test.specimen.into(),
        result: test.result.into(),
        sampled_on: day(test.sampled_on),
    }
}

fn stay_shown(stay: &Stay) -> StayView {
    StayView {
        placement: stay.placement.into(),
        since: stay.since.to_string(),
        facility_id: stay.facility_id.map(|id| id.to_string()).unwrap_or_default(),
    }
}

fn state_shown(state: &ClinicalState) -> StateView {
    StateView {
        on: state.on.to_string(),
        severity: state.severity.into(),
        icu: state.icu,
        ventilator: state.ventilator,
        ecmo: state.ecmo,
    }
}

fn transfer_shown(vault: &Vault, transfer: &TransferRow) -> Result<TransferView, Error> {
    let text = |plain: Vec<u8>| String::from_utf8_lossy(&plain).into_owned();
    let reason = vault.open(REASON, transfer.case_id.as_bytes(), &transfer.reason)?;
    let answer_reason = match &transfer.answer_reason {
        Some(sealed) => vault.open(ANSWER_REASON, transfer.case_id.as_bytes(), sealed)?,
        None => Vec::new(),
    };
    Ok(TransferView {
        from_centre_id: transfer.from_centre.to_string(),
        to_centre_id: transfer.to_centre.to_string(),
        state: i32::from(transfer.state),
        offered_at: Some(to_proto(transfer.offered_at)),
        answered_at: transfer.answered_at.map(to_proto),
        reason: text(reason),
        answer_reason: text(answer_reason),
    })
}

fn day(date: Option<Date>) -> String {
    date.map(|date| date.to_string()).unwrap_or_default()
}
