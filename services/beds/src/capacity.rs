//! SQL of capacity: what facilities declare, which beds are free, and the giving away of one.

use proto::beds::Capability;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::number;

/// What a facility declared, and what is left of it.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct CapacityRow {
    pub facility_id: Uuid,
    pub capability: i16,
    pub secured: i32,
    pub ready: i32,
    pub reported_at: OffsetDateTime,
    pub occupied: i64,
    pub held: i64,
}

impl CapacityRow {
    /// Beds that can be offered now.
    pub(crate) fn free(&self) -> i64 {
        (i64::from(self.ready) - self.occupied - self.held).max(0)
    }
}

/// What a facility declares anew.
pub(crate) struct Declared {
    pub facility_id: Uuid,
    pub capability: Capability,
    pub prefecture: u8,
    pub secured: i32,
    pub ready: i32,
    pub at: OffsetDateTime,
}

/// Stores what a facility declares, makes the beds it has not had yet, and returns the version.
pub(crate) async fn declare(conn: &mut PgConnection, declared: &Declared) -> sqlx::Result<i64> {
    let version: i64 = sqlx::query_scalar(
        "insert into capacity as c (facility_id, capability, prefecture, secured, ready, version, reported_at)
         values ($1, $2, $3, $4, $5, 1, $6)
         on conflict (facility_id, capability) do update
         set prefecture = excluded.prefecture, secured = excluded.secured, ready = excluded.ready,
             version = c.version + 1, reported_at = excluded.reported_at
         returning version",
    )
    .bind(declared.facility_id)
    .bind(number(declared.capability))
    .bind(i16::from(declared.prefecture))
    .bind(declared.secured)
    .bind(declared.ready)
    .bind(declared.at)
    .fetch_one(&mut *conn)
    .await?;
    sqlx::query(
        "insert into bed (bed_id, facility_id, capability, number)
         select gen_random_uuid(), $1, $2, n from generate_series(1, $3) n on conflict do nothing",
    )
    .bind(declared.facility_id)
    .bind(number(declared.capability))
    .bind(declared.ready)
    .execute(conn)
    .await?;
    Ok(version)
}

/// A facility's capacity of one capability, with what is taken of it.
pub(crate) async fn of_facility(
    conn: &mut PgConnection,
    facility: Uuid,
    capability: Capability,
    now: OffsetDateTime,
) -> sqlx::Result<Option<CapacityRow>> {
    sqlx::query_as(
        "select c.*, s.occupied, s.held from capacity c, lateral (
             select count(*) filter (where upper_inf(s.during) and a.state = 4) as occupied,
                    count(*) filter (where a.state <> 4) as held
             from bed b join stay s on s.bed_id = b.bed_id and s.during @> $3 join admission a using (admission_id)
             where b.facility_id = c.facility_id and b.capability = c.capability
         ) s
         where c.facility_id = $1 and c.capability = $2",
    )
    .bind(facility)
    .bind(number(capability))
    .bind(now)
    .fetch_optional(conn)
    .await
}

/// The facilities of a prefecture with beds of a capability, most free ones first.
pub(crate) async fn ranked(
    conn: &mut PgConnection,
    prefecture: u8,
    capability: Capability,
    now: OffsetDateTime,
) -> sqlx::Result<Vec<CapacityRow>> {
    sqlx::query_as(
        "select c.*, s.occupied, s.held from capacity c, lateral (
             select count(*) filter (where upper_inf(s.during) and a.state = 4) as occupied,
                    count(*) filter (where a.state <> 4) as held
             from bed b join stay s on s.bed_id = b.bed_id and s.during @> $3 join admission a using (admission_id)
             where b.facility_id = c.facility_id and b.capability = c.capability
         ) s
         where c.prefecture = $1 and c.capability = $2
         order by c.ready - s.occupied - s.held desc, c.facility_id limit 200",
    )
    .bind(i16::from(prefecture))
    .bind(number(capability))
    .bind(now)
    .fetch_all(conn)
    .await
}

/// A bed that was given away: its stay and its number.
pub(crate) struct Held {
    pub stay_id: Uuid,
    pub number: i32,
}

/// Holds the first free bed of a facility until a moment; `None` where none is free.
///
/// Claims on one facility's beds of one kind queue up at its capacity row. Should anything ever get past that, the
/// exclusion constraint on `stay` refuses the second one.
pub(crate) async fn hold(
    conn: &mut PgConnection,
    admission: Uuid,
    facility: Uuid,
    capability: Capability,
    now: OffsetDateTime,
    until: OffsetDateTime,
) -> sqlx::Result<Option<Held>> {
    let ready: Option<i32> =
        sqlx::query_scalar("select ready from capacity where facility_id = $1 and capability = $2 for update")
            .bind(facility)
            .bind(number(capability))
            .fetch_optional(&mut *conn)
            .await?;
    let Some(ready) = ready else { return Ok(None) };
    // Those who lie in beds that are no longer declared ready count too.
    let taken: i64 = sqlx::query_scalar(
        "select count(*) from bed b join stay s on s.bed_id = b.bed_id and s.during @> $3
         where b.facility_id = $1 and b.capability = $2",
    )
    .bind(facility)
    .bind(number(capability))
    .bind(now)
    .fetch_one(&mut *conn)
    .await?;
    if taken >= i64::from(ready) {
        return Ok(None);
    }
    let free: Option<(Uuid, i32)> = sqlx::query_as(
        "select b.bed_id, b.number from bed b
         where b.facility_id = $1 and b.capability = $2 and b.number <= $3
           and not exists (select from stay s where s.bed_id = b.bed_id and s.during && tstzrange($4, null))
         order by b.number limit 1",
    )
    .bind(facility)
    .bind(number(capability))
    .bind(ready)
    .bind(now)
    .fetch_optional(&mut *conn)
    .await?;
    let Some((bed_id, number)) = free else { return Ok(None) };
    let stay_id = Uuid::now_v7();
    sqlx::query("insert into stay (stay_id, admission_id, bed_id, during) values ($1, $2, $3, tstzrange($4, $5))")
        .bind(stay_id)
        .bind(admission)
        .bind(bed_id)
        .bind(now)
        .bind(until)
        .execute(conn)
        .await?;
    Ok(Some(Held { stay_id, number }))
}
