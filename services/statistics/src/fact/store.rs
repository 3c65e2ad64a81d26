//! SQL of facts.

use const_format::formatcp;
use data::Code;
use proto::registry::DiagnosisClass;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::model::{CapacityFact, CaseFact};

const CONFIRMED: i16 = DiagnosisClass::Confirmed as i16;
const CARRIER: i16 = DiagnosisClass::AsymptomaticCarrier as i16;
const DECEASED: i16 = DiagnosisClass::Deceased as i16;
/// [`super::POSITIVE`], spelled as the predicate of the index `case_fact_care` spells it.
pub(crate) const POSITIVE_CLASSES: &str = formatcp!("({CONFIRMED}, {CARRIER}, {DECEASED})");

/// One column of many rows, for `unnest`.
fn column<F, T>(facts: &[F], read: impl Fn(&F) -> T) -> Vec<T> {
    facts.iter().map(read).collect()
}

/// Adds versions and ends the ones before them.
pub(crate) async fn insert_cases(conn: &mut PgConnection, facts: &[CaseFact]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into case_fact
             (case_id, version, recorded_from, prefecture, centre_id, responsible_centre, care_prefecture, sex, age_band,
              diagnosis_class, report_date, onset_date, test_date, test_count, outcome, placement, icu, ventilator, ecmo,
              admission_necessity)
         select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::smallint[], $5::uuid[], $6::uuid[],
              $7::smallint[], $8::smallint[], $9::smallint[], $10::smallint[], $11::date[], $12::date[], $13::date[],
              $14::int[], $15::smallint[], $16::smallint[], $17::bool[], $18::bool[], $19::bool[], $20::smallint[])
         on conflict do nothing",
    )
    .bind(column(facts, |f| f.case_id))
    .bind(column(facts, |f| f.version))
    .bind(column(facts, |f| f.recorded_from))
    .bind(column(facts, |f| i16::from(f.prefecture)))
    .bind(column(facts, |f| f.centre_id))
    .bind(column(facts, |f| f.responsible_centre))
    .bind(column(facts, |f| i16::from(f.care_prefecture)))
    .bind(column(facts, |f| Code(f.sex)))
    .bind(column(facts, |f| Code(f.age_band)))
    .bind(column(facts, |f| Code(f.diagnosis_class)))
    .bind(column(facts, |f| f.report_date))
    .bind(column(facts, |f| f.onset_date))
    .bind(column(facts, |f| f.test_date))
    .bind(column(facts, |f| f.test_count))
    .bind(column(facts, |f| Code(f.outcome)))
    .bind(column(facts, |f| Code(f.placement)))
    .bind(column(facts, |f| f.icu))
    .bind(column(facts, |f| f.ventilator))
    .bind(column(facts, |f| f.ecmo))
    .bind(column(facts, |f| Code(f.admission_necessity)))
    .execute(&mut *conn)
    .await?;
    // A version ends when the next one was recorded, whatever order they came in.
    sqlx::query(
        "update case_fact f set recorded_to = n.ends
         from (
             select case_id, version, lead(recorded_from) over (partition by case_id order by version) as ends
             from case_fact where case_id = any($1)
         ) n
         where f.case_id = n.case_id and f.version = n.version and n.ends is not null and f.recorded_to <> n.ends",
    )
    .bind(column(facts, |f| f.case_id))
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds versions and ends the ones before them.
pub(crate) async fn insert_capacities(conn: &mut PgConnection, facts: &[CapacityFact]) -> sqlx::Result<()> {
    sqlx::query(
        "insert into capacity_fact (facility_id, capability, version, recorded_from, prefecture, secured, ready)
         select * from unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::timestamptz[], $5::smallint[], $6::int[],
              $7::int[])
         on conflict do nothing",
    )
    .bind(column(facts, |f| f.facility_id))
    .bind(column(facts, |f| Code(f.capability)))
    .bind(column(facts, |f| f.version))
    .bind(column(facts, |f| f.recorded_from))
    .bind(column(facts, |f| i16::from(f.prefecture)))
    .bind(column(facts, |f| f.secured))
    .bind(column(facts, |f| f.ready))
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
    .bind(column(facts, |f| f.facility_id))
    .execute(conn)
    .await?;
    Ok(())
}

pub(crate) async fn forget_cases(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("delete from case_fact").execute(conn).await?;
    Ok(())
}

pub(crate) async fn forget_capacities(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("delete from capacity_fact").execute(conn).await?;
    Ok(())
}

/// Everything these owners recorded up to this moment is here; `None` while one was not heard, as during a rebuild.
pub(crate) async fn watermark(conn: &mut PgConnection, sources: &[&str]) -> sqlx::Result<Option<OffsetDateTime>> {
    let heard: Vec<Option<OffsetDateTime>> =
        sqlx::query_scalar("select nullif(watermark, '-infinity') from cursor where source = any($1)")
            .bind(sources)
            .fetch_all(conn)
            .await?;
    let all = heard.len() == sources.len();
    Ok(heard.into_iter().collect::<Option<Vec<_>>>().filter(|_| all).and_then(|heard| heard.into_iter().min()))
}

#[cfg(test)]
mod tests {
    use super::POSITIVE_CLASSES;
    use crate::fact::POSITIVE;

    #[test]
    fn the_sql_counts_the_same_classes_as_positive() {
        let numbers: Vec<String> = POSITIVE.iter().map(|class| i32::from(*class).to_string()).collect();
        assert_eq!(POSITIVE_CLASSES, format!("({})", numbers.join(", ")));
    }
}
