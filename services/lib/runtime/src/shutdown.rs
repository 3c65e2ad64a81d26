//! An orderly stop: listeners first, then consumers and relay, then what is still running.

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use crate::{problem::Language, trace};

/// How long running work may take after the signal.
const GRACE: Duration = Duration::from_secs(20);

/// The stop signal, and every task that must end before the process does.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Stops on SIGTERM and SIGINT.
    ///
    /// # Errors
    /// When the process may not listen to signals.
    pub fn on_signals() -> anyhow::Result<Self> {
        let shutdown = Self::default();
        let mut terminate = signal(SignalKind::terminate()).context("listen to SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listen to SIGINT")?;
        let token = shutdown.token.clone();
        shutdown.tasks.spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                () = token.cancelled() => {}
            }
            token.cancel();
        });
        Ok(shutdown)
    }

    /// Resolves when a stop has been requested.
    pub async fn requested(&self) {
        self.token.cancelled().await;
    }

    /// Whether a stop has been requested.
    pub fn is_requested(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Requests a stop, as a signal would.
    pub fn request(&self) {
        self.token.cancel();
    }

    /// Starts a task that must end before the process does. A task that panics stops the process.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let token = self.token.clone();
        let task = self.tasks.spawn(work.instrument(tracing::info_span!("task", name)));
        self.tasks.spawn(async move {
            if task.await.is_err() {
                tracing::error!(name, "Task {name} panicked");
                token.cancel();
            }
        });
    }

    /// Runs work to its end even if the caller goes away: a cancelled RPC must not leave a transaction half done.
    ///
    /// # Errors
    /// When the work panicked.
    pub async fn detach<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, tokio::task::JoinError> {
        self.tasks.spawn(Language::current().scope(trace::current().scope(work.in_current_span()))).await
    }

    /// Waits until every task has ended, twenty seconds at most.
    pub async fn finished(&self) {
        self.token.cancel();
        self.tasks.close();
        if tokio::time::timeout(GRACE, self.tasks.wait()).await.is_err() {
            tracing::warn!("Stopped with {} tasks still running", self.tasks.len());
        }
    }
}
