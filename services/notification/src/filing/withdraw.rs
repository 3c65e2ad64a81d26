//! `WithdrawNotification`: it should not have been made (取下げ). It is kept, and leaves the counts from now on.

use chassis::{Call, Error, behalf};
use data::outbox;
use proto::notification::{Notification as View, NotificationWithdrawn, WithdrawNotificationRequest};
use sqlx::PgConnection;

use super::{
    amend::lock,
    model::NotificationId,
    standing,
    store::{self, REASON},
    view,
};
use crate::service::Notifications;

pub(crate) async fn withdraw(
    notifications: Notifications,
    call: Call<WithdrawNotificationRequest>,
) -> Result<View, Error> {
    let base = &notifications.base;
    let id = NotificationId::parse(&call.request.notification_id)?;
    let told = behalf::told_by_whoever_made_it(base, &call, call.request.entry.as_ref())?;

    standing::learn(&notifications, &call.caller, &[id]).await?;
    let lock = async |conn: &mut PgConnection| lock(&notifications, conn, &call, id, told).await;
    call.change(base, lock, async |change| {
        let notification = &mut change.held;
        let reason = base.vault.seal(REASON, id.uuid().as_bytes(), call.request.reason.as_bytes())?;
        notification.withdraw(reason, change.now);
        store::save(&mut change.tx, notification).await?;
        let event = NotificationWithdrawn {
            notification_id: id.to_string(),
            reporter_id: notification.reporter_id.to_string(),
            centre_id: notification.receiving_centre.to_string(),
        };
        outbox::add(&mut change.tx, &event).await?;
        view::shown(base, notification, &change.relations)
    })
    .await
}

#[cfg(test)]
mod tests {
    use proto::notification::{NotificationState as State, NotificationWithdrawn, WithdrawNotificationRequest};
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        filing,
        fixture::{Scene, acknowledging, by_telephone, forwarding, withdrawing},
    };

    #[tokio::test]
    async fn what_should_not_have_been_filed_is_kept_and_nothing_more_happens_to_it() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let ask = |caller, request| scene.world.ask(&scene.notifications, caller, request, filing::withdraw);
        let request = withdrawing(&receipt);
        let gone = ask(&scene.doctor, request.clone()).await?;
        assert_eq!((gone.state(), gone.reason.as_str()), (State::Withdrawn, "誤って届け出た"));
        assert!(ask(&scene.doctor, request).await? == gone);
        let announced: Vec<NotificationWithdrawn> = scene.world.announced().await?;
        let withdrawn = NotificationWithdrawn {
            notification_id: receipt.notification_id.clone(),
            reporter_id: scene.clinic.id.to_string(),
            centre_id: scene.centre.id.to_string(),
        };
        assert!(announced == [withdrawn]);
        assert_eq!(scene.get(&scene.nurse, &receipt).await?.state(), State::Withdrawn, "and can still be read");

        let accepted = scene.acknowledge(&scene.nurse, acknowledging(&receipt)).await;
        assert_eq!(accepted.refused().code(), Code::FailedPrecondition);
        let forwarded = scene.forward(&scene.nurse, forwarding(&receipt, scene.neighbour.id)).await;
        assert_eq!(forwarded.refused().code(), Code::FailedPrecondition);
        assert_eq!(ask(&scene.doctor, withdrawing(&receipt)).await.refused().code(), Code::FailedPrecondition);
        Ok(())
    }

    #[tokio::test]
    async fn it_is_withdrawn_by_who_filed_it_or_by_the_centre_that_was_told() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let ask = |caller, request| scene.world.ask(&scene.notifications, caller, request, filing::withdraw);
        assert_eq!(ask(&scene.nurse, withdrawing(&receipt)).await.refused().code(), Code::PermissionDenied);
        assert_eq!(ask(&scene.colleague, withdrawing(&receipt)).await.refused().code(), Code::NotFound);
        let silent = WithdrawNotificationRequest { reason: String::new(), ..withdrawing(&receipt) };
        assert_eq!(ask(&scene.doctor, silent).await.refused().code(), Code::InvalidArgument);
        let told = WithdrawNotificationRequest { entry: Some(by_telephone(scene.clinic)), ..withdrawing(&receipt) };
        ask(&scene.nurse, told).await?;
        Ok(())
    }
}
