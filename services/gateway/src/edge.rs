//! What every call goes through, whatever its protocol: admission, limits, and forwarding to its service.

mod admit;
mod body;
mod limits;
mod pass;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use access::token::Verifier;
use http::Response;
use proto::Rule;
use runtime::{
    Clock, Shutdown, Surge, admin, layers,
    mesh::{Channel, Mesh},
    metrics::{self, RPCS, RpcLabels},
    spans::{self, SpanKind, Told},
    surge::State,
    trace::{self, TraceContext},
};
use tonic::{Code, Status, body::Body};

use crate::Settings;
use limits::{Counted, Limits, Watching, Whose};

/// Metadata that says which service an operation is meant for.
pub(crate) const SERVICE: &str = "hersys-service";

tokio::task_local! {
    /// The caller's own trace context, if it sent one.
    pub(crate) static PARENT: Option<TraceContext>;
}

/// A call that may go on once its body has arrived.
pub(crate) struct Admitted {
    rule: &'static Rule,
    channel: Channel,
    whose: Whose,
    /// Counts among the calls of one principal.
    under_way: Option<Counted>,
    watching: Option<Watching>,
    arrived: tokio::time::Instant,
    life: Duration,
    /// How long its body may take.
    patience: Duration,
}

/// The state that all calls share.
pub(crate) struct Gateway {
    channels: HashMap<&'static str, Channel>,
    verifier: Verifier,
    limits: Limits,
    pub(crate) body_bytes: usize,
    complaint: OnceLock<admin::Complaint>,
    clock: Clock,
    surge: Surge,
}

impl Gateway {
    pub(crate) fn new(
        settings: &Settings,
        services: &[&'static str],
        mesh: &Mesh,
        verifier: Verifier,
        clock: Clock,
        surge: Surge,
    ) -> Self {
        let channels = services.iter().filter_map(|name| Some((*name, mesh.channel(name).ok()?))).collect();
        Self {
            channels,
            verifier,
            limits: Limits::new(settings),
            body_bytes: settings.body_bytes,
            complaint: OnceLock::new(),
            clock,
            surge,
        }
    }

    pub(crate) fn set_complaint(&self, complaint: admin::Complaint) {
        let _ = self.complaint.set(complaint);
    }

    /// Whether calls can be checked: identity's keys are known.
    pub(crate) async fn is_ready(&self) -> bool {
        match self.complaint.get() {
            Some(complaint) => complaint().await.is_none(),
            None => false,
        }
    }

    /// Which level of a surge is in force.
    pub(crate) fn surge(&self) -> State {
        self.surge.at(self.clock.now())
    }

    /// Forgets, once a minute, callers that the limits no longer need to remember.
    pub(crate) fn keep_limits_small(self: &Arc<Self>, shutdown: &Shutdown) {
        let (this, stop) = (Arc::clone(self), shutdown.clone());
        shutdown.spawn("forget-limits", async move {
            loop {
                tokio::select! {
                    () = stop.requested() => return,
                    () = tokio::time::sleep(Duration::from_mins(1)) => this.limits.forget(),
                }
            }
        });
    }

    /// Counts a call and records its span.
    pub(crate) async fn counted(
        &self,
        rpc: &'static str,
        work: impl Future<Output = Result<Response<Body>, Status>>,
    ) -> Result<Response<Body>, Status> {
        let (started, began) = (Instant::now(), SystemTime::now());
        let answer = work.await;
        let code = match &answer {
            Ok(response) => Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code()),
            Err(status) => status.code(),
        };
        let status = u32::try_from(i32::from(code)).unwrap_or(2);
        RPCS.get_or_create(&RpcLabels { rpc: rpc.to_owned(), status }).inc();
        metrics::observe(rpc, started.elapsed().as_secs_f64());
        let code = i32::from(code);
        let kind = SpanKind::Server;
        let told = Told { name: rpc, kind, started: began, status: Some(code), failed: layers::is_fault(code) };
        spans::record(trace::current(), PARENT.try_with(|parent| *parent).unwrap_or_default(), &told);
        answer
    }
}
