//! `GetDraft`: a draft of the caller's organisation.

use chassis::{Call, Error, Seen};
use proto::notification::{Draft as View, GetDraftRequest};

use super::{model::DraftId, store, view};
use crate::service::Notifications;

pub(crate) async fn get(notifications: Notifications, call: Call<GetDraftRequest>) -> Result<View, Error> {
    let (base, caller) = (&notifications.base, &call.caller);
    let id = DraftId::parse(&call.request.draft_id)?;

    let mut tx = base.pool.begin().await?;
    let draft = store::find(&mut tx, id, caller.organisation_id).await?.ok_or(Error::NotFound("draft"))?;
    call.record(&mut tx, &Seen::by(&view::relations(caller), [id])).await?;
    tx.commit().await?;

    view::shown(base, &draft, caller, call.today())
}

#[cfg(test)]
mod tests {
    use proto::{identity::Role, options::Group};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        draft::fixture::{get, save, saving},
        fixture::{Scene, form, request_id},
    };

    #[tokio::test]
    async fn a_colleague_reads_it_as_far_as_the_id_sees_and_is_on_record() -> Outcome {
        let scene = Scene::new().await?;
        let draft = save(&scene, &scene.doctor, saving(form())).await?;
        let clerk = scene.clinic.narrowed(Role::Clerk, [Group::Identity]);
        let seen = get(&scene, &clerk, &draft.draft_id).await?;
        let subject = seen.form.unwrap().subject.unwrap();
        assert_eq!((subject.name_kanji.as_str(), subject.whereabouts.as_str()), ("", "大阪市北区"));
        let rows = scene.world.audited("GetDraft").await?;
        assert_eq!((rows.len(), rows[0].user), (1, Some(clerk.user_id.uuid())));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let draft = save(&scene, &scene.doctor, saving(form())).await?;
        for (caller, id, code) in [
            (&scene.nurse, draft.draft_id.clone(), Code::NotFound),
            (&scene.doctor, request_id(), Code::NotFound),
            (&scene.doctor, "x".to_owned(), Code::InvalidArgument),
            (&scene.coordinator, draft.draft_id.clone(), Code::PermissionDenied),
        ] {
            assert_eq!(get(&scene, caller, &id).await.refused().code(), code);
        }
        assert!(scene.world.audited("GetDraft").await?.is_empty());
        Ok(())
    }
}
