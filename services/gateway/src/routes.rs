//! Where a request goes: health of the edge itself, or an RPC of the contract, in whichever of three ways it is asked for.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime},
};

use access::{Caller, guard, token::Verifier};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyStream, StreamBody};
use hyper::body::{Body as _, Incoming};
use proto::options::Permission;
use runtime::{
    Clock, Shutdown, admin, layers,
    mesh::{Channel, Mesh},
    metrics::{RPC_SECONDS, RPCS, RpcLabels, RpcName},
    problem::{self, Language},
    spans::{self, SpanKind, Told},
    trace::{self, TraceContext},
};
use tonic::{Code, Status, body::Body};
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, ServiceExt as _};

use crate::{
    SERVICES, Settings, docs, limits,
    limits::{Limits, Place, Watching},
    openapi, pass, rest,
};

/// Metadata that says which service an operation is meant for.
pub(crate) const SERVICE: &str = "hersys-service";

tokio::task_local! {
    /// Where the caller's own trace stands, if it has one.
    static PARENT: Option<TraceContext>;
}

/// A call that was let in.
pub(crate) struct Admitted {
    channel: Channel,
    life: Duration,
    place: Place,
    watching: Option<Watching>,
}

/// The gateway's decisions.
pub(crate) struct Gateway {
    channels: HashMap<&'static str, Channel>,
    verifier: Verifier,
    limits: Limits,
    pub(crate) body_bytes: usize,
    ready: OnceLock<admin::Ready>,
}

impl Gateway {
    pub(crate) fn new(settings: &Settings, mesh: &Mesh, verifier: Verifier) -> Self {
        let channels = SERVICES.iter().filter_map(|name| Some((*name, mesh.channel(name).ok()?))).collect();
        Self {
            channels,
            verifier,
            limits: Limits::new(settings),
            body_bytes: settings.body_bytes,
            ready: OnceLock::new(),
        }
    }

    pub(crate) fn set_ready(&self, ready: admin::Ready) {
        let _ = self.ready.set(ready);
    }

    /// Limits remember callers; those who are long gone are forgotten each minute.
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

    /// Answers a request. Never fails: a torn connection would reach the client as a riddle.
    pub(crate) async fn answer(
        &self,
        request: Request<Incoming>,
        address: IpAddr,
    ) -> Result<Response<Body>, Infallible> {
        let accepted = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let language = Language::from_header(accepted);
        let parent = layers::trace_of(request.headers());
        let trace = parent.map_or_else(TraceContext::root, TraceContext::child);
        Ok(PARENT.scope(parent, language.scope(trace.scope(Box::pin(self.route(request, address))))).await)
    }

