//! Which level of a surge is in force, and what it switches off: one small file that every process reads again and again.
//!
//! In a cluster it is a mounted `ConfigMap` that the surge operator writes, on the development stack `surge.json` in the
//! run's folder. No file is no surge.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
};
use proto::options::Switch;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{Clock, Shutdown, metrics::register};

/// How often the file is read again. A `ConfigMap` reaches the file a minute after it was written.
const EVERY: Duration = Duration::from_secs(1);

/// A file of more bytes is none of ours.
const LARGEST: usize = 64 << 10;

/// The level in force as a number: 0 is the normal one.
static LEVEL: LazyLock<Gauge> = LazyLock::new(|| {
    register("surge_level", "The level of the surge that is in force, 0 for the normal one", Gauge::default())
});

/// 1 for switches that are thrown.
static SWITCHES: LazyLock<Family<SwitchLabels, Gauge>> =
    LazyLock::new(|| register("surge_switches", "1 while the switch is thrown", Family::default()));

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct SwitchLabels {
    switch: &'static str,
}

/// The content of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The level's name.
    pub level: String,
    /// Its place among the levels, 0 for the normal one.
    pub rank: u32,
    /// What is switched off, by [`name_of`].
    #[serde(default, with = "switches")]
    pub switches: BTreeSet<Switch>,
    /// When it ends by itself, whoever forgets to end it.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub until: Option<OffsetDateTime>,
}

impl Default for State {
    fn default() -> Self {
        Self { level: "normal".to_owned(), rank: 0, switches: BTreeSet::new(), until: None }
    }
}

impl State {
    /// Reads a file's content.
    ///
    /// # Errors
    /// Names what is wrong with it.
    pub fn parse(text: &[u8]) -> anyhow::Result<Self> {
        if text.len() > LARGEST {
            bail!("must have at most {LARGEST} bytes");
        }
        let state: Self = serde_json::from_slice(text).context("read the level of the surge")?;
        if state.level.is_empty() || state.level.len() > 63 {
            bail!("level: must have 1 to 63 bytes");
        }
        Ok(state)
    }

    /// Writes it to a file, whole or not at all.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &Path) -> anyhow::Result<()> {
        let new = file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec_pretty(self)?)
            .and_then(|()| std::fs::rename(&new, file))
            .with_context(|| format!("write {}", file.display()))
    }
}

/// A switch's name in files and plans: `exports` for `SWITCH_EXPORTS`.
pub fn name_of(switch: Switch) -> String {
    switch.as_str_name().trim_start_matches("SWITCH_").to_ascii_lowercase()
}

/// Every switch.
pub fn all() -> impl Iterator<Item = Switch> {
    (1..).map_while(|number| Switch::try_from(number).ok())
}

/// The switch of a name.
pub fn named(name: &str) -> Option<Switch> {
    all().find(|switch| name_of(*switch) == name)
}

mod switches {
    use std::collections::BTreeSet;

    use proto::options::Switch;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(switches: &BTreeSet<Switch>, to: S) -> Result<S::Ok, S::Error> {
        switches.iter().map(|switch| super::name_of(*switch)).collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<BTreeSet<Switch>, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        let unknown = |name: &str| D::Error::custom(format!("switches: there is no switch `{name}`"));
        names.iter().map(|name| super::named(name).ok_or_else(|| unknown(name))).collect()
    }
}

/// What is in force now, shared by everything in a process.
#[derive(Clone, Debug, Default)]
pub struct Surge(Arc<ArcSwap<State>>);

impl Surge {
    /// Follows the file until shutdown. What cannot be read changes nothing.
    pub fn follow(file: Option<PathBuf>, clock: Clock, shutdown: &Shutdown) -> Self {
        let surge = Self::default();
        if let Some(file) = file {
            let (this, stop) = (surge.clone(), shutdown.clone());
            shutdown.spawn("surge", async move {
                let mut seen = None;
                loop {
                    this.read(&file, &mut seen).await;
                    this.show(clock.now());
                    tokio::select! {
                        () = stop.requested() => return,
                        () = tokio::time::sleep(EVERY) => {}
                    }
                }
            });
        }
        surge
    }

