//! The only door: TLS termination, token check, limits, shedding. Native gRPC is passed through byte by byte, gRPC-Web
//! is translated for browsers, and REST is transcoded by the contract's annotations.

mod answer;
mod config;
mod describe;
mod door;
mod edge;
mod rest;

use std::sync::Arc;

use access::token::Verifier;
use anyhow::Context as _;
use futures::FutureExt as _;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use runtime::{
    Clock, Shutdown, admin,
    mesh::{Channel, Mesh},
    server, spans,
    tls::Tls,
};
use tokio::net::TcpListener;

pub use config::Settings;

/// Runs the gateway until it is asked to stop.
///
/// # Errors
/// When a port is taken or a certificate is missing.
pub async fn run(settings: Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    let tls = Tls::load(&settings.common.tls)?;
    tls.follow_files(&shutdown);
    if let Some(collector) = &settings.common.otlp {
        let channel = Channel::new(collector, "otel.hersys.internal", Arc::clone(&tls.client))?;
        spans::start("gateway", channel, &shutdown);
    }
    let mesh = Mesh::new(&tls, &settings.common.upstreams())?;
    let verifier = Verifier::new(mesh.channel("identity")?);
    let gateway = Arc::new(edge::Gateway::new(&settings, proto::SERVICES, &mesh, verifier.clone(), Clock::system()));
    gateway.keep_limits_small(&shutdown);

    let listen = settings.common.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    let admin_listen = settings.common.admin_listen;
    let admin_listener = TcpListener::bind(admin_listen).await.with_context(|| format!("listen on {admin_listen}"))?;
    let ready: admin::Ready = Arc::new(move || {
        let verifier = verifier.clone();
        async move { verifier.is_ready().await }.boxed()
    });
    admin::serve(admin_listener, &tls, Arc::clone(&ready), &shutdown);
    gateway.set_ready(ready);

    let mut connections = server::accept(listener, Arc::clone(&tls.edge), &shutdown);
    tracing::info!(%listen, "Serving the gateway");
    while let Some(connection) = connections.recv().await {
        let (gateway, stop) = (Arc::clone(&gateway), shutdown.clone());
        shutdown.spawn("edge-connection", async move {
            let address = connection.peer().address.ip();
            let service = hyper::service::service_fn(move |request| {
                let gateway = Arc::clone(&gateway);
                async move { door::answer(&gateway, request, address).await }
            });
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(std::time::Duration::from_secs(30));
            builder
                .http2()
                .timer(TokioTimer::new())
                .initial_connection_window_size(8 << 20)
                .initial_stream_window_size(2 << 20)
                .max_concurrent_streams(1_000)
                .max_header_list_size(32 << 10)
                .keep_alive_interval(std::time::Duration::from_secs(20));
            let serving = builder.serve_connection(TokioIo::new(connection), service);
            let mut serving = std::pin::pin!(serving);
            let ended = tokio::select! {
                ended = serving.as_mut() => ended,
                () = stop.requested() => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "A connection ended early");
            }
        });
    }
    shutdown.finished().await;
    Ok(())
}
