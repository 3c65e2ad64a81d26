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
use runtime::tls::Tls;
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

/// Creates the stream of a service, or leaves it as it is.
///
/// # Errors
/// When the server does not answer or refuses.
pub async fn make_stream(js: &jetstream::Context, service: &str) -> anyhow::Result<()> {
    js.get_or_create_stream(jetstream::stream::Config {
        name: subject::stream(service),
        subjects: vec![subject::all_of(service)],
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        max_bytes: STREAM_BYTES,
        max_age: STREAM_AGE,
        duplicate_window: DUPLICATE_WINDOW,
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

/// The CloudEvents attributes of an event, as headers (binary content mode).
pub(crate) fn headers(source: &str, event: &Event) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", event.id.to_string());
    headers.insert("ce-source", format!("/hersys/{source}"));
    headers.insert("ce-type", subject::cloud_event_type(&event.r#type));
    headers.insert("ce-time", event.recorded_at.format(&Rfc3339).unwrap_or_default());
    headers.insert(SEQ, event.seq.to_string());
    headers.insert(runtime::trace::HEADER, event.traceparent.as_str());
    headers
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
