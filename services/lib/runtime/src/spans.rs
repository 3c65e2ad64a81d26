//! Spans for an OTLP collector, sent over the mesh's own TLS. A slow collector loses spans; no call waits for it.
//!
//! The SDK cannot use trace ids made elsewhere, so this module builds the OTLP messages itself.

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

pub use proto::otlp::trace::v1::span::SpanKind;
use proto::otlp::{
    collector::trace::v1::{ExportTraceServiceRequest, trace_service_client::TraceServiceClient},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span, Status, status::StatusCode},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{Shutdown, mesh::Channel, metrics, trace::TraceContext};

/// The most spans that may wait; further ones are counted as lost.
const QUEUE: usize = 8_192;
/// The most spans in one export.
const BATCH: usize = 512;
/// How long a span waits for others to share its export.
const LINGER: Duration = Duration::from_secs(1);
/// If the collector takes longer, the batch is lost.
const EXPORT: Duration = Duration::from_secs(5);

/// Flags of a span: sampled (bit 0), "bit 9 is meaningful" (bit 8), "the parent is remote" (bit 9).
const SAMPLED: u32 = 0x001;
const REMOTE_PARENT: u32 = 0x300;
const NO_PARENT: u32 = 0x100;

/// Set once, if a collector is configured. One queue is enough, because a process is one service.
static QUEUED: OnceLock<mpsc::Sender<Span>> = OnceLock::new();

/// Exports the process's spans until shutdown. A second call does nothing.
pub fn start(service: &'static str, collector: Channel, shutdown: &Shutdown) {
    let (sender, queue) = mpsc::channel(QUEUE);
    if QUEUED.set(sender).is_err() {
        return;
    }
    let stop = shutdown.clone();
    shutdown.spawn("spans", async move { run(service, collector, queue, &stop).await });
}

/// Whether a collector is configured.
pub fn wanted() -> bool {
    QUEUED.get().is_some()
}

/// What a span says besides its place in the trace.
#[derive(Clone, Debug)]
pub struct Told<'a> {
    /// The name of the RPC or event; never data.
    pub name: &'a str,
    /// Server, client, producer or consumer.
    pub kind: SpanKind,
    /// The start of the span; it ends when it is recorded.
    pub started: SystemTime,
    /// The gRPC status, for calls.
    pub status: Option<i32>,
    /// Whether the span is marked as an error.
    pub failed: bool,
}

/// Records a span that ends now. Never waits.
pub fn record(here: TraceContext, parent: Option<TraceContext>, told: &Told<'_>) {
    let Some(queue) = QUEUED.get() else { return };
    let (trace, id) = here.bytes();
    let status = told.status.map(|code| attribute("rpc.grpc.status_code", Value::IntValue(i64::from(code))));
    let span = Span {
        trace_id: trace.to_vec(),
        span_id: id.to_vec(),
        parent_span_id: parent.map(|parent| parent.bytes().1.to_vec()).unwrap_or_default(),
        flags: SAMPLED | if parent.is_some() { REMOTE_PARENT } else { NO_PARENT },
        name: told.name.to_owned(),
        kind: told.kind.into(),
        start_time_unix_nano: nanos(told.started),
        end_time_unix_nano: nanos(SystemTime::now()),
        attributes: status.into_iter().collect(),
        status: told.failed.then(|| Status { code: StatusCode::Error.into(), ..Status::default() }),
        ..Span::default()
    };
    if queue.try_send(span).is_err() {
        metrics::SPANS_LOST.inc();
    }
}

async fn run(service: &'static str, collector: Channel, mut queue: mpsc::Receiver<Span>, stop: &Shutdown) {
    let mut client = TraceServiceClient::new(collector);
    let mut batch = Vec::with_capacity(BATCH);
    let mut due = interval(LINGER);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let room = BATCH - batch.len();
        tokio::select! {
            () = stop.requested() => break,
            got = queue.recv_many(&mut batch, room) => {
                if got == 0 {
                    break;
                }
                if batch.len() < BATCH {
                    continue;
                }
            }
            _ = due.tick() => {}
        }
        export(&mut client, service, &mut batch).await;
    }
    export(&mut client, service, &mut batch).await;
    // Calls under way still end: go on until no span has come for a while.
    while matches!(timeout(LINGER, queue.recv_many(&mut batch, BATCH)).await, Ok(1..)) {
        export(&mut client, service, &mut batch).await;
    }
}

async fn export(client: &mut TraceServiceClient<Channel>, service: &str, batch: &mut Vec<Span>) {
    if batch.is_empty() {
        return;
    }
    let count = u64::try_from(batch.len()).unwrap_or(0);
    let scope = InstrumentationScope {
        name: "hersys.runtime".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let spans = ScopeSpans { scope: Some(scope), spans: std::mem::take(batch), ..ScopeSpans::default() };
    let name = attribute("service.name", Value::StringValue(service.to_owned()));
    let resource = Resource { attributes: vec![name], ..Resource::default() };
    let all = ResourceSpans { resource: Some(resource), scope_spans: vec![spans], ..ResourceSpans::default() };
    let request = ExportTraceServiceRequest { resource_spans: vec![all] };
    if !matches!(timeout(EXPORT, client.export(request)).await, Ok(Ok(_))) {
        metrics::SPANS_LOST.inc_by(count);
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanos(at: SystemTime) -> u64 {
    u64::try_from(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
