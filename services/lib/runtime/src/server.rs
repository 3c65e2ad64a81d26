//! The gRPC server of a service: TLS with client certificates, standard layers, health, an orderly stop.

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
    sync::mpsc,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

use crate::{Shutdown, tls};

/// A client that does not finish the handshake in time is dropped.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Handshakes under way at once; beyond that a flood of half-open connections waits in the kernel.
const HANDSHAKES_AT_ONCE: usize = 512;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The service's name, from its certificate; `None` without one.
    pub service: Option<Arc<str>>,
    /// Where it connects from.
    pub address: SocketAddr,
}

/// An accepted connection after its handshake.
pub struct Connection {
    io: TlsStream<TcpStream>,
    peer: Peer,
}

impl Connection {
    /// Who is at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }
}

/// Accepts TLS connections. Handshakes run concurrently, so that a slow client blocks nobody.
pub fn accept(
    listener: TcpListener,
    config: Arc<ArcSwap<ServerConfig>>,
    shutdown: &Shutdown,
) -> mpsc::Receiver<Connection> {
    let (sender, receiver) = mpsc::channel(64);
    let stop = shutdown.clone();
    shutdown.spawn("accept", async move {
        let slots = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES_AT_ONCE));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let accepted = tokio::select! {
                () = stop.requested() => return,
                accepted = listener.accept() => accepted,
            };
            let (tcp, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors: give connections time to close instead of spinning.
                    tracing::warn!(%error, "Could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let _ = tcp.set_nodelay(true);
            let (sender, acceptor) = (sender.clone(), TlsAcceptor::from(config.load_full()));
            stop.spawn("handshake", async move {
                let _slot = slot;
                if let Ok(Ok(io)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(tcp)).await {
                    let certificate = io.get_ref().1.peer_certificates().and_then(<[_]>::first);
                    let service = certificate.and_then(tls::service_name).map(Arc::from);
                    let _ = sender.send(Connection { io, peer: Peer { service, address } }).await;
                }
            });
        }
    });
    receiver
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
    let connections = accept(listener, Arc::clone(&tls.mutual), shutdown);
    let stop = shutdown.clone();
    tonic::transport::Server::builder()
        .initial_connection_window_size(8 << 20)
        .initial_stream_window_size(2 << 20)
        .max_concurrent_streams(2_000)
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        // Age without a grace period: with one, tonic never announces the end and cuts calls under way.
        .max_connection_age(Duration::from_mins(20))
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
        Pin::new(&mut self.io).poll_read(cx, buf)
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
