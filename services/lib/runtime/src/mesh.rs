//! Calls to other services: to every replica that a service's name stands for, over our own TLS connector.
//!
//! tonic's `Channel` loses a request at every GOAWAY (each rolling restart); hyper's pooled client replays what was never sent, and
//! what a replica takes with it when it dies goes to another.

mod connect;
mod replicas;

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, request, uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use rustls::{ClientConfig, pki_types::ServerName};
use tonic::{Status, body::Body};
use tower::{BoxError, Service};

use crate::{config::Upstreams, tls::Tls, trace};
use replicas::Replicas;

/// How often a request is sent at most, each time to another replica where there is one.
const TRIES: usize = 3;

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
    pub fn new(tls: &Tls, upstreams: &Upstreams) -> anyhow::Result<Self> {
        let channels = upstreams
            .names()?
            .into_iter()
            .map(|name| {
                let server_name = format!("{name}.hersys.internal");
                let channel = Channel::to_service(upstreams, &name, &server_name, Arc::clone(&tls.client))?;
                Ok((name, channel))
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

/// A channel to a service, for the generated clients.
#[derive(Clone)]
pub struct Channel {
    replicas: Arc<Replicas>,
    authority: uri::Authority,
}

impl Channel {
    /// A channel to `host:port`, whose certificate must carry `server_name`. Behind the host may be several replicas.
    ///
    /// # Errors
    /// When the address or the name is malformed.
    pub fn new(address: &str, server_name: &str, tls: Arc<ArcSwap<ClientConfig>>) -> anyhow::Result<Self> {
        Self::to_any(&[address.to_owned()], server_name, tls)
    }

    /// The same for replicas at several addresses.
    ///
    /// # Errors
    /// When the name is malformed.
    pub fn to_any(addresses: &[String], server_name: &str, tls: Arc<ArcSwap<ClientConfig>>) -> anyhow::Result<Self> {
        let given = addresses.iter().map(|address| (server_name.to_owned(), address.clone())).collect();
        Self::to_service(&Upstreams { given, file: None }, server_name, server_name, tls)
    }

    fn to_service(
        upstreams: &Upstreams,
        name: &str,
        server_name: &str,
        tls: Arc<ArcSwap<ClientConfig>>,
    ) -> anyhow::Result<Self> {
        let authority = server_name.parse().context("parse the authority")?;
        let server_name = ServerName::try_from(server_name.to_owned()).context("parse the server name")?;
        let replicas = Replicas::new(upstreams.clone(), name, server_name, tls);
        Ok(Self { replicas: Arc::new(replicas), authority })
    }

    /// Sends a request as it is, with the channel's authority. A replica that cannot be reached is passed over; a request that may
    /// have arrived is sent again only where its rule says that nothing happens twice.
    ///
    /// # Errors
    /// When no replica answers.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Unanswered> {
        Ok(self.try_send(request).await?)
    }

    async fn try_send(&self, request: Request<Body>) -> Result<Response<Incoming>, BoxError> {
        let (parts, body) = request.into_parts();
        // One message each: no RPC of the contract streams its request.
        let body = body.collect().await?.to_bytes();
        let repeatable = proto::rule(parts.uri.path()).is_some_and(proto::Rule::is_repeatable);
        let mut tried = Vec::new();
        loop {
            let replica = self.replicas.choose(&tried).await?;
            match replica.send(self.addressed(&parts, body.clone())?).await {
                Ok(response) => {
                    replica.answered();
                    return Ok(response);
                }
                Err(error) => {
                    let never_sent = error.is_connect();
                    replica.failed();
                    tried.push(replica.address());
                    let again = tried.len() < TRIES && (never_sent || repeatable);
                    if !again || (never_sent && !self.replicas.others(&tried).await) {
                        return Err(error.into());
                    }
                }
            }
        }
    }

    fn addressed(&self, given: &request::Parts, body: Bytes) -> Result<Request<Body>, BoxError> {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(uri::Scheme::HTTPS);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = given.uri.path_and_query().cloned();
        let mut request = Request::new(Body::new(Full::new(body)));
        *request.method_mut() = given.method.clone();
        *request.uri_mut() = Uri::from_parts(parts)?;
        *request.version_mut() = given.version;
        request.headers_mut().clone_from(&given.headers);
        if let Ok(value) = HeaderValue::from_str(&trace::current().header()) {
            request.headers_mut().insert(trace::HEADER, value);
        }
        Ok(request)
    }
}

/// No replica answered. For generated clients it is UNAVAILABLE.
#[derive(Debug)]
pub struct Unanswered {
    why: BoxError,
    status: Status,
}

impl From<BoxError> for Unanswered {
    fn from(why: BoxError) -> Self {
        Self { why, status: Status::unavailable("no answer") }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer: {}", self.why)
    }
}

impl std::error::Error for Unanswered {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // tonic takes the first status it finds among the sources.
        Some(&self.status)
    }
}

/// A connector to one host, looked up at every connection, for clients that keep a connection of their own.
pub(crate) fn connector_to(
    address: &str,
    server_name: &str,
    tls: &Tls,
) -> anyhow::Result<
    impl Service<Uri, Response = connect::Io, Error = std::io::Error, Future: Send> + Clone + Send + use<>,
> {
    let (address, tls) = (address.to_owned(), Arc::clone(&tls.client));
    let server_name = ServerName::try_from(server_name.to_owned()).context("parse the server name")?;
    Ok(tower::service_fn(move |_: Uri| connect::open(address.clone(), server_name.clone(), tls.load_full())))
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = Unanswered;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.send(request).await })
    }
}
