//! What the mesh measures of itself, read from the admin ports of all replicas over TLS.

mod exposition;

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Mutex,
};

use futures::{StreamExt as _, stream};
use runtime::{admin, tls::Tls};
use tokio::time::Instant;

use crate::plan::{Aggregate, Signal, Source, SurgePlanSpec};
use exposition::Series;

/// Replicas asked at the same time.
const AT_ONCE: usize = 16;

/// Reads the signals of a plan.
pub struct Metrics {
    tls: Option<Tls>,
    domain: String,
    port: u16,
    /// Counters of the last time, by signal and replica.
    counted: Mutex<HashMap<(String, SocketAddr), (Instant, f64)>>,
}

impl Metrics {
    /// Reads from the headless services of a namespace, `<deployment>.<domain>:<port>`.
    pub fn new(tls: Tls, domain: String, port: u16) -> Self {
        Self { tls: Some(tls), domain, port, counted: Mutex::default() }
    }

    /// Knows nothing.
    pub fn none() -> Self {
        Self { tls: None, domain: String::new(), port: 0, counted: Mutex::default() }
    }

    /// The values of the signals that could be read.
    pub async fn read(&self, plan: &SurgePlanSpec) -> BTreeMap<String, f64> {
        let mut values = BTreeMap::new();
        for service in &plan.services {
            let signals: Vec<&Signal> = plan.signals.iter().filter(|s| s.source.service == service.name).collect();
            if signals.is_empty() {
                continue;
            }
            let said = self.ask(&service.name, &service.deployment).await;
            for signal in signals {
                if let Some(value) = self.value(signal, &said, Instant::now()) {
                    values.insert(signal.name.clone(), value);
                }
            }
        }
        values
    }

    async fn ask(&self, service: &str, deployment: &str) -> Vec<(SocketAddr, Vec<Series>)> {
        let Some(tls) = &self.tls else { return Vec::new() };
        let host = format!("{deployment}.{}:{}", self.domain, self.port);
        let addresses: Vec<SocketAddr> = match tokio::net::lookup_host(&host).await {
            Ok(found) => found.collect(),
            Err(error) => {
                tracing::warn!(%error, host, "Nobody knows the service's address");
                return Vec::new();
            }
        };
        let asked = stream::iter(addresses).map(|address| async move {
            match admin::read(service, &address.to_string(), tls, "/metrics").await {
                Ok(text) => Some((address, exposition::parse(&text))),
                Err(error) => {
                    tracing::warn!(error = %format!("{error:#}"), %address, service, "Could not read its metrics");
                    None
                }
            }
        });
        asked.buffer_unordered(AT_ONCE).filter_map(async |said| said).collect().await
    }

    /// The value of a signal; none if no replica told it, or its rate is not known yet.
    fn value(&self, signal: &Signal, said: &[(SocketAddr, Vec<Series>)], now: Instant) -> Option<f64> {
        let each = said.iter().filter_map(|(replica, series)| {
            let value = of_replica(&signal.source, series)?;
            if !signal.source.rate {
                return Some(value);
            }
            let mut counted = self.counted.lock().ok()?;
            let (then, before) = counted.insert((signal.name.clone(), *replica), (now, value))?;
            let seconds = now.duration_since(then).as_secs_f64();
            // A counter that fell belongs to a new process.
            (seconds > 0.0 && value >= before).then(|| (value - before) / seconds)
        });
        one(signal.source.aggregate, each)
    }
}

fn of_replica(source: &Source, series: &[Series]) -> Option<f64> {
    let fits = |series: &&Series| {
        series.name == source.metric && source.labels.iter().all(|(name, value)| series.labels.get(name) == Some(value))
    };
    one(source.aggregate, series.iter().filter(fits).map(|series| series.value))
}

fn one(aggregate: Aggregate, values: impl Iterator<Item = f64>) -> Option<f64> {
    match aggregate {
        Aggregate::Max => values.reduce(f64::max),
        Aggregate::Sum => values.reduce(|a, b| a + b),
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, time::Duration};

    use tokio::time::Instant;

    use super::{Metrics, exposition};
    use crate::plan::{Aggregate, Signal, Source};

    fn signal(metric: &str, aggregate: Aggregate, rate: bool) -> Signal {
        let source = Source { service: "a".to_owned(), metric: metric.to_owned(), labels: [].into(), aggregate, rate };
        Signal {
            name: "s".to_owned(),
            source,
            level: "alert".to_owned(),
            enter_above: 1,
            enter_for_seconds: 0,
            exit_below: 1,
            exit_for_seconds: 0,
        }
    }

    fn told(port: u16, text: &str) -> (SocketAddr, Vec<exposition::Series>) {
        (SocketAddr::from(([10, 0, 0, 1], port)), exposition::parse(text))
    }

    #[test]
    fn one_number_comes_of_all_series_of_all_replicas() {
        let said =
            [told(1, "lag{stage=\"outbox\"} 3\nlag{stage=\"registry\"} 9\n"), told(2, "lag{stage=\"outbox\"} 4\n")];
        let value = |signal: &Signal| Metrics::none().value(signal, &said, Instant::now());
        assert_eq!(value(&signal("lag", Aggregate::Max, false)), Some(9.0));
        assert_eq!(value(&signal("lag", Aggregate::Sum, false)), Some(16.0));
        let mut of_outbox = signal("lag", Aggregate::Sum, false);
        of_outbox.source.labels = [("stage".to_owned(), "outbox".to_owned())].into();
        assert_eq!(value(&of_outbox), Some(7.0));
        assert_eq!(value(&signal("nothing", Aggregate::Sum, false)), None);
        assert_eq!(Metrics::none().value(&of_outbox, &[], Instant::now()), None);
    }

    #[test]
    fn a_rate_is_known_from_the_second_time_on_and_survives_a_restart() {
        let (metrics, calls) = (Metrics::none(), signal("calls_total", Aggregate::Sum, true));
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let value = |text: &str, seconds: u64| metrics.value(&calls, &[told(1, text)], at(seconds));
        assert_eq!(value("calls_total{a=\"x\"} 100\ncalls_total{a=\"y\"} 50\n", 0), None);
        assert_eq!(value("calls_total{a=\"x\"} 200\ncalls_total{a=\"y\"} 50\n", 10), Some(10.0));
        assert_eq!(value("calls_total{a=\"x\"} 5\n", 20), None, "it began anew");
        assert_eq!(value("calls_total{a=\"x\"} 45\n", 30), Some(4.0));
    }
}