    async fn route(&self, request: Request<Incoming>, address: IpAddr) -> Response<Body> {
        if is_grpc_web(request.headers()) {
            let native = tower::service_fn(|request: Request<Body>| async move {
                // The length announced is that of the encoded body.
                let request = request.map(|body| Body::new(StreamBody::new(BodyStream::new(body))));
                Ok::<_, Infallible>(self.grpc(request, address).await)
            });
            let answer = GrpcWebLayer::new().layer(native).oneshot(request).await;
            return answer.unwrap_or_else(|never| match never {});
        }
        if is_grpc(request.headers()) {
            return self.grpc(request.map(Body::new), address).await;
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET, path @ ("/healthz" | "/readyz")) => self.health(path).await,
            (&Method::GET, "/openapi.json") => openapi::document(),
            (&Method::GET, "/docs") => docs::page(),
            (_, path) if path.starts_with("/v1/") => self.rest(request, address).await,
            (&Method::POST, path) if proto::rule(path).is_some() => {
                plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this path speaks gRPC and gRPC-Web\n")
            }
            _ => rest::not_found(),
        }
    }

    /// A native call: its answer carries the gRPC status whatever happens.
    async fn grpc(&self, request: Request<Body>, address: IpAddr) -> Response<Body> {
        let rpc = layers::known(request.uri().path());
        let work = async {
            let admitted = self.admit(request.uri().path(), request.headers(), address).await?;
            self.forward(admitted, request).await
        };
        self.counted(rpc, work).await.unwrap_or_else(Status::into_http)
    }

    /// Counts a call, and tells its span.
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
        RPC_SECONDS.get_or_create(&RpcName { rpc: rpc.to_owned() }).observe(started.elapsed().as_secs_f64());
        let code = i32::from(code);
        let kind = SpanKind::Server;
        let told = Told { name: rpc, kind, started: began, status: Some(code), failed: layers::is_fault(code) };
        spans::record(trace::current(), PARENT.try_with(|parent| *parent).unwrap_or_default(), &told);
        answer
    }

    /// Lets a call in: the RPC, the address, the token, the room there is. Before any of its body is read.
    pub(crate) async fn admit(&self, path: &str, headers: &HeaderMap, address: IpAddr) -> Result<Admitted, Status> {
        // Internal RPCs, reflection and health of services are not told from what does not exist.
        let rule = proto::rule(path)
            .filter(|rule| rule.permission != Permission::Internal)
            .ok_or_else(|| Status::unimplemented("no such RPC"))?;
        let exhausted = || problem::exhausted(limits::RETRY_AFTER);
        if !self.limits.admits_address(address) {
            return Err(exhausted());
        }
        let caller = self.caller(headers, rule.permission).await?;
        let place = self.limits.place(rule.priority).ok_or_else(exhausted)?;
        let watching =
            if rule.streaming { Some(self.limits.watching(caller.as_ref()).ok_or_else(exhausted)?) } else { None };
        if !self.limits.admits(caller.as_ref(), address) {
            return Err(exhausted());
        }
        let target = if rule.package == "operations" {
            headers.get(SERVICE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        } else {
            rule.package.clone()
        };
        let channel = self.channels.get(target.as_str()).cloned().ok_or_else(|| {
            if rule.package == "operations" {
                problem::invalid(&[problem::Violation::new(
                    SERVICE,
                    "メタデータ hersys-service にサービス名を指定してください",
                    "name a service in the metadata key hersys-service",
                )])
            } else {
                problem::unavailable()
            }
        })?;
        let life = life(headers, rule.streaming, caller.as_ref());
        Ok(Admitted { channel, life, place, watching })
    }

    /// Sends a call that was let in to its service.
    pub(crate) async fn forward(&self, admitted: Admitted, request: Request<Body>) -> Result<Response<Body>, Status> {
        if request.body().size_hint().lower() > u64::try_from(self.body_bytes).unwrap_or(u64::MAX) {
            return Err(pass::too_large(self.body_bytes));
        }
        let Admitted { channel, life, place, watching } = admitted;
        pass::pass(request, &channel, life, self.body_bytes, place, watching).await
    }

    /// The caller behind the token; `None` for RPCs open to anyone.
    async fn caller(&self, headers: &HeaderMap, permission: Permission) -> Result<Option<Caller>, Status> {
        if permission == Permission::Public {
            return Ok(None);
        }
        let token = guard::bearer(headers).ok_or_else(problem::unauthenticated)?;
        let caller = self.verifier.check(token, Clock.now()).await;
        caller.map(Some).ok_or_else(problem::unauthenticated)
    }

    async fn health(&self, path: &str) -> Response<Body> {
        match path {
            "/healthz" => plain(StatusCode::OK, "alive\n"),
            "/readyz" => {
                let ready = match self.ready.get() {
                    Some(ready) => ready().await,
                    None => false,
                };
                if ready {
                    plain(StatusCode::OK, "ready\n")
                } else {
                    plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
                }
            }
            _ => plain(StatusCode::NOT_FOUND, "not found\n"),
        }
    }
}

/// How long a call may live: what it asks for, a minute at most; a stream as long as its token.
fn life(headers: &HeaderMap, streaming: bool, caller: Option<&Caller>) -> Duration {
    let asked = layers::timeout_of(headers);
    let token = caller.map(|caller| (caller.expires_at - Clock.now()).max(time::Duration::ZERO).unsigned_abs());
    if streaming {
        // The service ends the stream with the token; the gateway a moment later, should it forget.
        let most = token.unwrap_or(layers::LONGEST_CALL) + Duration::from_secs(2);
        asked.unwrap_or(most).min(most)
    } else {
        asked.unwrap_or(layers::LONGEST_CALL).min(layers::LONGEST_CALL)
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

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(text)));
    *response.status_mut() = status;
    response
}
