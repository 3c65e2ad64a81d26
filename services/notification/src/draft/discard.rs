//! `DiscardDraft`: a draft is thrown away, and nothing of it is kept.

use chassis::{Call, Error, Held, Seen};
use proto::notification::{DiscardDraftRequest, DiscardDraftResponse};
use sqlx::PgConnection;

use super::{model::DraftId, store, view};
use crate::service::Notifications;

pub(crate) async fn discard(
    notifications: Notifications,
    call: Call<DiscardDraftRequest>,
) -> Result<DiscardDraftResponse, Error> {
    let (id, own) = (DraftId::parse(&call.request.draft_id)?, call.caller.organisation_id);
    let relations = view::relations(&call.caller);
    let lock = async |conn: &mut PgConnection| {
        let seen = Seen::by(&relations, [id]);
        Ok(match store::lock(conn, id, own).await? {
            Some(draft) => Held::new((), seen).version(draft.revision),
            // Whoever threw it away hears that again.
            None => Held::new((), seen).only_repeats(Error::NotFound("draft")),
        })
    };
    call.change(&notifications.base, lock, async |change| {
        store::delete(&mut change.tx, id, own).await?;
        Ok(DiscardDraftResponse { draft_id: id.to_string() })
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::notification::{DiscardDraftRequest, DiscardDraftResponse};
    use testing::{Outcome, Refused as _};
    use tonic::{Code, Status};

    use super::discard;
    use crate::{
        draft::fixture::{get, save, saving},
        fixture::{Scene, form, request_id},
    };

    fn discarding(id: &str) -> DiscardDraftRequest {
        DiscardDraftRequest { request_id: request_id(), draft_id: id.to_owned(), etag: String::new() }
    }

    async fn ask(scene: &Scene, by: &Caller, request: DiscardDraftRequest) -> Result<DiscardDraftResponse, Status> {
        scene.world.ask(&scene.notifications, by, request, discard).await
    }

    #[tokio::test]
    async fn it_is_gone_and_sent_again_it_is_gone_still() -> Outcome {
        let scene = Scene::new().await?;
        let draft = save(&scene, &scene.doctor, saving(form())).await?;
        let request = DiscardDraftRequest { etag: draft.etag.clone(), ..discarding(&draft.draft_id) };
        let once = ask(&scene, &scene.doctor, request.clone()).await?;
        assert_eq!(get(&scene, &scene.doctor, &draft.draft_id).await.refused().code(), Code::NotFound);
        assert!(ask(&scene, &scene.doctor, request).await? == once);
        assert_eq!(scene.world.audited("DiscardDraft").await?.len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let draft = save(&scene, &scene.doctor, saving(form())).await?;
        let stale = DiscardDraftRequest { etag: "7".to_owned(), ..discarding(&draft.draft_id) };
        for (caller, request, code) in [
            (&scene.nurse, discarding(&draft.draft_id), Code::NotFound),
            (&scene.doctor, discarding(&request_id()), Code::NotFound),
            (&scene.doctor, discarding("x"), Code::InvalidArgument),
            (&scene.doctor, stale, Code::Aborted),
            (&scene.coordinator, discarding(&draft.draft_id), Code::PermissionDenied),
        ] {
            assert_eq!(ask(&scene, caller, request).await.refused().code(), code);
        }
        assert!(get(&scene, &scene.doctor, &draft.draft_id).await.is_ok());
        assert!(scene.world.audited("DiscardDraft").await?.is_empty());
        Ok(())
    }
}
