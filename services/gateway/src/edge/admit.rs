//! Admission: the RPC, the address, the token and the room there is, checked before any of the body is read.

use std::{net::IpAddr, time::Duration};

use access::{Caller, guard};
use http::{HeaderMap, Request, Response};
use hyper::body::Body as _;
use proto::options::Permission;
use runtime::{layers, problem};
use time::OffsetDateTime;
use tonic::{Status, body::Body};

use super::{Admitted, Gateway, SERVICE, limits, pass};

impl Gateway {
    /// Checks a call, and gives it a place among the calls under way.
    pub(crate) async fn admit(&self, path: &str, headers: &HeaderMap, address: IpAddr) -> Result<Admitted, Status> {
        // Internal RPCs, reflection and the health of services look like RPCs that do not exist.
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
                    "must name a service",
                )])
            } else {
                problem::unavailable()
            }
        })?;
        let life = life(headers, rule.streaming, caller.as_ref(), self.clock.now());
        Ok(Admitted { channel, life, place, watching })
    }

    /// Sends an admitted call to its service.
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
        let caller = self.verifier.check(token, self.clock.now()).await;
        caller.map(Some).ok_or_else(problem::unauthenticated)
    }
}

/// How long a call may live: what it asks for, a minute at most; a stream as long as its token.
fn life(headers: &HeaderMap, streaming: bool, caller: Option<&Caller>, now: OffsetDateTime) -> Duration {
    let asked = layers::timeout_of(headers);
    let token = caller.map(|caller| (caller.expires_at - now).max(time::Duration::ZERO).unsigned_abs());
    if streaming {
        // The service ends the stream with the token. If it does not, the gateway does a moment later.
        let most = token.unwrap_or(layers::LONGEST_CALL) + Duration::from_secs(2);
        asked.unwrap_or(most).min(most)
    } else {
        asked.unwrap_or(layers::LONGEST_CALL).min(layers::LONGEST_CALL)
    }
}
