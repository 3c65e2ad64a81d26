//! The bus: one stream per owner, file storage, nothing discarded silently.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::{
    HeaderMap,
    jetstream::{
        self,
        consumer::{AckPolicy, PullConsumer, pull},
        stream::{DiscardPolicy, StorageType},
    },
};
use runtime::{tls::Tls, trace::TraceContext};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use crate::{Event, subject};

/// How long JetStream itself drops a repeated message. It only saves work: the consumer's cursor is the guarantee.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

/// The size limit of a stream, in bytes. When it is full, publishing fails and the relay waits; consumers read the
/// owner's log meanwhile.
const STREAM_BYTES: i64 = 1 << 30;

/// Older events leave the bus; the owner's log keeps them for ever.
const STREAM_AGE: Duration = Duration::from_hours(24);

const SEQ: &str = "hersys-seq";

/// Connects over TLS with the process's certificate. Does not wait for the server: the mesh works without it.
///
/// # Errors
/// When the URL or the certificates are unusable.
pub async fn connect(url: &str, service: &str, tls: &Tls) -> anyhow::Result<async_nats::Client> {
    async_nats::ConnectOptions::new()
        .name(service)
        .require_tls(true)
        .tls_first()
        .tls_client_config(tls.plain_client()?)
        .custom_inbox_prefix(format!("_INBOX.{service}"))
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(|attempt| Duration::from_millis(100 * u64::try_from(attempt.min(10)).unwrap_or(10)))
        .event_callback(|event| async move { tracing::info!(%event, "NATS connection changed") })
        .connect(url)
        .await
        .context("connect to NATS")
}

/// Creates the stream of a service, or brings it back to what it should be. The deployment does this, under a name of its own: a
/// serving process could give its stream settings that go round the permissions of others.
///
/// # Errors
/// When the server does not answer or refuses.
pub async fn make_stream(bus: &async_nats::Client, service: &str, replicas: usize) -> anyhow::Result<()> {
    let js = jetstream::new(bus.clone());
    js.create_or_update_stream(jetstream::stream::Config {
        name: subject::stream(service),
        subjects: vec![subject::all_of(service)],
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_bytes: STREAM_BYTES,
        max_age: STREAM_AGE,
        duplicate_window: DUPLICATE_WINDOW,
        num_replicas: replicas,
        ..Default::default()
    })
    .await
    .with_context(|| format!("create the stream of {service}"))?;
    Ok(())
}

/// The durable consumer of a service on another's stream, created if it is missing.
///
/// # Errors
/// When the server does not answer or the stream does not exist yet.
pub async fn make_consumer(js: &jetstream::Context, source: &str, service: &str) -> anyhow::Result<PullConsumer> {
    let stream = js.get_stream_no_info(subject::stream(source)).await.context("find the stream")?;
    stream
        .get_or_create_consumer(
            service,
            pull::Config {
                durable_name: Some(service.to_owned()),
                ack_policy: AckPolicy::Explicit,
                ack_wait: Duration::from_secs(30),
                max_ack_pending: 5_000,
                ..Default::default()
            },
        )
        .await
        .with_context(|| format!("create the consumer of {service} on {source}"))
}

/// Drops the durable consumer of a service, to be made anew: its cursor says where to go on.
///
/// # Errors
/// When the server does not answer.
pub async fn drop_consumer(js: &jetstream::Context, source: &str, service: &str) -> anyhow::Result<()> {
    let stream = js.get_stream_no_info(subject::stream(source)).await.context("find the stream")?;
    stream.delete_consumer(service).await.with_context(|| format!("drop the consumer of {service} on {source}"))?;
    Ok(())
}

/// The CloudEvents attributes of an event, as headers (binary content mode).
pub(crate) fn headers(source: &str, event: &Event) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", event.id.to_string());
    headers.insert("ce-source", format!("/hersys/{source}"));
    headers.insert("ce-type", subject::cloud_event_type(&event.r#type));
    headers.insert("ce-time", event.recorded_at.format(&Rfc3339).unwrap_or_default());
    headers.insert(SEQ, event.seq.to_string());
    if TraceContext::parse(&event.traceparent).is_some() {
        headers.insert(runtime::trace::HEADER, event.traceparent.as_str());
    }
    headers
}

/// What the server takes in one message, with room for headers.
const LARGEST: usize = 1_000_000;

/// Whether the bus takes an event as it stands in the log. A log holds what was written; a header or a subject does not hold
/// line breaks, blanks or megabytes.
pub(crate) fn can_carry(event: &Event) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_');
    let named = (1..=100).contains(&event.r#type.len()) && event.r#type.chars().all(plain);
    named && !event.r#type.split('.').any(str::is_empty) && event.payload.len() <= LARGEST
}

/// Reads an event from a message of a source's stream; `None` if the message is not an event.
pub(crate) fn read(source: &str, message: &async_nats::Message) -> Option<Event> {
    let headers = message.headers.as_ref()?;
    let text = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
    if text("ce-source")? != format!("/hersys/{source}") {
        return None;
    }
    let at = OffsetDateTime::parse(text("ce-time")?, &Rfc3339).ok()?;
    Some(Event {
        id: Uuid::try_parse(text("ce-id")?).ok()?,
        seq: text(SEQ)?.parse().ok()?,
        recorded_at: at,
        r#type: text("ce-type")?.strip_prefix("jp.go.hersys.")?.strip_suffix(".v1")?.to_owned(),
        payload: message.payload.to_vec(),
        traceparent: text(runtime::trace::HEADER).unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::{can_carry, headers};
    use crate::Event;

    fn event() -> Event {
        Event {
            id: Uuid::nil(),
            seq: 1,
            recorded_at: OffsetDateTime::UNIX_EPOCH,
            r#type: "case.changed".to_owned(),
            payload: Vec::new(),
            traceparent: runtime::trace::TraceContext::root().header(),
        }
    }

    #[test]
    fn what_the_bus_cannot_carry_is_told_apart_and_breaks_nothing() {
        assert!(can_carry(&event()));
        assert!(headers("registry", &event()).get(runtime::trace::HEADER).is_some());
        for kind in ["", " ", "case.changed\r\nx: y", "case..changed", ".", "*", "case.>", &"x".repeat(2 << 20)] {
            assert!(!can_carry(&Event { r#type: kind.to_owned(), ..event() }), "{kind:.20}");
        }
        assert!(!can_carry(&Event { payload: vec![0; 2 << 20], ..event() }));
        // A broken trace is no reason to keep an event back.
        let broken = Event { traceparent: "00-\r\nx: y".to_owned(), ..event() };
        assert!(can_carry(&broken) && headers("registry", &broken).get(runtime::trace::HEADER).is_none());
    }
}
