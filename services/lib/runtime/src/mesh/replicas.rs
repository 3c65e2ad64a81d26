//! The replicas behind a service's name: found again and again, chosen by how busy they are.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{self, Client},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tonic::body::Body;
use tower::BoxError;

use super::connect::Connector;
use crate::config::Upstreams;

/// While calls are under way, the other end is asked this often whether it is still there.
const PING: Duration = Duration::from_secs(2);
/// One that does not answer that in time is given up, with its calls.
const HUNG: Duration = Duration::from_secs(3);
/// How often the name is looked up while there are calls. A new replica gets its share after this long.
const LOOK: Duration = Duration::from_secs(3);
/// How often it is looked up at most while no replica can be reached.
const AGAIN: Duration = Duration::from_millis(200);
/// How long looking it up may take.
const LOOKS: Duration = Duration::from_secs(2);
/// How long a replica that failed is passed over while there are others.
const REST: Duration = Duration::from_secs(1);

/// The replicas of a service.
pub(super) struct Replicas {
    upstreams: Upstreams,
    name: String,
    server_name: ServerName<'static>,
    tls: Arc<ArcSwap<ClientConfig>>,
    known: ArcSwap<Known>,
    /// Held while looking the name up.
    looking: Mutex<()>,
    next: AtomicUsize,
}

struct Known {
    replicas: Vec<Arc<Replica>>,
    /// When the name was looked up; `None` before the first time.
    since: Option<Instant>,
}

impl Replicas {
    pub(super) fn new(
        upstreams: Upstreams,
        name: &str,
        server_name: ServerName<'static>,
        tls: Arc<ArcSwap<ClientConfig>>,
    ) -> Self {
        Self {
            upstreams,
            name: name.to_owned(),
            server_name,
            tls,
            known: ArcSwap::from_pointee(Known { replicas: Vec::new(), since: None }),
            looking: Mutex::new(()),
            next: AtomicUsize::new(0),
        }
    }

    /// The least busy replica: not one that was tried, and not one that rests, where there is another.
    pub(super) async fn choose(self: &Arc<Self>, tried: &[SocketAddr]) -> Result<Chosen, BoxError> {
        let mut known = self.known.load_full();
        if known.replicas.is_empty() {
            let _alone = self.looking.lock().await;
            if self.known.load().replicas.is_empty() {
                self.look().await?;
            }
            known = self.known.load_full();
        } else if known.since.is_none_or(|since| since.elapsed() >= LOOK) {
            self.look_beside();
        }
        let from = self.next.fetch_add(1, Ordering::Relaxed);
        let count = known.replicas.len();
        let best = known.replicas.iter().enumerate().min_by_key(|(place, replica)| {
            let turn = (place + count - from % count.max(1)) % count.max(1);
            (tried.contains(&replica.address), replica.rests(), replica.under_way.load(Ordering::Relaxed), turn)
        });
        let (_, replica) = best.ok_or_else(|| io::Error::other(format!("{} has no address", self.name)))?;
        replica.under_way.fetch_add(1, Ordering::Relaxed);
        Ok(Chosen(Arc::clone(replica)))
    }

    /// Looks the name up now, because no replica that is known could be reached. Whether there is one that was not tried.
    pub(super) async fn others(&self, tried: &[SocketAddr]) -> bool {
        let _alone = self.looking.lock().await;
        let of_now = self.known.load().since.is_some_and(|since| since.elapsed() < AGAIN);
        if !of_now && self.look().await.is_err() {
            return false;
        }
        self.known.load().replicas.iter().any(|replica| !tried.contains(&replica.address))
    }

    /// Looks the name up, while calls go on with what is known.
    #[expect(clippy::disallowed_methods, reason = "it ends within seconds, and a client has no shutdown")]
    fn look_beside(self: &Arc<Self>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let Ok(_alone) = this.looking.try_lock() else { return };
            if let Err(error) = this.look().await {
                tracing::warn!(%error, name = this.name, "Could not look up a service, going on with what is known");
            }
        });
    }

    async fn look(&self) -> Result<(), BoxError> {
        let found = timeout(LOOKS, self.upstreams.addresses(&self.name)).await??;
        let known = self.known.load();
        let kept = |address: &SocketAddr| known.replicas.iter().find(|replica| replica.address == *address).cloned();
        let replicas = found.iter().map(|address| kept(address).unwrap_or_else(|| Arc::new(self.replica(*address))));
        self.known.store(Arc::new(Known { replicas: replicas.collect(), since: Some(Instant::now()) }));
        Ok(())
    }

    fn replica(&self, address: SocketAddr) -> Replica {
        let connector = Connector { address, server_name: self.server_name.clone(), tls: Arc::clone(&self.tls) };
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(HUNG)
            .http2_initial_connection_window_size(8 << 20)
            .http2_initial_stream_window_size(2 << 20)
            .build(connector);
        Replica {
            address,
            client,
            under_way: AtomicUsize::new(0),
            failed: AtomicBool::new(false),
            since: ArcSwap::from_pointee(Instant::now()),
        }
    }
}

struct Replica {
    address: SocketAddr,
    client: Client<Connector, Body>,
    under_way: AtomicUsize,
    /// The last call failed, at this moment.
    failed: AtomicBool,
    since: ArcSwap<Instant>,
}

impl Replica {
    fn rests(&self) -> bool {
        self.failed.load(Ordering::Acquire) && self.since.load().elapsed() < REST
    }
}

/// A replica with a call under way.
pub(super) struct Chosen(Arc<Replica>);

impl Chosen {
    pub(super) fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, legacy::Error> {
        self.0.client.request(request).await
    }

    pub(super) fn answered(&self) {
        if self.0.failed.load(Ordering::Acquire) {
            self.0.failed.store(false, Ordering::Release);
        }
    }

    pub(super) fn failed(&self) {
        self.0.since.store(Arc::new(Instant::now()));
        self.0.failed.store(true, Ordering::Release);
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
