//! `ReturnNotification`: whoever filed it is to amend it (返戻). In the sense of the law it stays filed.

use chassis::{Call, Error};
use data::outbox;
use proto::notification::{
    Notification as View, NotificationReturned, NotificationState as State, ReturnNotificationRequest,
};
use runtime::problem::why;
use sqlx::PgConnection;

use super::{lock, store};
use crate::{
    filing::{self, NotificationId, REASON},
    service::Notifications,
};

pub(crate) async fn send_back(
    notifications: Notifications,
    call: Call<ReturnNotificationRequest>,
) -> Result<View, Error> {
    let base = &notifications.base;
    let id = NotificationId::parse(&call.request.notification_id)?;

    filing::learn(&notifications, &call.caller, &[id]).await?;
    let lock = async |conn: &mut PgConnection| lock(&notifications, conn, &call.caller, id).await;
    call.change(base, lock, async |change| {
        let notification = &mut change.held;
        if notification.state == State::Returned {
            return Err(Error::Precondition(why(
                "ALREADY_RETURNED",
                "この届出は既に返戻されています。",
                "This notification was returned already.",
            )));
        }
        let reason = base.vault.seal(REASON, id.uuid().as_bytes(), call.request.reason.as_bytes())?;
        notification.returned(reason);
        // What a responsible centre returns comes back to it, whoever had accepted it before.
        if !notification.is_in_inbox_of(&call.caller) {
            store::remember_centre(&mut change.tx, id, notification.receiving_centre, change.now).await?;
            notification.place(call.caller.organisation_id, call.caller.prefecture, change.now);
        }
        filing::save(&mut change.tx, notification).await?;
        let event = NotificationReturned {
            notification_id: id.to_string(),
            centre_id: notification.receiving_centre.to_string(),
            reporter_id: notification.reporter_id.to_string(),
        };
        outbox::add(&mut change.tx, &event).await?;
        filing::shown(base, notification, &change.relations)
    })
    .await
}

#[cfg(test)]
mod tests {
    use proto::notification::{NotificationReturned, NotificationState as State, ReturnNotificationRequest};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        fixture::{Scene, acknowledging, returning, with_address},
        inbox,
    };

    #[tokio::test]
    async fn what_was_returned_is_in_the_inbox_again_once_it_is_amended() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let ask = |request| scene.world.ask(&scene.notifications, &scene.nurse, request, inbox::send_back);
        let returned = ask(returning(&receipt)).await?;
        assert_eq!((returned.state(), returned.reason.as_str()), (State::Returned, "住所を確認してください"));
        let seen = scene.get(&scene.doctor, &receipt).await?;
        assert_eq!(seen.reason, returned.reason, "who filed it reads why");
        assert_eq!(ask(returning(&receipt)).await.refused().code(), Code::FailedPrecondition);
        scene.amend(&receipt, with_address()).await?;
        let again = scene.get(&scene.nurse, &receipt).await?;
        assert_eq!((again.state(), again.reason.as_str()), (State::Filed, ""));
        scene.acknowledge(&scene.nurse, acknowledging(&receipt)).await?;
        Ok(())
    }

    #[tokio::test]
    async fn it_is_returned_by_the_centre_that_has_it() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let silent = ReturnNotificationRequest { reason: String::new(), ..returning(&receipt) };
        for (caller, request, code) in [
            (&scene.doctor, returning(&receipt), Code::PermissionDenied),
            (&scene.colleague, returning(&receipt), Code::NotFound),
            (&scene.nurse, silent, Code::InvalidArgument),
        ] {
            let refused = scene.world.ask(&scene.notifications, caller, request, inbox::send_back).await.refused();
            assert_eq!(refused.code(), code);
        }
        scene.world.ask(&scene.notifications, &scene.nurse, returning(&receipt), inbox::send_back).await?;
        let announced: Vec<NotificationReturned> = scene.world.announced().await?;
        assert_eq!(announced[0].centre_id, scene.centre.id.to_string());
        assert_eq!(announced[0].reporter_id, scene.clinic.id.to_string());
        Ok(())
    }
}
