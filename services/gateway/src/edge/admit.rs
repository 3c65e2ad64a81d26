//! Admission: the RPC, the token and the caller's own limits, checked before any of the body is read. A place among the
//! calls under way is given only once the body is there: nobody reserves room by sending nothing.

use std::{net::IpAddr, time::Duration};

use access::{Caller, guard, validate};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use proto::{Rule, options::Permission};
use runtime::{
    layers,
    problem::{self, Unproved, Violation},
};
use time::OffsetDateTime;
use tokio::time::Instant;
use tonic::{Status, body::Body};

use super::{
    Admitted, Gateway, SERVICE,
    limits::{RETRY_AFTER, Whose},
    pass::{self, BoxError},
};

/// How long a stranger's body may take to arrive.
const BODY_OF_A_STRANGER: Duration = Duration::from_secs(10);
/// How long the body of somebody who is signed in may take: an import over a slow line.
const BODY: Duration = Duration::from_secs(30);

/// When to ask again for what is switched off: a wave does not end in a moment.
const WHILE_IT_LASTS: Duration = Duration::from_mins(10);

impl Gateway {
    /// Checks a call by its path and headers.
    pub(crate) async fn admit(&self, path: &str, headers: &HeaderMap, address: IpAddr) -> Result<Admitted, Status> {
        let arrived = Instant::now();
        // Internal RPCs, reflection and the health of services look like RPCs that do not exist.
        let rule = proto::rule(path)
            .filter(|rule| rule.permission != Permission::Internal)
            .ok_or_else(problem::no_such_rpc)?;
        let caller = self.caller(headers, rule.permission).await;
        // Whoever brings no valid token counts by address, whatever is called.
        if !self.limits.admits(caller.as_ref().ok().and_then(Option::as_ref), address) {
            return Err(problem::over_quota(RETRY_AFTER));
        }
        let caller = caller?;
        if let Some(switch) = rule.switched_off_by.filter(|switch| self.surge.is_thrown(*switch, self.clock.now())) {
            return Err(problem::switched_off(switch, WHILE_IT_LASTS));
        }
        let whose = Whose::of(caller.as_ref(), address);
        let over_quota = || problem::over_quota(RETRY_AFTER);
        let under_way = match caller {
            Some(_) => Some(self.limits.under_way(whose).ok_or_else(over_quota)?),
            // Strangers behind one address wait for each other's bodies in vain: they count once theirs is there.
            None => None,
        };
        let watching = if rule.streaming { Some(self.limits.watching(whose).ok_or_else(over_quota)?) } else { None };
        let channel = self.channel(rule, headers)?;
        let life = life(headers, rule.streaming, caller.as_ref(), self.clock.now());
        let patience = if caller.is_some() { BODY } else { BODY_OF_A_STRANGER };
        Ok(Admitted { rule, channel, whose, under_way, watching, arrived, life, patience })
    }

    /// Sends an admitted call, whose body has arrived, to its service.
    pub(crate) async fn forward(&self, admitted: Admitted, request: Request<Bytes>) -> Result<Response<Body>, Status> {
        let Admitted { rule, channel, whose, under_way, watching, arrived, life, .. } = admitted;
        let over_quota = || problem::over_quota(RETRY_AFTER);
        let _under_way = match under_way {
            Some(counted) => counted,
            None => self.limits.under_way(whose).ok_or_else(over_quota)?,
        };
        let place = self.limits.place(rule.priority).ok_or_else(|| problem::exhausted(RETRY_AFTER))?;
        pass::pass(request, &channel, life.saturating_sub(arrived.elapsed()), place, watching).await
    }

    /// The most bytes that a call's protobuf body may have.
    pub(crate) fn largest(&self, admitted: &Admitted) -> usize {
        validate::largest(&admitted.rule.path).min(self.body_bytes)
    }

    fn channel(&self, rule: &Rule, headers: &HeaderMap) -> Result<runtime::mesh::Channel, Status> {
        let of_any = rule.package == "operations";
        let target = if of_any {
            headers.get(SERVICE).and_then(|value| value.to_str().ok()).unwrap_or_default()
        } else {
            rule.package.as_str()
        };
        self.channels.get(target).cloned().ok_or_else(|| {
            if of_any {
                problem::invalid(&[Violation::new(
                    SERVICE,
                    "メタデータ hersys-service にサービス名を指定してください",
                    "must name a service",
                )])
            } else {
                problem::unavailable()
            }
        })
    }

    /// The caller behind the token; `None` for RPCs open to anyone.
    async fn caller(&self, headers: &HeaderMap, permission: Permission) -> Result<Option<Caller>, Status> {
        if permission == Permission::Public {
            return Ok(None);
        }
        let token = guard::bearer(headers).ok_or_else(|| problem::unauthenticated(Unproved::SignInRequired))?;
        Ok(Some(self.verifier.check(token, self.clock.now()).await?))
    }
}

impl Admitted {
    /// Reads the whole body, if it is not too large and arrives in time.
    pub(crate) async fn body<B>(&self, body: B, most: usize) -> Result<Bytes, Status>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
            return Err(pass::too_large(most));
        }
        match tokio::time::timeout(self.patience, Limited::new(body, most).collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(pass::too_large(most)),
            Ok(Err(_)) => {
                let rule = Violation::new("body", "リクエスト本文を読み取れません", "must be readable");
                Err(problem::invalid(&[rule]))
            }
            Err(_elapsed) => Err(problem::too_late()),
        }
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
