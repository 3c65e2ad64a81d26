//! What has come of a plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Moment;

/// What has come of a plan. The operator reads it again: a new process goes on where the last one was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SurgePlanStatus {
    /// The generation of the plan that this belongs to.
    #[serde(default)]
    pub observed_generation: i64,
    /// The level in force.
    #[serde(default)]
    pub level: String,
    /// Since when.
    pub since: Option<Moment>,
    /// When it ends by itself, if nothing else happens.
    pub until: Option<Moment>,
    /// The level that schedules and signals ask for.
    pub automatic: Option<Automatic>,
    /// Why the level is in force, the strongest first.
    #[serde(default)]
    pub causes: Vec<String>,
    /// The signals.
    #[serde(default)]
    pub signals: Vec<SignalState>,
    /// What became of each service.
    #[serde(default)]
    pub services: Vec<Scaled>,
    /// How many placeholder pods wait.
    #[serde(default)]
    pub placeholders: i32,
    /// What is switched.
    #[serde(default)]
    pub degrade: Vec<String>,
    /// `Ready`, `WithinBudget`, `SignalsKnown`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// The level that schedules and signals ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Automatic {
    /// Its name.
    pub level: String,
    /// Since when.
    pub since: Moment,
}

/// How a signal stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalState {
    /// Its name.
    pub name: String,
    /// Whether it asks for its level.
    pub active: bool,
    /// Since when its value has been where it would change that.
    pub turning_since: Option<Moment>,
    /// Whether its value could be read.
    #[serde(default)]
    pub known: bool,
}

/// What became of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Scaled {
    /// Its name.
    pub name: String,
    /// At least so many.
    pub floor: i32,
    /// At most so many.
    pub ceiling: i32,
    /// How many there are.
    pub replicas: i32,
    /// How many of them are ready.
    pub ready: i32,
    /// Why it has not what the level says.
    pub blocked_by: Option<String>,
}

/// A condition, as Kubernetes tells them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True` or `False`.
    pub status: String,
    /// A word for programs.
    pub reason: String,
    /// A text for people.
    pub message: String,
    /// When its status last changed.
    pub last_transition_time: Moment,
}
