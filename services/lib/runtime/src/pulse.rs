//! Whether the tasks of a process go on: what hangs silently must not be called ready.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

/// A task that has not been heard of for this long hangs.
const HANGS: Duration = Duration::from_secs(20);

/// How far a clock may differ from the database's. Beyond that, deadlines would pass or days begin that have not.
const SKEW: Duration = Duration::from_mins(1);

/// The pulses of a process, by task.
#[derive(Clone, Debug, Default)]
pub struct Pulses(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    beats: BTreeMap<&'static str, Instant>,
    skewed: bool,
}

impl Pulses {
    /// A task says that it goes on.
    pub fn beat(&self, task: &'static str) {
        if let Ok(mut state) = self.0.lock() {
            state.beats.insert(task, Instant::now());
        }
    }

    /// How far the clock of this process is from the database's.
    pub fn clock_differs_by(&self, difference: Duration) {
        if let Ok(mut state) = self.0.lock() {
            let skewed = difference > SKEW;
            if skewed && !state.skewed {
                tracing::error!(
                    seconds = difference.as_secs(),
                    "The clock differs from the database's: acting on nothing"
                );
            }
            state.skewed = skewed;
        }
    }

    /// Whether the process may act on what time it is.
    pub fn may_act(&self) -> bool {
        self.0.lock().is_ok_and(|state| !state.skewed)
    }

    /// What is wrong; `None` while everything goes on.
    pub fn complaint(&self) -> Option<String> {
        let Ok(state) = self.0.lock() else { return Some("a task panicked".to_owned()) };
        if state.skewed {
            return Some("the clock differs from the database's".to_owned());
        }
        let hangs = state.beats.iter().find(|(_, beat)| beat.elapsed() > HANGS);
        hangs.map(|(task, beat)| format!("{task} has not been heard of for {} s", beat.elapsed().as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pulses;

    #[tokio::test(start_paused = true)]
    async fn whoever_falls_silent_is_named_and_a_wrong_clock_acts_on_nothing() {
        let pulses = Pulses::default();
        pulses.beat("relay");
        pulses.beat("sealer");
        assert_eq!(pulses.complaint(), None);
        tokio::time::advance(Duration::from_secs(15)).await;
        pulses.beat("sealer");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(pulses.complaint().as_deref(), Some("relay has not been heard of for 25 s"));
        pulses.beat("relay");
        assert_eq!(pulses.complaint(), None);

        pulses.clock_differs_by(Duration::from_hours(24));
        assert!(!pulses.may_act() && pulses.complaint().is_some());
        pulses.clock_differs_by(Duration::from_secs(2));
        assert!(pulses.may_act() && pulses.complaint().is_none());
    }
}
