//! From the stamped log to the bus.

use anyhow::Context as _;
use async_nats::jetstream::{self, message::PublishMessage};
use runtime::metrics::{LAG, LagLabels};
use sqlx::PgPool;
use tokio::sync::watch;

use super::{BATCH, RETRY, Stamped};
use crate::{log, nats, subject};

/// Publishes, while this process leads, stamped events in order, and records how far the bus has confirmed them.
pub(super) async fn publish(
    service: &'static str,
    pool: &PgPool,
    js: &jetstream::Context,
    mut stamped: watch::Receiver<Option<Stamped>>,
) {
    let mut published = None;
    loop {
        let target = *stamped.borrow_and_update();
        let mut behind = 0;
        if let Some(target) = target {
            if let Err(error) = publish_some(service, pool, js, target, &mut published).await {
                tracing::warn!(error = %format!("{error:#}"), "Bus does not accept events, trying again");
                tokio::time::sleep(RETRY).await;
                continue;
            }
            behind = target.seq - published.unwrap_or(0);
        } else {
            // Whoever leads now goes on from where the table says.
            published = None;
        }
        LAG.get_or_create(&LagLabels { stage: "outbox".to_owned() }).set(behind);
        if behind <= 0 && stamped.changed().await.is_err() {
            return;
        }
    }
}

async fn publish_some(
    service: &'static str,
    pool: &PgPool,
    js: &jetstream::Context,
    stamped: Stamped,
    published: &mut Option<i64>,
) -> anyhow::Result<()> {
    let from = if let Some(seq) = *published {
        seq
    } else {
        let seq = sqlx::query_scalar("select published_seq from relay").fetch_one(pool).await?;
        *published = Some(seq);
        seq
    };
    if from >= stamped.seq {
        return Ok(());
    }
    let events = log::read(pool, from, BATCH.min(stamped.seq - from)).await.context("read the log")?;
    let last = events.last().map_or(from, |event| event.seq);
    let mut acks = Vec::with_capacity(events.len());
    for event in events {
        if !nats::can_carry(&event) {
            // The others go on. Consumers see the gap and read what is there from the log.
            tracing::error!(seq = event.seq, event.id = %event.id, "The bus cannot carry an event of the log");
            continue;
        }
        let message = PublishMessage::build()
            .payload(event.payload.clone().into())
            .headers(nats::headers(service, &event))
            .message_id(event.id.to_string())
            .expected_stream(subject::stream(service));
        acks.push((event.seq, js.send_publish(subject::event(service, &event.r#type), message).await?));
    }
    for (seq, ack) in acks {
        if let Err(error) = ack.await {
            // From where the table says, and not before the deployment has made the stream again if the server's storage is gone.
            *published = None;
            return Err(error).context("publish");
        }
        *published = Some(seq);
    }
    *published = Some(last);
    sqlx::query("update relay set published_seq = greatest(published_seq, $1) where fence = $2")
        .bind(published.unwrap_or(from))
        .bind(stamped.fence)
        .execute(pool)
        .await
        .context("remember what is published")?;
    Ok(())
}
