//! Listening to another service's log: every event once, in order, in one transaction with its effect.
//!
//! The bus is the fast way. The cursor, moved in the transaction of the effect, says what has been handled; a gap, a
//! silent bus or a lost stream is filled from the owner's log by gRPC. So nothing depends on what NATS remembers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use async_nats::jetstream;
use async_trait::async_trait;
use futures::StreamExt as _;
use proto::operations::{
    Digest, GetHeadRequest, Head, ListDigestsRequest, ReadEventsRequest,
    event_log_service_client::EventLogServiceClient,
};
use runtime::{
    Shutdown, clock,
    mesh::Channel,
    metrics::{LAG, LagLabels},
    spans::{self, SpanKind, Told},
    trace::TraceContext,
};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio::sync::Mutex;

use crate::{Event, dead_letter, nats};

/// Events handled in one transaction at most; claim checks are answered up to this number.
const BATCH: usize = 200;
/// How often the owner is asked how far its log is.
const PULSE: Duration = Duration::from_secs(1);
/// How long to wait before trying again what may work later.
const RETRY: Duration = Duration::from_millis(500);
/// How often a day's count and hash are compared with the owner's.
const RECONCILE: Duration = Duration::from_secs(20);
/// A handler that breaks this often on one event, while the database answers, will not mend itself.
const TRIES: u32 = 3;

/// Why events could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It may work later: something is down. Never set aside for this.
    #[error("{0}")]
    Retry(String),
    /// It will never work. The event is set aside with this reason, which carries no personal data.
    #[error("{0}")]
    Dead(String),
    /// The database refused.
    #[error("database failure")]
    Database(#[from] sqlx::Error),
}

impl From<tonic::Status> for Failure {
    /// A claim check that failed: the owner is away, or will answer otherwise later.
    fn from(status: tonic::Status) -> Self {
        Self::Retry(format!("the owner answered {:?}", status.code()))
    }
}

/// What a service does with another's events.
#[async_trait]
pub trait Projection: Send + Sync + 'static {
    /// What is fetched from owners before the transaction opens.
    type Fetched: Send + Sync;

    /// The service whose events these are.
    fn source(&self) -> &'static str;

    /// Fetches what the events do not carry (the claim check).
    async fn fetch(&self, events: &[Event]) -> Result<Self::Fetched, Failure>;

    /// Takes the effect of the events, in order, in the given transaction.
    async fn apply(&self, tx: &mut PgConnection, events: &[Event], fetched: &Self::Fetched) -> Result<(), Failure>;

    /// Forgets every effect, to be rebuilt from the log. `false` where effects are the service's own record and stay.
    async fn reset(&self, tx: &mut PgConnection) -> sqlx::Result<bool>;
}

/// Listens to one source.
pub struct Consumer<P> {
    service: &'static str,
    projection: P,
    pool: PgPool,
    owner: EventLogServiceClient<Channel>,
    /// Held while handling: events are handled by one task at a time.
    turn: Mutex<()>,
    /// The last comparison with the owner found a difference.
    suspicious: AtomicBool,
}

/// What operations do with a consumer, whatever it projects.
#[async_trait]
pub trait Listening: Send + Sync {
    /// The service whose events these are.
    fn source(&self) -> &'static str;
    /// Handles one event outside of the order, for a dead letter.
    async fn replay(&self, event: Event) -> Result<(), Failure>;
    /// Forgets and handles the whole log again. Returns how many events that were.
    async fn rebuild(&self) -> Result<i64, Failure>;
}

impl<P: Projection> Consumer<P> {
    /// Prepares to listen as `service`.
    pub fn new(service: &'static str, projection: P, pool: PgPool, owner: Channel) -> Arc<Self> {
        let owner = EventLogServiceClient::new(owner).max_decoding_message_size(64 << 20);
        Arc::new(Self { service, projection, pool, owner, turn: Mutex::new(()), suspicious: AtomicBool::new(false) })
    }

    /// Listens until the process is to stop.
    pub fn start(self: &Arc<Self>, bus: async_nats::Client, shutdown: &Shutdown) {
        let (this, stop) = (Arc::clone(self), shutdown.clone());
        let js = jetstream::new(bus);
        shutdown.spawn("consumer", async move {
            tokio::select! {
                () = stop.requested() => {}
                () = this.listen(&js) => {}
            }
        });
        let (this, stop) = (Arc::clone(self), shutdown.clone());
        shutdown.spawn("pulse", async move {
            tokio::select! {
                () = stop.requested() => {}
                () = this.feel_pulse() => {}
            }
        });
    }

