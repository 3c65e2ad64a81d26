//! SQL of admissions and stays.

use proto::beds::{AdmissionState, Capability, Destination};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::Admission;

#[derive(FromRow)]
struct Row {
    admission_id: Uuid,
    case_id: Uuid,
    version: i64,
    state: i16,
    capability: i16,
    prefecture: i16,
    requested_by: Uuid,
    facility_id: Option<Uuid>,
    stay_id: Option<Uuid>,
    bed_number: Option<i32>,
    held_until: Option<OffsetDateTime>,
    requested_at: OffsetDateTime,
    arrived_at: Option<OffsetDateTime>,
    left_at: Option<OffsetDateTime>,
    destination: i16,
    updated_at: OffsetDateTime,
}

impl From<Row> for Admission {
    fn from(row: Row) -> Self {
        Self {
            id: row.admission_id,
            case_id: row.case_id,
            version: row.version,
            state: AdmissionState::try_from(i32::from(row.state)).unwrap_or_default(),
            capability: Capability::try_from(i32::from(row.capability)).unwrap_or_default(),
            prefecture: u8::try_from(row.prefecture).unwrap_or(0),
            requested_by: row.requested_by,
            facility_id: row.facility_id,
            stay_id: row.stay_id,
            bed_number: row.bed_number,
            held_until: row.held_until,
            requested_at: row.requested_at,
            arrived_at: row.arrived_at,
            left_at: row.left_at,
            destination: Destination::try_from(i32::from(row.destination)).unwrap_or_default(),
            updated_at: row.updated_at,
        }
    }
}

pub(crate) fn number(code: impl Into<i32>) -> i16 {
    i16::try_from(code.into()).unwrap_or(0)
}

/// Stores a new admission. `false` where a bed is being looked for already.
pub(crate) async fn insert(conn: &mut PgConnection, admission: &Admission) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "insert into admission
             (admission_id, case_id, version, state, capability, prefecture, requested_by, requested_at, updated_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $8) on conflict do nothing",
    )
    .bind(admission.id)
    .bind(admission.case_id)
    .bind(admission.version)
    .bind(number(admission.state))
    .bind(number(admission.capability))
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
             arrived_at = $8, left_at = $9, destination = $10, updated_at = $11
         where admission_id = $1",
    )
    .bind(admission.id)
    .bind(admission.version)
    .bind(number(admission.state))
    .bind(admission.facility_id)
    .bind(admission.stay_id)
    .bind(admission.bed_number)
    .bind(admission.held_until)
    .bind(admission.arrived_at)
    .bind(admission.left_at)
    .bind(number(admission.destination))
    .bind(admission.updated_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// An admission, locked for a change.
pub(crate) async fn lock(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Admission>> {
    let row: Option<Row> = sqlx::query_as("select * from admission where admission_id = $1 for update")
        .bind(id)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(Admission::from))
}

pub(crate) async fn find(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Admission>> {
    let row: Option<Row> =
        sqlx::query_as("select * from admission where admission_id = $1").bind(id).fetch_optional(conn).await?;
    Ok(row.map(Admission::from))
}

/// Where a person lies now, besides an admission under way, locked.
pub(crate) async fn lock_present(conn: &mut PgConnection, case: Uuid) -> sqlx::Result<Option<Admission>> {
    let row: Option<Row> = sqlx::query_as("select * from admission where case_id = $1 and state = 4 for update")
        .bind(case)
        .fetch_optional(conn)
        .await?;
    Ok(row.map(Admission::from))
}

/// Whose admissions are listed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    Facility(Uuid),
    Prefecture(u8),
    Requester(Uuid),
}

/// A page of admissions, newest change first. A facility does not see offers that ran out.
pub(crate) async fn list(
    conn: &mut PgConnection,
    whose: Whose,
    state: i32,
    now: OffsetDateTime,
    after: chassis::page::After,
    limit: i64,
) -> sqlx::Result<Vec<Admission>> {
    // One statement each, because each has an index of its own.
    let sql = match whose {
        Whose::Facility(_) => {
            "select * from admission where facility_id = $1 and $2 = 0::smallint
               and (updated_at, admission_id) < (timestamptz 'epoch' + $3 * interval '1 microsecond', $4)
               and ($5 = 0 or state = $5) and not (state = 2 and held_until <= $6)
             order by updated_at desc, admission_id desc limit $7"
        }
        Whose::Prefecture(_) => {
            "select * from admission where prefecture = $2 and $1 is null
               and (updated_at, admission_id) < (timestamptz 'epoch' + $3 * interval '1 microsecond', $4)
               and ($5 = 0 or case when state = 2 and held_until <= $6 then 1 else state end = $5)
             order by updated_at desc, admission_id desc limit $7"
        }
        Whose::Requester(_) => {
            "select * from admission where requested_by = $1 and $2 = 0::smallint
               and (updated_at, admission_id) < (timestamptz 'epoch' + $3 * interval '1 microsecond', $4)
               and ($5 = 0 or case when state = 2 and held_until <= $6 then 1 else state end = $5)
             order by updated_at desc, admission_id desc limit $7"
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
        .bind(i16::try_from(state).unwrap_or(0))
        .bind(now)
        .bind(limit)
        .fetch_all(conn)
        .await?;
    Ok(rows.into_iter().map(Admission::from).collect())
}

/// A stay becomes one without an end.
pub(crate) async fn keep_stay(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query("update stay set during = tstzrange(lower(during), null) where stay_id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// A stay ends, if it has not ended by itself: the bed is free from here on.
pub(crate) async fn end_stay(conn: &mut PgConnection, id: Uuid, at: OffsetDateTime) -> sqlx::Result<()> {
    sqlx::query(
        "update stay set during = tstzrange(lower(during), least(upper(during), greatest(lower(during), $2)))
         where stay_id = $1",
    )
    .bind(id)
    .bind(at)
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn insert_refusal(
    conn: &mut PgConnection,
    admission: Uuid,
    facility: Uuid,
    at: OffsetDateTime,
    reason: &[u8],
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into refusal (admission_id, number, facility_id, at, reason)
         select $1, count(*) + 1, $2, $3, $4 from refusal where admission_id = $1",
    )
    .bind(admission)
    .bind(facility)
    .bind(at)
    .bind(reason)
    .execute(conn)
    .await?;
    Ok(())
}

/// A refusal.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct RefusalRow {
    pub admission_id: Uuid,
    pub facility_id: Uuid,
    pub at: OffsetDateTime,
    pub reason: Vec<u8>,
}

/// The refusals of some admissions, oldest first.
pub(crate) async fn refusals(conn: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<RefusalRow>> {
    sqlx::query_as(
        "select admission_id, facility_id, at, reason from refusal where admission_id = any($1)
         order by admission_id, number",
    )
    .bind(ids)
    .fetch_all(conn)
    .await
}
