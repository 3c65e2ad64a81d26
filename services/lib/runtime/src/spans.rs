//! Spans for an OTLP collector, by OpenTelemetry's SDK, over the mesh's own TLS. A slow collector loses spans; no call waits for it.

use std::{
    borrow::Cow,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
pub use opentelemetry::trace::SpanKind;
use opentelemetry::{InstrumentationScope, KeyValue, trace::Status};
use opentelemetry_otlp::{SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _},
};
use tonic::transport::Endpoint;

use crate::{Shutdown, mesh, metrics, tls::Tls, trace::TraceContext};

/// The most spans that may wait; further ones are lost.
const QUEUE: usize = 8_192;
/// The most spans in one export.
const BATCH: usize = 512;
/// How long a span waits for others to share its export.
const LINGER: Duration = Duration::from_secs(1);
/// The name that the collector's certificate carries.
const COLLECTOR: &str = "otel.hersys.internal";

/// Set once, if a collector is configured. One is enough, because a process is one service.
static PROCESSOR: OnceLock<BatchSpanProcessor> = OnceLock::new();
/// Spans recorded so far: at the end, the last ones are waited for.
static RECORDED: AtomicU64 = AtomicU64::new(0);

/// Exports the process's spans to the collector at `host:port` until shutdown. A second call does nothing.
///
/// # Errors
/// When the exporter cannot be made.
pub fn start(service: &'static str, collector: &str, tls: &Tls, shutdown: &Shutdown) -> anyhow::Result<()> {
    // The scheme is a label: the connector speaks TLS, with the certificates of the moment.
    let endpoint = Endpoint::from_shared(format!("http://{COLLECTOR}")).context("name the collector")?;
    let channel = endpoint.connect_with_connector_lazy(mesh::connector_to(collector, COLLECTOR, tls)?);
    let exporter = SpanExporter::builder().with_tonic().with_channel(channel).build().context("make the exporter")?;
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(LINGER)
        .build();
    let mut processor = BatchSpanProcessor::new(Counted(exporter), config);
    processor.set_resource(&Resource::builder_empty().with_service_name(service).build());
    if PROCESSOR.set(processor).is_err() {
        return Ok(());
    }
    let stop = shutdown.clone();
    shutdown.spawn("spans", async move {
        stop.requested().await;
        // Calls under way still end: go on until no span has come for a while.
        loop {
            let before = RECORDED.load(Ordering::Acquire);
            tokio::time::sleep(LINGER).await;
            // The SDK's flush blocks its thread.
            let _ = tokio::task::spawn_blocking(|| PROCESSOR.get().map(BatchSpanProcessor::force_flush)).await;
            if RECORDED.load(Ordering::Acquire) == before {
                return;
            }
        }
    });
    Ok(())
}

/// Whether a collector is configured.
pub fn wanted() -> bool {
    PROCESSOR.get().is_some()
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

/// Records a span that ends now, where its trace is sampled. Never waits.
pub fn record(here: TraceContext, parent: Option<TraceContext>, told: &Told<'_>) {
    let Some(processor) = PROCESSOR.get().filter(|_| here.is_sampled()) else { return };
    let status = told.status.map(|code| KeyValue::new("rpc.grpc.status_code", i64::from(code)));
    processor.on_end(SpanData {
        span_context: here.as_span_context(),
        parent_span_id: parent
            .map_or(opentelemetry::trace::SpanId::INVALID, |parent| parent.as_span_context().span_id()),
        parent_span_is_remote: parent.is_some(),
        span_kind: told.kind.clone(),
        name: Cow::Owned(told.name.to_owned()),
        start_time: told.started,
        end_time: SystemTime::now(),
        attributes: status.into_iter().collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if told.failed { Status::error("") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::builder("hersys.runtime")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    });
    RECORDED.fetch_add(1, Ordering::AcqRel);
}

/// The exporter, and what it loses.
#[derive(Debug)]
struct Counted(SpanExporter);

impl opentelemetry_sdk::trace::SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = u64::try_from(batch.len()).unwrap_or(0);
        let done = self.0.export(batch).await;
        if done.is_err() {
            metrics::SPANS_LOST.inc_by(count);
        }
        done
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}
