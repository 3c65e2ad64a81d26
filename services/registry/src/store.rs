//! All SQL of the registry.

use proto::registry::Relation;
use runtime::clock;
use sqlx::{FromRow, PgConnection};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::domain::{Case, CaseId, Test};

#[expect(clippy::struct_excessive_bools, reason = "columns of the table")]
#[derive(FromRow)]
struct CaseRow {
    case_id: Uuid,
    person_id: Uuid,
    version: i64,
    access_sealed: Vec<u8>,
    access_hash: Vec<u8>,
    sex: i16,
    age_band: i16,
    diagnosis_class: i16,
    report_date: Option<Date>,
    onset_date: Option<Date>,
    diagnosis_date: Option<Date>,
    test_date: Option<Date>,
    test_result: i16,
    test_count: i32,
    placement: i16,
    placement_since: Option<Date>,
    outcome: i16,
    outcome_date: Option<Date>,
    receiving_centre: Option<Uuid>,
    responsible_centre: Option<Uuid>,
    prefecture: i16,
    created_at: OffsetDateTime,
    updated_at: OffsetDateTime,
    role: i16,
    index_case_id: Option<Uuid>,
    last_contact_on: Option<Date>,
    severity: i16,
    icu: bool,
    ventilator: bool,
    ecmo: bool,
    admission_necessity: i16,
    facility_id: Option<Uuid>,
    referred_to: Option<Uuid>,
    negative_on: Option<Date>,
    negative_before_on: Option<Date>,
    ventilated: bool,
}

