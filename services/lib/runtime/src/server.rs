//! The gRPC server of a service: TLS with client certificates, standard layers, health, an orderly stop.

mod entrance;
mod proxied;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use futures::Stream;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Sleep, sleep},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use crate::{Shutdown, tls};

use entrance::Place;
pub use entrance::{Entrance, whose};

/// A client that does not finish the handshake in time is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that does not say what it wants this long after the handshake is dropped.
const SILENCE: Duration = Duration::from_secs(10);

/// The beginning of HTTP/2: a client that has sent this much of it speaks.
const PREFACE: usize = 24;

/// Connections beyond the room there is that are told so at once, after a handshake; more are closed without a word.
const TURNED_AWAY_AT_ONCE: usize = 64;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The service's name, from its certificate; `None` without one.
    pub service: Option<Arc<str>>,
    /// Where it connects from; behind a load balancer, what that says.
    pub address: SocketAddr,
}

/// An accepted connection after its handshake.
pub struct Connection {
    io: TlsStream<TcpStream>,
    peer: Peer,
    silence: Option<Silence>,
    turned_away: Option<OwnedSemaphorePermit>,
    _place: Option<Place>,
}

/// A connection that has yet to say what it wants.
struct Silence {
    until: Pin<Box<Sleep>>,
    missing: usize,
    _place: Option<Place>,
}

impl Connection {
    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether there is no room for it: all it may be told is to come back later.
    pub fn is_turned_away(&self) -> bool {
        self.turned_away.is_some()
    }
}

/// Accepts TLS connections. Handshakes run concurrently, so that a slow client blocks nobody.
pub fn accept(
    listener: TcpListener,
    config: Arc<ArcSwap<ServerConfig>>,
    entrance: Entrance,
    shutdown: &Shutdown,
) -> mpsc::Receiver<Connection> {
    let (sender, receiver) = mpsc::channel(64);
    let stop = shutdown.clone();
    shutdown.spawn("accept", async move {
        let entrance = Arc::new(entrance);
        let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_AT_ONCE));
        loop {
            let accepted = tokio::select! {
                () = stop.requested() => return,
                accepted = listener.accept() => accepted,
            };
            let (tcp, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors: give connections time to close instead of spinning.
                    tracing::warn!(%error, "Could not accept a connection");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let _ = tcp.set_nodelay(true);
            // Whoever has not spoken yet has a room of its own: there is always one left for somebody who will.
            let hop = entrance.is_hop(address.ip());
            let early = if hop { None } else { entrance.silent.take(address.ip()) };
            if early.is_none() && !hop {
                continue;
            }
            let (sender, acceptor) = (sender.clone(), TlsAcceptor::from(config.load_full()));
            let (entrance, turned_away) = (Arc::clone(&entrance), Arc::clone(&turned_away));
            stop.spawn("handshake", async move {
                let opened = open(tcp, address, early, &acceptor, &entrance, turned_away);
                if let Ok(Some(connection)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, opened).await {
                    let _ = sender.send(connection).await;
                }
            });
        }
    });
    receiver
}

/// Learns who connects, finds room and shakes hands. `None` if any of it fails: there is nobody to tell.
async fn open(
    mut tcp: TcpStream,
    mut address: SocketAddr,
    mut early: Option<Place>,
    acceptor: &TlsAcceptor,
    entrance: &Entrance,
    turned_away: Arc<Semaphore>,
) -> Option<Connection> {
    if entrance.is_hop(address.ip()) {
        address = proxied::address(&mut tcp).await.ok()?.unwrap_or(address);
        early = Some(entrance.silent.take(address.ip())?);
    }
    let place = entrance.open.take(address.ip());
    let turned_away = if place.is_some() { None } else { Some(turned_away.try_acquire_owned().ok()?) };
    let io = acceptor.accept(tcp).await.ok()?;
    let certificate = io.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let service = certificate.and_then(tls::service_name).map(Arc::from);
    // HTTP/1 tells itself apart by its first two bytes; what follows has its own limit.
    let missing = if io.get_ref().1.alpn_protocol() == Some(b"h2") { PREFACE } else { 2 };
    let silence = Silence { until: Box::pin(sleep(SILENCE)), missing, _place: early };
    Some(Connection { io, peer: Peer { service, address }, silence: Some(silence), turned_away, _place: place })
}

/// An age, or by chance up to a third less.
pub fn jittered(age: Duration) -> Duration {
    let mut random = [0; 1];
    let _ = getrandom::fill(&mut random);
    age * 2 / 3 + age / 3 * u32::from(random[0]) / 255
}

/// Serves gRPC until shutdown.
///
/// # Errors
/// When the transport fails.
pub async fn serve<L, S>(
    listener: TcpListener,
    tls: &tls::Tls,
    layer: L,
    routes: tonic::service::Routes,
    shutdown: &Shutdown,
) -> anyhow::Result<()>
where
    L: tower::Layer<tonic::service::Routes, Service = S> + Clone + Send + Sync + 'static,
    S: tower::Service<
            http::Request<tonic::body::Body>,
            Response = http::Response<tonic::body::Body>,
            Error = std::convert::Infallible,
        > + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let connections = accept(listener, Arc::clone(&tls.mutual), Entrance::of_the_mesh(), shutdown);
    let stop = shutdown.clone();
    tonic::transport::Server::builder()
        .initial_connection_window_size(8 << 20)
        .initial_stream_window_size(2 << 20)
        .max_concurrent_streams(2_000)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)))
        // Age without a grace period: with one, tonic never announces the end and cuts calls under way.
        .max_connection_age(jittered(Duration::from_mins(20)))
        .layer(layer)
        .add_routes(routes)
        .serve_with_incoming_shutdown(Incoming(connections), async move { stop.requested().await })
        .await
        .context("serve gRPC")
}

/// Health (`grpc.health.v1`) and reflection, which only peers inside the mesh can reach.
pub async fn standard_routes(service: &'static str) -> anyhow::Result<tonic::service::Routes> {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status(service, tonic_health::ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .build_v1()
        .context("describe the contract")?;
    Ok(tonic::service::Routes::new(health).add_service(reflection))
}

struct Incoming(mpsc::Receiver<Connection>);

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if let Some(silence) = &mut self.silence {
            silence.missing = silence.missing.saturating_sub(buf.filled().len() - before);
            if silence.missing == 0 {
                self.silence = None;
            } else if read.is_pending() && silence.until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
