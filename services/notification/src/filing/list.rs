//! `ListNotifications`: what the caller's organisation filed, newest first.

use access::Relations;
use chassis::{Call, Error, Seen, page};
use proto::{
    notification::{ListNotificationsRequest, ListNotificationsResponse},
    registry::Relation,
};

use super::{model::Notification, standing, store, view};
use crate::service::Notifications;

pub(crate) async fn list(
    notifications: Notifications,
    call: Call<ListNotificationsRequest>,
) -> Result<ListNotificationsResponse, Error> {
    let (base, request, reporter) = (&notifications.base, &call.request, call.caller.organisation_id);
    let after = page::After::parse(&request.page_token)?;
    let size = page::size(request.page_size);

    let mut tx = base.pool.begin().await?;
    let mut rows = store::filed_by(&mut tx, reporter, request.missing_only, after, size).await?;
    // Who filed it reads what they wrote without the registry; into which case it was taken, as far as the case says.
    standing::standings(&notifications, &mut tx, &call.caller, &mut rows).await?;
    let relations = Relations::new(vec![Relation::Reporter], &call.caller);
    call.record(&mut tx, &Seen::by(&relations, rows.iter().map(|row| row.id))).await?;
    tx.commit().await?;

    let token = |row: &Notification| page::After::row(row.received_at, row.id).token();
    Ok(ListNotificationsResponse {
        next_page_token: page::next(&rows, size, token),
        notifications: rows.iter().map(|row| view::shown(base, row, &relations)).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use proto::notification::{ListNotificationsRequest, ListNotificationsResponse};
    use testing::{Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        filing,
        fixture::{Scene, withdrawing},
    };

    async fn list(scene: &Scene, request: ListNotificationsRequest) -> Result<ListNotificationsResponse, Status> {
        scene.world.ask(&scene.notifications, &scene.doctor, request, filing::list).await
    }

    #[tokio::test]
    async fn a_clinic_lists_what_it_filed_and_what_it_still_has_to_supply() -> Outcome {
        let scene = Scene::new().await?;
        let mut filed = Vec::new();
        for _ in 0..3 {
            scene.world.clock.advance(Duration::minutes(1));
            filed.insert(0, scene.file().await?);
        }
        let first = list(&scene, ListNotificationsRequest { page_size: 2, ..Default::default() }).await?;
        let page_token = first.next_page_token;
        let second = list(&scene, ListNotificationsRequest { page_size: 2, page_token, ..Default::default() }).await?;
        let listed: Vec<String> =
            first.notifications.into_iter().chain(second.notifications).map(|one| one.notification_id).collect();
        assert_eq!(listed, filed.iter().map(|receipt| receipt.notification_id.clone()).collect::<Vec<_>>());

        scene.world.ask(&scene.notifications, &scene.doctor, withdrawing(&filed[0]), filing::withdraw).await?;
        let missing = list(&scene, ListNotificationsRequest { missing_only: true, ..Default::default() }).await?;
        assert_eq!(missing.notifications.len(), 2, "nobody asks for what was withdrawn");
        assert!(missing.notifications.iter().all(|one| !one.missing_items.is_empty()));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let token = ListNotificationsRequest { page_token: "x".to_owned(), ..Default::default() };
        assert_eq!(list(&scene, token).await.refused().code(), Code::InvalidArgument);
        assert!(list(&scene, ListNotificationsRequest::default()).await?.notifications.is_empty());
        Ok(())
    }
}
