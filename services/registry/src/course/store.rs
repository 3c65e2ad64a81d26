//! SQL of tests, stays and clinical states.

use access::{CaseId, OrganisationId};
use data::Code;
use proto::registry::{Placement, Severity, Specimen, TestMethod, TestResult};
use sqlx::{FromRow, PgConnection};
use time::Date;

use super::model::{ClinicalState, Stay, Test};

/// Stores tests under their number in the case.
pub(crate) async fn insert_tests(conn: &mut PgConnection, tests: &[(CaseId, i32, Test)]) -> sqlx::Result<()> {
    if tests.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into case_test (case_id, number, method, specimen, result, sampled_on)
         select * from unnest($1::uuid[], $2::int[], $3::smallint[], $4::smallint[], $5::smallint[], $6::date[])",
    )
    .bind(tests.iter().map(|(id, ..)| *id).collect::<Vec<_>>())
    .bind(tests.iter().map(|(_, number, _)| *number).collect::<Vec<_>>())
    .bind(tests.iter().map(|(.., test)| Code(test.method)).collect::<Vec<_>>())
    .bind(tests.iter().map(|(.., test)| Code(test.specimen)).collect::<Vec<_>>())
    .bind(tests.iter().map(|(.., test)| Code(test.result)).collect::<Vec<_>>())
    .bind(tests.iter().map(|(.., test)| test.sampled_on).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(FromRow)]
struct TestRow {
    case_id: CaseId,
    method: Code<TestMethod>,
    specimen: Code<Specimen>,
    result: Code<TestResult>,
    sampled_on: Option<Date>,
}

/// The tests of some cases, oldest first.
pub(crate) async fn tests_of(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<Vec<(CaseId, Test)>> {
    let rows: Vec<TestRow> = sqlx::query_as(
        "select case_id, method, specimen, result, sampled_on from case_test
         where case_id = any($1) order by case_id, number",
    )
    .bind(cases)
    .fetch_all(conn)
    .await?;
    let test = |row: &TestRow| Test {
        method: row.method.0,
        specimen: row.specimen.0,
        result: row.result.0,
        sampled_on: row.sampled_on,
    };
    Ok(rows.iter().map(|row| (row.case_id, test(row))).collect())
}

pub(crate) async fn add_stay(conn: &mut PgConnection, case: CaseId, stay: &Stay) -> sqlx::Result<()> {
    sqlx::query(
        "insert into case_stay (case_id, number, placement, since, facility_id)
         select $1, coalesce(max(number), 0) + 1, $2, $3, $4 from case_stay where case_id = $1",
    )
    .bind(case)
    .bind(Code(stay.placement))
    .bind(stay.since)
    .bind(stay.facility_id)
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(FromRow)]
struct StayRow {
    case_id: CaseId,
    placement: Code<Placement>,
    since: Date,
    facility_id: Option<OrganisationId>,
}

/// Where the persons of some cases were, in the order it was recorded.
pub(crate) async fn stays_of(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<Vec<(CaseId, Stay)>> {
    let rows: Vec<StayRow> = sqlx::query_as(
        "select case_id, placement, since, facility_id from case_stay where case_id = any($1) order by case_id, number",
    )
    .bind(cases)
    .fetch_all(conn)
    .await?;
    let stay = |row: &StayRow| Stay { placement: row.placement.0, since: row.since, facility_id: row.facility_id };
    Ok(rows.iter().map(|row| (row.case_id, stay(row))).collect())
}

pub(super) async fn add_state(conn: &mut PgConnection, case: CaseId, state: &ClinicalState) -> sqlx::Result<()> {
    sqlx::query(
        "insert into case_state (case_id, number, state_on, severity, icu, ventilator, ecmo)
         select $1, coalesce(max(number), 0) + 1, $2, $3, $4, $5, $6 from case_state where case_id = $1",
    )
    .bind(case)
    .bind(state.on)
    .bind(Code(state.severity))
    .bind(state.icu)
    .bind(state.ventilator)
    .bind(state.ecmo)
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(FromRow)]
struct StateRow {
    case_id: CaseId,
    state_on: Date,
    severity: Code<Severity>,
    icu: bool,
    ventilator: bool,
    ecmo: bool,
}

/// How ill the persons of some cases were, in the order it was recorded.
pub(crate) async fn states_of(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<Vec<(CaseId, ClinicalState)>> {
    let rows: Vec<StateRow> = sqlx::query_as(
        "select case_id, state_on, severity, icu, ventilator, ecmo from case_state
         where case_id = any($1) order by case_id, number",
    )
    .bind(cases)
    .fetch_all(conn)
    .await?;
    let state = |row: &StateRow| ClinicalState {
        on: row.state_on,
        severity: row.severity.0,
        icu: row.icu,
        ventilator: row.ventilator,
        ecmo: row.ecmo,
    };
    Ok(rows.iter().map(|row| (row.case_id, state(row))).collect())
}
