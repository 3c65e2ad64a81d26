//! Handing back: fields keep their values, and the operator no longer owns them.
//!
//! Applying an empty set would take the fields away: a scaler without `minReplicas` falls to one replica in the middle of a wave.

use k8s_openapi::{
    api::autoscaling::v2::HorizontalPodAutoscaler, apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry,
};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{MANAGER, Refused};

/// Takes the operator off the list of those who own fields of an object. Others on the list stay; an object cannot have an empty
/// list, so the last owner leaves one entry without fields.
///
/// # Errors
/// When the API server does not take it: somebody changed the object meanwhile, try again.
pub async fn release(scalers: &Api<HorizontalPodAutoscaler>, held: &HorizontalPodAutoscaler) -> Result<(), Refused> {
    let owners = held.managed_fields();
    let mut others: Vec<ManagedFieldsEntry> =
        owners.iter().filter(|owner| owner.manager.as_deref() != Some(MANAGER)).cloned().collect();
    if others.len() == owners.len() {
        return Ok(());
    }
    if others.is_empty() {
        // An API server takes an empty list as a wish to keep the old one, and a list of one empty entry as none.
        others.push(ManagedFieldsEntry::default());
    }
    let patch = json!({
        "metadata": { "managedFields": others, "resourceVersion": held.resource_version() },
    });
    scalers.patch(&held.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}
