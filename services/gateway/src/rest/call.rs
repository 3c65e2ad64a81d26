//! A REST call, from its path to its answer.

use std::{collections::BTreeSet, net::IpAddr};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use prost::Message as _;
use prost_reflect::DynamicMessage;
use runtime::problem::{self, Violation};
use tonic::{Code, Status, body::Body};

use super::{
    fault, request,
    routes::{ROUTER, Route},
    stream,
};
use crate::{
    answer,
    edge::{Gateway, SERVICE},
};

/// JSON says the same as protobuf in more bytes: names of fields and codes, escapes, blanks.
const JSON: usize = 6;
/// Room for names and blanks of a small request.
const JSON_ROOM: usize = 64 << 10;

/// How long the body of a refused call may take to arrive, to be thrown away.
const RUN_OUT: std::time::Duration = std::time::Duration::from_secs(2);

/// Headers of a REST call that go on to a service.
const TAKEN: &[&str] = &["authorization", "accept-language", "user-agent", SERVICE];

/// Answers a REST call.
pub(crate) async fn answer(gateway: &Gateway, request: Request<Incoming>, address: IpAddr) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let Ok(found) = ROUTER.at(&path) else { return answer::not_found() };
    let methods = found.value;
    let Some(route) = methods.get(request.method().as_str()) else {
        return other_method(request.method(), methods.keys().copied());
    };
    let variables: Vec<(&str, &str)> = found.params.iter().collect();
    match gateway.counted(route.rpc, transcode(gateway, route, &variables, request, address)).await {
        Ok(response) => response,
        Err(status) => answer::error(&fault::in_json(&status, route.body)),
    }
}

async fn transcode(
    gateway: &Gateway,
    route: &'static Route,
    variables: &[(&str, &str)],
    request: Request<Incoming>,
    address: IpAddr,
) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    let headers = taken(&parts.headers);
    // The body of a refused call is neither kept nor decoded, but it is read to its end: over an unread body, HTTP/1.1
    // would break the connection and lose the answer.
    let admitted = match gateway.admit(route.rpc, &headers, address).await {
        Ok(admitted) => admitted,
        Err(status) => {
            let _ = tokio::time::timeout(RUN_OUT, run_out(body, gateway.body_bytes)).await;
            return Err(status);
        }
    };
    let most = gateway.largest(&admitted).saturating_mul(JSON).saturating_add(JSON_ROOM).min(gateway.body_bytes);
    must_be_json(&parts.headers, route)?;
    let body = admitted.body(body, most).await?;
    let input = request::request(route, variables, parts.uri.query().unwrap_or_default(), &body)?;

    let mut call = Request::new(framed(&input));
    *call.method_mut() = Method::POST;
    *call.uri_mut() = http::Uri::from_static(route.rpc);
    *call.headers_mut() = headers;
    let answered = gateway.forward(admitted, call).await?;
    let headers = answered.headers();
    if let Some(status) = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok) {
        return Err(status);
    }
    if route.streaming {
        return Ok(stream::ndjson(answered.into_body(), route.method.output()));
    }
    let collected = answered.into_body().collect().await?;
    if let Some(status) = collected.trailers().and_then(Status::from_header_map)
        && status.code() != Code::Ok
    {
        return Err(status);
    }
    let bytes = collected.to_bytes();
    let message = bytes.get(5..).ok_or_else(problem::internal)?;
    let output = DynamicMessage::decode(route.method.output(), message).map_err(|_| problem::internal())?;
    Ok(answer::json(StatusCode::OK, answer::to_json(&output)))
}

/// One gRPC frame that holds a message.
fn framed(message: &DynamicMessage) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // The buffer grows as needed: encoding cannot fail.
    let _ = message.encode(&mut frame);
    frame.freeze()
}

/// The headers of a REST call that go on, as a native call would carry them.
fn taken(given: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in TAKEN {
        let name = HeaderName::from_static(name);
        for value in given.get_all(&name) {
            headers.append(name.clone(), value.clone());
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers
}

/// Reads a body to its end or up to a length, and keeps nothing of it.
async fn run_out(body: Incoming, most: usize) {
    let mut body = Limited::new(body, most);
    while let Some(Ok(_)) = body.frame().await {}
}

/// The body of a call that takes one must be JSON.
fn must_be_json(headers: &HeaderMap, route: &Route) -> Result<(), Status> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if route.body.is_empty() || kind.is_empty() || kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(problem::invalid(&[Violation::new(
        "content-type",
        "application/json を指定してください",
        "must be application/json",
    )]))
}

/// The answer for a known path without this method: 405, or the allowed methods for OPTIONS.
fn other_method<'a>(method: &Method, known: impl Iterator<Item = &'a str>) -> Response<Body> {
    let allowed: BTreeSet<&str> = known.chain(["OPTIONS"]).collect();
    let allowed = allowed.into_iter().collect::<Vec<_>>().join(", ");
    let mut response = if method == Method::OPTIONS {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        answer::keep_private(response.headers_mut());
        response
    } else {
        let mut response = answer::error(&Status::unimplemented("this path has no such method"));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response
    };
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}
