//! The admin port: `/healthz`, `/readyz`, `/metrics`, over TLS with a client certificate of the mesh.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::net::TcpListener;

use crate::{Shutdown, config::Common, mesh::Channel, metrics, server, tls::Tls};

/// Says why the process cannot do its work now; `None` while it can.
pub type Complaint = Arc<dyn Fn() -> BoxFuture<'static, Option<String>> + Send + Sync>;

/// Serves the admin port until shutdown.
pub fn serve(listener: TcpListener, tls: &Tls, complaint: Complaint, shutdown: &Shutdown) {
    let mut connections = server::accept(listener, Arc::clone(&tls.mutual), server::Entrance::of_the_mesh(), shutdown);
    let stop = shutdown.clone();
    shutdown.spawn("admin", async move {
        while let Some(connection) = connections.recv().await {
            let (complaint, stop_one) = (Arc::clone(&complaint), stop.clone());
            stop.spawn("admin-connection", async move {
                let answer = hyper::service::service_fn(move |request| answer(request, Arc::clone(&complaint)));
                let mut builder = auto::Builder::new(TokioExecutor::new());
                builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
                builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(20));
                let serving = builder.serve_connection(TokioIo::new(connection), answer);
                tokio::select! {
                    // A scraper that hangs up is not worth a log line.
                    _ = serving => {}
                    () = stop_one.requested() => {}
                }
            });
        }
    });
}

/// How long a process may take to answer the probe beside it.
const ANSWERS: Duration = Duration::from_secs(4);
/// The most bytes of an answer.
const MOST: usize = 8 << 20;

/// Asks the process with these settings, on this machine, by its own certificate: a probe for where nothing listens without TLS.
///
/// # Errors
/// When it does not answer, or complains.
pub async fn ask(service: &str, common: &Common, path: &str) -> anyhow::Result<()> {
    ask_at(service, &format!("127.0.0.1:{}", common.admin_listen.port()), common, path).await
}

/// The same of any process of the mesh at `host:port`.
///
/// # Errors
/// When it does not answer, or complains.
pub async fn ask_at(service: &str, address: &str, common: &Common, path: &str) -> anyhow::Result<()> {
    read(service, address, &Tls::load(&common.tls)?, path).await.map(|_| ())
}

/// What a process of the mesh says at `path` of its admin port.
///
/// # Errors
/// When it does not answer in time, complains, or says very much.
pub async fn read(service: &str, address: &str, tls: &Tls, path: &str) -> anyhow::Result<String> {
    let channel = Channel::new(address, &format!("{service}.hersys.internal"), Arc::clone(&tls.client))?;
    let request = Request::get(path).body(tonic::body::Body::empty())?;
    let answered = async {
        let answer = channel.send(request).await?;
        let status = answer.status();
        let said = Limited::new(answer.into_body(), MOST).collect().await;
        anyhow::Ok((status, said.map_err(|error| anyhow::anyhow!("read the answer: {error}"))?.to_bytes()))
    };
    let (status, said) = tokio::time::timeout(ANSWERS, answered).await.context("it does not answer in time")??;
    let said = String::from_utf8_lossy(&said).into_owned();
    anyhow::ensure!(status == StatusCode::OK, "{}", said.trim());
    Ok(said)
}

async fn answer(request: Request<Incoming>, complaint: Complaint) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => (StatusCode::OK, "alive\n".to_owned()),
        (&Method::GET, "/readyz") => match complaint().await {
            None => (StatusCode::OK, "ready\n".to_owned()),
            Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        },
        (&Method::GET, "/metrics") => (StatusCode::OK, metrics::render()),
        _ => (StatusCode::NOT_FOUND, "not found\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}
