//! The RPCs every service answers about its own pipeline, and its event log for the others.

use std::sync::Arc;

use proto::operations::{
    ConsumerState, GetHeadRequest, GetPipelineRequest, Head, ListDeadLettersRequest, ListDeadLettersResponse,
    ListDigestsRequest, ListDigestsResponse, Pipeline, ReadEventsRequest, ReadEventsResponse,
    RebuildProjectionsRequest, RebuildProjectionsResponse, ReplayDeadLetterRequest, ReplayDeadLetterResponse,
    event_log_service_server::{EventLogService, EventLogServiceServer},
    operations_service_server::{OperationsService, OperationsServiceServer},
};
use runtime::{
    clock,
    problem::{self, Violation},
};
use sqlx::PgPool;
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{Failure, consumer::Listening, dead_letter, log};

/// Answers for one service.
#[derive(Clone)]
pub struct Operations {
    pool: PgPool,
    consumers: Arc<Vec<Arc<dyn Listening>>>,
}

impl Operations {
    /// Answers for a service with this database and these consumers.
    pub fn new(pool: PgPool, consumers: Vec<Arc<dyn Listening>>) -> Self {
        Self { pool, consumers: Arc::new(consumers) }
    }

    /// Adds both services to a server.
    pub fn routes(self, routes: tonic::service::Routes) -> tonic::service::Routes {
        routes
            .add_service(OperationsServiceServer::new(self.clone()))
            .add_service(EventLogServiceServer::new(self).max_encoding_message_size(64 << 20))
    }
}

#[tonic::async_trait]
impl OperationsService for Operations {
    async fn get_pipeline(&self, _: Request<GetPipelineRequest>) -> Result<Response<Pipeline>, Status> {
        let (stamped_seq, published_seq): (i64, i64) = sqlx::query_as("select stamped_seq, published_seq from relay")
            .fetch_one(&self.pool)
            .await
            .map_err(internal)?;
        let unstamped = sqlx::query_scalar("select count(*) from outbox where seq is null")
            .fetch_one(&self.pool)
            .await
            .map_err(internal)?;
        let consumers: Vec<(String, i64, Option<OffsetDateTime>)> =
            sqlx::query_as("select source, handled_seq, nullif(watermark, '-infinity') from cursor order by source")
                .fetch_all(&self.pool)
                .await
                .map_err(internal)?;
        Ok(Response::new(Pipeline {
            stamped_seq,
            published_seq,
            unstamped,
            consumers: consumers
                .into_iter()
                .map(|(source, handled_seq, watermark)| ConsumerState {
                    source,
                    handled_seq,
                    watermark: watermark.map(clock::to_proto),
                })
                .collect(),
            dead_letters: dead_letter::count(&self.pool).await.map_err(internal)?,
        }))
    }

    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let limit = match request.into_inner().page_size {
            0 => 50,
            size @ 1..=200 => i64::from(size),
            _ => return Err(problem::invalid(&[Violation::new("page_size", "0〜200です", "is between 0 and 200")])),
        };
        let dead_letters = dead_letter::list(&self.pool, limit).await.map_err(internal)?;
        Ok(Response::new(ListDeadLettersResponse { dead_letters }))
    }

    async fn replay_dead_letter(
        &self,
        request: Request<ReplayDeadLetterRequest>,
    ) -> Result<Response<ReplayDeadLetterResponse>, Status> {
        let id = Uuid::try_parse(&request.into_inner().event_id).map_err(|_| {
            problem::invalid(&[Violation::new("event_id", "UUID を指定してください", "must be a UUID")])
        })?;
        let (source, event) = dead_letter::find(&self.pool, id)
            .await
            .map_err(internal)?
            .ok_or_else(|| Status::not_found("no such dead letter"))?;
        let consumer = self
            .consumers
            .iter()
            .find(|consumer| consumer.source() == source)
            .ok_or_else(|| Status::failed_precondition("this service no longer listens to that source"))?;
        consumer.replay(event).await.map_err(|failure| match failure {
            Failure::Retry(reason) => Status::unavailable(reason),
            Failure::Dead(reason) => Status::failed_precondition(reason),
            Failure::Database(error) => internal(error),
        })?;
        Ok(Response::new(ReplayDeadLetterResponse {}))
    }

    async fn rebuild_projections(
        &self,
        _: Request<RebuildProjectionsRequest>,
    ) -> Result<Response<RebuildProjectionsResponse>, Status> {
        let mut events = 0;
        for consumer in self.consumers.iter() {
            events += consumer.rebuild().await.map_err(|failure| match failure {
                Failure::Retry(reason) | Failure::Dead(reason) => Status::unavailable(reason),
                Failure::Database(error) => internal(error),
            })?;
        }
        Ok(Response::new(RebuildProjectionsResponse { events }))
    }
}

#[tonic::async_trait]
impl EventLogService for Operations {
    async fn get_head(&self, _: Request<GetHeadRequest>) -> Result<Response<Head>, Status> {
        log::head(&self.pool).await.map(Response::new).map_err(internal)
    }

    async fn list_digests(&self, _: Request<ListDigestsRequest>) -> Result<Response<ListDigestsResponse>, Status> {
        let digests = log::digests(&self.pool).await.map_err(internal)?;
        Ok(Response::new(ListDigestsResponse { digests }))
    }

    async fn read_events(&self, request: Request<ReadEventsRequest>) -> Result<Response<ReadEventsResponse>, Status> {
        let ReadEventsRequest { after_seq, limit } = request.into_inner();
        let events =
            log::records(&self.pool, after_seq.max(0), i64::from(limit.clamp(1, 1_000))).await.map_err(internal)?;
        Ok(Response::new(ReadEventsResponse { events }))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used in map_err")]
fn internal(error: sqlx::Error) -> Status {
    tracing::error!(error = ?error.as_database_error().and_then(sqlx::error::DatabaseError::code), "Database failed");
    Status::unavailable("the database does not answer")
}
