//! A draft that is filed is gone with its filing, unless a colleague saved it since it was read.

use access::OrganisationId;
use chassis::Error;
use sqlx::PgConnection;

use super::{
    model::{DraftId, gone},
    store,
};

/// Takes away the draft that is filed. An empty etag accepts any revision of it.
///
/// # Errors
/// That it is not there any more, or another revision than the one that is filed.
pub(crate) async fn take(conn: &mut PgConnection, id: DraftId, of: OrganisationId, etag: &str) -> Result<(), Error> {
    let draft = store::lock(conn, id, of).await?.ok_or_else(gone)?;
    if !etag.is_empty() && draft.revision.to_string() != etag {
        return Err(Error::StaleEtag);
    }
    store::delete(conn, id, of).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto::notification::{FileNotificationRequest, NotificationFiled, SaveDraftRequest};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        draft::fixture::{get, save, saving},
        fixture::{Scene, filing, form, with_address},
    };

    #[tokio::test]
    async fn what_a_colleague_saved_since_is_not_filed_away() -> Outcome {
        let scene = Scene::new().await?;
        let draft = save(&scene, &scene.doctor, saving(form())).await?;
        let filed = |etag: &str| FileNotificationRequest {
            draft_id: draft.draft_id.clone(),
            draft_etag: etag.to_owned(),
            ..filing()
        };
        let later = SaveDraftRequest { draft_id: draft.draft_id.clone(), ..saving(with_address()) };
        let later = save(&scene, &scene.doctor, later).await?;
        let stale = scene.file_as(&scene.doctor, filed(&draft.etag)).await.refused();
        assert_eq!(stale.code(), Code::Aborted);
        assert!(get(&scene, &scene.doctor, &draft.draft_id).await? == later, "it is still there");
        assert!(scene.world.announced::<NotificationFiled>().await?.is_empty());
        assert!(scene.world.audited("FileNotification").await?.is_empty());

        let request = filed(&later.etag);
        let receipt = scene.file_as(&scene.doctor, request.clone()).await?;
        assert_eq!(get(&scene, &scene.doctor, &draft.draft_id).await.refused().code(), Code::NotFound);
        assert!(scene.file_as(&scene.doctor, request).await? == receipt, "sent again, it is the same filing");
        let gone = scene.file_as(&scene.doctor, filed(&later.etag)).await.refused();
        assert_eq!(gone.code(), Code::FailedPrecondition);
        Ok(())
    }

    #[tokio::test]
    async fn an_empty_etag_accepts_any_revision() -> Outcome {
        let scene = Scene::new().await?;
        let draft = save(&scene, &scene.doctor, saving(form())).await?;
        save(&scene, &scene.doctor, SaveDraftRequest { draft_id: draft.draft_id.clone(), ..saving(form()) }).await?;
        let request = FileNotificationRequest { draft_id: draft.draft_id.clone(), ..filing() };
        assert!(scene.file_as(&scene.doctor, request).await.is_ok());
        Ok(())
    }
}
