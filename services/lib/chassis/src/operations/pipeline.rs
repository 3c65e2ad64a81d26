//! The RPCs that every service answers about its own pipeline, and its event log for the others.

use std::sync::Arc;

use data::{Failure, consumer::Listening, dead_letter, log, pipeline};
use proto::operations::{
    GetHeadRequest, GetPipelineRequest, Head, ListDeadLettersRequest, ListDeadLettersResponse, ListDigestsRequest,
    ListDigestsResponse, Pipeline, ReadEventsRequest, ReadEventsResponse, RebuildProjectionsRequest,
    RebuildProjectionsResponse, ReplayDeadLetterRequest, ReplayDeadLetterResponse,
    event_log_service_server::{EventLogService, EventLogServiceServer},
    operations_service_server::{OperationsService, OperationsServiceServer},
};
use runtime::problem::why;
use time::OffsetDateTime;
use tonic::{Request, service::Routes};
use uuid::Uuid;

use crate::{Base, Call, Error, Reply, Service, page};

#[derive(Clone)]
pub(crate) struct Operations {
    pub base: Base,
    pub consumers: Arc<Vec<Arc<dyn Listening>>>,
}

impl Operations {
    /// Adds both services to a server.
    pub(crate) fn routes(self, routes: Routes) -> Routes {
        routes
            .add_service(OperationsServiceServer::new(self.clone()))
            .add_service(EventLogServiceServer::new(self).max_encoding_message_size(64 << 20))
    }
}

#[tonic::async_trait]
impl OperationsService for Operations {
    async fn get_pipeline(&self, r: Request<GetPipelineRequest>) -> Reply<Pipeline> {
        self.base.answer(self, r, state).await
    }

    async fn list_dead_letters(&self, r: Request<ListDeadLettersRequest>) -> Reply<ListDeadLettersResponse> {
        self.base.answer(self, r, dead_letters).await
    }

    async fn replay_dead_letter(&self, r: Request<ReplayDeadLetterRequest>) -> Reply<ReplayDeadLetterResponse> {
        self.base.answer(self, r, replay).await
    }

    async fn rebuild_projections(&self, r: Request<RebuildProjectionsRequest>) -> Reply<RebuildProjectionsResponse> {
        self.base.answer(self, r, rebuild).await
    }
}

#[tonic::async_trait]
impl EventLogService for Operations {
    async fn get_head(&self, r: Request<GetHeadRequest>) -> Reply<Head> {
        self.base.answer_internal(self, r, head).await
    }

    async fn list_digests(&self, r: Request<ListDigestsRequest>) -> Reply<ListDigestsResponse> {
        self.base.answer_internal(self, r, digests).await
    }

    async fn read_events(&self, r: Request<ReadEventsRequest>) -> Reply<ReadEventsResponse> {
        self.base.answer_internal(self, r, read_events).await
    }
}

async fn state(of: Operations, _: Call<GetPipelineRequest>) -> Result<Pipeline, Error> {
    let mut conn = of.base.pool.acquire().await?;
    Ok(pipeline::state(&mut conn).await?)
}

async fn dead_letters(of: Operations, call: Call<ListDeadLettersRequest>) -> Result<ListDeadLettersResponse, Error> {
    let after = match call.request.page_token.as_str() {
        "" => (OffsetDateTime::UNIX_EPOCH, Uuid::nil()),
        token => {
            let after = page::After::parse(token)?;
            (after.moment(), after.id)
        }
    };
    let size = page::size(call.request.page_size);
    let mut conn = of.base.pool.acquire().await?;
    let rows = dead_letter::list(&mut conn, after, size).await?;
    let next_page_token = page::next(&rows, size, |(at, id, _)| page::After::row(*at, *id).token());
    let dead_letters = rows.into_iter().map(|(.., letter)| letter).collect();
    Ok(ListDeadLettersResponse { dead_letters, next_page_token })
}

async fn replay(of: Operations, call: Call<ReplayDeadLetterRequest>) -> Result<ReplayDeadLetterResponse, Error> {
    let id = Uuid::try_parse(&call.request.event_id).map_err(|_| Error::NotFound("dead letter"))?;
    let mut conn = of.base.pool.acquire().await?;
    let (source, event) = dead_letter::find(&mut conn, id).await?.ok_or(Error::NotFound("dead letter"))?;
    drop(conn);
    let consumer = of.consumers.iter().find(|consumer| consumer.source() == source).ok_or_else(|| {
        Error::Precondition(why(
            "NOT_SUBSCRIBED",
            "このサービスは、この送信元を購読していません。",
            "This service no longer listens to that source.",
        ))
    })?;
    consumer.replay(event).await.map_err(|failure| match failure {
        Failure::Retry(_) => Error::Unavailable,
        Failure::Dead(reason) => Error::Precondition(why("DEAD_LETTER", &reason, &reason)),
        Failure::Database(error) => Error::Database(error),
    })?;
    Ok(ReplayDeadLetterResponse {})
}

async fn rebuild(of: Operations, _: Call<RebuildProjectionsRequest>) -> Result<RebuildProjectionsResponse, Error> {
    let mut events = 0;
    for consumer in of.consumers.iter() {
        events += consumer.rebuild().await.map_err(|failure| match failure {
            Failure::Retry(_) | Failure::Dead(_) => Error::Unavailable,
            Failure::Database(error) => Error::Database(error),
        })?;
    }
    Ok(RebuildProjectionsResponse { events })
}

async fn head(of: Operations, _: Call<GetHeadRequest, Service>) -> Result<Head, Error> {
    Ok(log::head(&of.base.pool).await?)
}

async fn digests(of: Operations, _: Call<ListDigestsRequest, Service>) -> Result<ListDigestsResponse, Error> {
    Ok(ListDigestsResponse { digests: log::digests(&of.base.pool).await? })
}

async fn read_events(of: Operations, call: Call<ReadEventsRequest, Service>) -> Result<ReadEventsResponse, Error> {
    let (after, limit) = (call.request.after_seq.max(0), i64::from(call.request.limit.clamp(1, 1_000)));
    Ok(ReadEventsResponse { events: log::records(&of.base.pool, after, limit).await? })
}
