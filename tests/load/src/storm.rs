//! An open-loop generator: each call is due at a fixed time, whether or not earlier ones were answered, and latency
//! counts from when the call was due. A slow system cannot hide by being asked less.

use std::time::Duration;

use client::Client;
use hdrhistogram::Histogram;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tonic::Status;

/// The result of one phase.
pub(crate) struct Phase {
    pub per_second: f64,
    pub errors: usize,
    pub acknowledged: Vec<String>,
    micros: Histogram<u64>,
}

impl Phase {
    pub(crate) fn milliseconds(&self, quantile: f64) -> f64 {
        Duration::from_micros(self.micros.value_at_quantile(quantile)).as_secs_f64() * 1_000.0
    }

    pub(crate) fn p99(&self) -> Duration {
        Duration::from_micros(self.micros.value_at_quantile(0.99))
    }
}

/// Calls at a rate for a while, spread over the clients. A call answers with the id of what it made.
pub(crate) async fn run<F, Fut>(clients: &[Client], rate: u32, length: Duration, call: F) -> anyhow::Result<Phase>
where
    F: Fn(Client, usize) -> Fut,
    Fut: Future<Output = Result<String, Status>> + Send + 'static,
{
    let count = usize::try_from(u64::from(rate) * length.as_secs())?;
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for (index, client) in clients.iter().cycle().take(count).enumerate() {
        let due = started + Duration::from_secs(1) * u32::try_from(index)? / rate;
        sleep_until(due).await;
        let answer = call(client.clone(), index);
        tasks.spawn(async move {
            let answer = answer.await;
            (due.elapsed(), answer)
        });
    }
    let mut phase =
        Phase { per_second: 0.0, errors: 0, acknowledged: Vec::with_capacity(count), micros: Histogram::new(3)? };
    while let Some(done) = tasks.join_next().await {
        let (took, answer) = done?;
        phase.micros.record(u64::try_from(took.as_micros())?)?;
        match answer {
            Ok(id) => phase.acknowledged.push(id),
            Err(_) => phase.errors += 1,
        }
    }
    let answered = f64::from(u32::try_from(phase.acknowledged.len())?);
    phase.per_second = answered / started.elapsed().as_secs_f64();
    Ok(phase)
}
