//! `AcknowledgeNotification`: the centre accepts (受理). Accepting what is accepted already changes nothing.

use chassis::{Call, Error};
use data::outbox;
use proto::notification::{AcknowledgeNotificationRequest, Notification as View, NotificationAcknowledged};
use sqlx::PgConnection;

use super::lock;
use crate::{
    filing::{self, NotificationId},
    service::Notifications,
};

pub(crate) async fn acknowledge(
    notifications: Notifications,
    call: Call<AcknowledgeNotificationRequest>,
) -> Result<View, Error> {
    let id = NotificationId::parse(&call.request.notification_id)?;

    filing::learn(&notifications, &call.caller, &[id]).await?;
    let lock = async |conn: &mut PgConnection| lock(&notifications, conn, &call.caller, id).await;
    call.change(&notifications.base, lock, async |change| {
        let notification = &mut change.held;
        if notification.acknowledge(change.now) {
            filing::save(&mut change.tx, notification).await?;
            let event = NotificationAcknowledged {
                notification_id: id.to_string(),
                // A responsible centre also accepts what lies in another's inbox.
                centre_id: call.caller.organisation_id.to_string(),
            };
            outbox::add(&mut change.tx, &event).await?;
        }
        filing::shown(&notifications.base, notification, &change.relations)
    })
    .await
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        identity::Role,
        notification::{
            AcknowledgeNotificationRequest, BatchAcknowledgeRequest, NotificationAcknowledged, NotificationState,
        },
        options::Group,
        registry::Relation,
    };
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{
        fixture::{Scene, acknowledging, forwarding, request_id},
        inbox,
    };

    #[tokio::test]
    async fn a_centre_accepts_once() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        scene.world.clock.advance(Duration::hours(1));
        let request = AcknowledgeNotificationRequest { etag: "1".to_owned(), ..acknowledging(&receipt) };
        let accepted = scene.acknowledge(&scene.nurse, request).await?;
        assert_eq!(accepted.state, i32::from(NotificationState::Acknowledged));
        assert_eq!(accepted.acknowledge_time, Some(to_proto(NOW + Duration::hours(1))));
        assert_eq!((accepted.etag.as_str(), accepted.form.is_some()), ("2", true));
        assert!(scene.get(&scene.nurse, &receipt).await? == accepted);

        scene.world.clock.advance(Duration::hours(1));
        let again = scene.acknowledge(&scene.nurse, acknowledging(&receipt)).await?;
        assert!(again == accepted, "another request changes nothing");
        let announced: Vec<NotificationAcknowledged> = scene.world.announced().await?;
        assert!(
            announced
                == [NotificationAcknowledged {
                    notification_id: receipt.notification_id,
                    centre_id: scene.centre.id.to_string(),
                }]
        );
        let rows = scene.world.audited("AcknowledgeNotification").await?;
        assert_eq!((rows.len(), rows[0].user), (2, Some(scene.nurse.user_id.uuid())));
        Ok(())
    }

    #[tokio::test]
    async fn the_centre_that_accepts_is_named_whoever_has_it_in_the_inbox() -> Outcome {
        let scene = Scene::new().await?;
        let (one, many) = (scene.file().await?, scene.file().await?);
        for receipt in [&one, &many] {
            let grants = [(scene.neighbour, Relation::ResponsibleCentre), (scene.centre, Relation::NotifiedCentre)];
            scene.belongs(receipt, CaseId::new(), &grants, 1).await?;
        }
        scene.acknowledge(&scene.colleague, acknowledging(&one)).await?;
        let request =
            BatchAcknowledgeRequest { request_id: request_id(), notification_ids: vec![many.notification_id] };
        scene.world.ask(&scene.notifications, &scene.colleague, request, inbox::batch_acknowledge).await?;
        let announced: Vec<NotificationAcknowledged> = scene.world.announced().await?;
        assert_eq!(announced.len(), 2);
        assert!(announced.iter().all(|event| event.centre_id == scene.neighbour.id.to_string()));
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_is_answered_as_far_as_the_caller_may_see_it_now() -> Outcome {
        let scene = Scene::new().await?;
        let (receipt, other) = (scene.file().await?, scene.file().await?);
        let request = acknowledging(&receipt);
        let first = scene.acknowledge(&scene.nurse, request.clone()).await?;
        let again = scene.acknowledge(&scene.nurse, request.clone()).await?;
        assert!(again == first);
        assert_eq!(scene.world.audited("AcknowledgeNotification").await?.len(), 2);

        // The nurse's ID was narrowed in the meantime.
        let hidden = scene.centre.narrowed(Role::Nurse, [Group::Identity]).hidden;
        let narrowed = Caller { hidden, ..scene.nurse.clone() };
        let again = scene.acknowledge(&narrowed, request.clone()).await?;
        assert_eq!(again.form.unwrap().subject.unwrap().name_kanji, "");

        let changed = AcknowledgeNotificationRequest { notification_id: other.notification_id, ..request.clone() };
        assert_eq!(scene.acknowledge(&scene.nurse, changed).await.refused().code(), Code::AlreadyExists);
        // The same id of another user is another request, and the centre has the notification no more.
        scene.forward(&scene.nurse, forwarding(&receipt, scene.neighbour.id)).await?;
        let clerk = scene.centre.staff(Role::Clerk);
        assert_eq!(scene.acknowledge(&clerk, request.clone()).await.refused().code(), Code::PermissionDenied);
        assert!(scene.acknowledge(&scene.nurse, request).await? == first, "who accepted it hears that again");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let good = || acknowledging(&receipt);
        let elsewhere = scene.neighbour.staff(Role::Nurse);
        for (caller, request, code) in [
            (&scene.doctor, good(), Code::PermissionDenied),
            // It sees the notification, and it is not in its inbox.
            (&scene.coordinator, good(), Code::PermissionDenied),
            (&elsewhere, good(), Code::NotFound),
            (&scene.nurse, AcknowledgeNotificationRequest { notification_id: request_id(), ..good() }, Code::NotFound),
            (
                &scene.nurse,
                AcknowledgeNotificationRequest { notification_id: "x".to_owned(), ..good() },
                Code::InvalidArgument,
            ),
            (
                &scene.nurse,
                AcknowledgeNotificationRequest { request_id: "x".to_owned(), ..good() },
                Code::InvalidArgument,
            ),
            (&scene.nurse, AcknowledgeNotificationRequest { etag: "7".to_owned(), ..good() }, Code::Aborted),
        ] {
            let refused = scene.acknowledge(caller, request).await.refused();
            assert_eq!(refused.code(), code, "{}", refused.message());
        }
        assert!(scene.world.audited("AcknowledgeNotification").await?.is_empty());
        assert!(scene.world.announced::<NotificationAcknowledged>().await?.is_empty());
        Ok(())
    }
}
