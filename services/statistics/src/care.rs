//! The care survey (療養状況等及び入院患者受入病床数等に関する調査): how people are cared for, and what room there is.

use std::collections::BTreeMap;

use proto::{beds::CapacityReported, statistics::CareRow};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::Area;

/// A facility's declared capacity as a fact.
pub(crate) struct CapacityFact {
    pub facility_id: Uuid,
    pub recorded_from: OffsetDateTime,
    pub reported: CapacityReported,
}

/// Adds versions and ends the ones before them.
pub(crate) async fn insert_capacity(conn: &mut PgConnection, facts: &[CapacityFact]) -> sqlx::Result<()> {
    let small = |number: i32| i16::try_from(number).unwrap_or(0);
    sqlx::query(
        "insert into capacity_fact (facility_id, capability, version, recorded_from, prefecture, secured, ready)
         select * from unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::timestamptz[], $5::smallint[], $6::int[],
              $7::int[])
         on conflict do nothing",
    )
    .bind(facts.iter().map(|f| f.facility_id).collect::<Vec<_>>())
    .bind(facts.iter().map(|f| small(f.reported.capability)).collect::<Vec<_>>())
    .bind(facts.iter().map(|f| f.reported.version).collect::<Vec<_>>())
    .bind(facts.iter().map(|f| f.recorded_from).collect::<Vec<_>>())
    .bind(facts.iter().map(|f| small(f.reported.prefecture)).collect::<Vec<_>>())
    .bind(facts.iter().map(|f| f.reported.secured).collect::<Vec<_>>())
    .bind(facts.iter().map(|f| f.reported.ready).collect::<Vec<_>>())
    .execute(&mut *conn)
    .await?;
    sqlx::query(
        "update capacity_fact f set recorded_to = n.ends
         from (
             select facility_id, capability, version,
                    lead(recorded_from) over (partition by facility_id, capability order by version) as ends
             from capacity_fact where facility_id = any($1)
         ) n
         where f.facility_id = n.facility_id and f.capability = n.capability and f.version = n.version
           and n.ends is not null and f.recorded_to <> n.ends",
    )
    .bind(facts.iter().map(|f| f.facility_id).collect::<Vec<_>>())
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(FromRow)]
struct Patients {
    prefecture: i16,
    under_care: i64,
    inpatients: i64,
    severe: i64,
    icu: i64,
    ventilator: i64,
    ecmo: i64,
    lodging: i64,
    home: i64,
    waiting: i64,
    waiting_for_hospital: i64,
}

#[derive(FromRow)]
struct Room {
    prefecture: i16,
    secured_beds: i64,
    ready_beds: i64,
    secured_severe_beds: i64,
    secured_rooms: i64,
    ready_rooms: i64,
}

