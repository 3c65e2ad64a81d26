//! SQL of admissions.

use access::{CaseId, OrganisationId};
use const_format::formatcp;
use data::Code;
use proto::beds::{AdmissionState, Capability, Destination};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::{Admission, AdmissionId, StayId};

const REQUESTED: i16 = AdmissionState::Requested as i16;
const OFFERED: i16 = AdmissionState::Offered as i16;
const ARRIVED: i16 = AdmissionState::Arrived as i16;

#[derive(FromRow)]
struct Row {
    admission_id: AdmissionId,
    case_id: CaseId,
    version: i64,
    state: Code<AdmissionState>,
    since: OffsetDateTime,
    capability: Code<Capability>,
    #[sqlx(try_from = "i16")]
    prefecture: u8,
    requested_by: OrganisationId,
    facility_id: Option<OrganisationId>,
    stay_id: Option<StayId>,
    bed_number: Option<i32>,
    held_until: Option<OffsetDateTime>,
    requested_at: OffsetDateTime,
    arrived_at: Option<OffsetDateTime>,
    left_at: Option<OffsetDateTime>,
    destination: Code<Destination>,
    updated_at: OffsetDateTime,
}

impl From<Row> for Admission {
    fn from(row: Row) -> Self {
        Self {
            id: row.admission_id,
            case_id: row.case_id,
            version: row.version,
            state: row.state.0,
            since: row.since,
            capability: row.capability.0,
            prefecture: row.prefecture,
            requested_by: row.requested_by,
            facility_id: row.facility_id,
            stay_id: row.stay_id,
            bed_number: row.bed_number,
            held_until: row.held_until,
            requested_at: row.requested_at,
            arrived_at: row.arrived_at,
            left_at: row.left_at,
            destination: row.destination.0,
            updated_at: row.updated_at,
        }
    }
}

/// Stores a new admission. `false` where an admission of the person is open already.
pub(crate) async fn insert(conn: &mut PgConnection, admission: &Admission) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "insert into admission
             (admission_id, case_id, version, state, since, capability, prefecture, requested_by, requested_at, updated_at)
         values ($1, $2, $3, $4, $8, $5, $6, $7, $8, $8) on conflict do nothing",
    )
    .bind(admission.id)
    .bind(admission.case_id)
    .bind(admission.version)
    .bind(Code(admission.state))
    .bind(Code(admission.capability))
    .bind(i16::from(admission.prefecture))
    .bind(admission.requested_by)
    .bind(admission.requested_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

pub(crate) async fn save(conn: &mut PgConnection, admission: &Admission) -> sqlx::Result<()> {
    sqlx::query(
        "update admission
         set version = $2, state = $3, facility_id = $4, stay_id = $5, bed_number = $6, held_until = $7,
             arrived_at = $8, left_at = $9, destination = $10, updated_at = $11, since = $12
         where admission_id = $1",
    )
    .bind(admission.id)
    .bind(admission.version)
    .bind(Code(admission.state))
    .bind(admission.facility_id)
    .bind(admission.stay_id)
    .bind(admission.bed_number)
    .bind(admission.held_until)
    .bind(admission.arrived_at)
    .bind(admission.left_at)
    .bind(Code(admission.destination))
    .bind(admission.updated_at)
    .bind(admission.since)
    .execute(conn)
    .await?;
    Ok(())
}

/// An admission, locked for a change.
pub(crate) async fn lock(conn: &mut PgConnection, id: AdmissionId) -> sqlx::Result<Option<Admission>> {
    let row: Option<Row> = sqlx::query_as("select * from admission where admission_id = $1 for update")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(Admission::from))
}

pub(crate) async fn find(conn: &mut PgConnection, id: AdmissionId) -> sqlx::Result<Option<Admission>> {
    let row: Option<Row> =
        sqlx::query_as("select * from admission where admission_id = $1").bind(id).fetch_optional(conn).await?;
    Ok(row.map(Admission::from))
}

/// The admissions of some cases that are not over, locked in the order in which everybody locks.
pub(crate) async fn lock_open(conn: &mut PgConnection, cases: &[CaseId]) -> sqlx::Result<Vec<Admission>> {
    let rows: Vec<Row> = sqlx::query_as(formatcp!(
        "select * from admission where case_id = any($1) and state between {REQUESTED} and {ARRIVED}
         order by admission_id for update"
    ))
    .bind(cases)
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Admission::from).collect())
}

/// Where a person lies now, besides an admission under way, locked.
pub(crate) async fn lock_present(conn: &mut PgConnection, case: CaseId) -> sqlx::Result<Option<Admission>> {
    let row: Option<Row> =
        sqlx::query_as(formatcp!("select * from admission where case_id = $1 and state = {ARRIVED} for update"))
            .bind(case)
            .fetch_optional(conn)
            .await?;
    Ok(row.map(Admission::from))
}

/// Whose admissions are listed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    Facility(OrganisationId),
    Prefecture(u8),
    Requester(OrganisationId),
}

/// A page of admissions, newest change first. A facility does not see offers that ran out.
pub(crate) async fn list(
    conn: &mut PgConnection,
    whose: Whose,
    state: AdmissionState,
    now: OffsetDateTime,
    after: chassis::page::After,
    limit: i64,
) -> sqlx::Result<Vec<Admission>> {
    // One statement each, because each has an index of its own.
    let sql = match whose {
        Whose::Facility(_) => {
            formatcp!(
                "select * from admission where facility_id = $1 and $2 = 0::smallint
               and (updated_at, admission_id) < (timestamptz 'epoch' + $3 * interval '1 microsecond', $4)
               and ($5 = 0 or state = $5) and not (state = {OFFERED} and held_until <= $6)
             order by updated_at desc, admission_id desc limit $7"
            )
        }
        Whose::Prefecture(_) => {
            formatcp!(
                "select * from admission where prefecture = $2 and $1 is null
               and (updated_at, admission_id) < (timestamptz 'epoch' + $3 * interval '1 microsecond', $4)
               and ($5 = 0 or case when state = {OFFERED} and held_until <= $6 then {REQUESTED} else state end = $5)
             order by updated_at desc, admission_id desc limit $7"
            )
        }
        Whose::Requester(_) => {
            formatcp!(
                "select * from admission where requested_by = $1 and $2 = 0::smallint
               and (updated_at, admission_id) < (timestamptz 'epoch' + $3 * interval '1 microsecond', $4)
               and ($5 = 0 or case when state = {OFFERED} and held_until <= $6 then {REQUESTED} else state end = $5)
             order by updated_at desc, admission_id desc limit $7"
            )
        }
    };
    let (id, prefecture) = match whose {
        Whose::Facility(id) | Whose::Requester(id) => (Some(id), 0),
        Whose::Prefecture(prefecture) => (None, i16::from(prefecture)),
    };
    let rows: Vec<Row> = sqlx::query_as(sql)
        .bind(id)
        .bind(prefecture)
        .bind(after.micros)
        .bind(after.id)
        .bind(Code(state))
        .bind(now)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Admission::from).collect())
}
