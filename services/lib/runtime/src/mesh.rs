//! Calls to other services: hyper's pooled client over our own TLS connector.
//!
//! tonic's `Channel` loses a request at every GOAWAY (each rolling restart); this client replays what was never sent.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use http::{HeaderValue, Request, Response, Uri, uri};
use hyper::{body::Incoming, rt};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::body::Body;
use tower::Service;

use crate::{tls::Tls, trace};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// While calls are under way, the other end is asked this often whether it is still there.
const PING: Duration = Duration::from_secs(2);
/// One that does not answer that in time is given up, with its calls.
const HUNG: Duration = Duration::from_secs(3);

/// The other services of the mesh, by name.
#[derive(Clone)]
pub struct Mesh {
    channels: Arc<HashMap<String, Channel>>,
}

impl Mesh {
    /// Prepares a channel to each service; connections open when first needed.
    ///
    /// # Errors
    /// When a name or an address is malformed.
    pub fn new(tls: &Tls, upstreams: &HashMap<String, String>) -> anyhow::Result<Self> {
        let channels = upstreams
            .iter()
            .map(|(name, address)| {
                let server_name = format!("{name}.hersys.internal");
                Ok((name.clone(), Channel::new(address, &server_name, Arc::clone(&tls.client))?))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { channels: Arc::new(channels) })
    }

    /// The channel to a service.
    ///
    /// # Errors
    /// When no address of it is configured.
    pub fn channel(&self, service: &str) -> anyhow::Result<Channel> {
        self.channels.get(service).cloned().with_context(|| format!("no upstream named {service}"))
    }
}

/// A channel to one address, for the generated clients.
#[derive(Clone)]
pub struct Channel {
    client: Client<Connector, Body>,
    authority: uri::Authority,
}

impl Channel {
    /// A channel to `host:port`, whose certificate must carry `server_name`.
    ///
    /// # Errors
    /// When the address or the name is malformed.
    pub fn new(address: &str, server_name: &str, tls: Arc<ArcSwap<ClientConfig>>) -> anyhow::Result<Self> {
        let connector = Connector {
            address: Arc::from(address),
            server_name: ServerName::try_from(server_name.to_owned()).context("parse the server name")?,
            tls,
        };
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(HUNG)
            .http2_initial_connection_window_size(8 << 20)
            .http2_initial_stream_window_size(2 << 20)
            .build(connector);
        Ok(Self { client, authority: server_name.parse().context("parse the authority")? })
    }

    /// Sends a request as it is, with the channel's authority.
    pub fn send(
        &self,
        mut request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Incoming>, hyper_util::client::legacy::Error>> + Send + use<> {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(uri::Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = request.uri().path_and_query().cloned();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        if let Ok(value) = HeaderValue::from_str(&trace::current().header()) {
            request.headers_mut().insert(trace::HEADER, value);
        }
        self.client.request(request)
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper_util::client::legacy::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.send(request))
    }
}

#[derive(Clone)]
struct Connector {
    address: Arc<str>,
    server_name: ServerName<'static>,
    tls: Arc<ArcSwap<ClientConfig>>,
}

impl Service<Uri> for Connector {
    type Response = Io;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Io, std::io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let connect = async {
                let tcp = TcpStream::connect(&*this.address).await?;
                tcp.set_nodelay(true)?;
                TlsConnector::from(this.tls.load_full()).connect(this.server_name, tcp).await
            };
            let tls = tokio::time::timeout(CONNECT_TIMEOUT, connect).await??;
            if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
                return Err(std::io::Error::other("the server does not speak HTTP/2"));
            }
            Ok(Io(TokioIo::new(tls)))
        })
    }
}

struct Io(TokioIo<TlsStream<TcpStream>>);

impl Connection for Io {
    fn connected(&self) -> Connected {
        Connected::new().negotiated_h2()
    }
}

impl rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl rt::Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
