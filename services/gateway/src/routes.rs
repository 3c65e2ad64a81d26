//! Where a request goes: health of the edge itself, or an RPC of the contract.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use access::{Caller, guard, token::Verifier};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use proto::options::Permission;
use runtime::{
    Clock, Shutdown, admin, layers,
    mesh::{Channel, Mesh},
    metrics::{RPC_SECONDS, RPCS, RpcLabels, RpcName},
    problem::{self, Language},
};
use tonic::{Code, Status, body::Body};

use crate::{SERVICES, Settings, limits, limits::Limits, pass};

/// Metadata that says which service an operation is meant for.
const SERVICE: &str = "hersys-service";

/// The gateway's decisions.
pub(crate) struct Gateway {
    channels: HashMap<&'static str, Channel>,
    verifier: Verifier,
    limits: Limits,
    body_bytes: usize,
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
        if request.method() == Method::GET {
            return Ok(self.health(request.uri().path()).await);
        }
        if !is_grpc(request.headers()) {
            return Ok(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this port speaks gRPC\n"));
        }
        let started = Instant::now();
        let rpc = layers::known(request.uri().path());
        let accepted = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let language = Language::from_header(accepted);
        let answer = language.scope(self.rpc(request, address)).await;
        let (response, code) = match answer {
            Ok(response) => (response, Code::Ok),
            Err(status) => (status.clone().into_http(), status.code()),
        };
        let code = Status::from_header_map(response.headers()).map_or(code, |status| status.code());
        let status = u32::try_from(i32::from(code)).unwrap_or(2);
        RPCS.get_or_create(&RpcLabels { rpc: rpc.to_owned(), status }).inc();
        RPC_SECONDS.get_or_create(&RpcName { rpc: rpc.to_owned() }).observe(started.elapsed().as_secs_f64());
        Ok(response)
    }

    async fn rpc(&self, request: Request<Incoming>, address: IpAddr) -> Result<Response<Body>, Status> {
        // Internal RPCs, reflection and health of services are not told from what does not exist.
        let rule = proto::rule(request.uri().path())
            .filter(|rule| rule.permission != Permission::Internal)
            .ok_or_else(|| Status::unimplemented("no such RPC"))?;
        if !self.limits.admits_address(address) {
            return Err(problem::exhausted(limits::RETRY_AFTER));
        }
        let exhausted = || problem::exhausted(limits::RETRY_AFTER);
        let caller = self.caller(request.headers(), rule.permission).await?;
        let place = self.limits.place(rule.priority).ok_or_else(exhausted)?;
        let watching =
            if rule.streaming { Some(self.limits.watching(caller.as_ref()).ok_or_else(exhausted)?) } else { None };
        if !self.limits.admits(caller.as_ref(), address) {
            return Err(problem::exhausted(limits::RETRY_AFTER));
        }
        if request.body().size_hint().lower() > u64::try_from(self.body_bytes).unwrap_or(u64::MAX) {
            return Err(pass::too_large(self.body_bytes));
        }
        let target = if rule.package == "operations" {
            request.headers().get(SERVICE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        } else {
            rule.package.clone()
        };
        let channel = self.channels.get(target.as_str()).ok_or_else(|| {
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
        let life = life(request.headers(), rule.streaming, caller.as_ref());
        pass::pass(request, channel, life, self.body_bytes, place, watching).await
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

fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value == "application/grpc" || value == "application/grpc+proto"
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::new(http_body_util::Full::from(text)));
    *response.status_mut() = status;
    response
}
