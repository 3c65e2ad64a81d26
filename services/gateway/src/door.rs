//! The one door: health of the edge itself, the description of the API, or an RPC over gRPC, gRPC-Web or REST.

use std::{convert::Infallible, net::IpAddr};

use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyStream, StreamBody};
use hyper::body::Incoming;
use runtime::{layers, problem::Language, trace::TraceContext};
use tonic::{Status, body::Body};
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, ServiceExt as _};

use crate::{
    answer::{self, plain},
    describe::{docs, openapi},
    edge::{Gateway, PARENT},
    rest,
};

/// Answers a request. Never fails: a broken connection would tell the client nothing.
pub(crate) async fn answer(
    gateway: &Gateway,
    request: Request<Incoming>,
    address: IpAddr,
) -> Result<Response<Body>, Infallible> {
    let accepted = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let language = Language::from_header(accepted);
    let parent = layers::trace_of(request.headers());
    let trace = parent.map_or_else(TraceContext::root, TraceContext::child);
    Ok(PARENT.scope(parent, language.scope(trace.scope(Box::pin(route(gateway, request, address))))).await)
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
        gateway.forward(admitted, request).await
    };
    gateway.counted(rpc, work).await.unwrap_or_else(Status::into_http)
}

async fn health(gateway: &Gateway, path: &str) -> Response<Body> {
    match path {
        "/healthz" => plain(StatusCode::OK, "alive\n"),
        "/readyz" => {
            if gateway.is_ready().await {
                plain(StatusCode::OK, "ready\n")
            } else {
                plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
            }
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
