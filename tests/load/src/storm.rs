//! An open-loop generator: filings are due at their moments, whether or not earlier ones were answered, and latency counts
//! from the moment a filing was due. A slow system cannot hide by being asked less.

use std::time::Duration;

use ctl::Client;
use e2e::{file, filing, form, person};
use hdrhistogram::Histogram;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// What one phase saw.
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

/// Files at a rate for a while, spread over the clients.
pub(crate) async fn run(clients: &[Client], rate: u32, length: Duration) -> anyhow::Result<Phase> {
    let count = usize::try_from(u64::from(rate) * length.as_secs())?;
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for (index, client) in clients.iter().cycle().take(count).enumerate() {
        let due = started + Duration::from_secs(1) * u32::try_from(index)? / rate;
        sleep_until(due).await;
        let client = client.clone();
        tasks.spawn(async move {
            let answer = file(&client, filing(form(&person()))).await;
            (due.elapsed(), answer.map(|receipt| receipt.notification_id))
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
