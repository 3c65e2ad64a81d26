//! REST: routes from `google.api.http`, requests and answers transcoded between JSON and protobuf.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::LazyLock,
};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use runtime::problem::{self, Violation};
use tonic::{Code, Status, body::Body};

use crate::{
    errors, json, pass,
    routes::{Gateway, SERVICE},
    stream,
};

/// An RPC as REST finds it.
pub(crate) struct Route {
    pub rpc: &'static str,
    pub method: MethodDescriptor,
    pub body: &'static str,
    pub streaming: bool,
}

/// Routes per path shape; each knows which methods it has.
type Router = matchit::Router<BTreeMap<&'static str, Route>>;

/// Every public RPC by path and method.
static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let mut shapes: BTreeMap<&'static str, BTreeMap<&'static str, Route>> = BTreeMap::new();
    for (rule, http) in proto::rules().filter_map(|rule| Some((rule, rule.http.as_ref()?))) {
        let Some(method) = proto::method(&rule.path) else { continue };
        let route = Route { rpc: &rule.path, method, body: &http.body, streaming: rule.streaming };
        shapes.entry(http.template.as_str()).or_default().insert(http.method, route);
    }
    let mut router = Router::new();
    for (template, methods) in shapes {
        if let Err(error) = router.insert(template, methods) {
            // A unit test holds the contract to routes that fit together.
            tracing::error!(template, %error, "Two routes exclude each other");
        }
    }
    router
});

/// A body that comes slower than this is given up.
const SLOWEST: std::time::Duration = std::time::Duration::from_secs(20);

/// How long the body of somebody who is not let in may take to run out.
const RUN_OUT: std::time::Duration = std::time::Duration::from_secs(2);

/// Headers of a REST call that mean something to a service.
const TAKEN: &[&str] = &["authorization", "accept-language", "user-agent", SERVICE];

impl Gateway {
    /// Answers a REST call.
    pub(crate) async fn rest(&self, request: Request<Incoming>, address: IpAddr) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let Ok(found) = ROUTER.at(&path) else { return not_found() };
        let methods = found.value;
        let Some(route) = methods.get(request.method().as_str()) else {
            return other_method(request.method(), methods.keys().copied());
        };
        let variables: Vec<(&str, &str)> = found.params.iter().collect();
        match self.counted(route.rpc, self.transcode(route, &variables, request, address)).await {
            Ok(response) => response,
            Err(status) => errors::response(&status),
        }
    }

    async fn transcode(
        &self,
        route: &'static Route,
        variables: &[(&str, &str)],
        request: Request<Incoming>,
        address: IpAddr,
    ) -> Result<Response<Body>, Status> {
        let (parts, body) = request.into_parts();
        let headers = taken(&parts.headers);
        // Whoever is not let in has no body kept or read into a message. It is let run out, though: HTTP/1.1 would tear the
        // connection over what was not taken, and the answer with it.
        let admitted = match self.admit(route.rpc, &headers, address).await {
            Ok(admitted) => admitted,
            Err(status) => {
                let _ = tokio::time::timeout(RUN_OUT, run_out(body, self.body_bytes)).await;
                return Err(status);
            }
        };
        let body = tokio::time::timeout(SLOWEST, read(&parts.headers, body, route, self.body_bytes))
            .await
            .map_err(|_elapsed| Status::deadline_exceeded("the body did not come in time"))??;
        let input = json::request(route, variables, parts.uri.query().unwrap_or_default(), &body)?;

        let mut call = Request::new(Body::new(Full::new(framed(&input))));
        *call.method_mut() = Method::POST;
        *call.uri_mut() = http::Uri::from_static(route.rpc);
        *call.headers_mut() = headers;
        let answer = self.forward(admitted, call).await?;
        let headers = answer.headers();
        if let Some(status) = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok) {
            return Err(status);
        }
        if route.streaming {
            return Ok(stream::ndjson(answer.into_body(), route.method.output()));
        }
        let collected = answer.into_body().collect().await?;
        if let Some(status) = collected.trailers().and_then(Status::from_header_map)
            && status.code() != Code::Ok
        {
            return Err(status);
        }
        let bytes = collected.to_bytes();
        let message = bytes.get(5..).ok_or_else(|| Status::internal(runtime::layers::INTERNAL))?;
        let output = DynamicMessage::decode(route.method.output(), message)
            .map_err(|_| Status::internal(runtime::layers::INTERNAL))?;
        Ok(json_response(StatusCode::OK, json::write(&output)))
    }
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

