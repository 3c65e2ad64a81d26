//! The only door: TLS termination, token check, limits, shedding. Native gRPC is passed through byte by byte, gRPC-Web
//! is translated for browsers, and REST is transcoded by the contract's annotations.

mod answer;
mod config;
mod describe;
mod door;
mod edge;
mod rest;

use std::{sync::Arc, time::Duration};

use access::token::Verifier;
use anyhow::Context as _;
use futures::FutureExt as _;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use runtime::{
    Clock, Shutdown, Surge, admin,
    mesh::Mesh,
    server::{self, Entrance},
    spans,
    tls::Tls,
    trace,
};
use tokio::{net::TcpListener, sync::Notify};

pub use config::{Command, Settings};

/// How long a connection lives before it is asked to come again, so that new gateways behind a load balancer get their share. Up to
/// a third less, by chance: those that came together do not go together.
const AGE: Duration = Duration::from_mins(15);

/// How long a connection that is turned away may take to read why.
const FAREWELL: Duration = Duration::from_secs(2);

/// Runs the gateway until it is asked to stop.
///
/// # Errors
/// When a port is taken or a certificate is missing.
pub async fn run(settings: Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    let tls = Tls::load(&settings.common.tls)?;
    tls.follow_files(&shutdown);
    trace::sample(settings.common.traces);
    if let Some(collector) = &settings.common.otlp {
        spans::start("gateway", collector, &tls, &shutdown)?;
    }
    let mesh = Mesh::new(&tls, &settings.common.upstreams())?;
    let keys_file = settings.common.keys_file.clone();
    let verifier = Verifier::follow(mesh.channel("identity")?, keys_file, &shutdown);
    let clock = Clock::system();
    let surge = Surge::follow(settings.common.surge_file.clone(), clock.clone(), &shutdown);
    let gateway = edge::Gateway::new(&settings, proto::SERVICES, &mesh, verifier.clone(), clock, surge);
    let gateway = Arc::new(gateway);
    gateway.keep_limits_small(&shutdown);

    let listen = settings.common.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    let admin_listen = settings.common.admin_listen;
    let admin_listener = TcpListener::bind(admin_listen).await.with_context(|| format!("listen on {admin_listen}"))?;
    let complaint: admin::Complaint = Arc::new(move || {
        let known = verifier.is_ready();
        async move { (!known).then(|| "identity's keys are not known".to_owned()) }.boxed()
    });
    admin::serve(admin_listener, &tls, Arc::clone(&complaint), &shutdown);
    gateway.set_complaint(complaint);

    let entrance =
        Entrance::for_everybody(settings.connections, settings.connections_per_address, settings.proxy_hops.clone());
    let mut connections = server::accept(listener, Arc::clone(&tls.edge), entrance, &shutdown);
    tracing::info!(%listen, "Serving the gateway");
    while let Some(connection) = connections.recv().await {
        let (gateway, stop) = (Arc::clone(&gateway), shutdown.clone());
        shutdown.spawn("edge-connection", async move {
            let (address, turned_away) = (connection.peer().address.ip(), connection.is_turned_away());
            let told = Arc::new(Notify::new());
            let service = hyper::service::service_fn({
                let told = Arc::clone(&told);
                move |request: http::Request<Incoming>| {
                    let (gateway, told) = (Arc::clone(&gateway), Arc::clone(&told));
                    async move {
                        if turned_away {
                            told.notify_one();
                            return Ok(door::turned_away(request.headers()));
                        }
                        door::answer(&gateway, request, address).await
                    }
                }
            });
            let mut builder = auto::Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
            builder
                .http2()
                .timer(TokioTimer::new())
                .initial_connection_window_size(8 << 20)
                .initial_stream_window_size(2 << 20)
                .max_concurrent_streams(1_000)
                .max_header_list_size(32 << 10)
                .keep_alive_interval(Duration::from_secs(20));
            let serving = builder.serve_connection(TokioIo::new(connection), service);
            let mut serving = std::pin::pin!(serving);
            let ended = tokio::select! {
                ended = serving.as_mut() => ended,
                () = stop.requested() => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
                () = tokio::time::sleep(server::jittered(AGE)) => {
                    serving.as_mut().graceful_shutdown();
                    serving.await
                }
                () = told.notified() => {
                    serving.as_mut().graceful_shutdown();
                    // Whoever was turned away is not waited for.
                    tokio::time::timeout(FAREWELL, serving).await.unwrap_or(Ok(()))
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
