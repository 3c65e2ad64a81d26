//! SQL of questions.

use const_format::formatcp;
use data::Code;
use proto::statistics::Dimension;
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use super::model::Question;

const ONSET_DATE: i16 = Dimension::OnsetDate as i16;
const TEST_DATE: i16 = Dimension::TestDate as i16;
/// The date that the bounds apply to.
const DAY: &str =
    formatcp!("case $11 when {ONSET_DATE} then f.onset_date when {TEST_DATE} then f.test_date else f.report_date end");

/// A figure and what it counts.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Counted {
    /// Four of them, whatever was asked; `None` where not known.
    pub keys: Vec<Option<String>>,
    pub count: i64,
}

/// Counts by up to four dimensions, as known at a moment.
pub(crate) async fn count(
    conn: &mut PgConnection,
    question: &Question,
    as_of: OffsetDateTime,
) -> sqlx::Result<Vec<Counted>> {
    let dimension = |n: usize| i32::from(question.dimensions.get(n).copied().unwrap_or_default());
    sqlx::query_as(formatcp!(
        "select array[one, two, three, four] as keys, count(*) as count
         from (
             select fact_key(f, $1) as one, fact_key(f, $2) as two, fact_key(f, $3) as three, fact_key(f, $4) as four
             from case_fact f
             where f.recorded_from <= $5 and f.recorded_to > $5
               and f.diagnosis_class = any($6)
               and ($7::smallint is null or f.prefecture = $7)
               and ($8::uuid is null or f.centre_id = $8)
               and ($9::date is null or {DAY} >= $9)
               and ($10::date is null or {DAY} <= $10)
         ) f
         group by one, two, three, four
         order by one nulls last, two nulls last, three nulls last, four nulls last"
    ))
    .bind(dimension(0))
    .bind(dimension(1))
    .bind(dimension(2))
    .bind(dimension(3))
    .bind(as_of)
    .bind(question.classes.iter().copied().map(Code).collect::<Vec<_>>())
    .bind(question.prefecture.map(i16::from))
    .bind(question.centre)
    .bind(question.from)
    .bind(question.until)
    .bind(i32::from(question.axis))
    .fetch_all(conn)
    .await
}