/// The headers a REST call brings along, as those of a native one.
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

/// Takes a body without keeping it, up to a length.
async fn run_out(body: Incoming, most: usize) {
    let mut body = Limited::new(body, most);
    while let Some(Ok(_)) = body.frame().await {}
}

/// Reads the body of a call that takes one.
async fn read(headers: &HeaderMap, body: Incoming, route: &Route, most: usize) -> Result<Bytes, Status> {
    if !route.body.is_empty() {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.is_empty() && !kind.eq_ignore_ascii_case("application/json") {
            return Err(problem::invalid(&[Violation::new(
                "content-type",
                "application/json を指定してください",
                "must be application/json",
            )]));
        }
    }
    match Limited::new(body, most).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(pass::too_large(most)),
        Err(_) => Err(problem::invalid(&[Violation::new("body", "読み取れません", "cannot be read")])),
    }
}

/// A JSON answer nobody may keep.
pub(crate) fn json_response(status: StatusCode, json: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(json)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    keep_private(headers);
    response
}

/// What every answer of the edge carries: not to be stored, not to be guessed at.
pub(crate) fn keep_private(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}

/// There is nothing at this path.
pub(crate) fn not_found() -> Response<Body> {
    errors::response(&Status::not_found("no such path"))
}

/// The path is known, the method is not one of its own.
fn other_method<'a>(method: &Method, known: impl Iterator<Item = &'a str>) -> Response<Body> {
    let allowed: BTreeSet<&str> = known.chain(["OPTIONS"]).collect();
    let allowed = allowed.into_iter().collect::<Vec<_>>().join(", ");
    let mut response = if method == Method::OPTIONS {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        keep_private(response.headers_mut());
        response
    } else {
        let mut response = errors::response(&Status::unimplemented("this path has no such method"));
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response
    };
    if let Ok(value) = HeaderValue::from_str(&allowed) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}

/// Every route by its template, for the description of the API.
pub(crate) fn routes() -> BTreeMap<(&'static str, &'static str), &'static str> {
    let of = |rule: &'static proto::Rule| {
        let http = rule.http.as_ref()?;
        Some(((http.template.as_str(), http.method), rule.path.as_str()))
    };
    proto::rules().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use proto::options::Permission;

    use super::ROUTER;

    #[test]
    fn every_public_rpc_has_a_route_of_its_own_and_no_internal_one_has() {
        for rule in proto::rules() {
            assert_eq!(rule.http.is_some(), rule.permission != Permission::Internal, "{}", rule.path);
            let Some(http) = &rule.http else { continue };
            assert!(!http.template.contains('*') && !http.template.contains('='), "{}", http.template);
            let filled = http.template.replace(['{', '}'], "");
            let found = ROUTER.at(&filled).unwrap_or_else(|_| panic!("{} is not routed", http.template));
            assert_eq!(found.value.get(http.method).map(|route| route.rpc), Some(rule.path.as_str()), "{filled}");
        }
    }

    #[test]
    fn a_verb_is_not_part_of_an_id() {
        let found = ROUTER.at("/v1/cases/17:refer").unwrap();
        assert_eq!(found.params.get("case_id"), Some("17"));
        assert!(found.value.contains_key("POST") && !found.value.contains_key("GET"));
    }
}
