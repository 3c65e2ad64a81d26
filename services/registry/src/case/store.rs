//! SQL of cases.

use access::{CaseId, OrganisationId};
use chassis::Error;
use const_format::formatcp;
use data::Code;
use proto::registry::{
    AdmissionNecessity, AgeBand, CaseRole, DiagnosisClass, Outcome, Placement, Severity, Sex, TestResult,
};
use sqlx::{FromRow, PgConnection};
use time::{Date, OffsetDateTime};

use super::model::Case;
use crate::{access_id::Access, course::Course, person::PersonId};

const STILL_OPEN: i16 = Outcome::Unspecified as i16;
const ERROR: i16 = Outcome::EnteredInError as i16;

#[expect(clippy::struct_excessive_bools, reason = "columns of the table")]
#[derive(FromRow)]
struct Row {
    case_id: CaseId,
    person_id: PersonId,
    version: i64,
    access_sealed: Vec<u8>,
    access_hash: Vec<u8>,
    role: Code<CaseRole>,
    index_case_id: Option<CaseId>,
    last_contact_on: Option<Date>,
    sex: Code<Sex>,
    age_band: Code<AgeBand>,
    diagnosis_class: Code<DiagnosisClass>,
    report_date: Option<Date>,
    onset_date: Option<Date>,
    diagnosis_date: Option<Date>,
    first_visit_date: Option<Date>,
    infection_date: Option<Date>,
    test_date: Option<Date>,
    test_result: Code<TestResult>,
    test_count: i32,
    negative_on: Option<Date>,
    negative_before_on: Option<Date>,
    severity: Code<Severity>,
    icu: bool,
    ventilator: bool,
    ecmo: bool,
    ventilated: bool,
    admission_necessity: Code<AdmissionNecessity>,
    placement: Code<Placement>,
    placement_since: Option<Date>,
    facility_id: Option<OrganisationId>,
    outcome: Code<Outcome>,
    outcome_date: Option<Date>,
    previous_case_id: Option<CaseId>,
    same_person_case_id: Option<CaseId>,
    receiving_centre: Option<OrganisationId>,
    responsible_centre: Option<OrganisationId>,
    #[sqlx(try_from = "i16")]
    prefecture: u8,
    referred_to: Option<OrganisationId>,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl From<Row> for Case {
    fn from(row: Row) -> Self {
        Self {
            id: row.case_id,
            person_id: row.person_id,
            version: row.version,
            access: Access { sealed: row.access_sealed, hash: row.access_hash },
            registered_as: row.role.0,
            previous: row.previous_case_id,
            same_person: row.same_person_case_id,
            course: Course {
                sex: row.sex.0,
                age_band: row.age_band.0,
                diagnosis_class: row.diagnosis_class.0,
                report_date: row.report_date,
                onset_date: row.onset_date,
                diagnosis_date: row.diagnosis_date,
                first_visit_date: row.first_visit_date,
                infection_date: row.infection_date,
                test_date: row.test_date,
                test_result: row.test_result.0,
                test_count: row.test_count,
                negative_on: row.negative_on,
                negative_before_on: row.negative_before_on,
                severity: row.severity.0,
                icu: row.icu,
                ventilator: row.ventilator,
                ecmo: row.ecmo,
                ventilated: row.ventilated,
                admission_necessity: row.admission_necessity.0,
                placement: row.placement.0,
                placement_since: row.placement_since,
                facility_id: row.facility_id,
                outcome: row.outcome.0,
                outcome_date: row.outcome_date,
                last_contact_on: row.last_contact_on,
                index_case_id: row.index_case_id,
                received: row.receiving_centre.map(|centre| (centre, row.prefecture)),
            },
            responsible_centre: row.responsible_centre,
            prefecture: row.prefecture,
            referred_to: row.referred_to,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Cases, locked for a change, in the order of their ids so that nobody waits in a circle.
pub(crate) async fn lock_all(conn: &mut PgConnection, ids: &[CaseId]) -> sqlx::Result<Vec<Case>> {
    let rows: Vec<Row> = sqlx::query_as("select * from cases where case_id = any($1) order by case_id for update")
        .bind(ids)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Case::from).collect())
}

/// The open cases that a centre is responsible for, locked; what others have is passed over.
pub(crate) async fn lock_open_of(
    conn: &mut PgConnection,
    centre: OrganisationId,
    limit: i64,
) -> sqlx::Result<Vec<Case>> {
    let rows: Vec<Row> = sqlx::query_as(formatcp!(
        "select * from cases where responsible_centre = $1 and outcome = {STILL_OPEN}
         order by case_id limit $2 for update skip locked"
    ))
    .bind(centre)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Case::from).collect())
}

/// The cases that exist, in no order.
pub(crate) async fn find_all(conn: &mut PgConnection, ids: &[CaseId]) -> sqlx::Result<Vec<Case>> {
    let rows: Vec<Row> =
        sqlx::query_as("select * from cases where case_id = any($1)").bind(ids).fetch_all(conn).await?;
    Ok(rows.into_iter().map(Case::from).collect())
}

pub(crate) async fn find(conn: &mut PgConnection, id: CaseId) -> Result<Case, Error> {
    find_all(conn, &[id]).await?.pop().ok_or(Error::NotFound("case"))
}

/// One column of many rows, for `unnest`.
fn column<T>(cases: &[Case], read: impl Fn(&Case) -> T) -> Vec<T> {
    cases.iter().map(read).collect()
}

