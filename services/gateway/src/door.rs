//! The one door: health of the edge itself, the description of the API, or an RPC over gRPC, gRPC-Web or REST.

use std::{convert::Infallible, net::IpAddr, time::Duration};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyStream, StreamBody};
use hyper::body::Incoming;
use runtime::{
    layers,
    problem::{self, Language},
    surge::{self, State},
    trace::TraceContext,
};
use tonic::{Status, body::Body};
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, ServiceExt as _};

use crate::{
    answer::{self, plain},
    describe::{docs, openapi},
    edge::{Gateway, PARENT},
    rest,
};

/// When somebody for whom there is no room should come back.
const TURNED_AWAY: Duration = Duration::from_secs(5);

/// The id of a request, given by the caller or by us; it and the trace are in every answer.
const REQUEST_ID: &str = "x-request-id";
/// The trace that the answer belongs to, as the services' logs name it.
const TRACE_ID: &str = "x-trace-id";

/// Answers a request. Never fails: a broken connection would tell the client nothing.
pub(crate) async fn answer(
    gateway: &Gateway,
    mut request: Request<Incoming>,
    address: IpAddr,
) -> Result<Response<Body>, Infallible> {
    let accepted = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let language = Language::from_header(accepted);
    let parent = layers::trace_of(request.headers());
    let trace = parent.map_or_else(TraceContext::root, TraceContext::child);
    let trace_id = trace.trace_id();
    let request_id = request.headers().get(REQUEST_ID).filter(|id| is_sane(id)).cloned();
    // HEAD is GET without the body (RFC 9110, 9.3.2): with one, HTTP/2 breaks.
    let head = request.method() == Method::HEAD;
    let rpc = layers::known(request.uri().path());
    if head {
        *request.method_mut() = Method::GET;
    }
    let work = language.scope(trace.scope(Box::pin(route(gateway, request, address))));
    let mut response = PARENT.scope(parent, work).await;
    if head {
        response = response.map(|_| Body::empty());
    }
    let ours = HeaderValue::from_str(&trace_id).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    let request_id = request_id.unwrap_or_else(|| ours.clone());
    let code = Status::from_header_map(response.headers()).map_or(0, |status| i32::from(status.code()));
    if response.status().is_server_error() || layers::is_fault(code) {
        let request_id = request_id.to_str().unwrap_or_default();
        tracing::warn!(rpc, http = response.status().as_u16(), code, request_id, trace_id, "A call failed");
    }
    response.headers_mut().insert(REQUEST_ID, request_id);
    response.headers_mut().insert(TRACE_ID, ours);
    Ok(response)
}

/// Whether an id that a caller chose may be repeated.
fn is_sane(id: &HeaderValue) -> bool {
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=100).contains(&id.len()) && id.as_bytes().iter().all(sane)
}

/// Answers somebody for whom there is no room: at once, with a hint when to come back.
pub(crate) fn turned_away(headers: &HeaderMap) -> Response<Body> {
    let status = problem::exhausted(TURNED_AWAY);
    let mut response =
        if is_grpc(headers) || is_grpc_web(headers) { status.into_http() } else { answer::error(&status) };
    if response.version() < http::Version::HTTP_2 {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn route(gateway: &Gateway, request: Request<Incoming>, address: IpAddr) -> Response<Body> {
    if is_grpc_web(request.headers()) {
        let native = tower::service_fn(|request: Request<Body>| async move {
            // The announced length is that of the encoded body.
            let request = request.map(|body| Body::new(StreamBody::new(BodyStream::new(body))));
            Ok::<_, Infallible>(grpc(gateway, request, address).await)
        });
        let answer = GrpcWebLayer::new().layer(native).oneshot(request).await;
        return answer.unwrap_or_else(|never| match never {});
    }
    if is_grpc(request.headers()) {
        return grpc(gateway, request.map(Body::new), address).await;
    }
    match (request.method(), request.uri().path()) {
        (&Method::GET, path @ ("/healthz" | "/readyz")) => health(gateway, path).await,
        (&Method::GET, "/openapi.json") => openapi::document(),
        (&Method::GET, "/docs") => docs::page(),
        (_, path) if path.starts_with("/v1/") => rest::answer(gateway, request, address).await,
        (&Method::POST, path) if proto::rule(path).is_some() => {
            plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this path speaks gRPC and gRPC-Web\n")
        }
        _ => answer::not_found(),
    }
}

/// A native call: its answer carries the gRPC status whatever happens.
async fn grpc(gateway: &Gateway, request: Request<Body>, address: IpAddr) -> Response<Body> {
    let rpc = layers::known(request.uri().path());
    let work = async {
        let admitted = gateway.admit(request.uri().path(), request.headers(), address).await?;
        let (parts, body) = request.into_parts();
        // The frame around the message has five bytes.
        let body = admitted.body(body, gateway.largest(&admitted) + 5).await?;
        gateway.forward(admitted, Request::from_parts(parts, body)).await
    };
    gateway.counted(rpc, work).await.unwrap_or_else(Status::into_http)
}

async fn health(gateway: &Gateway, path: &str) -> Response<Body> {
    match path {
        "/healthz" => plain(StatusCode::OK, "alive\n"),
        "/readyz" => {
            let (status, word) = if gateway.is_ready().await {
                (StatusCode::OK, "ready")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "not ready")
            };
            let State { level, switches, .. } = gateway.surge();
            let names: Vec<String> = switches.into_iter().map(surge::name_of).collect();
            let thrown = if names.is_empty() { String::new() } else { format!("switches: {}\n", names.join(" ")) };
            plain(status, format!("{word}\nlevel: {level}\n{thrown}"))
        }
        _ => plain(StatusCode::NOT_FOUND, "not found\n"),
    }
}

fn is_grpc_web(headers: &HeaderMap) -> bool {
    const KINDS: [&[u8]; 4] = [
        b"application/grpc-web",
        b"application/grpc-web+proto",
        b"application/grpc-web-text",
        b"application/grpc-web-text+proto",
    ];
    headers.get(header::CONTENT_TYPE).is_some_and(|value| KINDS.contains(&value.as_bytes()))
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value == "application/grpc" || value == "application/grpc+proto"
}
