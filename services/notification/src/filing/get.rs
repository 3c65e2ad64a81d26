//! `GetNotification`: a notification as the caller may see it.

use access::{Caller, Relations, cases};
use chassis::{Call, Error, Seen};
use proto::{
    notification::{GetNotificationRequest, Notification as View},
    registry::Relation,
};
use sqlx::PgConnection;

use super::{
    model::{Notification, NotificationId},
    store, view,
};
use crate::service::Notifications;

pub(crate) async fn get(notifications: Notifications, call: Call<GetNotificationRequest>) -> Result<View, Error> {
    let id = NotificationId::parse(&call.request.notification_id)?;

    let mut tx = notifications.base.pool.begin().await?;
    let notification = store::find(&mut tx, id).await?.ok_or(Error::NotFound("notification"))?;
    let relations = relations(&notifications, &mut tx, &call.caller, &notification).await?;
    call.record(&mut tx, &Seen::by(&relations, [id])).await?;
    tx.commit().await?;

    view::shown(&notifications.base, &notification, &relations)
}

/// The caller's relations to a notification. Without one it does not exist for the caller.
///
/// Who filed it and whose inbox it is in stand to it by themselves. Who looks after the case it belongs to reads it as the case; who
/// looked after it before reads on, and does no more.
pub(crate) async fn relations(
    notifications: &Notifications,
    conn: &mut PgConnection,
    caller: &Caller,
    notification: &Notification,
) -> Result<Relations, Error> {
    let base = &notifications.base;
    let case = match notification.case_id {
        Some(id) => cases::find(conn, &[id]).await?.remove(&id),
        None => None,
    };
    let of_case = case.map(|case| cases::relations(&case, caller, &base.directory, base.clock.now()));
    let mut relations = notification.relations(caller, of_case.as_deref());
    if relations.is_empty() && store::was_there(conn, notification.id, caller.organisation_id).await? {
        relations.push(Relation::FormerCentre);
    }
    if relations.is_empty() { Err(Error::NotFound("notification")) } else { Ok(Relations::new(relations, caller)) }
}

#[cfg(test)]
mod tests {
    use proto::{
        identity::{OrganisationKind as Kind, Role},
        notification::{GetNotificationRequest, NotificationState},
        options::Group,
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        filing,
        fixture::{PREFECTURE, Scene, request_id},
    };

    #[tokio::test]
    async fn those_concerned_see_it_and_are_on_record() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        for caller in [&scene.doctor, &scene.nurse, &scene.coordinator] {
            let seen = scene.get(caller, &receipt).await?;
            assert_eq!((seen.number.as_str(), seen.etag.as_str()), (receipt.number.as_str(), "1"));
            assert_eq!(seen.state, i32::from(NotificationState::Filed));
            assert_eq!(seen.reporter_id, scene.clinic.id.to_string());
            assert_eq!(seen.receiving_centre_name, receipt.receiving_centre_name);
            assert_eq!(seen.form.unwrap().subject.unwrap().name_kanji, "髙﨑 𠮷男");
        }
        let users: Vec<_> = scene.world.audited("GetNotification").await?.into_iter().map(|row| row.user).collect();
        let callers = [&scene.doctor, &scene.nurse, &scene.coordinator].map(|caller| Some(caller.user_id.uuid()));
        assert_eq!(users, callers);
        Ok(())
    }

    #[tokio::test]
    async fn an_id_does_not_see_what_is_hidden_from_it() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let clerk = scene.centre.narrowed(Role::Clerk, [Group::Identity]);
        let seen = scene.get(&clerk, &receipt).await?;
        let subject = seen.form.unwrap().subject.unwrap();
        assert_eq!((subject.name_kanji.as_str(), subject.whereabouts.as_str()), ("", "大阪市北区"));
        let groups = scene.world.audited("GetNotification").await?.remove(0).groups;
        assert!(!groups.contains(&(Group::Identity as i16)) && groups.contains(&(Group::Contact as i16)));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let known = receipt.notification_id.clone();
        let elsewhere = scene.world.body(Kind::Prefecture, 28).await?.staff(Role::Coordinator);
        let clinic = scene.world.body(Kind::Clinic, PREFECTURE).await?.staff(Role::Physician);
        let administrator = scene.centre.staff(Role::Administrator);
        for (caller, id, code) in [
            (&scene.nurse, "x".to_owned(), Code::InvalidArgument),
            (&scene.nurse, request_id(), Code::NotFound),
            (&scene.colleague, known.clone(), Code::NotFound),
            (&elsewhere, known.clone(), Code::NotFound),
            (&clinic, known.clone(), Code::NotFound),
            (&administrator, known, Code::PermissionDenied),
        ] {
            let request = GetNotificationRequest { notification_id: id };
            let refused = scene.world.ask(&scene.notifications, caller, request, filing::get).await.refused();
            assert_eq!(refused.code(), code, "{:?}", caller.role);
        }
        assert!(scene.world.audited("GetNotification").await?.is_empty());
        Ok(())
    }
}