impl From<CaseRow> for Case {
    fn from(row: CaseRow) -> Self {
        Self {
            id: row.case_id.into(),
            person_id: row.person_id.into(),
            version: row.version,
            access_sealed: row.access_sealed,
            access_hash: row.access_hash,
            sex: code(row.sex),
            age_band: code(row.age_band),
            diagnosis_class: code(row.diagnosis_class),
            report_date: row.report_date,
            onset_date: row.onset_date,
            diagnosis_date: row.diagnosis_date,
            test_date: row.test_date,
            test_result: code(row.test_result),
            test_count: row.test_count,
            placement: code(row.placement),
            placement_since: row.placement_since,
            outcome: code(row.outcome),
            outcome_date: row.outcome_date,
            receiving_centre: row.receiving_centre,
            responsible_centre: row.responsible_centre,
            prefecture: u8::try_from(row.prefecture).unwrap_or(0),
            role: code(row.role),
            index_case_id: row.index_case_id,
            last_contact_on: row.last_contact_on,
            severity: code(row.severity),
            icu: row.icu,
            ventilator: row.ventilator,
            ecmo: row.ecmo,
            admission_necessity: code(row.admission_necessity),
            facility_id: row.facility_id,
            referred_to: row.referred_to,
            negative_on: row.negative_on,
            negative_before_on: row.negative_before_on,
            ventilated: row.ventilated,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A code from the database; one that a newer binary wrote reads as unspecified.
pub(crate) fn code<E: TryFrom<i32> + Default>(number: i16) -> E {
    E::try_from(i32::from(number)).unwrap_or_default()
}

pub(crate) fn number(code: impl Into<i32>) -> i16 {
    i16::try_from(code.into()).unwrap_or(0)
}

/// A person, with particulars sealed.
#[derive(Clone, Debug)]
pub(crate) struct NewPerson {
    pub id: Uuid,
    pub sealed: Vec<u8>,
    pub match_index: Option<Vec<u8>>,
}

/// A relation of an organisation to a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GrantRow {
    pub case_id: CaseId,
    pub organisation_id: Uuid,
    pub relation: Relation,
    pub since: OffsetDateTime,
    pub until: Option<OffsetDateTime>,
}

impl From<GrantRow> for proto::registry::Grant {
    fn from(grant: GrantRow) -> Self {
        Self {
            organisation_id: grant.organisation_id.to_string(),
            relation: grant.relation.into(),
            from: Some(clock::to_proto(grant.since)),
            to: grant.until.map(clock::to_proto),
        }
    }
}

/// Cases, locked for a change, in the order of their ids so that nobody waits in a circle.
pub(crate) async fn lock_cases(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Case>> {
    let rows: Vec<CaseRow> = sqlx::query_as("select * from cases where case_id = any($1) order by case_id for update")
        .bind(ids)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Case::from).collect())
}

pub(crate) async fn find_cases(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Case>> {
    let rows: Vec<CaseRow> =
        sqlx::query_as("select * from cases where case_id = any($1)").bind(ids).fetch_all(conn).await?;
    Ok(rows.into_iter().map(Case::from).collect())
}

/// Open episodes by the blind index of their person: the one already notified before others, then the newest.
pub(crate) async fn match_cases(conn: &mut PgConnection, indexes: &[Vec<u8>]) -> sqlx::Result<Vec<(Vec<u8>, Uuid)>> {
    sqlx::query_as(
        "select distinct on (p.match_index) p.match_index, c.case_id
         from person p join cases c using (person_id)
         where p.match_index = any($1) and c.outcome = 0
         order by p.match_index, c.diagnosis_class = 0, c.created_at desc",
    )
    .bind(indexes)
    .fetch_all(conn)
    .await
}

/// The sealed particulars of the persons of some cases, with the case ids.
pub(crate) async fn persons_of(conn: &mut PgConnection, case_ids: &[Uuid]) -> sqlx::Result<Vec<(Uuid, Uuid, Vec<u8>)>> {
    sqlx::query_as(
        "select c.case_id, p.person_id, p.sealed from cases c join person p using (person_id) where c.case_id = any($1)",
    )
    .bind(case_ids)
    .fetch_all(conn)
    .await
}

pub(crate) async fn insert_persons(conn: &mut PgConnection, persons: &[NewPerson]) -> sqlx::Result<()> {
    if persons.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into person (person_id, sealed, match_index)
         select * from unnest($1::uuid[], $2::bytea[], $3::bytea[])",
    )
    .bind(persons.iter().map(|p| p.id).collect::<Vec<_>>())
    .bind(persons.iter().map(|p| p.sealed.clone()).collect::<Vec<_>>())
    .bind(persons.iter().map(|p| p.match_index.clone()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn update_person(conn: &mut PgConnection, person: &NewPerson) -> sqlx::Result<()> {
    sqlx::query("update person set sealed = $2, match_index = $3 where person_id = $1")
        .bind(person.id)
        .bind(&person.sealed)
        .bind(&person.match_index)
        .execute(conn)
        .await?;
    Ok(())
}

/// One column of many rows, for `unnest`.
fn column<T>(cases: &[Case], read: impl Fn(&Case) -> T) -> Vec<T> {
    cases.iter().map(read).collect()
}

/// Writes new and changed cases, all in one statement.
pub(crate) async fn save_cases(conn: &mut PgConnection, cases: &[Case]) -> sqlx::Result<()> {
    if cases.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into cases
             (case_id, person_id, version, access_sealed, access_hash, sex, age_band, diagnosis_class, report_date,
              onset_date, diagnosis_date, test_date, test_result, test_count, placement, placement_since, outcome,
              outcome_date, receiving_centre, responsible_centre, prefecture, created_at, updated_at,
              role, index_case_id, last_contact_on, severity, icu, ventilator, ecmo, admission_necessity, facility_id,
              referred_to, negative_on, negative_before_on, ventilated)
         select * from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bytea[], $5::bytea[], $6::smallint[],
              $7::smallint[], $8::smallint[], $9::date[], $10::date[], $11::date[], $12::date[], $13::smallint[],
              $14::int[], $15::smallint[], $16::date[], $17::smallint[], $18::date[], $19::uuid[], $20::uuid[],
              $21::smallint[], $22::timestamptz[], $23::timestamptz[], $24::smallint[], $25::uuid[], $26::date[],
              $27::smallint[], $28::bool[], $29::bool[], $30::bool[], $31::smallint[], $32::uuid[], $33::uuid[],
              $34::date[], $35::date[], $36::bool[])
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
             negative_before_on = excluded.negative_before_on, ventilated = excluded.ventilated",
    )
    .bind(column(cases, |c| c.id.uuid()))
    .bind(column(cases, |c| c.person_id.uuid()))
    .bind(column(cases, |c| c.version))
    .bind(column(cases, |c| c.access_sealed.clone()))
    .bind(column(cases, |c| c.access_hash.clone()))
    .bind(column(cases, |c| number(c.sex)))
    .bind(column(cases, |c| number(c.age_band)))
    .bind(column(cases, |c| number(c.diagnosis_class)))
    .bind(column(cases, |c| c.report_date))
    .bind(column(cases, |c| c.onset_date))
    .bind(column(cases, |c| c.diagnosis_date))
    .bind(column(cases, |c| c.test_date))
    .bind(column(cases, |c| number(c.test_result)))
    .bind(column(cases, |c| c.test_count))
    .bind(column(cases, |c| number(c.placement)))
    .bind(column(cases, |c| c.placement_since))
    .bind(column(cases, |c| number(c.outcome)))
    .bind(column(cases, |c| c.outcome_date))
    .bind(column(cases, |c| c.receiving_centre))
    .bind(column(cases, |c| c.responsible_centre))
    .bind(column(cases, |c| i16::from(c.prefecture)))
    .bind(column(cases, |c| c.created_at))
    .bind(column(cases, |c| c.updated_at))
    .bind(column(cases, |c| number(c.role)))
    .bind(column(cases, |c| c.index_case_id))
    .bind(column(cases, |c| c.last_contact_on))
    .bind(column(cases, |c| number(c.severity)))
    .bind(column(cases, |c| c.icu))
    .bind(column(cases, |c| c.ventilator))
    .bind(column(cases, |c| c.ecmo))
    .bind(column(cases, |c| number(c.admission_necessity)))
    .bind(column(cases, |c| c.facility_id))
    .bind(column(cases, |c| c.referred_to))
    .bind(column(cases, |c| c.negative_on))
    .bind(column(cases, |c| c.negative_before_on))
    .bind(column(cases, |c| c.ventilated))
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn insert_tests(conn: &mut PgConnection, tests: &[(CaseId, i32, Test)]) -> sqlx::Result<()> {
    if tests.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into case_test (case_id, number, method, specimen, result, sampled_on)
         select * from unnest($1::uuid[], $2::int[], $3::smallint[], $4::smallint[], $5::smallint[], $6::date[])",
    )
    .bind(tests.iter().map(|(id, ..)| id.uuid()).collect::<Vec<_>>())
    .bind(tests.iter().map(|(_, number, _)| *number).collect::<Vec<_>>())
    .bind(tests.iter().map(|(.., test)| number(test.method)).collect::<Vec<_>>())
    .bind(tests.iter().map(|(.., test)| number(test.specimen)).collect::<Vec<_>>())
    .bind(tests.iter().map(|(.., test)| number(test.result)).collect::<Vec<_>>())
    .bind(tests.iter().map(|(.., test)| test.sampled_on).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// The tests of some cases, oldest first.
pub(crate) async fn tests_of(conn: &mut PgConnection, case_ids: &[Uuid]) -> sqlx::Result<Vec<(CaseId, Test)>> {
    let rows: Vec<(Uuid, i16, i16, i16, Option<Date>)> = sqlx::query_as(
        "select case_id, method, specimen, result, sampled_on from case_test
         where case_id = any($1) order by case_id, number",
    )
    .bind(case_ids)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(case_id, method, specimen, result, sampled_on)| {
            (case_id.into(), Test { method: code(method), specimen: code(specimen), result: code(result), sampled_on })
        })
        .collect())
}

pub(crate) async fn link_notifications(conn: &mut PgConnection, links: &[(Uuid, CaseId)]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into case_notification (notification_id, case_id) select * from unnest($1::uuid[], $2::uuid[])",
    )
    .bind(links.iter().map(|(notification, _)| *notification).collect::<Vec<_>>())
    .bind(links.iter().map(|(_, case)| case.uuid()).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// The notifications of some cases.
pub(crate) async fn notifications_of(conn: &mut PgConnection, case_ids: &[Uuid]) -> sqlx::Result<Vec<(CaseId, Uuid)>> {
    let rows: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "select case_id, notification_id from case_notification where case_id = any($1) order by notification_id",
    )
    .bind(case_ids)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(case, notification)| (case.into(), notification)).collect())
}

