//! What brings a level into force: a person, the time of day, what the mesh measures of itself.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Moment;

/// A level that a person has set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.expiresAt > self.requestedAt")
        .message("expiresAt: must be after requestedAt"),
    validation = Rule::new("self.expiresAt - self.requestedAt <= duration('744h')")
        .message("expiresAt: must be within 31 days of requestedAt"),
)]
pub struct Manual {
    /// The level.
    #[schemars(length(min = 1, max = 63))]
    pub level: String,
    /// Why.
    #[schemars(length(min = 1, max = 500))]
    pub reason: String,
    /// Who asked.
    #[schemars(length(min = 1, max = 253))]
    pub requested_by: String,
    /// When.
    pub requested_at: Moment,
    /// When it ends by itself.
    pub expires_at: Moment,
}

/// A level by time of day and week, in Japan's time. A window that ends before it begins runs over midnight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.from != self.to").message("to: must differ from `from`"))]
pub struct Schedule {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// The days on which it begins.
    #[schemars(length(min = 1, max = 7))]
    pub days: Vec<Day>,
    /// When it begins, `HH:MM`.
    #[schemars(length(max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub from: String,
    /// When it ends, `HH:MM`.
    #[schemars(length(max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub to: String,
    /// The level it brings.
    #[schemars(length(min = 1, max = 63))]
    pub level: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the days of the week")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// A level by what the mesh measures of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.exitBelow <= self.enterAbove").message("exitBelow: must be at most enterAbove"))]
pub struct Signal {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// What is measured.
    pub source: Source,
    /// The level it brings.
    #[schemars(length(min = 1, max = 63))]
    pub level: String,
    /// It begins when the value is above this …
    #[schemars(range(min = 0))]
    pub enter_above: i32,
    /// … for so long,
    #[schemars(range(min = 0, max = 86_400))]
    pub enter_for_seconds: i32,
    /// and ends when it is below this …
    #[schemars(range(min = 0))]
    pub exit_below: i32,
    /// … for so long.
    #[schemars(range(min = 0, max = 86_400))]
    pub exit_for_seconds: i32,
}

/// A metric of the mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// The service that tells it.
    #[schemars(length(min = 1, max = 63))]
    pub service: String,
    /// The metric, such as `hersys_lag_events`.
    #[schemars(length(min = 1, max = 200))]
    pub metric: String,
    /// Only series with these labels.
    #[serde(default)]
    #[schemars(length(max = 8))]
    pub labels: BTreeMap<String, String>,
    /// One number of all series of all replicas.
    pub aggregate: Aggregate,
    /// How fast it grows in a second, instead of what it is: for counters.
    #[serde(default)]
    pub rate: bool,
}

/// One number of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Aggregate {
    /// The largest.
    Max,
    /// All together.
    Sum,
}
