//! The RPCs of statistics.

use std::collections::BTreeMap;

use access::{Caller, Door};
use chassis::{Base, Error};
use proto::statistics::{
    CareStatus, GetCareStatusRequest, GetSummaryRequest, QueryCasesRequest, QueryCasesResponse, Row, Summary,
    SummaryRow, statistics_service_server::StatisticsService,
};
use runtime::{
    clock::{from_proto, to_proto},
    problem::text,
};
use sqlx::{PgConnection, PgPool};
use time::{Date, OffsetDateTime};
use tonic::{Request, Response, Status};

use crate::{
    care,
    domain::{Area, Question, shown},
    store,
};

/// The statistics service.
#[derive(Clone)]
pub(crate) struct Statistics {
    pool: PgPool,
}

impl Statistics {
    pub(crate) fn new(base: &Base) -> Self {
        Self { pool: base.pool.clone() }
    }

    async fn query(&self, caller: &Caller, request: &QueryCasesRequest) -> Result<QueryCasesResponse, Error> {
        let area = Area::of(caller).map_err(Error::Denied)?;
        let question = Question::parse(request, area).map_err(Error::Invalid)?;
        let mut conn = self.pool.acquire().await?;
        let (as_of, watermark) = moment(&mut conn, &["registry"], question.as_of).await?;
        let rows = store::count(&mut conn, &question, as_of).await?;
        let mut rows: Vec<Row> = rows
            .into_iter()
            .map(|(one, two, three, four, count)| {
                let keys = [one, two, three, four]
                    .into_iter()
                    .zip(question.dimensions)
                    .take(question.used)
                    .map(|(key, dimension)| key.map(|key| shown(dimension, &key)).unwrap_or_default())
                    .collect();
                Row { keys, count }
            })
            .collect();
        if let (true, Some(from), Some(to)) = (question.every_day, question.from, question.to) {
            rows = every_day(&rows, from, to);
        }
        Ok(QueryCasesResponse { rows, as_of: Some(to_proto(as_of)), watermark: Some(to_proto(watermark)) })
    }

    async fn summary(&self, caller: &Caller, request: &GetSummaryRequest) -> Result<Summary, Error> {
        let area = Area::of(caller).map_err(Error::Denied)?;
        let mut conn = self.pool.acquire().await?;
        let (as_of, watermark) = moment(&mut conn, &["registry"], request.as_of.as_ref().and_then(from_proto)).await?;
        let prefectures: Vec<SummaryRow> = store::summary(&mut conn, area, as_of)
            .await?
            .into_iter()
            .map(|row| SummaryRow {
                prefecture: i32::from(row.prefecture),
                tested: row.tested,
                positive: row.positive,
                open: row.open,
                released: row.released,
                died: row.died,
            })
            .collect();
        let nation = prefectures.iter().fold(SummaryRow::default(), |sum, row| SummaryRow {
            prefecture: 0,
            tested: sum.tested + row.tested,
            positive: sum.positive + row.positive,
            open: sum.open + row.open,
            released: sum.released + row.released,
            died: sum.died + row.died,
        });
        Ok(Summary {
            nation: Some(nation),
            prefectures,
            as_of: Some(to_proto(as_of)),
            watermark: Some(to_proto(watermark)),
        })
    }

    async fn care(&self, caller: &Caller, request: &GetCareStatusRequest) -> Result<CareStatus, Error> {
        let area = Area::of(caller).map_err(Error::Denied)?;
        let mut conn = self.pool.acquire().await?;
        let asked = request.as_of.as_ref().and_then(from_proto);
        let (as_of, watermark) = moment(&mut conn, &["registry", "beds"], asked).await?;
        let prefectures = care::survey(&mut conn, area, as_of).await?;
        Ok(CareStatus {
            total: Some(care::total(&prefectures)),
            prefectures,
            as_of: Some(to_proto(as_of)),
            watermark: Some(to_proto(watermark)),
        })
    }
}

/// The moment figures hold for, and the watermark: never later than what has been heard completely.
async fn moment(
    conn: &mut PgConnection,
    sources: &[&str],
    asked: Option<OffsetDateTime>,
) -> Result<(OffsetDateTime, OffsetDateTime), Error> {
    let watermark = store::watermark(conn, sources).await?.ok_or_else(|| {
        Error::Precondition(text(
            "集計を準備中です。しばらくお待ちください。",
            "The figures are being rebuilt. Please wait.",
        ))
    })?;
    Ok((asked.map_or(watermark, |asked| asked.min(watermark)), watermark))
}

/// One row for each day, zero where nothing was counted.
fn every_day(rows: &[Row], from: Date, to: Date) -> Vec<Row> {
    let counted: BTreeMap<&str, i64> =
        rows.iter().filter_map(|row| Some((row.keys.first()?.as_str(), row.count))).collect();
    std::iter::successors(Some(from), |day| day.next_day())
        .take_while(|day| *day <= to)
        .map(|day| {
            let key = day.to_string();
            let count = counted.get(key.as_str()).copied().unwrap_or(0);
            Row { keys: vec![key], count }
        })
        .collect()
}

#[tonic::async_trait]
impl StatisticsService for Statistics {
    async fn query_cases(&self, request: Request<QueryCasesRequest>) -> Result<Response<QueryCasesResponse>, Status> {
        let (caller, request) = Door::enter(request)?;
        Ok(Response::new(self.query(&caller, &request).await?))
    }

    async fn get_care_status(&self, request: Request<GetCareStatusRequest>) -> Result<Response<CareStatus>, Status> {
        let (caller, request) = Door::enter(request)?;
        Ok(Response::new(self.care(&caller, &request).await?))
    }

    async fn get_summary(&self, request: Request<GetSummaryRequest>) -> Result<Response<Summary>, Status> {
        let (caller, request) = Door::enter(request)?;
        Ok(Response::new(self.summary(&caller, &request).await?))
    }
}