/// The case a notification belongs to.
pub(crate) async fn case_of_notification(conn: &mut PgConnection, notification: Uuid) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar("select case_id from case_notification where notification_id = $1")
        .bind(notification)
        .fetch_optional(conn)
        .await
}

/// Every grant of some cases.
pub(crate) async fn grants_of(conn: &mut PgConnection, case_ids: &[Uuid]) -> sqlx::Result<Vec<GrantRow>> {
    let rows: Vec<(Uuid, Uuid, i16, OffsetDateTime, Option<OffsetDateTime>)> = sqlx::query_as(
        "select case_id, organisation_id, relation, since, until from case_grant
         where case_id = any($1) order by since, organisation_id, relation",
    )
    .bind(case_ids)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(case_id, organisation_id, relation, since, until)| GrantRow {
            case_id: case_id.into(),
            organisation_id,
            relation: code(relation),
            since,
            until,
        })
        .collect())
}

/// Adds grants; one that ended opens again.
pub(crate) async fn save_grants(conn: &mut PgConnection, grants: &[GrantRow]) -> sqlx::Result<()> {
    if grants.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into case_grant as g (case_id, organisation_id, relation, since, until)
         select distinct on (1, 2, 3) * from unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::timestamptz[], $5::timestamptz[])
         on conflict (case_id, organisation_id, relation) do update set until = excluded.until",
    )
    .bind(grants.iter().map(|g| g.case_id.uuid()).collect::<Vec<_>>())
    .bind(grants.iter().map(|g| g.organisation_id).collect::<Vec<_>>())
    .bind(grants.iter().map(|g| number(g.relation)).collect::<Vec<_>>())
    .bind(grants.iter().map(|g| g.since).collect::<Vec<_>>())
    .bind(grants.iter().map(|g| g.until).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

/// Brings the lists of all organisations up to date for some cases.
pub(crate) async fn refresh_lists(conn: &mut PgConnection, case_ids: &[Uuid]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into case_list as l (organisation_id, case_id, relations, is_open, updated_at)
         select g.organisation_id, c.case_id, array_agg(g.relation order by g.relation), c.outcome = 0, c.updated_at
         from cases c join case_grant g using (case_id)
         where c.case_id = any($1) and g.until is null
         group by g.organisation_id, c.case_id
         on conflict (organisation_id, case_id) do update
         set relations = excluded.relations, is_open = excluded.is_open, updated_at = excluded.updated_at",
    )
    .bind(case_ids)
    .execute(&mut *conn)
    .await?;
    // Whose every relation has ended no longer lists the case.
    sqlx::query(
        "delete from case_list l
         where case_id = any($1) and not exists (
             select from case_grant g
             where g.case_id = l.case_id and g.organisation_id = l.organisation_id and g.until is null
         )",
    )
    .bind(case_ids)
    .execute(conn)
    .await?;
    Ok(())
}