/// Writes new and changed cases, all in one statement. Access IDs are written once; see `access_id` for new ones.
pub(super) async fn save(conn: &mut PgConnection, cases: &[Case]) -> sqlx::Result<()> {
    if cases.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into cases
             (case_id, person_id, version, access_sealed, access_hash, sex, age_band, diagnosis_class, report_date,
              onset_date, diagnosis_date, test_date, test_result, test_count, placement, placement_since, outcome,
              outcome_date, receiving_centre, responsible_centre, prefecture, created_at, updated_at,
              role, index_case_id, last_contact_on, severity, icu, ventilator, ecmo, admission_necessity, facility_id,
              referred_to, negative_on, negative_before_on, ventilated, first_visit_date, infection_date,
              previous_case_id, same_person_case_id)
         select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bytea[], $5::bytea[], $6::smallint[],
              $7::smallint[], $8::smallint[], $9::date[], $10::date[], $11::date[], $12::date[], $13::smallint[],
              $14::int[], $15::smallint[], $16::date[], $17::smallint[], $18::date[], $19::uuid[], $20::uuid[],
              $21::smallint[], $22::timestamptz[], $23::timestamptz[], $24::smallint[], $25::uuid[], $26::date[],
              $27::smallint[], $28::bool[], $29::bool[], $30::bool[], $31::smallint[], $32::uuid[], $33::uuid[],
              $34::date[], $35::date[], $36::bool[], $37::date[], $38::date[], $39::uuid[], $40::uuid[])
         on conflict (case_id) do update
         set version = excluded.version, sex = excluded.sex, age_band = excluded.age_band,
             diagnosis_class = excluded.diagnosis_class, report_date = excluded.report_date,
             onset_date = excluded.onset_date, diagnosis_date = excluded.diagnosis_date,
             test_date = excluded.test_date, test_result = excluded.test_result, test_count = excluded.test_count,
             placement = excluded.placement, placement_since = excluded.placement_since, outcome = excluded.outcome,
             outcome_date = excluded.outcome_date, receiving_centre = excluded.receiving_centre,
             responsible_centre = excluded.responsible_centre, prefecture = excluded.prefecture,
             updated_at = excluded.updated_at, role = excluded.role, index_case_id = excluded.index_case_id,
             last_contact_on = excluded.last_contact_on, severity = excluded.severity, icu = excluded.icu,
             ventilator = excluded.ventilator, ecmo = excluded.ecmo,
             admission_necessity = excluded.admission_necessity, facility_id = excluded.facility_id,
             referred_to = excluded.referred_to, negative_on = excluded.negative_on,
             negative_before_on = excluded.negative_before_on, ventilated = excluded.ventilated,
             first_visit_date = excluded.first_visit_date, infection_date = excluded.infection_date,
             same_person_case_id = excluded.same_person_case_id",
    )
    .bind(column(cases, |c| c.id))
    .bind(column(cases, |c| c.person_id))
    .bind(column(cases, |c| c.version))
    .bind(column(cases, |c| c.access.sealed.clone()))
    .bind(column(cases, |c| c.access.hash.clone()))
    .bind(column(cases, |c| Code(c.course.sex)))
    .bind(column(cases, |c| Code(c.course.age_band)))
    .bind(column(cases, |c| Code(c.course.diagnosis_class)))
    .bind(column(cases, |c| c.course.report_date))
    .bind(column(cases, |c| c.course.onset_date))
    .bind(column(cases, |c| c.course.diagnosis_date))
    .bind(column(cases, |c| c.course.test_date))
    .bind(column(cases, |c| Code(c.course.test_result)))
    .bind(column(cases, |c| c.course.test_count))
    .bind(column(cases, |c| Code(c.course.placement)))
    .bind(column(cases, |c| c.course.placement_since))
    .bind(column(cases, |c| Code(c.course.outcome)))
    .bind(column(cases, |c| c.course.outcome_date))
    .bind(column(cases, Case::receiving_centre))
    .bind(column(cases, |c| c.responsible_centre))
    .bind(column(cases, |c| i16::from(c.prefecture)))
    .bind(column(cases, |c| c.created_at))
    .bind(column(cases, |c| c.updated_at))
    .bind(column(cases, |c| Code(c.registered_as)))
    .bind(column(cases, |c| c.course.index_case_id))
    .bind(column(cases, |c| c.course.last_contact_on))
    .bind(column(cases, |c| Code(c.course.severity)))
    .bind(column(cases, |c| c.course.icu))
    .bind(column(cases, |c| c.course.ventilator))
    .bind(column(cases, |c| c.course.ecmo))
    .bind(column(cases, |c| Code(c.course.admission_necessity)))
    .bind(column(cases, |c| c.course.facility_id))
    .bind(column(cases, |c| c.referred_to))
    .bind(column(cases, |c| c.course.negative_on))
    .bind(column(cases, |c| c.course.negative_before_on))
    .bind(column(cases, |c| c.course.ventilated))
    .bind(column(cases, |c| c.course.first_visit_date))
    .bind(column(cases, |c| c.course.infection_date))
    .bind(column(cases, |c| c.previous))
    .bind(column(cases, |c| c.same_person))
    .execute(conn)
    .await?;
    Ok(())
}

/// The last episode that ended, by the blind index of its person. One that was entered in error never was.
pub(crate) async fn ended_of(conn: &mut PgConnection, indexes: &[Vec<u8>]) -> sqlx::Result<Vec<(Vec<u8>, CaseId)>> {
    sqlx::query_as(formatcp!(
        "select w.match_index, last.case_id
         from unnest($1::bytea[]) as w (match_index)
         cross join lateral (
             select c.case_id from person p
             cross join lateral (
                 select case_id, outcome, created_at from cases where person_id = p.person_id offset 0
             ) as c
             where p.match_index = w.match_index and c.outcome not in ({STILL_OPEN}, {ERROR})
             order by c.created_at desc limit 1
         ) as last"
    ))
    .bind(indexes)
    .fetch_all(conn)
    .await
}