    async fn read(&self, file: &Path, seen: &mut Option<Vec<u8>>) {
        let text = match tokio::fs::read(file).await {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(%error, "Could not read the level of the surge");
                return;
            }
        };
        if text == *seen {
            return;
        }
        match text.as_deref().map_or_else(|| Ok(State::default()), State::parse) {
            Ok(state) => {
                tracing::info!(level = state.level, switches = ?state.switches, "The level of the surge changed");
                self.set(state);
            }
            Err(error) => tracing::warn!(error = %format!("{error:#}"), "Kept the level of the surge"),
        }
        *seen = text;
    }

    /// Puts a level in force.
    pub fn set(&self, state: State) {
        self.0.store(Arc::new(state));
    }

    /// What is in force at a moment.
    pub fn at(&self, now: OffsetDateTime) -> State {
        let state = self.0.load();
        if state.until.is_some_and(|until| until <= now) { State::default() } else { State::clone(&state) }
    }

    /// Whether a switch is thrown at a moment.
    pub fn is_thrown(&self, switch: Switch, now: OffsetDateTime) -> bool {
        let state = self.0.load();
        state.switches.contains(&switch) && state.until.is_none_or(|until| now < until)
    }

    fn show(&self, now: OffsetDateTime) {
        let state = self.at(now);
        LEVEL.set(state.rank.into());
        for switch in all() {
            let labels = SwitchLabels { switch: switch.as_str_name() };
            SWITCHES.get_or_create(&labels).set(state.switches.contains(&switch).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::options::Switch;
    use time::macros::datetime;

    use super::{State, Surge, all, name_of, named};
    use crate::{Clock, Shutdown};

    #[test]
    fn a_file_is_taken_whole_or_refused_with_the_field() {
        let told =
            br#"{"level":"surge","rank":2,"switches":["exports","long_polls"],"until":"2022-02-01T00:00:00+09:00"}"#;
        let state = State::parse(told).unwrap();
        assert_eq!(state.switches.into_iter().collect::<Vec<_>>(), [Switch::Exports, Switch::LongPolls]);
        let refused = |text: &str| format!("{:#}", State::parse(text.as_bytes()).unwrap_err());
        assert!(refused(r#"{"level":"a","rank":1,"switches":["filing"]}"#).contains("no switch `filing`"));
        assert!(refused(r#"{"level":"","rank":1}"#).contains("level: must have"));
        assert!(refused(r#"{"level":"a","rank":1,"lvl":2}"#).contains("lvl"));
        assert!(refused("").contains("EOF"));
        assert!(State::parse(&vec![b' '; 70_000]).is_err());
    }

    #[test]
    fn every_switch_has_a_name_of_its_own() {
        assert_eq!(all().count(), 4);
        assert!(all().all(|switch| named(&name_of(switch)) == Some(switch)));
        assert_eq!(named("unspecified"), None);
    }

    #[test]
    fn what_has_an_end_ends_by_itself() {
        let surge = Surge::default();
        let until = datetime!(2022-02-01 0:00 UTC);
        let state = State { rank: 1, switches: [Switch::Exports].into(), until: Some(until), ..State::default() };
        surge.set(state.clone());
        assert!(surge.is_thrown(Switch::Exports, until - Duration::from_secs(1)));
        assert!(!surge.is_thrown(Switch::LongPolls, until - Duration::from_secs(1)));
        assert!(!surge.is_thrown(Switch::Exports, until) && surge.at(until) == State::default());
        surge.set(State { until: None, ..state });
        assert!(surge.is_thrown(Switch::Exports, until + Duration::from_secs(1)));
    }

    #[tokio::test]
    async fn a_process_follows_the_file_and_keeps_what_it_had_when_it_cannot_read_it() {
        let folder = std::env::temp_dir().join(format!("surge-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&folder).unwrap();
        let (file, shutdown) = (folder.join("surge.json"), Shutdown::default());
        let surge = Surge::follow(Some(file.clone()), Clock::system(), &shutdown);
        let now = datetime!(2022-02-01 0:00 UTC);
        let comes = async |rank: u32| {
            let arrived = async {
                while surge.at(now).rank != rank {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), arrived).await.expect("the level arrives");
        };
        State { rank: 3, ..State::default() }.write(&file).unwrap();
        comes(3).await;
        // Half a file, then the next whole one: what came between left the level alone.
        std::fs::write(&file, "{").unwrap();
        State { rank: 2, ..State::default() }.write(&file).unwrap();
        comes(2).await;
        std::fs::remove_file(&file).unwrap();
        comes(0).await;
        std::fs::remove_dir_all(folder).unwrap();
    }
}
