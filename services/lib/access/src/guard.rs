//! The guard in front of every RPC: checks its declared rule, the token or the peer, and the permission.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response};
use proto::{Rule, identity::ContractScope, options::Permission};
use runtime::{
    Clock, Pulses,
    problem::{self, Language, Unproved, why},
    server::Peer,
};
use time::{Duration, OffsetDateTime};
use tonic::{Status, body::Body};
use tower::{Layer, Service};

use crate::{
    Caller, Directory,
    policy::{self, Duty},
    token::Verifier,
};

/// How long a second factor is recent enough for issuing, transfer and export.
const STEP_UP: Duration = Duration::minutes(15);

/// Guards a service. Refuses RPCs without a rule, callers without the permission, and peers that the rule does not
/// name.
#[derive(Clone)]
pub struct Guard {
    verifier: Verifier,
    directory: Directory,
    clock: Clock,
    pulses: Pulses,
}

impl Guard {
    /// A guard that decides by these keys, this directory and this clock.
    pub fn new(verifier: Verifier, directory: Directory, clock: Clock, pulses: Pulses) -> Self {
        Self { verifier, directory, clock, pulses }
    }

    async fn admit(&self, path: &str, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Option<Caller>, Status> {
        // gRPC's own services: health for probes, reflection for tools; both stay inside the mesh.
        if path.starts_with("/grpc.health.v1.") || path.starts_with("/grpc.reflection.v1.") {
            return Ok(None);
        }
        let rule = proto::rule(path).ok_or_else(problem::no_such_rpc)?;
        let peer = peer.and_then(|peer| peer.service.as_deref()).ok_or_else(not_signed_in)?;
        match rule.permission {
            Permission::Internal if rule.peers.iter().any(|allowed| allowed == peer) => return Ok(None),
            Permission::Public if peer == "gateway" || is_service(peer) => return Ok(None),
            // Everything people ask for comes through the gateway.
            _ if peer == "gateway" && rule.permission != Permission::Internal => {}
            _ => {
                return Err(problem::denied(&why(
                    "WRONG_PEER",
                    "許可されていない呼び出しです。",
                    "This service may not call this RPC.",
                )));
            }
        }
        // A wrong clock knows neither whether a token is valid nor which day it is.
        if !self.pulses.may_act() {
            return Err(problem::unavailable());
        }
        let now = self.clock.now();
        let token = bearer(headers).ok_or_else(not_signed_in)?;
        let caller = self.verifier.check(token, now).await?;
        let filing = rule.permission == Permission::NotificationFile;
        self.directory.standing(&caller, now, filing).must_be_good()?;
        if !is_in_scope(rule, &caller) {
            return Err(problem::denied(&why(
                "OUT_OF_SCOPE",
                "このサービスアカウントのスコープに含まれていません。",
                "This RPC is not among the scopes of this service account.",
            )));
        }
        if !permits(&self.directory, rule, &caller, now) {
            return Err(problem::denied(&why(
                "PERMISSION_DENIED",
                "この操作を行う権限がありません。",
                "Your role does not allow this.",
            )));
        }
        if caller.terms_due && !rule.before_terms {
            return Err(problem::terms_due());
        }
        if rule.step_up && now - caller.authenticated_at > STEP_UP {
            return Err(problem::step_up());
        }
        Ok(Some(caller))
    }
}

/// Whether a caller holds the permission that an RPC declares: by role, by kind and rights of the organisation, by
/// contracts and, for another system, by its scopes.
pub fn permits(directory: &Directory, rule: &Rule, caller: &Caller, now: OffsetDateTime) -> bool {
    let entrusted: Vec<ContractScope> =
        directory.entrusted_to(caller.organisation_id, now).into_iter().map(|(_, scope)| scope).collect();
    let rights = directory.rights(caller, now);
    let duty = Duty { role: caller.role, kind: caller.kind, rights, entrusted: &entrusted };
    is_in_scope(rule, caller) && policy::allows(rule.permission, duty)
}

/// Whether another system may call an RPC by its scopes; persons have none.
fn is_in_scope(rule: &Rule, caller: &Caller) -> bool {
    let names = |scope: &String| rule.path.strip_prefix('/') == Some(scope.as_str());
    caller.scopes.as_ref().is_none_or(|scopes| scopes.iter().any(names))
}

/// The token of an `authorization: Bearer` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    // With two headers, the gateway could be shown one token and the service another.
    if values.next().is_some() {
        return None;
    }
    value.strip_prefix("Bearer ")
}

fn not_signed_in() -> Status {
    problem::unauthenticated(Unproved::SignInRequired)
}

fn is_service(peer: &str) -> bool {
    proto::SERVICES.contains(&peer)
}

impl<S> Layer<S> for Guard {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { inner, guard: self.clone() }
    }
}

/// A service behind a [`Guard`].
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    guard: Guard,
}

impl<S> Service<Request<Body>> for Guarded<S>
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let guard = self.guard.clone();
        let accepted = request.headers().get(http::header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let language = Language::from_header(accepted);
        Box::pin(language.scope(async move {
            let peer = request.extensions().get::<Peer>().cloned();
            match guard.admit(request.uri().path(), request.headers(), peer.as_ref()).await {
                Ok(caller) => {
                    if let Some(caller) = caller {
                        request.extensions_mut().insert(caller);
                    }
                    inner.call(request).await
                }
                Err(status) => Ok(status.into_http()),
            }
        }))
    }
}
