//! SQL of the summary.

use const_format::formatcp;
use proto::{registry::Outcome, statistics::SummaryRow};
use sqlx::{FromRow, PgConnection};
use time::OffsetDateTime;

use crate::fact::{Area, POSITIVE_CLASSES};

const OPEN: i16 = Outcome::Unspecified as i16;
const RELEASED: i16 = Outcome::Released as i16;
const DIED: i16 = Outcome::Died as i16;

#[derive(FromRow)]
struct Row {
    #[sqlx(try_from = "i16")]
    prefecture: u8,
    tested: i64,
    positive: i64,
    open: i64,
    released: i64,
    died: i64,
}

impl From<Row> for SummaryRow {
    fn from(row: Row) -> Self {
        Self {
            prefecture: row.prefecture.into(),
            tested: row.tested,
            positive: row.positive,
            open: row.open,
            released: row.released,
            died: row.died,
        }
    }
}

/// The state of each prefecture of an area, as known at a moment.
pub(crate) async fn prefectures(
    conn: &mut PgConnection,
    area: Area,
    as_of: OffsetDateTime,
) -> sqlx::Result<Vec<SummaryRow>> {
    let rows: Vec<Row> = sqlx::query_as(formatcp!(
        "select prefecture,
                count(*) filter (where test_count > 0) as tested,
                count(*) filter (where diagnosis_class in {POSITIVE_CLASSES}) as positive,
                count(*) filter (where diagnosis_class in {POSITIVE_CLASSES} and outcome = {OPEN}) as open,
                count(*) filter (where diagnosis_class in {POSITIVE_CLASSES} and outcome = {RELEASED}) as released,
                count(*) filter (where diagnosis_class in {POSITIVE_CLASSES} and outcome = {DIED}) as died
         from case_fact
         where recorded_from <= $1 and recorded_to > $1
           and ($2::smallint is null or prefecture = $2) and ($3::uuid is null or centre_id = $3)
         group by prefecture order by prefecture"
    ))
    .bind(as_of)
    .bind(area.prefecture().map(i16::from))
    .bind(area.centre())
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(SummaryRow::from).collect())
}
