//! What tests define.

use access::Caller;
use proto::{
    notification::{DefineLocalItemRequest, LocalChoice, LocalItem as View},
    registry::ItemType,
};
use tonic::Status;

use super::define;
use crate::fixture::{Scene, request_id};

/// An item of a type, in force from today on.
pub(super) fn item(r#type: ItemType) -> View {
    let code = |code: &str| LocalChoice { code: code.to_owned(), ja: format!("選択肢{code}"), en: String::new() };
    let choices = matches!(r#type, ItemType::Choice | ItemType::Choices);
    View {
        ja: "利用した施設".to_owned(),
        r#type: r#type.into(),
        choices: Some(["a", "b"].map(code).to_vec()).filter(|_| choices).unwrap_or_default(),
        ..View::default()
    }
}

/// Somebody defines an item.
pub(super) async fn put(scene: &Scene, caller: &Caller, item: View) -> Result<View, Status> {
    let request = DefineLocalItemRequest { request_id: request_id(), item: Some(item), etag: String::new() };
    scene.world.ask(&scene.notifications, caller, request, define).await
}
