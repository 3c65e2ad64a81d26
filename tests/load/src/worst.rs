//! The worst bodies: how long it takes to refuse them, against a filing that is taken.

use std::{io::Write, time::Duration};

use client::Client;
use e2e::{file, filing, form, person};
use hdrhistogram::Histogram;
use tokio::time::Instant;

/// Calls of each kind.
const CALLS: usize = 100;
/// Symptoms that once stopped filing for forty seconds, and the most that fit into a body.
const LISTS: [(&str, i32); 2] = [("60,000 symptoms", 60_000), ("1,000 symptoms", 1_000)];
/// What the refusal of the worst body may take.
const PROMISED: Duration = Duration::from_millis(50);

/// Measures refusals and prints them.
pub(crate) async fn measure(out: &mut impl Write, clinic: &Client) -> anyhow::Result<()> {
    let taken = calls(clinic, 0).await?;
    for (what, count) in LISTS {
        let refused = calls(clinic, count).await?;
        writeln!(
            out,
            "refusing {what}: p50 {:.1} ms, p99 {:.1} ms ({}); ratio to a filing that is taken {:.2}",
            milliseconds(&refused, 0.5),
            milliseconds(&refused, 0.99),
            if at(&refused, 0.99) < PROMISED { "within 50 ms" } else { "MORE THAN 50 ms" },
            at(&refused, 0.5).as_secs_f64() / at(&taken, 0.5).as_secs_f64(),
        )?;
    }
    Ok(())
}

async fn calls(clinic: &Client, symptoms: i32) -> anyhow::Result<Histogram<u64>> {
    let mut micros = Histogram::new(3)?;
    for _ in 0..CALLS {
        let mut form = form(&person());
        if symptoms > 0 {
            form.findings.get_or_insert_default().symptoms = (1_000..1_000 + symptoms).collect();
        }
        let began = Instant::now();
        let answer = file(clinic, filing(form)).await;
        micros.record(u64::try_from(began.elapsed().as_micros())?)?;
        anyhow::ensure!(answer.is_ok() == (symptoms == 0), "{symptoms} symptoms: {:?}", answer.err());
    }
    Ok(micros)
}

fn at(micros: &Histogram<u64>, quantile: f64) -> Duration {
    Duration::from_micros(micros.value_at_quantile(quantile))
}

fn milliseconds(micros: &Histogram<u64>, quantile: f64) -> f64 {
    at(micros, quantile).as_secs_f64() * 1_000.0
}
