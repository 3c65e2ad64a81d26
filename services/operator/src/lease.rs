//! One operator acts, the others wait: a `Lease` that the one renews.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams, core::ObjectMeta};
use runtime::{Clock, Shutdown};
use tokio::{sync::watch, time::Instant};

/// A leader that has not renewed for this long is gone.
pub const LASTS: Duration = Duration::from_secs(15);
/// How often it renews, and the others look.
pub const EVERY: Duration = Duration::from_secs(3);

/// A place in the queue for the lease.
#[derive(Debug)]
pub struct Candidate {
    leases: Api<Lease>,
    name: String,
    me: String,
    clock: Clock,
    /// The lease as another holds it, and when it was first seen like that: clocks of others are not trusted.
    seen: Mutex<Option<(String, Instant)>>,
}

impl Candidate {
    /// A candidate of this name.
    pub fn new(client: Client, namespace: &str, name: &str, me: &str, clock: Clock) -> Self {
        let (name, me) = (name.to_owned(), me.to_owned());
        Self { leases: Api::namespaced(client, namespace), name, me, clock, seen: Mutex::default() }
    }

    /// Renews the lease, or takes it if nobody holds it. Whether this process leads until [`LASTS`] from now.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn leads(&self) -> kube::Result<bool> {
        let Some(held) = self.leases.get_opt(&self.name).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let fresh = Lease { metadata, spec: Some(self.spec(None)) };
            return taken(self.leases.create(&PostParams::default(), &fresh).await);
        };
        let holder = held.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default();
        if holder != self.me && !holder.is_empty() && !self.is_stale(&held) {
            return Ok(false);
        }
        // The revision goes with it: of two that take it, one is refused.
        let mine = Lease { spec: Some(self.spec(held.spec.as_ref())), ..held };
        taken(self.leases.replace(&self.name, &PostParams::default(), &mine).await)
    }

    /// Asks again and again, until shutdown, and says whether this process leads and whether the API server could be asked.
    pub async fn keep(&self, leads: &watch::Sender<bool>, reached: &AtomicBool, shutdown: &Shutdown) {
        let mut until = Instant::now();
        while !shutdown.is_requested() {
            let asked = Instant::now();
            let answer = tokio::time::timeout(EVERY, self.leads()).await;
            reached.store(matches!(answer, Ok(Ok(_))), Ordering::Release);
            match answer {
                Ok(Ok(true)) => until = asked + LASTS,
                Ok(Ok(false)) => until = asked,
                Ok(Err(error)) => tracing::warn!(%error, "Could not ask for the lease"),
                Err(_elapsed) => tracing::warn!("The API server does not answer"),
            }
            // Who cannot renew stops before another may begin.
            leads.send_replace(Instant::now() + 2 * EVERY < until);
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Gives the lease back, so that the next need not wait.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn gives_back(&self) -> kube::Result<()> {
        let Some(mut held) = self.leases.get_opt(&self.name).await? else { return Ok(()) };
        if let Some(spec) = held.spec.as_mut().filter(|spec| spec.holder_identity.as_deref() == Some(&self.me)) {
            spec.holder_identity = None;
            taken(self.leases.replace(&self.name, &PostParams::default(), &held).await)?;
        }
        Ok(())
    }

    /// Whether another holder has left the lease alone for too long, by this process's own clock.
    fn is_stale(&self, held: &Lease) -> bool {
        let revision = held.metadata.resource_version.clone().unwrap_or_default();
        let Ok(mut seen) = self.seen.lock() else { return false };
        match &*seen {
            Some((known, since)) if *known == revision => since.elapsed() >= LASTS,
            _ => {
                *seen = Some((revision, Instant::now()));
                false
            }
        }
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now =
            Timestamp::from_microsecond(i64::try_from(self.clock.now().unix_timestamp_nanos() / 1_000).unwrap_or(0));
        let now = now.ok().map(MicroTime);
        let stays = before.filter(|before| before.holder_identity.as_deref() == Some(&self.me));
        let transitions = before.and_then(|before| before.lease_transitions).unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.me.clone()),
            lease_duration_seconds: i32::try_from(LASTS.as_secs()).ok(),
            acquire_time: stays.map_or_else(|| now.clone(), |stays| stays.acquire_time.clone()),
            renew_time: now,
            lease_transitions: Some(if stays.is_some() || before.is_none() { transitions } else { transitions + 1 }),
            ..LeaseSpec::default()
        }
    }
}

