//! The surge operator: scales the mesh by a plan, and switches off what can wait.
//!
//! - [`plan`]: the custom resource `SurgePlan` and its rules
//! - [`decide`]: the one pure decision
//! - [`observe`]: what the mesh measures of itself
//! - [`cluster`], [`controller`], [`lease`]: what is read and written in the cluster, by whom
//! - [`simulate`]: a wave played through the decision
//! - [`commands`]: `hersysctl surge`

pub mod cluster;
pub mod commands;
mod config;
pub mod controller;
pub mod decide;
pub mod lease;
pub mod observe;
pub mod plan;
pub mod simulate;
#[cfg(test)]
mod testing;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::Context as _;
use futures::FutureExt as _;
use kube::Client;
use runtime::{Clock, Shutdown, admin, tls::Tls};
use tokio::{net::TcpListener, sync::watch};

pub use config::{Command, Settings};
use controller::Context;
use lease::Candidate;
use observe::Metrics;

/// The lease of the one that acts.
const LEASE: &str = "hersys-surge";

/// Runs the operator until it is asked to stop.
///
/// # Errors
/// When a port is taken, a certificate is missing, or it runs outside of a cluster without a kubeconfig.
pub async fn run(settings: Settings, shutdown: Shutdown) -> anyhow::Result<()> {
    let tls = Tls::load(&settings.common.tls)?;
    tls.follow_files(&shutdown);
    let client = Client::try_default().await.context("find the cluster")?;
    let reached = Arc::new(AtomicBool::new(false));
    serve_admin(&settings, &tls, &reached, &shutdown).await?;

    let domain = format!("{}.svc.{}", settings.namespace, settings.cluster_domain);
    let metrics = Metrics::new(tls, domain, settings.admin_port);
    let clock = Clock::system();
    let context = Arc::new(Context::new(client.clone(), metrics, clock.clone()));
    let candidate = Candidate::new(client, &settings.namespace, LEASE, &settings.pod, clock);
    tracing::info!(namespace = settings.namespace, "Waiting for the lease");
    let (leads, led) = watch::channel(false);
    let stop = shutdown.clone();
    let renewing = async {
        candidate.keep(&leads, &reached, &stop).await;
        // Only now may the next one lead.
        if let Err(error) = candidate.gives_back().await {
            tracing::warn!(%error, "Could not give the lease back");
        }
    };
    let following = follow(&context, &settings.namespace, led, &shutdown);
    tokio::join!(following, renewing);
    shutdown.finished().await;
    Ok(())
}

/// Follows the plans while this process leads, until shutdown.
async fn follow(context: &Arc<Context>, namespace: &str, mut leads: watch::Receiver<bool>, shutdown: &Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            waited = leads.wait_for(|leads| *leads) => if waited.is_err() { return },
        }
        tracing::info!("Leading");
        let stop = shutdown.clone();
        tokio::select! {
            () = controller::run(Arc::clone(context), namespace, async move { stop.requested().await }) => {}
            // At once, also in the middle of a round: another may lead already.
            _ = leads.wait_for(|leads| !*leads) => tracing::info!("No longer leading"),
        }
    }
}

async fn serve_admin(
    settings: &Settings,
    tls: &Tls,
    reached: &Arc<AtomicBool>,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let listen = settings.common.admin_listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("listen on {listen}"))?;
    let reached = Arc::clone(reached);
    let complaint: admin::Complaint = Arc::new(move || {
        let reached = reached.load(Ordering::Acquire);
        async move { (!reached).then(|| "the API server does not answer".to_owned()) }.boxed()
    });
    admin::serve(listener, tls, complaint, shutdown);
    Ok(())
}
