//! An account that tests change.

use proto::identity::{CreateServiceAccountRequest, Role, ServiceAccount};
use tonic::Status;

use super::model::example_keys;
use crate::fixture::{Scene, request_id};

/// An account of the hospital, with one key.
pub(super) async fn account(scene: &Scene) -> Result<ServiceAccount, Status> {
    let request = CreateServiceAccountRequest {
        request_id: request_id(),
        organisation_id: scene.hospital.id.to_string(),
        name: "電子カルテ".to_owned(),
        scopes: Vec::new(),
        jwks_json: example_keys(&["old"]),
        calls_per_second: 0,
    };
    let admin = scene.centre.staff(Role::Administrator);
    scene.world.ask(&scene.identity, &admin, request, super::create).await
}
