//! `AssignNotification`: it becomes the work of one of the centre's users, or nobody's again.

use access::UserId;
use chassis::{Call, Error};
use proto::notification::{AssignNotificationRequest, Notification as View};
use sqlx::PgConnection;

use super::{elsewhere, lock};
use crate::{
    filing::{self, NotificationId},
    service::Notifications,
};

pub(crate) async fn assign(notifications: Notifications, call: Call<AssignNotificationRequest>) -> Result<View, Error> {
    let id = NotificationId::parse(&call.request.notification_id)?;
    let user = UserId::optional(&call.request.user_id).map_err(|_| no_such_user())?;

    filing::learn(&notifications, &call.caller, &[id]).await?;
    let lock = async |conn: &mut PgConnection| lock(&notifications, conn, &call.caller, id).await;
    call.change(&notifications.base, lock, async |change| {
        // A responsible centre works on what lies in another's inbox, and has no desk there.
        if !change.held.is_in_inbox_of(&call.caller) {
            return Err(elsewhere());
        }
        if let Some(user) = user.filter(|user| *user != call.caller.user_id) {
            let theirs = audit::store::organisation_of(&mut change.tx, user.uuid()).await?;
            if theirs != Some(call.caller.organisation_id.uuid()) {
                return Err(no_such_user());
            }
        }
        let notification = &mut change.held;
        if notification.assign(user, change.now) {
            filing::save(&mut change.tx, notification).await?;
        }
        filing::shown(&notifications.base, notification, &change.relations)
    })
    .await
}

fn no_such_user() -> Error {
    Error::invalid(
        "user_id",
        "自分の機関で届出の業務を行ったことのある利用者を指定してください",
        "must be a user of your organisation who has worked with notifications",
    )
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        identity::Role,
        notification::{AssignNotificationRequest, Notification},
        registry::Relation,
    };
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        filing,
        fixture::{Scene, acknowledging, assigning, forwarding, request_id, withdrawing},
        inbox,
    };

    async fn assign(
        scene: &Scene,
        caller: &Caller,
        request: AssignNotificationRequest,
    ) -> Result<Notification, Status> {
        scene.world.ask(&scene.notifications, caller, request, inbox::assign).await
    }

    #[tokio::test]
    async fn it_is_the_work_of_a_colleague_until_somebody_gives_it_back() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let clerk = scene.centre.staff(Role::Clerk);
        scene.get(&clerk, &receipt).await?;
        scene.world.clock.advance(Duration::hours(1));
        let request = AssignNotificationRequest { etag: "1".to_owned(), ..assigning(&receipt, Some(clerk.user_id)) };
        let assigned = assign(&scene, &scene.nurse, request.clone()).await?;
        assert_eq!(assigned.assigned_user_id, clerk.user_id.to_string());
        assert_eq!(assigned.assign_time, Some(to_proto(NOW + Duration::hours(1))));
        assert_eq!((assigned.arrive_time, assigned.etag.as_str()), (Some(to_proto(NOW)), "2"));
        assert!(scene.get(&scene.nurse, &receipt).await? == assigned);
        assert!(assign(&scene, &scene.nurse, request).await? == assigned, "a repeated request");

        // The same again changes nothing, not even the moment.
        scene.world.clock.advance(Duration::hours(1));
        let again = assign(&scene, &clerk, assigning(&receipt, Some(clerk.user_id))).await?;
        assert!(again == assigned);
        let own = assign(&scene, &scene.nurse, assigning(&receipt, Some(scene.nurse.user_id))).await?;
        assert_eq!(own.assigned_user_id, scene.nurse.user_id.to_string());
        let back = assign(&scene, &clerk, assigning(&receipt, None)).await?;
        assert_eq!((back.assigned_user_id.as_str(), back.assign_time, back.etag.as_str()), ("", None, "4"));
        let rows = scene.world.audited("AssignNotification").await?;
        assert_eq!((rows.len(), rows[0].user), (5, Some(scene.nurse.user_id.uuid())));
        Ok(())
    }

    #[tokio::test]
    async fn whose_work_it_is_stays_within_the_centre_and_ends_when_it_is_forwarded() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        assign(&scene, &scene.nurse, assigning(&receipt, Some(scene.nurse.user_id))).await?;
        scene.acknowledge(&scene.nurse, acknowledging(&receipt)).await?;
        assert_eq!(scene.get(&scene.nurse, &receipt).await?.assigned_user_id, scene.nurse.user_id.to_string());
        for caller in [&scene.doctor, &scene.coordinator] {
            let seen = scene.get(caller, &receipt).await?;
            assert_eq!((seen.assigned_user_id.as_str(), seen.assign_time), ("", None), "{:?}", caller.kind);
        }
        scene.forward(&scene.nurse, forwarding(&receipt, scene.neighbour.id)).await?;
        let there = scene.get(&scene.colleague, &receipt).await?;
        assert_eq!((there.assigned_user_id.as_str(), there.assign_time), ("", None));
        Ok(())
    }

    #[tokio::test]
    async fn a_responsible_centre_has_no_desk_in_the_inbox_of_another() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let grants = [(scene.neighbour, Relation::ResponsibleCentre), (scene.centre, Relation::NotifiedCentre)];
        scene.belongs(&receipt, access::CaseId::new(), &grants, 1).await?;
        let refused = assign(&scene, &scene.colleague, assigning(&receipt, None)).await.refused();
        assert_eq!(refused.code(), Code::PermissionDenied);
        assign(&scene, &scene.nurse, assigning(&receipt, Some(scene.nurse.user_id))).await?;
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let (receipt, gone) = (scene.file().await?, scene.file().await?);
        scene.world.ask(&scene.notifications, &scene.doctor, withdrawing(&gone), filing::withdraw).await?;
        let own = Some(scene.nurse.user_id);
        let good = || assigning(&receipt, own);
        let newcomer = scene.centre.staff(Role::Clerk);
        let (denied, invalid) = (Code::PermissionDenied, Code::InvalidArgument);
        for (caller, request, code, field) in [
            (&scene.doctor, good(), denied, ""),
            (&scene.coordinator, good(), denied, ""),
            (&scene.colleague, good(), Code::NotFound, ""),
            (&scene.nurse, AssignNotificationRequest { notification_id: request_id(), ..good() }, Code::NotFound, ""),
            (&scene.nurse, AssignNotificationRequest { user_id: "x".to_owned(), ..good() }, invalid, "user_id"),
            // Somebody else's staff, and somebody who was never here.
            (&scene.nurse, assigning(&receipt, Some(scene.doctor.user_id)), invalid, "user_id"),
            (&scene.nurse, assigning(&receipt, Some(newcomer.user_id)), invalid, "user_id"),
            (&scene.nurse, AssignNotificationRequest { etag: "7".to_owned(), ..good() }, Code::Aborted, ""),
            (&scene.nurse, assigning(&gone, own), Code::FailedPrecondition, ""),
        ] {
            let refused = assign(&scene, caller, request).await.refused();
            assert_eq!((refused.code(), refused.message().starts_with(field)), (code, true), "{}", refused.message());
        }
        assert!(scene.world.audited("AssignNotification").await?.is_empty());
        Ok(())
    }
}
