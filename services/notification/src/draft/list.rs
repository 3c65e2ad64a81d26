//! `ListDrafts`: the drafts of the caller's organisation, newest first.

use chassis::{Call, Error, Seen, page};
use proto::notification::{ListDraftsRequest, ListDraftsResponse};

use super::{model::Draft, store, view};
use crate::service::Notifications;

pub(crate) async fn list(
    notifications: Notifications,
    call: Call<ListDraftsRequest>,
) -> Result<ListDraftsResponse, Error> {
    let (base, request, caller) = (&notifications.base, &call.request, &call.caller);
    let after = page::After::parse(&request.page_token)?;
    let size = page::size(request.page_size);

    let mut tx = base.pool.begin().await?;
    let rows = store::page(&mut tx, caller.organisation_id, after, size).await?;
    call.record(&mut tx, &Seen::by(&view::relations(caller), rows.iter().map(|row| row.id))).await?;
    tx.commit().await?;

    let today = call.today();
    // By when it was begun: a draft that is saved again stays in its place.
    let token = |row: &Draft| page::After::row(row.created_at, row.id).token();
    Ok(ListDraftsResponse {
        next_page_token: page::next(&rows, size, token),
        drafts: rows.iter().map(|row| view::shown(base, row, caller, today)).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use proto::notification::{ListDraftsRequest, ListDraftsResponse, SaveDraftRequest};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use super::list;
    use crate::{
        draft::fixture::{save, saving},
        fixture::{Scene, form},
    };

    async fn ask(scene: &Scene, request: ListDraftsRequest) -> Result<ListDraftsResponse, Status> {
        scene.world.ask(&scene.notifications, &scene.doctor, request, list).await
    }

    #[tokio::test]
    async fn the_newest_comes_first_and_pages_stand_still_while_drafts_are_saved() -> Outcome {
        let scene = Scene::new().await?;
        let mut drafts = Vec::new();
        for _ in 0..3 {
            scene.world.clock.advance(Duration::minutes(1));
            drafts.insert(0, save(&scene, &scene.doctor, saving(form())).await?.draft_id);
        }
        save(&scene, &scene.nurse, saving(form())).await?;
        let first = ask(&scene, ListDraftsRequest { page_size: 2, ..ListDraftsRequest::default() }).await?;
        let again = SaveDraftRequest { draft_id: drafts[2].clone(), ..saving(form()) };
        save(&scene, &scene.doctor, again).await?;
        let second = ListDraftsRequest { page_size: 2, page_token: first.next_page_token };
        let second = ask(&scene, second).await?;
        let seen: Vec<String> = first.drafts.into_iter().chain(second.drafts).map(|draft| draft.draft_id).collect();
        assert_eq!((seen, second.next_page_token.as_str()), (drafts, ""), "those of the centre are not among them");
        assert_eq!(scene.world.audited("ListDrafts").await?.len(), 3);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        for request in [
            ListDraftsRequest { page_token: "x".to_owned(), ..ListDraftsRequest::default() },
            ListDraftsRequest { page_size: 201, ..ListDraftsRequest::default() },
        ] {
            assert_eq!(ask(&scene, request).await.refused().code(), Code::InvalidArgument);
        }
        let request = ListDraftsRequest::default();
        let refused = scene.world.ask(&scene.notifications, &scene.coordinator, request, list).await.refused();
        assert_eq!(refused.code(), Code::PermissionDenied);
        Ok(())
    }
}
