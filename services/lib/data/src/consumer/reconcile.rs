//! Catching up with the owner: what the bus did not deliver is pulled, and what was handled is compared.

use std::{sync::atomic::Ordering, time::Duration};

use proto::operations::{Digest, GetHeadRequest, Head, ListDigestsRequest, ReadEventsRequest};
use runtime::{
    clock,
    metrics::{LAG, LagLabels, OLDEST},
};
use time::OffsetDateTime;

use super::{
    Consumer, LONGEST, Projection, UNSERVED,
    cursor::{self, DayRow},
    failure::Failure,
};
use crate::Event;

/// How often the owner is asked how long its log is.
const PULSE: Duration = Duration::from_secs(1);
/// How often a day's count and hash are compared with the owner's.
const RECONCILE: Duration = Duration::from_secs(20);

impl<P: Projection> Consumer<P> {
    /// The slow way: asks the owner how long its log is, and handles what the bus did not deliver.
    pub(super) async fn feel_pulse(&self) {
        let source = self.projection.source();
        let mut reconciled = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(PULSE).await;
            self.pulses.beat(source);
            let head = match tokio::time::timeout(LONGEST, self.head()).await {
                Ok(Ok(head)) => head,
                Ok(Err(error)) => {
                    tracing::debug!(source, %error, "Owner does not answer");
                    continue;
                }
                Err(_elapsed) => {
                    tracing::debug!(source, "Owner does not answer");
                    continue;
                }
            };
            // What just arrived on the bus is being handled; wait one pulse before pulling the same events.
            let behind = |handled: i64| head.seq > handled;
            match self.handled().await {
                Ok(handled) if behind(handled) => {
                    tokio::time::sleep(PULSE / 4).await;
                    let _turn = self.turn.lock().await;
                    if self.handled().await.is_ok_and(behind) {
                        self.catch_up(&[]).await;
                        if self.unserved.fetch_add(1, Ordering::AcqRel) + 1 >= UNSERVED {
                            self.unserved.store(0, Ordering::Release);
                            self.broken.notify_one();
                        }
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

    pub(super) async fn handled(&self) -> sqlx::Result<i64> {
        cursor::handled(&self.pool, self.projection.source()).await
    }

    pub(super) async fn read_log(&self, after: i64) -> Result<Vec<Event>, Failure> {
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

    /// If the head's last event has been handled, so has everything recorded up to the head's watermark.
    async fn move_watermark(&self, head: &Head) -> Result<(), Failure> {
        let at = head.watermark_time.as_ref().and_then(clock::from_proto).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let source = self.projection.source();
        let reached = cursor::move_watermark(&self.pool, source, head.seq, at).await?;
        let behind = (head.seq - reached.handled_seq).max(0);
        let waits = if behind > 0 { (at - reached.watermark).whole_seconds().max(0) } else { 0 };
        LAG.get_or_create(&LagLabels { stage: source.to_owned() }).set(behind);
        OLDEST.get_or_create(&LagLabels { stage: source.to_owned() }).set(waits);
        Ok(())
    }

    /// Compares count and hash per day with the owner's. A difference seen twice rebuilds everything from the log.
    async fn reconcile(&self) -> Result<(), Failure> {
        let owner = self.owner.clone().list_digests(ListDigestsRequest {}).await?.into_inner().digests;
        let _turn = self.turn.lock().await;
        let ours = cursor::days(&self.pool, self.projection.source()).await?;
        let handled = ours.first().map_or(0, |row| row.handled_seq);
        // The log may have grown since the owner answered: its last day counts only if we are exactly at its end.
        let newest = owner.last().map_or(0, |digest| digest.last_seq);
        let differs = |digest: &&Digest| {
            let same = |row: &DayRow| {
                row.day.to_string() == digest.digest_date && row.count == digest.count && row.hash == digest.hash
            };
            let comparable = digest.last_seq == handled || (digest.last_seq < newest && digest.last_seq < handled);
            comparable && !ours.iter().any(same)
        };
        let Some(digest) = owner.iter().find(differs) else {
            self.suspicious.store(false, Ordering::Release);
            return Ok(());
        };
        // Once may be bad timing; twice is a real difference.
        if self.suspicious.swap(true, Ordering::AcqRel) {
            self.suspicious.store(false, Ordering::Release);
            tracing::error!(
                source = self.projection.source(),
                day = digest.digest_date,
                "Projection differs from its owner, rebuilding"
            );
            self.rebuild_in_turn().await?;
        }
        Ok(())
    }

    pub(super) async fn rebuild_in_turn(&self) -> Result<i64, Failure> {
        let source = self.projection.source();
        self.handled().await?;
        let mut tx = self.pool.begin().await?;
        cursor::take_any_time(&mut tx).await?;
        if !self.projection.reset(&mut tx).await? {
            return Ok(0);
        }
        cursor::rewind(&mut tx, source).await?;
        tx.commit().await?;
        self.try_catch_up(&[]).await?;
        Ok(self.handled().await?)
    }
}
