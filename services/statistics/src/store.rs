//! All SQL of statistics.

use proto::registry::CaseChanged;
use sqlx::{FromRow, PgConnection};
use time::{Date, OffsetDateTime};
use uuid::Uuid;

use crate::domain::{Area, Question};

/// A version of a case as a fact.
pub(crate) struct Fact {
    pub case_id: Uuid,
    pub version: i64,
    pub recorded_from: OffsetDateTime,
    pub centre_id: Option<Uuid>,
    pub report_date: Option<Date>,
    pub onset_date: Option<Date>,
    pub test_date: Option<Date>,
    pub care_prefecture: i32,
    pub changed: CaseChanged,
}

/// One column of many rows, for `unnest`.
fn column<T>(facts: &[Fact], read: impl Fn(&Fact) -> T) -> Vec<T> {
    facts.iter().map(read).collect()
}

/// Adds versions and ends the ones before them.
pub(crate) async fn insert_facts(conn: &mut PgConnection, facts: &[Fact]) -> sqlx::Result<()> {
    let small = |number: i32| i16::try_from(number).unwrap_or(0);
    sqlx::query(
        "insert into case_fact
             (case_id, version, recorded_from, prefecture, centre_id, sex, age_band, diagnosis_class, report_date,
              onset_date, test_date, outcome, placement, test_count, icu, ventilator, ecmo, admission_necessity,
              responsible_centre, care_prefecture)
         select * from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::smallint[], $5::uuid[], $6::smallint[],
              $7::smallint[], $8::smallint[], $9::date[], $10::date[], $11::date[], $12::smallint[], $13::smallint[],
              $14::int[], $15::bool[], $16::bool[], $17::bool[], $18::smallint[], $19::uuid[],
              $20::smallint[])
         on conflict do nothing",
    )
    .bind(column(facts, |f| f.case_id))
    .bind(column(facts, |f| f.version))
    .bind(column(facts, |f| f.recorded_from))
    .bind(column(facts, |f| small(f.changed.prefecture)))
    .bind(column(facts, |f| f.centre_id))
    .bind(column(facts, |f| small(f.changed.sex)))
    .bind(column(facts, |f| small(f.changed.age_band)))
    .bind(column(facts, |f| small(f.changed.diagnosis_class)))
    .bind(column(facts, |f| f.report_date))
    .bind(column(facts, |f| f.onset_date))
    .bind(column(facts, |f| f.test_date))
    .bind(column(facts, |f| small(f.changed.outcome)))
    .bind(column(facts, |f| small(f.changed.placement)))
    .bind(column(facts, |f| f.changed.test_count))
    .bind(column(facts, |f| f.changed.icu))
    .bind(column(facts, |f| f.changed.ventilator))
    .bind(column(facts, |f| f.changed.ecmo))
    .bind(column(facts, |f| small(f.changed.admission_necessity)))
    .bind(column(facts, |f| Uuid::try_parse(&f.changed.responsible_centre_id).ok()))
    .bind(column(facts, |f| small(f.care_prefecture)))
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

/// Counts by up to four dimensions, as known at a moment.
pub(crate) async fn count(
    conn: &mut PgConnection,
    question: &Question,
    as_of: OffsetDateTime,
) -> sqlx::Result<Vec<(Option<String>, Option<String>, Option<String>, Option<String>, i64)>> {
    sqlx::query_as(
        "select fact_key(f, $1), fact_key(f, $2), fact_key(f, $3), fact_key(f, $4), count(*)
         from case_fact f
         where f.recorded_from <= $5 and f.recorded_to > $5
           and f.diagnosis_class = any($6)
           and ($7::smallint is null or f.prefecture = $7)
           and ($8::uuid is null or f.centre_id = $8)
           and ($9::date is null or case $11 when 2 then f.onset_date when 3 then f.test_date else f.report_date end >= $9)
           and ($10::date is null or case $11 when 2 then f.onset_date when 3 then f.test_date else f.report_date end <= $10)
         group by 1, 2, 3, 4
         order by 1 nulls last, 2 nulls last, 3 nulls last, 4 nulls last",
    )
    .bind(question.dimensions[0])
    .bind(question.dimensions[1])
    .bind(question.dimensions[2])
    .bind(question.dimensions[3])
    .bind(as_of)
    .bind(&question.classes)
    .bind(question.prefecture.map(i16::from))
    .bind(question.centre)
    .bind(question.from)
    .bind(question.to)
    .bind(question.axis)
    .fetch_all(conn)
    .await
}

/// The state of one prefecture.
#[derive(Clone, Debug, Default, FromRow)]
pub(crate) struct SummaryRow {
    pub prefecture: i16,
    pub tested: i64,
    pub positive: i64,
    pub open: i64,
    pub released: i64,
    pub died: i64,
}

/// The state of each prefecture of an area, as known at a moment.
pub(crate) async fn summary(
    conn: &mut PgConnection,
    area: Area,
    as_of: OffsetDateTime,
) -> sqlx::Result<Vec<SummaryRow>> {
    let (prefecture, centre) = match area {
        Area::Nation => (None, None),
        Area::Prefecture(own) => (Some(i16::from(own)), None),
        Area::Centre(own) => (None, Some(own)),
    };
    sqlx::query_as(
        "select prefecture,
                count(*) filter (where test_count > 0) as tested,
                count(*) filter (where diagnosis_class in (1, 2, 4)) as positive,
                count(*) filter (where diagnosis_class in (1, 2, 4) and outcome = 0) as open,
                count(*) filter (where diagnosis_class in (1, 2, 4) and outcome = 1) as released,
                count(*) filter (where diagnosis_class in (1, 2, 4) and outcome = 2) as died
         from case_fact
         where recorded_from <= $1 and recorded_to > $1
           and ($2::smallint is null or prefecture = $2) and ($3::uuid is null or centre_id = $3)
         group by prefecture order by prefecture",
    )
    .bind(as_of)
    .bind(prefecture)
    .bind(centre)
    .fetch_all(conn)
    .await
}
