//! `ForwardNotification`: another centre is responsible for the whereabouts; the notification goes into its inbox.

use std::sync::Arc;

use access::{Directory, OrganisationId, directory::Entry};
use chassis::{Call, Error};
use data::outbox;
use proto::{
    identity::OrganisationKind as Kind,
    notification::{ForwardNotificationRequest, Notification as View, NotificationForwarded},
};
use runtime::clock::day_in_japan;
use sqlx::PgConnection;
use time::Date;

use super::{lock, store};
use crate::{
    filing::{self, NotificationId},
    service::Notifications,
};

pub(crate) async fn forward(
    notifications: Notifications,
    call: Call<ForwardNotificationRequest>,
) -> Result<View, Error> {
    let (base, own) = (&notifications.base, call.caller.organisation_id);
    let id = NotificationId::parse(&call.request.notification_id)?;
    filing::learn(&notifications, &call.caller, &[id]).await?;
    let lock = async |conn: &mut PgConnection| lock(&notifications, conn, &call.caller, id).await;
    let answer = call
        .change(base, lock, async |change| {
            let to = target(&base.directory, &call.request.centre_id, own, day_in_japan(change.now))?;
            let (conn, notification) = (&mut change.tx, &mut change.held);
            notification.forward(to.id, to.prefecture, change.now);
            filing::save(conn, notification).await?;
            store::remember_centre(conn, id, own, change.now).await?;
            let event = NotificationForwarded {
                notification_id: id.to_string(),
                from_centre_id: own.to_string(),
                to_centre_id: to.id.to_string(),
            };
            outbox::add(conn, &event).await?;

            // As the caller sees it from here on.
            let relations = filing::relations(&notifications, conn, &call.caller, notification).await?;
            filing::shown(base, notification, &relations)
        })
        .await?;
    notifications.arrivals.came();
    Ok(answer)
}

/// The centre a notification goes to: one where it is read, and not the one that has it.
fn target(directory: &Directory, centre_id: &str, own: OrganisationId, day: Date) -> Result<Arc<Entry>, Error> {
    let to = directory
        .addressee(centre_id, |kind| matches!(kind, Kind::HealthCentre | Kind::City), day)
        .filter(|entry| entry.receives(day))
        .ok_or_else(|| {
            Error::invalid("centre_id", "転送先の保健所が見つかりません", "must be a health centre that is open")
        })?;
    if to.id == own {
        return Err(Error::invalid(
            "centre_id",
            "自分の保健所には転送できません",
            "must be another centre than your own",
        ));
    }
    Ok(to)
}

#[cfg(test)]
mod tests {
    use proto::{
        identity::{OrganisationKind as Kind, Role},
        notification::{ForwardNotificationRequest, ListInboxRequest, NotificationForwarded, NotificationState},
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
    async fn the_other_centre_has_it_anew() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        scene.acknowledge(&scene.nurse, acknowledging(&receipt)).await?;
        scene.world.clock.advance(Duration::hours(1));
        let request = ForwardNotificationRequest { etag: "2".to_owned(), ..forwarding(&receipt, scene.neighbour.id) };
        let gone = scene.forward(&scene.nurse, request).await?;
        assert_eq!((gone.state, gone.acknowledge_time), (NotificationState::Filed.into(), None));
        assert_eq!((gone.etag.as_str(), gone.receive_time), ("3", Some(to_proto(NOW))));
        assert_eq!(gone.receiving_centre_id, scene.neighbour.id.to_string());

        let announced: Vec<NotificationForwarded> = scene.world.announced().await?;
        let event = NotificationForwarded {
            notification_id: receipt.notification_id.clone(),
            from_centre_id: scene.centre.id.to_string(),
            to_centre_id: scene.neighbour.id.to_string(),
        };
        assert!(announced == [event]);
        let row = scene.world.audited("ForwardNotification").await?.remove(0);
        assert_eq!((row.user, row.record.to_string()), (Some(scene.nurse.user_id.uuid()), receipt.notification_id));

        for (caller, count) in [(&scene.nurse, 0), (&scene.colleague, 1)] {
            let request = ListInboxRequest::default();
            let page = scene.world.ask(&scene.notifications, caller, request, inbox::list).await?;
            assert_eq!(page.notifications.len(), count);
        }
        Ok(())
    }