/// The survey of an area as known at a moment: one row per prefecture.
pub(crate) async fn survey(conn: &mut PgConnection, area: Area, as_of: OffsetDateTime) -> sqlx::Result<Vec<CareRow>> {
    let (prefecture, centre) = match area {
        Area::Nation => (None, None),
        Area::Prefecture(own) => (Some(i16::from(own)), None),
        Area::Centre(own) => (None, Some(own)),
    };
    // 療養者: notified as positive, and the episode goes on.
    let patients: Vec<Patients> = sqlx::query_as(
        "select care_prefecture as prefecture,
                count(*) as under_care,
                count(*) filter (where placement = 2) as inpatients,
                count(*) filter (where placement = 2 and (icu or ventilator or ecmo)) as severe,
                count(*) filter (where placement = 2 and (icu)) as icu,
                count(*) filter (where placement = 2 and (ventilator)) as ventilator,
                count(*) filter (where placement = 2 and (ecmo)) as ecmo,
                count(*) filter (where placement = 3) as lodging,
                count(*) filter (where placement = 4) as home,
                count(*) filter (where placement in (0, 1)) as waiting,
                count(*) filter (where placement in (0, 1) and admission_necessity = 1) as waiting_for_hospital
         from case_fact
         where outcome = 0 and diagnosis_class in (1, 2, 4) and recorded_to > $1 and recorded_from <= $1
           and ($2::smallint is null or care_prefecture = $2) and ($3::uuid is null or responsible_centre = $3)
         group by care_prefecture",
    )
    .bind(as_of)
    .bind(prefecture)
    .bind(centre)
    .fetch_all(&mut *conn)
    .await?;
    // A centre has no beds of its own.
    let rooms: Vec<Room> = sqlx::query_as(
        "select prefecture,
                coalesce(sum(secured) filter (where capability in (1, 2, 3, 4)), 0) as secured_beds,
                coalesce(sum(ready) filter (where capability in (1, 2, 3, 4)), 0) as ready_beds,
                coalesce(sum(secured) filter (where capability in (2, 3, 4)), 0) as secured_severe_beds,
                coalesce(sum(secured) filter (where capability = 5), 0) as secured_rooms,
                coalesce(sum(ready) filter (where capability = 5), 0) as ready_rooms
         from capacity_fact
         where recorded_to > $1 and recorded_from <= $1 and ($2::smallint is null or prefecture = $2) and $3::uuid is null
         group by prefecture",
    )
    .bind(as_of)
    .bind(prefecture)
    .bind(centre)
    .fetch_all(conn)
    .await?;
    let mut rows: BTreeMap<i16, CareRow> = BTreeMap::new();
    for p in patients {
        let row = rows.entry(p.prefecture).or_default();
        (row.under_care, row.inpatients, row.severe) = (p.under_care, p.inpatients, p.severe);
        (row.icu, row.ventilator, row.ecmo) = (p.icu, p.ventilator, p.ecmo);
        (row.lodging, row.home, row.waiting) = (p.lodging, p.home, p.waiting);
        row.waiting_for_hospital = p.waiting_for_hospital;
    }
    for b in rooms {
        let row = rows.entry(b.prefecture).or_default();
        (row.secured_beds, row.ready_beds, row.secured_severe_beds) =
            (b.secured_beds, b.ready_beds, b.secured_severe_beds);
        (row.secured_rooms, row.ready_rooms) = (b.secured_rooms, b.ready_rooms);
    }
    Ok(rows
        .into_iter()
        .map(|(prefecture, row)| with_ratios(CareRow { prefecture: prefecture.into(), ..row }))
        .collect())
}

/// The sum of some rows.
pub(crate) fn total(rows: &[CareRow]) -> CareRow {
    let sum = rows.iter().fold(CareRow::default(), |sum, row| CareRow {
        prefecture: 0,
        under_care: sum.under_care + row.under_care,
        inpatients: sum.inpatients + row.inpatients,
        severe: sum.severe + row.severe,
        icu: sum.icu + row.icu,
        ventilator: sum.ventilator + row.ventilator,
        ecmo: sum.ecmo + row.ecmo,
        lodging: sum.lodging + row.lodging,
        home: sum.home + row.home,
        waiting: sum.waiting + row.waiting,
        waiting_for_hospital: sum.waiting_for_hospital + row.waiting_for_hospital,
        secured_beds: sum.secured_beds + row.secured_beds,
        ready_beds: sum.ready_beds + row.ready_beds,
        secured_severe_beds: sum.secured_severe_beds + row.secured_severe_beds,
        secured_rooms: sum.secured_rooms + row.secured_rooms,
        ready_rooms: sum.ready_rooms + row.ready_rooms,
        bed_use_percent: 0.0,
        hospitalised_percent: 0.0,
    });
    with_ratios(sum)
}

/// 病床使用率 and 入院率, to one decimal as published.
fn with_ratios(row: CareRow) -> CareRow {
    let percent = |part: i64, whole: i64| {
        if whole == 0 { 0.0 } else { (as_float(part) / as_float(whole) * 1_000.0).round() / 10.0 }
    };
    CareRow {
        bed_use_percent: percent(row.inpatients, row.secured_beds),
        hospitalised_percent: percent(row.inpatients, row.under_care),
        ..row
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of people are far below 2^52")]
fn as_float(count: i64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proto::statistics::CareRow;

    use super::total;

    #[test]
    fn the_total_carries_its_own_ratios() {
        let row = |inpatients, under_care, secured_beds| CareRow {
            inpatients,
            under_care,
            secured_beds,
            ..CareRow::default()
        };
        let sum = total(&[row(1, 3, 4), row(1, 3, 0)]);
        assert_eq!((sum.inpatients, sum.under_care), (2, 6));
        assert!((sum.bed_use_percent - 50.0).abs() < f64::EPSILON && (sum.hospitalised_percent - 33.3).abs() < 1e-9);
        assert!(total(&[]).bed_use_percent.abs() < f64::EPSILON);
    }
}
