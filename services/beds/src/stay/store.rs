//! SQL of stays, and the giving away of a bed.

use access::OrganisationId;
use data::Code;
use proto::beds::Capability;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::admission::{AdmissionId, StayId};

data::id!(
    /// A bed or a room of a facility.
    BedId,
    "bed"
);

/// Holds the first free bed of a facility between two moments. Returns the stay and the number of the bed; `None` where none is free.
///
/// Claims on one facility's beds of one kind queue up at its capacity row. Should anything ever get past that, the exclusion
/// constraint on `stay` refuses the second one.
pub(crate) async fn hold(
    conn: &mut PgConnection,
    admission: AdmissionId,
    facility: OrganisationId,
    capability: Capability,
    (now, until): (OffsetDateTime, OffsetDateTime),
) -> sqlx::Result<Option<(StayId, i32)>> {
    let ready: Option<i32> =
        sqlx::query_scalar("select ready from capacity where facility_id = $1 and capability = $2 for update")
            .bind(facility)
            .bind(Code(capability))
            .fetch_optional(&mut *conn)
            .await?;
    let Some(ready) = ready else { return Ok(None) };
    // Those who lie in beds that are no longer declared ready count too.
    let taken: i64 = sqlx::query_scalar(
        "select count(*) from bed b join stay s on s.bed_id = b.bed_id and s.during @> $3
         where b.facility_id = $1 and b.capability = $2",
    )
    .bind(facility)
    .bind(Code(capability))
    .bind(now)
    .fetch_one(&mut *conn)
    .await?;
    if taken >= i64::from(ready) {
        return Ok(None);
    }
    let free: Option<(BedId, i32)> = sqlx::query_as(
        "select b.bed_id, b.number from bed b
         where b.facility_id = $1 and b.capability = $2 and b.number <= $3
           and not exists (select from stay s where s.bed_id = b.bed_id and s.during && tstzrange($4, null))
         order by b.number limit 1",
    )
    .bind(facility)
    .bind(Code(capability))
    .bind(ready)
    .bind(now)
    .fetch_optional(&mut *conn)
    .await?;
    let Some((bed_id, number)) = free else { return Ok(None) };
    let stay_id = StayId::new();
    sqlx::query("insert into stay (stay_id, admission_id, bed_id, during) values ($1, $2, $3, tstzrange($4, $5))")
        .bind(stay_id)
        .bind(admission)
        .bind(bed_id)
        .bind(now)
        .bind(until)
        .execute(conn)
        .await?;
    Ok(Some((stay_id, number)))
}

/// A stay becomes one without an end.
pub(crate) async fn keep(conn: &mut PgConnection, id: StayId) -> sqlx::Result<()> {
    sqlx::query("update stay set during = tstzrange(lower(during), null) where stay_id = $1")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// A stay ends, if it has not ended by itself: the bed is free from here on.
pub(crate) async fn end(conn: &mut PgConnection, id: StayId, at: OffsetDateTime) -> sqlx::Result<()> {
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