    /// The fast way: what the bus delivers.
    async fn listen(&self, js: &jetstream::Context) {
        loop {
            if let Err(error) = self.listen_once(js).await {
                tracing::debug!(source = self.projection.source(), error = %format!("{error:#}"), "Bus is silent");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn listen_once(&self, js: &jetstream::Context) -> anyhow::Result<()> {
        let source = self.projection.source();
        let consumer = nats::make_consumer(js, source, self.service).await?;
        let mut messages = consumer
            .stream()
            .max_messages_per_batch(BATCH * 5)
            .heartbeat(Duration::from_secs(5))
            .expires(Duration::from_secs(30))
            .messages()
            .await?
            .ready_chunks(BATCH);
        while let Some(chunk) = messages.next().await {
            let messages: Vec<_> = chunk.into_iter().collect::<Result<_, _>>().context("receive")?;
            let mut events = Vec::with_capacity(messages.len());
            for message in &messages {
                match nats::read(source, message) {
                    Some(event) => events.push(event),
                    None => {
                        tracing::warn!(source, subject = %message.subject, "Passed over a message that is no event");
                    }
                }
            }
            events.sort_by_key(|event| event.seq);
            let _turn = self.turn.lock().await;
            self.catch_up(&events).await;
            for message in &messages {
                // The cursor is what counts; an acknowledgement that gets lost only brings the message again.
                message.ack().await.map_err(anyhow::Error::from_boxed).context("acknowledge")?;
            }
        }
        anyhow::bail!("the subscription ended")
    }

    /// The slow way: asks the owner how far its log is and handles what the bus did not bring.
    async fn feel_pulse(&self) {
        let source = self.projection.source();
        let mut reconciled = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(PULSE).await;
            let head = match self.head().await {
                Ok(head) => head,
                Err(error) => {
                    tracing::debug!(source, %error, "Owner does not answer");
                    continue;
                }
            };
            // What arrived on the bus a moment ago is being handled; wait one pulse before pulling the same.
            let behind = |handled: i64| head.seq > handled;
            match self.handled().await {
                Ok(handled) if behind(handled) => {
                    tokio::time::sleep(PULSE / 4).await;
                    let _turn = self.turn.lock().await;
                    if self.handled().await.is_ok_and(behind) {
                        self.catch_up(&[]).await;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(source, %error, "Database does not answer");
                    continue;
                }
            }
            if let Err(error) = self.move_watermark(&head).await {
                tracing::warn!(source, %error, "Could not move the watermark");
            }
            if reconciled.elapsed() > RECONCILE {
                reconciled = tokio::time::Instant::now();
                if let Err(error) = self.reconcile().await {
                    tracing::warn!(source, %error, "Could not reconcile");
                }
            }
        }
    }

    /// Handles the given events and everything before them, waiting for whatever is down. Holds `turn`.
    async fn catch_up(&self, events: &[Event]) {
        loop {
            let Err(error) = self.try_catch_up(events).await else { return };
            tracing::warn!(source = self.projection.source(), error = %chain(&error), "Could not handle events, trying again");
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn try_catch_up(&self, events: &[Event]) -> Result<(), Failure> {
        let mut handled = self.handled().await?;
        // Past what is at hand, or to the end of the log where nothing is.
        loop {
            let next: Vec<Event> = events
                .iter()
                .filter(|event| event.seq > handled)
                .zip(handled + 1..)
                .take_while(|(event, expected)| event.seq == *expected)
                .map(|(event, _)| event.clone())
                .collect();
            let wanted = events.last().is_none_or(|last| last.seq > handled);
            let next = if next.is_empty() && wanted { self.read_log(handled).await? } else { next };
            let Some(last) = next.last() else { return Ok(()) };
            let last = last.seq;
            for batch in next.chunks(BATCH) {
                self.handle(batch).await?;
            }
            handled = last;
        }
    }

    /// Handles a batch in one transaction; where it breaks, one by one, so that one bad event stops nobody.
    async fn handle(&self, batch: &[Event]) -> Result<(), Failure> {
        match self.handle_together(batch).await {
            Ok(()) => return Ok(()),
            Err(Failure::Retry(reason)) if batch.len() == 1 => return Err(Failure::Retry(reason)),
            Err(Failure::Database(error)) if !is_of_the_data(&error) => return Err(error.into()),
            Err(_) => {}
        }
        for event in batch {
            let mut tries = 0;
            let reason = loop {
                tries += 1;
                match self.handle_together(std::slice::from_ref(event)).await {
                    Ok(()) => break None,
                    Err(Failure::Dead(reason)) => break Some(reason),
                    Err(Failure::Retry(reason)) => return Err(Failure::Retry(reason)),
                    Err(Failure::Database(error)) if !is_of_the_data(&error) => return Err(error.into()),
                    Err(Failure::Database(error)) if tries >= TRIES => break Some(reason_of(&error)),
                    Err(Failure::Database(_)) => {}
                }
            };
            if let Some(reason) = reason {
                tracing::error!(source = self.projection.source(), event.id = %event.id, reason, "Set an event aside");
                let mut tx = self.pool.begin().await?;
                if self.advance(&mut tx, std::slice::from_ref(event)).await? {
                    dead_letter::add(&mut tx, self.projection.source(), event, &reason).await?;
                }
                tx.commit().await?;
            }
        }
        Ok(())
    }

    async fn handle_together(&self, batch: &[Event]) -> Result<(), Failure> {
        // What the batch asks of others belongs to the trace of its first event.
        let here = batch.first().and_then(|event| TraceContext::parse(&event.traceparent)).map(TraceContext::child);
        let began = SystemTime::now();
        let work = async {
            let fetched = self.projection.fetch(batch).await?;
            let mut tx = self.pool.begin().await?;
            if self.advance(&mut tx, batch).await? {
                self.projection.apply(&mut tx, batch, &fetched).await?;
            }
            tx.commit().await?;
            self.trace(batch, here, began);
            Ok(())
        };
        match here {
            Some(here) => here.scope(work).await,
            None => work.await,
        }
    }

    /// One span per event, each in the trace of what it tells.
    fn trace(&self, batch: &[Event], first: Option<TraceContext>, began: SystemTime) {
        if !spans::wanted() {
            return;
        }
        let mut first = first;
        for event in batch {
            let Some(parent) = TraceContext::parse(&event.traceparent) else { continue };
            let here = first.take().unwrap_or_else(|| parent.child());
            let name = format!("{}.{}", self.projection.source(), event.r#type);
            let kind = SpanKind::Consumer;
            let told = Told { name: &name, kind, started: began, status: None, failed: false };
            spans::record(here, Some(parent), &told);
        }
    }

    /// Moves the cursor over a batch. `false` where another process of this service has been here already.
    async fn advance(&self, tx: &mut PgConnection, batch: &[Event]) -> sqlx::Result<bool> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(false) };
        let moved = sqlx::query("update cursor set handled_seq = $3 where source = $1 and handled_seq = $2 - 1")
            .bind(self.projection.source())
            .bind(first.seq)
            .bind(last.seq)
            .execute(&mut *tx)
            .await?;
        if moved.rows_affected() == 0 {
            return Ok(false);
        }
        let mut days: Vec<time::Date> = batch.iter().map(|event| event.recorded_at.date()).collect();
        days.dedup();
        for day in days {
            let of_day = || batch.iter().filter(|event| event.recorded_at.date() == day);
            sqlx::query(
                "insert into cursor_digest as d (source, day, count, hash) values ($1, $2, $3, $4)
                 on conflict (source, day) do update set count = d.count + excluded.count, hash = d.hash # excluded.hash",
            )
            .bind(self.projection.source())
            .bind(day)
            .bind(i64::try_from(of_day().count()).unwrap_or(i64::MAX))
            .bind(of_day().fold(0, |hash, event| hash ^ event.hash()))
            .execute(&mut *tx)
            .await?;
        }
        Ok(true)
    }

    async fn handled(&self) -> sqlx::Result<i64> {
        sqlx::query_scalar(
            "with made as (insert into cursor (source) values ($1) on conflict do nothing)
             select coalesce((select handled_seq from cursor where source = $1), 0)",
        )
        .bind(self.projection.source())
        .fetch_one(&self.pool)
        .await
    }

    async fn read_log(&self, after: i64) -> Result<Vec<Event>, Failure> {
        let request = ReadEventsRequest { after_seq: after, limit: 1_000 };
        let answer = self.owner.clone().read_events(request).await?.into_inner();
        let events: Vec<Event> = answer.events.into_iter().map(Event::try_from).collect::<Result<_, _>>()?;
        if events.iter().zip(after + 1..).any(|(event, expected)| event.seq != expected) {
            return Err(Failure::Retry("the owner's log has a gap".to_owned()));
        }
        Ok(events)
    }

    async fn head(&self) -> Result<Head, Failure> {
        Ok(self.owner.clone().get_head(GetHeadRequest {}).await?.into_inner())
    }

    /// Everything recorded up to the head's watermark has been handled, if its last event has.
    async fn move_watermark(&self, head: &Head) -> Result<(), Failure> {
        let at = head.watermark.as_ref().and_then(clock::from_proto).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let handled: i64 = sqlx::query_scalar(
            "update cursor set watermark = case when handled_seq >= $2 then greatest(watermark, $3) else watermark end
             where source = $1 returning handled_seq",
        )
        .bind(self.projection.source())
        .bind(head.seq)
        .bind(at)
        .fetch_one(&self.pool)
        .await?;
        let stage = LagLabels { stage: self.projection.source().to_owned() };
        LAG.get_or_create(&stage).set((head.seq - handled).max(0));
        Ok(())
    }

    /// Compares count and hash per day with the owner's; what differs is handled again from the log.
    async fn reconcile(&self) -> Result<(), Failure> {
        let owner = self.owner.clone().list_digests(ListDigestsRequest {}).await?.into_inner().digests;
        let _turn = self.turn.lock().await;
        // In one statement: another process of this service may be moving both.
        let rows: Vec<(i64, time::Date, i64, i64)> = sqlx::query_as(
            "select c.handled_seq, d.day, d.count, d.hash from cursor c join cursor_digest d using (source)
             where source = $1",
        )
        .bind(self.projection.source())
        .fetch_all(&self.pool)
        .await?;
        let handled = rows.first().map_or(0, |row| row.0);
        let ours: Vec<(time::Date, i64, i64)> =
            rows.into_iter().map(|(_, day, count, hash)| (day, count, hash)).collect();
        // The log may have grown since the owner answered: its last day counts only where we stand exactly at its end.
        let newest = owner.last().map_or(0, |digest| digest.last_seq);
        let differs = |digest: &&Digest| {
            let same = |(day, count, hash): &(time::Date, i64, i64)| {
                day.to_string() == digest.day && *count == digest.count && *hash == digest.hash
            };
            let comparable = digest.last_seq == handled || (digest.last_seq < newest && digest.last_seq < handled);
            comparable && !ours.iter().any(same)
        };
        let Some(digest) = owner.iter().find(differs) else {
            self.suspicious.store(false, Ordering::Release);
            return Ok(());
        };
        // Once may be an accident of timing; twice is a difference.
        if self.suspicious.swap(true, Ordering::AcqRel) {
            self.suspicious.store(false, Ordering::Release);
            tracing::error!(
                source = self.projection.source(),
                day = digest.day,
                "Projection differs from its owner, rebuilding"
            );
            self.rebuild_in_turn().await?;
        }
        Ok(())
    }

    async fn rebuild_in_turn(&self) -> Result<i64, Failure> {
        let source = self.projection.source();
        self.handled().await?;
        let mut tx = self.pool.begin().await?;
        // Forgetting millions of rows takes longer than a request may.
        sqlx::query("set local statement_timeout = 0").execute(&mut *tx).await?;
        if !self.projection.reset(&mut tx).await? {
            return Ok(0);
        }
        sqlx::query("update cursor set handled_seq = 0, watermark = '-infinity' where source = $1")
            .bind(source)
            .execute(&mut *tx)
            .await?;
        sqlx::query("delete from cursor_digest where source = $1").bind(source).execute(&mut *tx).await?;
        sqlx::query("delete from dead_letter where source = $1").bind(source).execute(&mut *tx).await?;
        tx.commit().await?;
        self.try_catch_up(&[]).await?;
        Ok(self.handled().await?)
    }
}

#[async_trait]
impl<P: Projection> Listening for Consumer<P> {
    fn source(&self) -> &'static str {
        self.projection.source()
    }

    async fn replay(&self, event: Event) -> Result<(), Failure> {
        let _turn = self.turn.lock().await;
        let batch = std::slice::from_ref(&event);
        let fetched = self.projection.fetch(batch).await?;
        let mut tx = self.pool.begin().await?;
        if dead_letter::remove(&mut tx, event.id).await? {
            self.projection.apply(&mut tx, batch, &fetched).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn rebuild(&self) -> Result<i64, Failure> {
        let _turn = self.turn.lock().await;
        self.rebuild_in_turn().await
    }
}

/// Whether the database refused because of what was written (a constraint, a malformed value), not because it is unwell or
/// because binary and schema do not fit for a moment of a rollout.
fn is_of_the_data(error: &sqlx::Error) -> bool {
    let class = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .map(|code| code.chars().take(2).collect::<String>());
    matches!(class.as_deref(), Some("22" | "23"))
}

/// What may be kept of a database error: the constraint or the code, never the text, which can hold values.
fn reason_of(error: &sqlx::Error) -> String {
    let database = error.as_database_error();
    match (database.and_then(|e| e.constraint()), database.and_then(sqlx::error::DatabaseError::code)) {
        (Some(constraint), _) => format!("violates {constraint}"),
        (None, Some(code)) => format!("database error {code}"),
        (None, None) => "database error".to_owned(),
    }
}

fn chain(failure: &Failure) -> String {
    match failure {
        Failure::Retry(reason) | Failure::Dead(reason) => reason.clone(),
        Failure::Database(error) => reason_of(error),
    }
}
