//! Handling events: a batch per transaction or, where a batch fails, event by event.

use std::time::SystemTime;

use runtime::{
    spans::{self, SpanKind, Told},
    trace::TraceContext,
};

use super::{
    BATCH, Consumer, LONGEST, Projection, RETRY, cursor,
    failure::{Failure, chain, is_of_the_data, reason_of},
};
use crate::{Event, dead_letter, pool};

/// An event that fails this often while the database answers is set aside.
const TRIES: u32 = 3;

impl<P: Projection> Consumer<P> {
    /// Handles the given events and everything before them, waiting for whatever is down. Holds `turn`.
    pub(super) async fn catch_up(&self, events: &[Event]) {
        loop {
            let Err(error) = self.try_catch_up(events).await else { return };
            tracing::warn!(source = self.projection.source(), error = %chain(&error), "Could not handle events, trying again");
            tokio::time::sleep(RETRY).await;
        }
    }

    pub(super) async fn try_catch_up(&self, events: &[Event]) -> Result<(), Failure> {
        if !self.pulses.may_act() {
            return Err(Failure::Retry("the clock of this process is wrong".to_owned()));
        }
        let mut handled = self.handled().await?;
        // Until past the given events or, if none are given, to the end of the log.
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

    /// Handles a batch in one transaction or, if that fails, event by event: one bad event must not stop the rest.
    pub(super) async fn handle(&self, batch: &[Event]) -> Result<(), Failure> {
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
                let mut tx = pool::begin_task(&self.pool).await?;
                if cursor::advance(&mut tx, self.projection.source(), std::slice::from_ref(event)).await? {
                    dead_letter::add(&mut tx, self.projection.source(), event, &reason).await?;
                }
                tx.commit().await?;
            }
        }
        Ok(())
    }

    pub(super) async fn handle_together(&self, batch: &[Event]) -> Result<(), Failure> {
        // Calls made for the batch belong to the trace of its first event.
        let here = batch.first().and_then(|event| TraceContext::parse(&event.traceparent)).map(TraceContext::child);
        let began = SystemTime::now();
        let work = async {
            let fetched = self.projection.fetch(batch).await?;
            let mut tx = pool::begin_task(&self.pool).await?;
            if cursor::advance(&mut tx, self.projection.source(), batch).await? {
                self.projection.apply(&mut tx, batch, &fetched).await?;
            }
            tx.commit().await?;
            self.trace(batch, here, began);
            Ok(())
        };
        let work = tokio::time::timeout(LONGEST, work);
        let done = match here {
            Some(here) => here.scope(work).await,
            None => work.await,
        };
        done.unwrap_or_else(|_elapsed| Err(Failure::Retry("it took too long".to_owned())))
    }

    /// One span per event, each in the trace that caused it.
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
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    };

    use async_trait::async_trait;
    use proto::registry::PersonCorrected;
    use sqlx::PgConnection;
    use testing::{Outcome, World};
    use time::OffsetDateTime;

    use crate::{Consumer, Event, Failure, Projection, consumer::Listening as _, dead_letter};

    /// Counts the events it hears, and fails on some of them.
    struct Counts {
        heard: Arc<AtomicI64>,
        broken: i64,
        breaks: fn() -> Failure,
    }

    #[async_trait]
    impl Projection for Counts {
        type Fetched = ();

        fn source(&self) -> &'static str {
            "registry"
        }

        async fn fetch(&self, _: &[Event]) -> Result<(), Failure> {
            Ok(())
        }

        async fn apply(&self, _: &mut PgConnection, events: &[Event], (): &()) -> Result<(), Failure> {
            if events.iter().any(|event| event.seq == self.broken) {
                return Err((self.breaks)());
            }
            self.heard.fetch_add(i64::try_from(events.len()).unwrap(), Ordering::Relaxed);
            Ok(())
        }

        async fn reset(&self, _: &mut PgConnection) -> sqlx::Result<bool> {
            Ok(false)
        }
    }

    fn consumer(world: &World, broken: i64, breaks: fn() -> Failure) -> (Arc<Consumer<Counts>>, Arc<AtomicI64>) {
        let heard = Arc::default();
        let projection = Counts { heard: Arc::clone(&heard), broken, breaks };
        let owner = world.base.mesh.channel("registry").unwrap();
        (Consumer::new("data", projection, world.base.pool.clone(), owner, world.base.pulses.clone()), heard)
    }

    fn events(world: &World, count: usize) -> Vec<Event> {
        let event = || {
            let event = world.event(&PersonCorrected::default()).unwrap();
            // `World` links another build of this crate, so its `Event` is another type.
            Event {
                id: event.id,
                seq: event.seq,
                recorded_at: event.recorded_at,
                r#type: event.r#type,
                payload: event.payload,
                traceparent: event.traceparent,
            }
        };
        std::iter::repeat_with(event).take(count).collect()
    }

    #[tokio::test]
    async fn every_event_counts_once_however_often_it_comes() -> Outcome {
        let world = World::new("statistics", &[]).await?;
        let (consumer, heard) = consumer(&world, 0, || Failure::Dead(String::new()));
        let events = events(&world, 3);
        consumer.handled().await?;
        for _ in 0..2 {
            consumer.handle(&events).await?;
        }
        assert_eq!((heard.load(Ordering::Relaxed), consumer.handled().await?), (3, 3));
        Ok(())
    }

    #[tokio::test]
    async fn an_event_that_will_never_work_is_set_aside_and_stops_nobody() -> Outcome {
        let world = World::new("statistics", &[]).await?;
        let (broken, heard) = consumer(&world, 2, || Failure::Dead("is malformed".to_owned()));
        let events = events(&world, 3);
        broken.handled().await?;
        broken.handle(&events).await?;
        assert_eq!((heard.load(Ordering::Relaxed), broken.handled().await?), (2, 3));
        let mut conn = world.base.pool.acquire().await?;
        let letters = dead_letter::list(&mut conn, (OffsetDateTime::UNIX_EPOCH, uuid::Uuid::nil()), 10).await?;
        assert_eq!(letters.iter().map(|(.., letter)| letter.reason.as_str()).collect::<Vec<_>>(), ["is malformed"]);

        // Once the handler is repaired, the event is replayed, and only once.
        let (mended, heard) = consumer(&world, 0, || Failure::Dead(String::new()));
        let (_, event) = dead_letter::find(&mut conn, events[1].id).await?.unwrap();
        mended.replay(event.clone()).await?;
        mended.replay(event).await?;
        assert_eq!(heard.load(Ordering::Relaxed), 1);
        Ok(())
    }

    #[tokio::test]
    async fn what_may_work_later_is_never_set_aside() -> Outcome {
        let world = World::new("statistics", &[]).await?;
        let (waiting, _) = consumer(&world, 2, || Failure::Retry("the owner is away".to_owned()));
        let events = events(&world, 3);
        waiting.handled().await?;
        assert!(waiting.handle(&events).await.is_err());
        assert_eq!(waiting.handled().await?, 1, "what came before has been handled");
        let mut conn = world.base.pool.acquire().await?;
        assert!(dead_letter::list(&mut conn, (OffsetDateTime::UNIX_EPOCH, uuid::Uuid::nil()), 10).await?.is_empty());
        Ok(())
    }
}
