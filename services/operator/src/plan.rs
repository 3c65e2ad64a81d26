//! A surge plan: levels, what brings them into force, and what has come of it. The custom resource `SurgePlan`.
//!
//! The rules stand once, as CEL: the API server enforces them on the resource, and [`SurgePlan::read`] on a file.

#![expect(unreachable_pub, reason = "what the derive makes beside the types")]

mod moment;
mod status;
mod triggers;

use std::collections::BTreeSet;

use anyhow::Context as _;
use kube::{CustomResource, CustomResourceExt as _, KubeSchema};
use proto::options::Switch;
use runtime::surge;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use moment::Moment;
pub use status::{Automatic, Condition, Scaled, SignalState, SurgePlanStatus};
pub use triggers::{Aggregate, Day, Manual, Schedule, Signal, Source};

/// How the mesh is scaled in a wave.
#[expect(clippy::duplicated_attributes, reason = "columns have the same keys")]
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "surge.hersys.internal",
    version = "v1alpha1",
    kind = "SurgePlan",
    plural = "surgeplans",
    shortname = "surge",
    namespaced,
    cel,
    doc = "How the mesh is scaled in a wave: levels, and what brings them into force.",
    status = "SurgePlanStatus",
    derive = "PartialEq",
    printcolumn(name = "Level", type_ = "string", json_path = ".status.level"),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.since"),
    printcolumn(name = "Cause", type_ = "string", json_path = ".status.causes[0]"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(
    validation = Rule::new("self.services.all(a, self.services.exists_one(b, b.name == a.name))")
        .message("services: a name may be there once only"),
    validation = Rule::new("self.levels.all(a, self.levels.exists_one(b, b.name == a.name))")
        .message("levels: a name may be there once only"),
    validation = Rule::new("self.levels.all(l, l.bounds.size() == self.services.size() && self.services.all(s, l.bounds.exists_one(b, b.service == s.name)))")
        .message("levels.bounds: must have each service of `services` once"),
    validation = Rule::new("self.levels.all(l, l.bounds.map(b, b.floor * self.services.filter(s, s.name == b.service).map(s, s.connections).sum()).sum() <= self.connectionBudget)")
        .message("levels.bounds.floor: the floors of a level together open more connections than connectionBudget"),
    validation = Rule::new("self.levels.all(l, l.bounds.map(b, b.ceiling * self.services.filter(s, s.name == b.service).map(s, s.connections).sum()).sum() <= self.connectionBudget)")
        .message("levels.bounds.ceiling: the ceilings of a level together open more connections than connectionBudget"),
    validation = Rule::new("!has(self.freezeScaleInFrom) || self.levels.exists(l, l.name == self.freezeScaleInFrom)")
        .message("freezeScaleInFrom: must be a level of `levels`"),
    validation = Rule::new("!has(self.manual) || self.levels.exists(l, l.name == self.manual.level)")
        .message("manual.level: must be a level of `levels`"),
    validation = Rule::new("self.schedules.all(a, self.levels.exists(l, l.name == a.level))")
        .message("schedules.level: must be a level of `levels`"),
    validation = Rule::new("self.schedules.all(a, self.schedules.exists_one(b, b.name == a.name))")
        .message("schedules: a name may be there once only"),
    validation = Rule::new("self.signals.all(a, self.levels.exists(l, l.name == a.level))")
        .message("signals.level: must be a level of `levels`"),
    validation = Rule::new("self.signals.all(a, self.signals.exists_one(b, b.name == a.name))")
        .message("signals: a name may be there once only"),
)]
pub struct SurgePlanSpec {
    /// Whether the operator acts (`Enforce`), or only says what it would do (`Recommend`).
    pub mode: Mode,
    /// The most connections to the database that all replicas together may open.
    #[schemars(range(min = 1, max = 100_000))]
    pub connection_budget: i32,
    /// How long a level that a schedule or a signal brought stays at least. Higher levels come at once; who sets a level by
    /// hand waits for nothing.
    #[schemars(range(min = 0, max = 86_400))]
    pub minimum_dwell_seconds: i32,
    /// From this level on, nothing scales in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub freeze_scale_in_from: Option<String>,
    /// The `ConfigMap` that tells gateway and services which level is in force.
    #[schemars(length(min = 1, max = 253))]
    pub state_config_map: String,
    /// A Deployment of pods that do nothing and make room for the next ones: warm nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub placeholder_deployment: Option<String>,
    /// The services, the most important first: where connections run short, the last ones wait.
    #[schemars(length(min = 1, max = 16))]
    pub services: Vec<Service>,
    /// The levels, the normal one first.
    #[schemars(length(min = 1, max = 8))]
    pub levels: Vec<Level>,
    /// A level that a person has set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manual: Option<Manual>,
    /// Levels by time of day and week.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub schedules: Vec<Schedule>,
    /// Levels by what the mesh measures of itself.
    #[serde(default)]
    #[schemars(length(max = 16))]
    pub signals: Vec<Signal>,
}

