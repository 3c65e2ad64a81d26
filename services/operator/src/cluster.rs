//! What the operator reads and writes in the cluster. Everything is written by server-side apply under its own name and never by
//! force: a field that somebody else owns stays theirs.

mod release;

use std::collections::BTreeMap;

use k8s_openapi::api::{apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, core::v1::ConfigMap};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams},
    core::ObjectMeta,
};
use runtime::surge::State;
use serde_json::{Value, json};

use crate::{
    decide::Granted,
    plan::{Service, SurgePlan, SurgePlanStatus},
};

pub use release::release;

/// The name under which the operator writes.
pub const MANAGER: &str = "hersys-surge";

/// The file in the `ConfigMap` that gateway and services read.
pub const STATE_FILE: &str = "surge.json";

/// Annotations and labels by which Helm knows its own: a chart can take over what the operator has handed back.
const OF_HELM: [&str; 3] =
    ["meta.helm.sh/release-name", "meta.helm.sh/release-namespace", "app.kubernetes.io/managed-by"];

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Somebody else owns a field of it; or it is not as it must be. Others may go on.
    #[error("{0}")]
    Blocked(String),
    /// The API server does not answer, or is busy: try everything again.
    #[error("the API server does not answer")]
    Away(#[source] Box<kube::Error>),
}

impl From<kube::Error> for Refused {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if matches!(status.code, 400 | 403 | 404 | 409 | 422) => {
                Self::Blocked(status.message.chars().take(300).collect())
            }
            _ => Self::Away(Box::new(error)),
        }
    }
}

/// How many replicas a Deployment has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// How many there are, those that come and go included.
    pub all: i32,
    /// How many are ready.
    pub ready: i32,
}

/// A namespace of the cluster.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    namespace: String,
}

impl Cluster {
    /// The namespace of a plan.
    pub fn of(client: Client, plan: &SurgePlan) -> Self {
        Self { client, namespace: plan.namespace().unwrap_or_default() }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A service's Deployment.
    ///
    /// # Errors
    /// When there is none, or the API server does not answer.
    pub async fn deployment(&self, service: &Service) -> Result<Deployment, Refused> {
        Ok(self.api::<Deployment>().get(&service.deployment).await?)
    }

    /// Gives a service its bounds. The scaler is the operator's whole: where the chart keeps one of its own, this is refused.
    ///
    /// # Errors
    /// When somebody else owns the scaler's fields.
    pub async fn scale(
        &self,
        plan: &SurgePlan,
        service: &Service,
        deployment: &Deployment,
        granted: &Granted,
        frozen: bool,
    ) -> Result<(), Refused> {
        let scale_down = if frozen {
            json!({ "selectPolicy": "Disabled" })
        } else {
            // A wave comes back: pods go one by one, and late.
            json!({
                "stabilizationWindowSeconds": 600,
                "policies": [{ "type": "Pods", "value": 1, "periodSeconds": 120 }],
            })
        };
        let target = json!({ "type": "Utilization", "averageUtilization": service.target_cpu_percent });
        let body = json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": named(plan, &service.deployment, Some(deployment)),
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": service.deployment },
                "minReplicas": granted.floor,
                "maxReplicas": granted.ceiling,
                "metrics": [{ "type": "Resource", "resource": { "name": "cpu", "target": target } }],
                "behavior": {
                    "scaleUp": {
                        "stabilizationWindowSeconds": 0,
                        "policies": [{ "type": "Percent", "value": 100, "periodSeconds": 30 }],
                    },
                    "scaleDown": scale_down,
                },
            },
        });
        let scalers = self.api::<HorizontalPodAutoscaler>();
        scalers.patch(&service.deployment, &PatchParams::apply(MANAGER), &Patch::Apply(body)).await?;
        Ok(())
    }

    /// Says how many placeholder pods wait.
    ///
    /// # Errors
    /// When there is no such Deployment, or somebody else says how many.
    pub async fn place(&self, deployment: &str, replicas: i32) -> Result<(), Refused> {
        let body = json!({
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": { "name": deployment },
            "spec": { "replicas": replicas },
        });
        let deployments = self.api::<Deployment>();
        deployments.patch_scale(deployment, &PatchParams::apply(MANAGER), &Patch::Apply(body)).await?;
        Ok(())
    }

    /// Tells gateway and services which level is in force.
    ///
    /// # Errors
    /// When somebody else owns the `ConfigMap`'s file.
    pub async fn tell(&self, plan: &SurgePlan, state: &State) -> Result<(), Refused> {
        let text = serde_json::to_string(state).map_err(|error| Refused::Blocked(error.to_string()))?;
        let name = &plan.spec.state_config_map;
        let body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": named(plan, name, None),
            "data": { STATE_FILE: text },
        });
        self.api::<ConfigMap>().patch(name, &PatchParams::apply(MANAGER), &Patch::Apply(body)).await?;
        Ok(())
    }

    /// Writes what has come of the plan.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn report(&self, plan: &SurgePlan, status: &SurgePlanStatus) -> Result<(), Refused> {
        let body = json!({
            "apiVersion": SurgePlan::api_version(&()),
            "kind": SurgePlan::kind(&()),
            "metadata": { "name": plan.name_any() },
            "status": status,
        });
        // Nobody but the operator says what came of a plan.
        let params = PatchParams::apply(MANAGER).force();
        self.api::<SurgePlan>().patch_status(&plan.name_any(), &params, &Patch::Apply(body)).await?;
        Ok(())
    }

    /// Hands a service's scaler back: it keeps its bounds, and anybody may own them.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn hand_back(&self, service: &Service) -> Result<(), Refused> {
        let scalers = self.api::<HorizontalPodAutoscaler>();
        let Some(held) = scalers.get_opt(&service.deployment).await? else { return Ok(()) };
        release(&scalers, &held).await
    }
}

/// Name, labels and annotations of what the operator makes; it goes with its owner.
fn named(plan: &SurgePlan, name: &str, owner: Option<&Deployment>) -> Value {
    let mut metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let of_plan = |kept: &BTreeMap<String, String>| -> BTreeMap<String, String> {
        OF_HELM.iter().filter_map(|key| Some(((*key).to_owned(), kept.get(*key)?.clone()))).collect()
    };
    metadata.labels = Some(of_plan(plan.labels())).filter(|labels| !labels.is_empty());
    metadata.annotations = Some(of_plan(plan.annotations())).filter(|annotations| !annotations.is_empty());
    metadata.owner_references = owner.and_then(|owner: &Deployment| owner.owner_ref(&())).map(|owner| vec![owner]);
    json!(metadata)
}
