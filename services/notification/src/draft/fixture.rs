//! What tests do with drafts.

use access::Caller;
use proto::notification::{Draft, Form, GetDraftRequest, SaveDraftRequest};
use tonic::Status;

use crate::fixture::{Scene, request_id};

pub(super) fn saving(form: Form) -> SaveDraftRequest {
    SaveDraftRequest { request_id: request_id(), form: Some(form), ..SaveDraftRequest::default() }
}

pub(super) async fn save(scene: &Scene, caller: &Caller, request: SaveDraftRequest) -> Result<Draft, Status> {
    scene.world.ask(&scene.notifications, caller, request, super::save).await
}

pub(super) async fn get(scene: &Scene, caller: &Caller, id: &str) -> Result<Draft, Status> {
    let request = GetDraftRequest { draft_id: id.to_owned() };
    scene.world.ask(&scene.notifications, caller, request, super::get).await
}