/// A page of an organisation's list: case ids with the relations in force, newest change first.
pub(crate) async fn list(
    conn: &mut PgConnection,
    organisation_id: Uuid,
    relation: i32,
    open_only: bool,
    after: chassis::page::After,
    limit: i64,
) -> sqlx::Result<Vec<(Uuid, Vec<i16>, OffsetDateTime)>> {
    // Two statements, because the open ones have an index of their own: they are few among many.
    let sql = if open_only {
        "select case_id, relations, updated_at from case_list
         where organisation_id = $1
           and (updated_at, case_id) < (timestamptz 'epoch' + $2 * interval '1 microsecond', $3)
           and ($4 = 0 or $4 = any(relations)) and is_open
         order by updated_at desc, case_id desc limit $5"
    } else {
        "select case_id, relations, updated_at from case_list
         where organisation_id = $1
           and (updated_at, case_id) < (timestamptz 'epoch' + $2 * interval '1 microsecond', $3)
           and ($4 = 0 or $4 = any(relations))
         order by updated_at desc, case_id desc limit $5"
    };
    sqlx::query_as(sql)
        .bind(organisation_id)
        .bind(after.micros)
        .bind(after.id)
        .bind(i16::try_from(relation).unwrap_or(0))
        .bind(limit)
        .fetch_all(conn)
        .await
}
