//! Listening to another service's log: every event once, in order, in one transaction with its effect.
//!
//! The bus is the fast way. The cursor, moved in the transaction of the effect, says what has been handled; a gap, a
//! silent bus or a lost stream is filled from the owner's log by gRPC. So nothing depends on what NATS remembers.

mod cursor;
mod failure;
mod handle;
mod reconcile;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use async_nats::jetstream;
use async_trait::async_trait;
use futures::StreamExt as _;
use proto::operations::event_log_service_client::EventLogServiceClient;
use runtime::{Pulses, Shutdown, mesh::Channel};
use sqlx::{PgConnection, PgPool};
use tokio::sync::{Mutex, Notify};

use crate::{Event, dead_letter, nats};

pub use failure::Failure;

/// The most events in one transaction; owners answer claim checks up to this number.
const BATCH: usize = 200;
/// The delay before a retry.
const RETRY: Duration = Duration::from_millis(500);
/// How long a batch may take. What takes longer has lost its database or an owner.
const LONGEST: Duration = Duration::from_secs(30);
/// So often in a row events are fetched from their owner before the bus is taken for broken.
const UNSERVED: u32 = 20;

/// What a service does with another's events.
#[async_trait]
pub trait Projection: Send + Sync + 'static {
    /// What is fetched from owners before the transaction opens.
    type Fetched: Send + Sync;

    /// The service whose events these are.
    fn source(&self) -> &'static str;

    /// Fetches what the events do not carry (the claim check).
    async fn fetch(&self, events: &[Event]) -> Result<Self::Fetched, Failure>;

    /// Applies the events, in order, in the given transaction.
    async fn apply(&self, tx: &mut PgConnection, events: &[Event], fetched: &Self::Fetched) -> Result<(), Failure>;

    /// Deletes every effect before a rebuild from the log. `false` if the effects are records of its own and stay.
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
    pulses: Pulses,
    /// How often in a row events had to be fetched because the bus did not bring them.
    unserved: AtomicU32,
    /// The bus has brought nothing for long, although there was something: its consumer is made anew.
    broken: Notify,
}

/// A consumer as the operations RPCs use it, whatever it projects.
#[async_trait]
pub trait Listening: Send + Sync {
    /// The service whose events these are.
    fn source(&self) -> &'static str;
    /// Handles a dead letter again, out of order.
    async fn replay(&self, event: Event) -> Result<(), Failure>;
    /// Deletes every effect and handles the whole log again. Returns the number of events.
    async fn rebuild(&self) -> Result<i64, Failure>;
}

impl<P: Projection> Consumer<P> {
    /// A consumer for `service`. It does not listen before [`Consumer::start`].
    pub fn new(service: &'static str, projection: P, pool: PgPool, owner: Channel, pulses: Pulses) -> Arc<Self> {
        let owner = EventLogServiceClient::new(owner).max_decoding_message_size(64 << 20);
        Arc::new(Self {
            service,
            projection,
            pool,
            owner,
            turn: Mutex::new(()),
            suspicious: AtomicBool::new(false),
            pulses,
            unserved: AtomicU32::new(0),
            broken: Notify::new(),
        })
    }

    /// Listens until shutdown.
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

    /// The fast way: handles what the bus delivers.
    async fn listen(&self, js: &jetstream::Context) {
        loop {
            let heard = tokio::select! {
                heard = self.listen_once(js) => heard,
                () = self.broken.notified() => {
                    tracing::warn!(source = self.projection.source(), "The bus brings nothing, making its consumer anew");
                    nats::drop_consumer(js, self.projection.source(), self.service).await
                }
            };
            if let Err(error) = heard {
                tracing::debug!(source = self.projection.source(), error = %format!("{error:#}"), "Bus not reachable");
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
                        tracing::warn!(source, subject = %message.subject, "Skipped a message that is not an event");
                    }
                }
            }
            events.sort_by_key(|event| event.seq);
            self.unserved.store(0, Ordering::Release);
            let _turn = self.turn.lock().await;
            self.catch_up(&events).await;
            for message in &messages {
                // The cursor is what counts: if the acknowledgement is lost, the message is only delivered again.
                message.ack().await.map_err(anyhow::Error::from_boxed).context("acknowledge")?;
            }
        }
        anyhow::bail!("the subscription ended")
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
