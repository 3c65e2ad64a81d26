//! The admin port: `/healthz`, `/readyz`, `/metrics`, over TLS with a client certificate of the mesh.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::net::TcpListener;

use crate::{Shutdown, metrics, server, tls::Tls};

/// Says whether the process can do its work now.
pub type Ready = Arc<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// Serves the admin port until shutdown.
pub fn serve(listener: TcpListener, tls: &Tls, ready: Ready, shutdown: &Shutdown) {
    let mut connections = server::accept(listener, Arc::clone(&tls.mutual), shutdown);
    let stop = shutdown.clone();
    shutdown.spawn("admin", async move {
        while let Some(connection) = connections.recv().await {
            let (ready, stop_one) = (Arc::clone(&ready), stop.clone());
            stop.spawn("admin-connection", async move {
                let answer = hyper::service::service_fn(move |request| answer(request, Arc::clone(&ready)));
                let builder = auto::Builder::new(TokioExecutor::new());
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

async fn answer(request: Request<Incoming>, ready: Ready) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/healthz") => (StatusCode::OK, "alive\n".to_owned()),
        (&Method::GET, "/readyz") if ready().await => (StatusCode::OK, "ready\n".to_owned()),
        (&Method::GET, "/readyz") => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()),
        (&Method::GET, "/metrics") => (StatusCode::OK, metrics::render()),
        _ => (StatusCode::NOT_FOUND, "not found\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}