/// Whether a write was taken. One that came too late lost the race.
fn taken(written: kube::Result<Lease>) -> kube::Result<bool> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use runtime::Clock;
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::Candidate;
    use crate::testing::{Answer, Server, refusal};

    fn lease(holder: &str, revision: &str) -> Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": "hersys-surge", "namespace": "hersys", "resourceVersion": revision },
            "spec": {
                "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 4,
                "acquireTime": "2022-01-01T00:00:00.000000Z", "renewTime": "2022-01-01T00:00:00.000000Z",
            },
        })
    }

    fn candidate(
        server: &Server,
        answer: impl Fn(&crate::testing::Asked, usize) -> Answer + Send + 'static,
    ) -> Candidate {
        let clock = Clock::standing_at(datetime!(2022-02-01 00:00 UTC));
        Candidate::new(server.client(answer), "hersys", "hersys-surge", "a", clock)
    }

    #[tokio::test]
    async fn a_lease_nobody_holds_is_taken_and_one_of_two_is_refused() {
        let server = Server::default();
        let fresh = candidate(&server, |one, _| match one.verb.as_str() {
            "GET" => refusal(404, "NotFound", "no such lease"),
            _ => Answer::Says(201, lease("a", "1")),
        });
        assert!(fresh.leads().await.unwrap());
        let made = &server.of("POST", "/leases")[0];
        assert_eq!(
            (&made.body["spec"]["holderIdentity"], &made.body["spec"]["leaseDurationSeconds"]),
            (&json!("a"), &json!(15))
        );

        let raced = candidate(&server, |one, _| match one.verb.as_str() {
            "GET" => refusal(404, "NotFound", "no such lease"),
            _ => refusal(409, "AlreadyExists", "it is there"),
        });
        assert!(!raced.leads().await.unwrap());
        let away = candidate(&server, |_, _| refusal(500, "InternalError", "etcd"));
        assert!(away.leads().await.is_err());
    }

    #[tokio::test]
    async fn who_leads_renews_with_the_revision_it_read() {
        let server = Server::default();
        let mine = candidate(&server, |_, _| Answer::Says(200, lease("a", "7")));
        assert!(mine.leads().await.unwrap());
        let renewed = &server.of("PUT", "/leases/hersys-surge")[0].body;
        assert_eq!(renewed["metadata"]["resourceVersion"], json!("7"));
        assert_eq!(renewed["spec"]["renewTime"], json!("2022-02-01T00:00:00.000000Z"));
        assert_eq!(renewed["spec"]["acquireTime"], json!("2022-01-01T00:00:00.000000Z"), "it has led since then");
        assert_eq!(renewed["spec"]["leaseTransitions"], json!(4));

        mine.gives_back().await.unwrap();
        assert_eq!(server.of("PUT", "/leases/hersys-surge")[1].body["spec"].get("holderIdentity"), None);
    }

    /// By the time since a change was seen, not by what another's clock says: this lease claims to be a month old.
    #[tokio::test(start_paused = true)]
    async fn who_does_not_renew_is_followed_and_who_does_is_not() {
        let server = Server::default();
        let renewed = candidate(&server, |_, before| Answer::Says(200, lease("b", &before.to_string())));
        for _ in 0..10 {
            assert!(!renewed.leads().await.unwrap());
            tokio::time::advance(Duration::from_secs(5)).await;
        }
        let silent = candidate(&Server::default(), |_, _| Answer::Says(200, lease("b", "1")));
        assert!(!silent.leads().await.unwrap(), "seen for the first time");
        tokio::time::advance(Duration::from_secs(14)).await;
        assert!(!silent.leads().await.unwrap());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(silent.leads().await.unwrap());
    }
}
