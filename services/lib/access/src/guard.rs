//! The guard in front of every RPC: checks its declared rule, the token or the peer, and the permission.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response};
use proto::{Rule, identity::ContractScope, options::Permission};
use runtime::{
    Clock,
    problem::{self, Language, text},
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
}

impl Guard {
    /// A guard that decides by these keys, this directory and this clock.
    pub fn new(verifier: Verifier, directory: Directory, clock: Clock) -> Self {
        Self { verifier, directory, clock }
    }

    async fn admit(&self, path: &str, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Option<Caller>, Status> {
        // gRPC's own services: health for probes, reflection for tools; both stay inside the mesh.
        if path.starts_with("/grpc.health.v1.") || path.starts_with("/grpc.reflection.v1.") {
            return Ok(None);
        }
        let rule = proto::rule(path).ok_or_else(|| Status::unimplemented("no such RPC"))?;
        let peer = peer.and_then(|peer| peer.service.as_deref()).ok_or_else(problem::unauthenticated)?;
        match rule.permission {
            Permission::Internal if rule.peers.iter().any(|allowed| allowed == peer) => return Ok(None),
            Permission::Public if peer == "gateway" || is_service(peer) => return Ok(None),
            // Everything people ask for comes through the gateway.
            _ if peer == "gateway" && rule.permission != Permission::Internal => {}
            _ => return Err(Status::permission_denied("this service may not call this RPC")),
        }
        let now = self.clock.now();
        let token = bearer(headers).ok_or_else(problem::unauthenticated)?;
        let caller = self.verifier.check(token, now).await.ok_or_else(problem::unauthenticated)?;
        let filing = rule.permission == Permission::NotificationFile;
        if !self.directory.still_good(&caller, now, filing) {
            return Err(problem::unauthenticated());
        }
        if !permits(&self.directory, rule, &caller, now) {
            return Err(problem::denied(&text("この操作を行う権限がありません。", "Your role does not allow this.")));
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
    let in_scope = caller
        .scopes
        .as_ref()
        .is_none_or(|scopes| scopes.iter().any(|scope| rule.path.strip_prefix('/') == Some(scope.as_str())));
    let entrusted: Vec<ContractScope> =
        directory.entrusted_to(caller.organisation_id, now).into_iter().map(|(_, scope)| scope).collect();
    let rights = directory.rights(caller, now);
    let duty = Duty { role: caller.role, kind: caller.kind, rights, entrusted: &entrusted };
    in_scope && policy::allows(rule.permission, duty)
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
