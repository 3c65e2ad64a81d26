//! The doors: which operation answers which RPC, in the order of the contract.

use chassis::Reply;
use proto::statistics::{
    CareStatus, GetCareStatusRequest, GetSummaryRequest, QueryCasesRequest, QueryCasesResponse, Summary,
    statistics_service_server::StatisticsService,
};
use tonic::Request;

use crate::{care, question, service::Statistics, summary};

#[tonic::async_trait]
impl StatisticsService for Statistics {
    async fn query_cases(&self, r: Request<QueryCasesRequest>) -> Reply<QueryCasesResponse> {
        self.base.answer(self, r, question::query).await
    }

    async fn get_summary(&self, r: Request<GetSummaryRequest>) -> Reply<Summary> {
        self.base.answer(self, r, summary::get).await
    }

    async fn get_care_status(&self, r: Request<GetCareStatusRequest>) -> Reply<CareStatus> {
        self.base.answer(self, r, care::get).await
    }
}
