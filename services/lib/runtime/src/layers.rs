//! Layers around every call: trace context, deadline, metrics, and a last resort against panics.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use futures::FutureExt as _;
use http::{HeaderMap, Request, Response};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::{
    metrics::{self, RPCS, RpcLabels},
    problem::{self, Violation},
    spans::{self, SpanKind, Told},
    trace::{self, TraceContext},
};

/// The longest a call may take, whatever deadline it asks for.
pub const LONGEST_CALL: Duration = Duration::from_mins(1);

/// Wraps a service in the standard layers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standard;

impl<S> Layer<S> for Standard {
    type Service = Surrounded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Surrounded { inner }
    }
}

/// A service with the standard layers around it.
#[derive(Clone, Debug)]
pub struct Surrounded<S> {
    inner: S,
}

impl<S> Service<Request<Body>> for Surrounded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let parent = trace_of(request.headers());
        let context = parent.map_or_else(TraceContext::root, TraceContext::child);
        let began = SystemTime::now();
        let deadline = timeout_of(request.headers()).unwrap_or(LONGEST_CALL).min(LONGEST_CALL);
        let rpc = known(request.uri().path());
        let span = tracing::info_span!("rpc", rpc, trace_id = %context.trace_id());
        // The clone that was polled ready is the one to call.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let work = async move {
            let started = Instant::now();
            let call = AssertUnwindSafe(inner.call(request)).catch_unwind();
            let response = match tokio::time::timeout(deadline, call).await {
                Ok(Ok(Ok(response))) => response,
                Ok(Ok(Err(never))) => match never {},
                Ok(Err(_panic)) => {
                    tracing::error!("Handler panicked");
                    problem::internal().into_http()
                }
                Err(_elapsed) => problem::too_late().into_http(),
            };
            let response = told_as_bad_input(response);
            let status = Status::from_header_map(response.headers()).map_or(0, |s| i32::from(s.code()));
            RPCS.get_or_create(&RpcLabels { rpc: rpc.to_owned(), status: u32::try_from(status).unwrap_or(2) }).inc();
            metrics::observe(rpc, started.elapsed().as_secs_f64());
            let kind = SpanKind::Server;
            let told = Told { name: rpc, kind, started: began, status: Some(status), failed: is_fault(status) };
            spans::record(context, parent, &told);
            Ok(response)
        };
        Box::pin(context.scope(work.instrument(span)))
    }
}

/// Whether a gRPC status means a fault of ours rather than of the caller.
pub fn is_fault(status: i32) -> bool {
    [Code::Unknown, Code::DeadlineExceeded, Code::Unimplemented, Code::Internal, Code::Unavailable, Code::DataLoss]
        .iter()
        .any(|code| i32::from(*code) == status)
}

/// tonic answers INTERNAL to a body that is not protobuf, is cut short, or is compressed in an unknown way. That is the
/// caller's fault, so it becomes `INVALID_ARGUMENT`.
fn told_as_bad_input(response: Response<Body>) -> Response<Body> {
    let undecodable = Status::from_header_map(response.headers())
        .is_some_and(|status| status.code() == Code::Internal && status.message() != problem::INTERNAL);
    if !undecodable {
        return response;
    }
    let rule =
        Violation::new("body", "リクエストを protobuf 形式として読み取れません", "must be a readable protobuf message");
    problem::invalid(&[rule]).into_http()
}

/// The trace context a request carries.
pub fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    headers.get(trace::HEADER)?.to_str().ok().and_then(TraceContext::parse)
}

/// The deadline a gRPC request carries, `grpc-timeout: 500m`.
pub fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (amount, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if amount.is_empty() || amount.len() > 8 {
        return None;
    }
    let amount: u64 = amount.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// The path if the contract has it, so that labels and spans stay bounded and never contain a caller's input.
pub fn known(path: &str) -> &'static str {
    proto::rule(path).map_or("other", |rule| rule.path.as_str())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, HeaderValue};

    use super::timeout_of;

    fn with(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-timeout"),
            HeaderValue::from_str(value).expect("ascii"),
        )])
    }

    #[test]
    fn the_deadline_is_read_in_every_unit() {
        assert_eq!(timeout_of(&with("2S")), Some(Duration::from_secs(2)));
        assert_eq!(timeout_of(&with("500m")), Some(Duration::from_millis(500)));
        assert_eq!(timeout_of(&with("1H")), Some(Duration::from_hours(1)));
    }

    #[test]
    fn nonsense_is_no_deadline() {
        for value in ["", "S", "123456789S", "5x", "-1S"] {
            assert_eq!(timeout_of(&with(value)), None, "{value}");
        }
    }
}
