//! SQL of capacity.

use access::OrganisationId;
use const_format::formatcp;
use data::Code;
use proto::{
    beds::{AdmissionState, Capability},
    registry::Channel,
};
use runtime::clock::day_in_japan;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::{Declared, Room};

const ARRIVED: i16 = AdmissionState::Arrived as i16;

#[derive(FromRow)]
struct RoomRow {
    facility_id: OrganisationId,
    capability: Code<Capability>,
    version: i64,
    secured: i32,
    ready: i32,
    reported_at: OffsetDateTime,
    entered_at: OffsetDateTime,
    entered_by: OrganisationId,
    channel: Code<Channel>,
    occupied: i64,
    held: i64,
}

impl From<RoomRow> for Room {
    fn from(row: RoomRow) -> Self {
        Self {
            facility_id: row.facility_id,
            capability: row.capability.0,
            version: row.version,
            secured: row.secured,
            ready: row.ready,
            reported_at: row.reported_at,
            entered_at: row.entered_at,
            entered_by: row.entered_by,
            channel: row.channel.0,
            occupied: row.occupied,
            held: row.held,
        }
    }
}

/// What is taken of a capacity `c` at the moment `$3`.
const TAKEN: &str = formatcp!(
    "lateral (
         select count(*) filter (where upper_inf(s.during) and a.state = {ARRIVED}) as occupied,
                count(*) filter (where a.state <> {ARRIVED}) as held
         from bed b join stay s on s.bed_id = b.bed_id and s.during @> $3 join admission a using (admission_id)
         where b.facility_id = c.facility_id and b.capability = c.capability
     ) s"
);

/// The version of what a facility declared last, and as of when; its row is locked until the declaration commits. `None` before the
/// first one.
pub(crate) async fn lock_last(
    conn: &mut PgConnection,
    facility: OrganisationId,
    capability: Capability,
) -> sqlx::Result<Option<(i64, OffsetDateTime)>> {
    sqlx::query_as("select version, reported_at from capacity where facility_id = $1 and capability = $2 for update")
        .bind(facility)
        .bind(Code(capability))
        .fetch_optional(conn)
        .await
}

/// Stores what a facility declares, and makes the beds that it has not had yet. Returns the version.
pub(crate) async fn declare(conn: &mut PgConnection, declared: &Declared) -> sqlx::Result<i64> {
    let version: i64 = sqlx::query_scalar(
        "insert into capacity as c
             (facility_id, capability, prefecture, secured, ready, version, reported_at, entered_at, entered_by, channel)
         values ($1, $2, $3, $4, $5, 1, $6, $7, $8, $9)
         on conflict (facility_id, capability) do update
         set prefecture = excluded.prefecture, secured = excluded.secured, ready = excluded.ready,
             version = c.version + 1, reported_at = excluded.reported_at, entered_at = excluded.entered_at,
             entered_by = excluded.entered_by, channel = excluded.channel
         returning version",
    )
    .bind(declared.facility_id)
    .bind(Code(declared.capability))
    .bind(i16::from(declared.prefecture))
    .bind(declared.secured)
    .bind(declared.ready)
    .bind(declared.at)
    .bind(declared.entered_at)
    .bind(declared.entered_by)
    .bind(Code(declared.channel))
    .fetch_one(&mut *conn)
    .await?;
    sqlx::query(
        "insert into bed (bed_id, facility_id, capability, number)
         select gen_random_uuid(), $1, $2, n from generate_series(1, $3) n on conflict do nothing",
    )
    .bind(declared.facility_id)
    .bind(Code(declared.capability))
    .bind(declared.ready)
    .execute(conn)
    .await?;
    Ok(version)
}

/// A facility's room of one capability.
pub(crate) async fn room(
    conn: &mut PgConnection,
    facility: OrganisationId,
    capability: Capability,
    now: OffsetDateTime,
) -> sqlx::Result<Option<Room>> {
    let row: Option<RoomRow> = sqlx::query_as(formatcp!(
        "select c.*, s.occupied, s.held from capacity c, {TAKEN} where c.facility_id = $1 and c.capability = $2"
    ))
    .bind(facility)
    .bind(Code(capability))
    .bind(now)
    .fetch_optional(conn)
    .await?;
    Ok(row.map(Room::from))
}

/// A place in the ranking: what is left, and where.
pub(crate) type Rank = (i64, OrganisationId);

/// A page of a prefecture's facilities with beds of a capability, most free ones first, behind a place in the ranking.
pub(crate) async fn ranked(
    conn: &mut PgConnection,
    prefecture: u8,
    capability: Capability,
    now: OffsetDateTime,
    after: Rank,
    limit: i64,
) -> sqlx::Result<Vec<Room>> {
    let rows: Vec<RoomRow> = sqlx::query_as(formatcp!(
        "select * from (
             select c.*, s.occupied, s.held, c.ready - s.occupied - s.held as balance
             from capacity c join directory d on d.organisation_id = c.facility_id, {TAKEN}
             where c.prefecture = $1 and c.capability = $2
               -- A closed house has no free beds.
               and not d.suspended and coalesce(d.valid_from, $7) <= $7 and coalesce(d.valid_until, $7) >= $7
               and coalesce(d.opens_on, $7) <= $7
         ) r
         where balance < $4 or (balance = $4 and facility_id > $5)
         order by balance desc, facility_id limit $6"
    ))
    .bind(i16::from(prefecture))
    .bind(Code(capability))
    .bind(now)
    .bind(after.0)
    .bind(after.1)
    .bind(limit)
    .bind(day_in_japan(now))
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Room::from).collect())
}
