//! One trace from the gateway over the bus to the last consumer, as a collector gets it.

use std::{collections::HashSet, fmt::Write as _, sync::Arc, time::Duration};

use anyhow::Context as _;
use devstack::{certs::Authority, process};
use e2e::{World, eventually, file, filing, form, person};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::Span,
};
use prost::Message as _;
use proto::identity::Role;
use runtime::{Shutdown, server, trace::TraceContext};
use tokio::{net::TcpListener, sync::Mutex};
use tonic::{Request, Response, Status};

use crate::Outcome;

/// A collector of traces; it listens once the mesh has made its certificate, and stops with [`Collector::stop`].
pub(super) struct Collector {
    port: u16,
    spans: Spans,
    shutdown: Shutdown,
}

impl Collector {
    pub(super) fn reserve() -> anyhow::Result<Self> {
        Ok(Self { port: process::free_port()?, spans: Spans::default(), shutdown: Shutdown::default() })
    }

    /// What a mesh is told, so that it sends its spans here.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        vec![("HERSYS_OTLP", format!("127.0.0.1:{}", self.port))]
    }

    pub(super) async fn listen(&self, world: &World) -> Outcome {
        Authority::open(&world.stack.certs)?.issue("otel")?;
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        let tls = world.stack.tls("otel")?;
        let routes = tonic::service::Routes::new(TraceServiceServer::new(self.spans.clone()));
        let stop = self.shutdown.clone();
        self.shutdown.spawn("collector", async move {
            let _ = server::serve(listener, &tls, tower::layer::util::Identity::new(), routes, &stop).await;
        });
        Ok(())
    }

    /// Everything that came, as it came.
    pub(super) async fn everything(&self) -> Vec<u8> {
        self.spans.0.lock().await.iter().flat_map(|(_, span)| span.encode_to_vec()).collect()
    }

    pub(super) async fn stop(&self) {
        self.shutdown.finished().await;
    }
}

/// Keeps what it gets: the service and its span.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<(String, Span)>>>);

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().await;
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let name = attributes.into_iter().find(|a| a.key == "service.name").and_then(|a| a.value?.value);
            let Some(Value::StringValue(service)) = name else { continue };
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            kept.extend(spans.map(|span| (service.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

pub(super) async fn one_trace_leads_from_the_gateway_over_the_bus_to_the_last_consumer(
    world: &World,
    collector: &Collector,
) -> Outcome {
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let context = TraceContext::parse(&format!("00-{trace}-00f067aa0ba902b7-01")).context("a trace context")?;
    let somebody = person();
    context.scope(file(&clinic, filing(form(&somebody)))).await?;
    file(&clinic, filing(form(&person()))).await?;

    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    let wanted = [
        ("gateway", "/hersys.notification.v1.FilingService/FileNotification"),
        ("notification", "/hersys.notification.v1.FilingService/FileNotification"),
        ("registry", "notification.notification.filed"),
        ("statistics", "registry.case.changed"),
        ("followup", "registry.case.changed"),
        ("beds", "registry.case.changed"),
    ];
    let of_trace = || async {
        let kept = collector.spans.0.lock().await;
        kept.iter().filter(|(_, span)| hex(&span.trace_id) == trace).cloned().collect::<Vec<_>>()
    };
    // One tree: every span hangs under another one of it, or under the caller's own. Spans end and arrive in any order.
    let hang_nowhere = |spans: &[(String, Span)]| -> Vec<String> {
        let ids: HashSet<&[u8]> = spans.iter().map(|(_, span)| span.span_id.as_slice()).collect();
        let known = |parent: &[u8]| ids.contains(parent) || hex(parent) == "00f067aa0ba902b7";
        let lost = spans.iter().filter(|(_, span)| !known(&span.parent_span_id));
        lost.map(|(service, span)| format!("{service} {}", span.name)).collect()
    };
    eventually("every service of the way tells its part, in one tree", Duration::from_secs(20), || async {
        let spans = of_trace().await;
        let told =
            wanted.iter().all(|(service, name)| spans.iter().any(|(s, span)| s == service && span.name == *name));
        Ok(told && hang_nowhere(&spans).is_empty())
    })
    .await?;
    let spans = of_trace().await;
    for (_, span) in &spans {
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    }
    let without_root: Vec<_> = spans.into_iter().filter(|(service, _)| service != "gateway").collect();
    assert!(!hang_nowhere(&without_root).is_empty(), "a lost span is noticed");
    // The control: the other filing's spans are in a trace of their own.
    let others = collector.spans.0.lock().await.iter().filter(|(_, span)| hex(&span.trace_id) != trace).count();
    assert!(others >= wanted.len());
    // Nothing in a span says who it is about.
    let told = collector.everything().await;
    for secret in [&somebody.phone, &somebody.mail, &somebody.name_kanji] {
        assert!(memchr::memmem::find(&told, secret.as_bytes()).is_none());
    }

    let (_, metrics) = world.stack.admin("notification", "/metrics").await?;
    for metric in ["hersys_certificate_ends_seconds", "hersys_lag_events", "hersys_pool_connections", "hersys_rpcs"] {
        assert!(metrics.contains(metric), "{metric}");
    }
    Ok(())
}
