//! Prometheus metrics of the process. Labels are names from the code, never data.

use std::sync::{LazyLock, Mutex};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter, exemplar::HistogramWithExemplars, family::Family, gauge::Gauge,
        histogram::exponential_buckets,
    },
    registry::Registry,
};

use crate::trace;

static REGISTRY: LazyLock<Mutex<Registry>> = LazyLock::new(|| Mutex::new(Registry::with_prefix("hersys")));

/// Calls and their outcome.
pub static RPCS: LazyLock<Family<RpcLabels, Counter>> =
    LazyLock::new(|| register("rpcs", "Calls by RPC and gRPC status", Family::default()));

/// How long calls took until their headers were ready. Each bucket names a trace that fell into it (exemplar).
static RPC_SECONDS: LazyLock<Family<RpcName, HistogramWithExemplars<OfTrace>>> = LazyLock::new(|| {
    let buckets = || HistogramWithExemplars::new(exponential_buckets(0.000_5, 2.0, 15));
    register("rpc_seconds", "Seconds until the response headers", Family::new_with_constructor(buckets))
});

/// How many events the outbox and each consumer are behind.
pub static LAG: LazyLock<Family<LagLabels, Gauge>> =
    LazyLock::new(|| register("lag_events", "Events committed and not yet handled, by stage", Family::default()));

/// How long the oldest event that a consumer has not handled has waited.
pub static OLDEST: LazyLock<Family<LagLabels, Gauge>> = LazyLock::new(|| {
    register("oldest_event_seconds", "Seconds that the oldest event not yet handled has waited", Family::default())
});

/// Connections of the database pool.
pub static POOL: LazyLock<Family<PoolLabels, Gauge>> =
    LazyLock::new(|| register("pool_connections", "Connections of the database pool by state", Family::default()));

/// How many have a turn at signing in, or wait for it.
pub static SIGNING_IN: LazyLock<Gauge> = LazyLock::new(|| {
    register("sign_in_queue", "People who have a turn at signing in or wait for it", Gauge::default())
});

/// Openings of cases in an emergency by users who open very many in a day. Anything but 0 is an alarm for the auditor.
pub static MANY_EMERGENCIES: LazyLock<Counter> = LazyLock::new(|| {
    register("emergencies_among_many", "Openings in an emergency by users who open very many", Counter::default())
});

/// Spans that were dropped, or refused by the collector.
pub static SPANS_LOST: LazyLock<Counter> = LazyLock::new(|| {
    register("spans_lost", "Spans that were dropped, or refused by the collector", Counter::default())
});

/// When the process's certificate expires, in Unix seconds.
pub static CERTIFICATE_ENDS: LazyLock<Gauge> = LazyLock::new(|| {
    register("certificate_ends_seconds", "Unix time at which the process's certificate expires", Gauge::default())
});

/// Counts a call that took so long, as one of the trace that it runs in.
pub fn observe(rpc: &str, seconds: f64) {
    let here = trace::current();
    let of = here.is_sampled().then(|| OfTrace { trace_id: here.trace_id() });
    RPC_SECONDS.get_or_create(&RpcName { rpc: rpc.to_owned() }).observe(seconds, of, None);
}

/// The label of an exemplar.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfTrace {
    trace_id: String,
}

/// Labels of [`RPCS`].
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RpcLabels {
    /// The path of the RPC.
    pub rpc: String,
    /// The number of the gRPC status.
    pub status: u32,
}

/// Labels of [`RPC_SECONDS`].
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RpcName {
    /// The path of the RPC.
    rpc: String,
}

/// Labels of [`LAG`] and [`OLDEST`].
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LagLabels {
    /// `outbox`, or the owner whose events are consumed.
    pub stage: String,
}

/// Labels of [`POOL`].
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PoolLabels {
    /// `open` or `idle`.
    pub state: &'static str,
}

/// Adds a metric to the process's registry.
pub fn register<M: prometheus_client::registry::Metric + Clone>(name: &str, help: &str, metric: M) -> M {
    if let Ok(mut registry) = REGISTRY.lock() {
        registry.register(name, help, metric.clone());
    }
    metric
}

/// The metrics as OpenMetrics text.
pub fn render() -> String {
    let mut text = String::new();
    if let Ok(registry) = REGISTRY.lock() {
        let _ = encode(&mut text, &registry);
    }
    text
}
