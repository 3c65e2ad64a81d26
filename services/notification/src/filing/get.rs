//! `GetNotification`: a notification as the caller may see it.

use chassis::{Call, Error, Seen};
use proto::notification::{GetNotificationRequest, Notification as View};

use super::{model::NotificationId, standing, store, view};
use crate::service::Notifications;

pub(crate) async fn get(notifications: Notifications, call: Call<GetNotificationRequest>) -> Result<View, Error> {
    let id = NotificationId::parse(&call.request.notification_id)?;

    standing::learn(&notifications, &call.caller, &[id]).await?;
    let mut tx = notifications.base.pool.begin().await?;
    let mut notification = store::find(&mut tx, id).await?.ok_or(Error::NotFound("notification"))?;
    let relations = standing::relations(&notifications, &mut tx, &call.caller, &mut notification).await?;
    call.record(&mut tx, &Seen::by(&relations, [id])).await?;
    tx.commit().await?;

    view::shown(&notifications.base, &notification, &relations)
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        identity::{OrganisationKind as Kind, Role},
        notification::{GetNotificationRequest, ListNotificationsRequest, NotificationState, Receipt},
        options::Group,
        registry::Relation,
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        filing,
        fixture::{PREFECTURE, Scene, assigning, request_id},
        inbox,
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
    async fn which_case_it_was_taken_into_is_told_to_those_who_stand_to_that_case() -> Outcome {
        let scene = Scene::new().await?;
        let named = CaseId::new();
        let naming =
            proto::notification::FileNotificationRequest { case_id: named.to_string(), ..crate::fixture::filing() };
        let (plain, naming) = (scene.file().await?, scene.file_as(&scene.doctor, naming).await?);
        let seen_in =
            async |caller: &Caller, receipt: &Receipt| scene.get(caller, receipt).await.map(|one| one.case_id);
        let listed = async || -> anyhow::Result<Vec<String>> {
            let request = ListNotificationsRequest::default();
            let page = scene.world.ask(&scene.notifications, &scene.doctor, request, filing::list).await?;
            let mut cases: Vec<String> = page.notifications.into_iter().map(|one| one.case_id).collect();
            cases.sort_unstable();
            Ok(cases)
        };
        let (strangers, another) = (CaseId::new(), CaseId::new());
        let centre = (scene.centre, Relation::ResponsibleCentre);
        scene.belongs(&plain, strangers, &[centre], 1).await?;
        scene.belongs(&naming, another, &[centre], 1).await?;
        assert_eq!(seen_in(&scene.nurse, &plain).await?, strangers.to_string());
        assert_eq!(seen_in(&scene.nurse, &naming).await?, another.to_string());
        // Who filed it is told what they said themselves, and no more.
        assert_eq!(seen_in(&scene.doctor, &plain).await?, "");
        assert_eq!(seen_in(&scene.doctor, &naming).await?, named.to_string());
        assert_eq!(listed().await?, [String::new(), named.to_string()]);

        // The centre accepted it: whoever filed it reports that case from now on.
        let reporter = (scene.clinic, Relation::Reporter);
        scene.belongs(&plain, strangers, &[centre, reporter], 2).await?;
        assert_eq!(seen_in(&scene.doctor, &plain).await?, strangers.to_string());
        assert_eq!(listed().await?.len(), 2);
        assert!(listed().await?.contains(&strangers.to_string()));
        Ok(())
    }

    #[tokio::test]
    async fn whose_work_it_is_in_another_centre_a_responsible_centre_is_not_told() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        let grants = [(scene.neighbour, Relation::ResponsibleCentre), (scene.centre, Relation::NotifiedCentre)];
        scene.belongs(&receipt, CaseId::new(), &grants, 1).await?;
        let own = assigning(&receipt, Some(scene.nurse.user_id));
        scene.world.ask(&scene.notifications, &scene.nurse, own, inbox::assign).await?;
        let seen = scene.get(&scene.colleague, &receipt).await?;
        assert_eq!((seen.assigned_user_id.as_str(), seen.assign_time), ("", None));
        let seen = scene.get(&scene.nurse, &receipt).await?;
        assert_eq!((seen.assigned_user_id, seen.assign_time.is_some()), (scene.nurse.user_id.to_string(), true));
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
