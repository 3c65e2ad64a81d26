//! `ListInbox`: what reached the caller's organisation, newest first.

use access::Relations;
use chassis::{Call, Error, Seen, page};
use proto::{
    notification::{ListInboxRequest, ListInboxResponse},
    registry::Relation,
};

use super::store;
use crate::{
    filing::{self, Notification},
    service::Notifications,
};

pub(crate) async fn list(
    notifications: Notifications,
    call: Call<ListInboxRequest>,
) -> Result<ListInboxResponse, Error> {
    let (base, request, centre) = (&notifications.base, &call.request, call.caller.organisation_id);
    let after = page::After::parse(&request.page_token)?;
    let size = page::size(request.page_size);

    let mut tx = base.pool.begin().await?;
    let rows = store::page(&mut tx, centre, data::code(request.state), after, size).await?;
    let relations = Relations::new(vec![Relation::ReceivingCentre], &call.caller);
    call.record(&mut tx, &Seen::by(&relations, rows.iter().map(|row| row.id))).await?;
    tx.commit().await?;

    let token = |row: &Notification| page::After::row(row.arrived_at, row.id).token();
    Ok(ListInboxResponse {
        next_page_token: page::next(&rows, size, token),
        notifications: rows.iter().map(|row| filing::shown(base, row, &relations)).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        identity::Role,
        notification::{ListInboxRequest, ListInboxResponse, NotificationState as State},
        options::Group,
    };
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        fixture::{Scene, acknowledging},
        inbox,
    };

    async fn list(scene: &Scene, caller: &Caller, request: ListInboxRequest) -> Result<ListInboxResponse, Status> {
        scene.world.ask(&scene.notifications, caller, request, inbox::list).await
    }

    fn ids(page: &ListInboxResponse) -> Vec<&str> {
        page.notifications.iter().map(|notification| notification.notification_id.as_str()).collect()
    }

    #[tokio::test]
    async fn the_newest_comes_first_page_by_page_each_on_record() -> Outcome {
        let scene = Scene::new().await?;
        let old = scene.file().await?;
        scene.world.clock.advance(Duration::minutes(1));
        let (middle, new) = (scene.file().await?, scene.file().await?);
        let first = list(&scene, &scene.nurse, ListInboxRequest { page_size: 2, ..Default::default() }).await?;
        assert_eq!(ids(&first), [&new.notification_id, &middle.notification_id]);
        let request = ListInboxRequest { page_size: 2, page_token: first.next_page_token, ..Default::default() };
        let second = list(&scene, &scene.nurse, request).await?;
        assert_eq!((ids(&second), second.next_page_token.as_str()), (vec![old.notification_id.as_str()], ""));
        assert_eq!(scene.world.audited("ListInbox").await?.len(), 3);

        let elsewhere = list(&scene, &scene.colleague, ListInboxRequest::default()).await?;
        assert!(elsewhere.notifications.is_empty(), "another centre's inbox is another");
        Ok(())
    }

    #[tokio::test]
    async fn a_state_is_listed_alone() -> Outcome {
        let scene = Scene::new().await?;
        let (accepted, open) = (scene.file().await?, scene.file().await?);
        scene.acknowledge(&scene.nurse, acknowledging(&accepted)).await?;
        for (state, expected) in [
            (State::Filed, vec![&open.notification_id]),
            (State::Acknowledged, vec![&accepted.notification_id]),
            (State::Unspecified, vec![&open.notification_id, &accepted.notification_id]),
        ] {
            let request = ListInboxRequest { state: state.into(), ..Default::default() };
            assert_eq!(ids(&list(&scene, &scene.nurse, request).await?), expected, "{state:?}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn an_id_does_not_see_what_is_hidden_from_it() -> Outcome {
        let scene = Scene::new().await?;
        scene.file().await?;
        let clerk = scene.centre.narrowed(Role::Clerk, [Group::Identity, Group::Administrative]);
        let page = list(&scene, &clerk, ListInboxRequest::default()).await?;
        let shown = page.notifications.first().unwrap();
        assert_eq!((shown.number.as_str(), shown.reporter_name.as_str()), ("", ""));
        assert_eq!(shown.form.as_ref().unwrap().subject.as_ref().unwrap().name_kanji, "");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let administrator = scene.centre.staff(Role::Administrator);
        for (caller, request, code, field) in [
            (&administrator, ListInboxRequest::default(), Code::PermissionDenied, ""),
            (
                &scene.nurse,
                ListInboxRequest { page_token: "x".to_owned(), ..Default::default() },
                Code::InvalidArgument,
                "page_token",
            ),
            (
                &scene.nurse,
                ListInboxRequest { page_size: 201, ..Default::default() },
                Code::InvalidArgument,
                "page_size",
            ),
            (&scene.nurse, ListInboxRequest { state: 9, ..Default::default() }, Code::InvalidArgument, "state"),
        ] {
            let refused = list(&scene, caller, request).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{field}");
        }
        Ok(())
    }
}