    #[tokio::test]
    async fn who_had_it_goes_on_seeing_it_and_the_prefecture_it_left_does_not() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let kobe = scene.world.body(Kind::HealthCentre, 28).await?;
        let hyogo = scene.world.body(Kind::Prefecture, 28).await?.staff(Role::Coordinator);
        let there = kobe.staff(Role::Nurse);
        assert!(scene.get(&scene.coordinator, &receipt).await.is_ok());
        assert_eq!(scene.get(&hyogo, &receipt).await.refused().code(), Code::NotFound);

        let gone = scene.forward(&scene.nurse, forwarding(&receipt, kobe.id)).await?;
        for caller in [&scene.doctor, &scene.nurse, &there, &hyogo] {
            assert!(scene.get(caller, &receipt).await? == gone, "{:?} {}", caller.kind, caller.prefecture);
        }
        for caller in [&scene.coordinator, &scene.colleague] {
            assert_eq!(scene.get(caller, &receipt).await.refused().code(), Code::NotFound);
        }
        // Seeing is all that is left: the new centre works on it.
        let back = forwarding(&receipt, scene.neighbour.id);
        assert_eq!(scene.forward(&scene.nurse, back).await.refused().code(), Code::PermissionDenied);
        assert!(scene.forward(&there, forwarding(&receipt, scene.centre.id)).await.is_ok());
        // There and back again: what the centre has, it may forward a second time.
        assert!(scene.forward(&scene.nurse, forwarding(&receipt, kobe.id)).await.is_ok());
        Ok(())
    }

    #[tokio::test]
    async fn a_prefecture_forwards_what_no_centre_was_found_for() -> Outcome {
        let scene = Scene::new().await?;
        let mut request = crate::fixture::filing();
        request.form.as_mut().unwrap().subject.as_mut().unwrap().whereabouts_code.clear();
        let receipt = scene.file_as(&scene.doctor, request).await?;
        assert_eq!(receipt.receiving_centre_id, scene.prefecture.id.to_string());
        let gone = scene.forward(&scene.coordinator, forwarding(&receipt, scene.centre.id)).await?;
        assert!(scene.get(&scene.coordinator, &receipt).await? == gone);
        assert!(scene.acknowledge(&scene.nurse, acknowledging(&receipt)).await.is_ok());
        Ok(())
    }

    #[tokio::test]
    async fn a_repeated_request_is_answered_and_audited_again() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let request = forwarding(&receipt, scene.neighbour.id);
        let first = scene.forward(&scene.nurse, request.clone()).await?;
        assert!(scene.forward(&scene.nurse, request.clone()).await? == first);
        assert_eq!(scene.world.announced::<NotificationForwarded>().await?.len(), 1);
        assert_eq!(scene.world.audited("ForwardNotification").await?.len(), 2);

        let kobe = scene.world.body(Kind::HealthCentre, 28).await?;
        let changed = ForwardNotificationRequest { centre_id: kobe.id.to_string(), ..request.clone() };
        assert_eq!(scene.forward(&scene.nurse, changed).await.refused().code(), Code::AlreadyExists);
        let clerk = scene.centre.staff(Role::Clerk);
        assert_eq!(scene.forward(&clerk, request).await.refused().code(), Code::PermissionDenied);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let good = || forwarding(&receipt, scene.neighbour.id);
        let to = |id: String| ForwardNotificationRequest { centre_id: id, ..good() };
        let stranger = scene.world.body(Kind::HealthCentre, 28).await?.staff(Role::Nurse);
        for (caller, request, code, field) in [
            (&scene.doctor, good(), Code::PermissionDenied, ""),
            // It sees the notification, and it is not in its inbox.
            (&scene.coordinator, good(), Code::PermissionDenied, ""),
            (&stranger, good(), Code::NotFound, ""),
            (&scene.nurse, ForwardNotificationRequest { notification_id: request_id(), ..good() }, Code::NotFound, ""),
            (
                &scene.nurse,
                ForwardNotificationRequest { notification_id: "x".to_owned(), ..good() },
                Code::InvalidArgument,
                "notification_id",
            ),
            (&scene.nurse, to("x".to_owned()), Code::InvalidArgument, "centre_id"),
            (&scene.nurse, to(request_id()), Code::InvalidArgument, "centre_id"),
            (&scene.nurse, to(scene.clinic.id.to_string()), Code::InvalidArgument, "centre_id"),
            (&scene.nurse, to(scene.centre.id.to_string()), Code::InvalidArgument, "centre_id"),
            (&scene.nurse, ForwardNotificationRequest { etag: "7".to_owned(), ..good() }, Code::Aborted, ""),
        ] {
            let refused = scene.forward(caller, request).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{}", refused.message());
        }
        assert!(scene.world.audited("ForwardNotification").await?.is_empty());
        Ok(())
    }
}