/// Whether the operator acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Says what it would do.
    Recommend,
    /// Does it.
    Enforce,
}

/// A service that scales.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Its name in the mesh, such as `identity`.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its Deployment; the headless Service has the same name.
    #[schemars(length(min = 1, max = 253))]
    pub deployment: String,
    /// How many connections to the database one replica opens at most.
    #[schemars(range(min = 0, max = 1_000))]
    pub connections: i32,
    /// Percent of the requested CPU at which more replicas come.
    #[schemars(range(min = 1, max = 100))]
    pub target_cpu_percent: i32,
}

/// A level of a surge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Level {
    /// Its name.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// How many replicas each service has, at least and at most.
    #[schemars(length(max = 16))]
    pub bounds: Vec<Bounds>,
    /// How many placeholder pods wait.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000))]
    pub placeholders: i32,
    /// What is switched, by name: `exports`, `heavy_statistics`, `long_polls`, `sign_in_queue`.
    #[serde(default)]
    #[schemars(length(max = 8), schema_with = "switches")]
    pub degrade: Vec<String>,
}

/// How many replicas a service has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.floor <= self.ceiling").message("floor: must be at most ceiling"))]
pub struct Bounds {
    /// The service.
    #[schemars(length(min = 1, max = 63))]
    pub service: String,
    /// At least so many.
    #[schemars(range(min = 1, max = 1_000))]
    pub floor: i32,
    /// At most so many.
    #[schemars(range(min = 1, max = 1_000))]
    pub ceiling: i32,
}

fn switches(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let names: Vec<String> = surge::all().map(surge::name_of).collect();
    schemars::json_schema!({ "type": "array", "maxItems": 8, "items": { "type": "string", "enum": names } })
}

/// The definition of the resource, as YAML. Helm leaves it alone when the chart is taken away: with it all plans would go.
///
/// # Errors
/// When it cannot be written as YAML.
pub fn definition() -> anyhow::Result<String> {
    let mut definition = SurgePlan::crd();
    let keep = [("helm.sh/resource-policy".to_owned(), "keep".to_owned())];
    definition.metadata.annotations = Some(keep.into());
    serde_saphyr::to_string(&definition).context("write the definition")
}

impl SurgePlanSpec {
    /// A level's place among the levels.
    pub fn rank(&self, level: &str) -> Option<usize> {
        self.levels.iter().position(|known| known.name == level)
    }
}

impl Level {
    /// The bounds of a service.
    pub fn of(&self, service: &str) -> Option<&Bounds> {
        self.bounds.iter().find(|bounds| bounds.service == service)
    }

    /// What it switches.
    pub fn switches(&self) -> BTreeSet<Switch> {
        self.degrade.iter().filter_map(|name| surge::named(name)).collect()
    }
}

impl SurgePlan {
    /// Reads a plan from YAML: the first document of its kind, checked by the rules of the resource.
    ///
    /// # Errors
    /// Names the field and the rule.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let documents = text.split("\n---").filter(|part| part.contains("kind: SurgePlan"));
        let plan = documents.into_iter().next().context("there is no SurgePlan in it")?;
        let plan: Self = serde_saphyr::from_str(plan).context("read the SurgePlan")?;
        plan.check()?;
        Ok(plan)
    }

    /// Checks the rules that the API server enforces, as it does.
    ///
    /// # Errors
    /// Names the field and the rule.
    pub fn check(&self) -> anyhow::Result<()> {
        self.validate_cel().map_err(|errors| anyhow::anyhow!("the SurgePlan breaks a rule: {errors}"))
    }
}

#[cfg(test)]
pub(crate) mod tests;
