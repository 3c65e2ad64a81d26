//! A call passed on: headers cleaned, body untouched.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, header};
use http_body_util::Full;
use runtime::{mesh::Channel, problem};
use tonic::{Code, Status, body::Body};

use super::{
    body::Timed,
    limits::{Place, Watching},
};

/// Headers that go on to a service. Everything else a caller sends, such as a made-up identity, ends here.
const PASSED: &[&str] = &[
    "accept-language",
    "authorization",
    "content-type",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-timeout",
    "te",
    "traceparent",
    "user-agent",
];

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Passes a call on, and its answer back.
pub(super) async fn pass(
    request: Request<Bytes>,
    channel: &Channel,
    life: Duration,
    place: Place,
    watching: Option<Watching>,
) -> Result<Response<Body>, Status> {
    let trace = runtime::trace::current();
    let (mut parts, body) = request.into_parts();
    let bytes = body.len();
    parts.headers = cleaned(&parts.headers);
    let body = Body::new(Full::new(body));
    let sent = trace.scope(async { channel.send(Request::from_parts(parts, body)).await });
    let response = match tokio::time::timeout(life, sent).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::warn!(%error, "Upstream failed");
            return Err(problem::unavailable());
        }
        Err(_elapsed) => return Err(problem::too_late()),
    };
    // tonic refuses a message that announces more bytes than it accepts, before any handler sees it, with OUT_OF_RANGE.
    // No RPC of the contract answers that itself.
    if Status::from_header_map(response.headers()).is_some_and(|status| status.code() == Code::OutOfRange) {
        return Err(too_large(bytes));
    }
    // The work is done when the headers come: a slow reader must not hold a place that a filing could have.
    drop(place);
    Ok(response.map(|body| Body::new(Timed::new(body, life, watching))))
}

fn cleaned(given: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(PASSED.len());
    for name in PASSED {
        let name = HeaderName::from_static(name);
        for value in given.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(header::TE, header::HeaderValue::from_static("trailers"));
    headers
}

/// The body is larger than any honest form.
pub(crate) fn too_large(body_bytes: usize) -> Status {
    let ja = format!("リクエストが大きすぎます（{body_bytes} バイトまで）");
    let en = format!("must have at most {body_bytes} bytes");
    problem::invalid(&[problem::Violation::new("body", ja, en)])
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::cleaned;

    #[test]
    fn a_made_up_identity_does_not_get_through() {
        let mut given = HeaderMap::new();
        for name in ["x-user-id", "x-forwarded-for", "x-role", "hersys-peer", "host", "connection", "cookie"] {
            given.insert(name, HeaderValue::from_static("root"));
        }
        given.insert("authorization", HeaderValue::from_static("Bearer x"));
        let passed = cleaned(&given);
        assert_eq!(passed.len(), 2);
        assert!(passed.contains_key("authorization") && passed.contains_key("te"));
    }
}
