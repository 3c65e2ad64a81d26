//! How a caller stands to notifications: as who filed one or has it in the inbox, and by the case it belongs to. Once the registry
//! has said to which case that is, the case decides.

mod centres;
mod store;
mod take;

use std::collections::{HashMap, HashSet};

use access::{Caller, CaseId, Relations, cases};
use chassis::{Call, Error, Seen};
use proto::registry::{CaseChanged, Relation};
use sqlx::PgConnection;

pub(super) use take::take;

use super::model::{ForCaller, Notification, NotificationId, OfCase};
use crate::service::Notifications;

/// Asks the registry, once, for the cases of notifications that this service lacks, or that show the caller nothing: a relation given
/// a moment ago may be on its way. Called before the transaction: nobody keeps a connection while asking somebody else.
///
/// # Errors
/// [`Error::Unavailable`] where the registry is silent and somebody else's notification hangs on its word.
pub(crate) async fn learn(notifications: &Notifications, caller: &Caller, ids: &[NotificationId]) -> Result<(), Error> {
    if learn_what_is_told(notifications, caller, ids).await? { Ok(()) } else { Err(Error::Unavailable) }
}

/// The same for many at once: one that hangs on the word of a silent registry keeps no other back. `false` where there is such a one.
pub(crate) async fn learn_what_is_told(
    notifications: &Notifications,
    caller: &Caller,
    ids: &[NotificationId],
) -> Result<bool, Error> {
    let base = &notifications.base;
    let mut conn = base.pool.acquire().await?;
    let held = store::copies(&mut conn, ids).await?;
    drop(conn);

    let now = base.clock.now();
    let mut lacking: Vec<CaseId> = Vec::new();
    let mut may_fail = true;
    for copy in held {
        // Who filed it, and where it was forwarded to a moment ago, stand to it whatever the case says.
        let by_itself = copy.stands_by_itself(caller.organisation_id);
        let shows = |case: &CaseChanged| !cases::relations(case, caller, &base.directory, now).is_empty();
        let asks = copy.case().is_none_or(|case| !by_itself && !shows(&case));
        if asks {
            may_fail &= copy.reporter_id == caller.organisation_id;
            lacking.push(copy.case_id);
        }
    }
    if lacking.is_empty() {
        return Ok(true);
    }
    lacking.sort_unstable();
    lacking.dedup();
    let Ok(told) = cases::ask_all(&notifications.registry, &lacking).await else {
        // Who filed it reads it without the registry.
        return Ok(may_fail);
    };

    let mut tx = base.pool.begin().await?;
    take(base, &mut tx, &told).await?;
    tx.commit().await?;
    Ok(true)
}

/// How a caller stands to a notification.
pub(crate) enum Standing {
    By(Relations),
    /// Not at all: it does not exist for the caller.
    None,
    /// Its case is known, and this service does not have what the registry said of it.
    Unheard,
}

impl Standing {
    fn known(self) -> Option<Relations> {
        match self {
            Self::By(relations) => Some(relations),
            Self::None | Self::Unheard => None,
        }
    }
}

/// How the caller stands to some notifications, in their order. Each of them knows from here on what the caller may know of it.
pub(crate) async fn standings(
    notifications: &Notifications,
    conn: &mut PgConnection,
    caller: &Caller,
    rows: &mut [Notification],
) -> Result<Vec<Standing>, Error> {
    let base = &notifications.base;
    let ids: HashSet<CaseId> = rows.iter().filter_map(|row| row.case_id).collect();
    let ids: Vec<CaseId> = ids.into_iter().collect();
    let known = if ids.is_empty() { HashMap::new() } else { cases::find(conn, &ids).await? };

    let now = base.clock.now();
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    for row in &mut *rows {
        let case = row.case_id.and_then(|id| known.get(&id));
        let held = case.map(|case| cases::relations(case, caller, &base.directory, now));
        let of_case = match (&held, row.case_id) {
            (Some(relations), _) => {
                OfCase::Said { relations, left: case.and_then(|case| centres::left(case, caller.organisation_id)) }
            }
            (None, Some(_)) => OfCase::Unheard,
            (None, None) => OfCase::Unsaid,
        };
        let by_case = held.as_ref().is_some_and(|relations| !relations.is_empty());
        row.for_caller = ForCaller { by_case, in_own_inbox: row.is_in_inbox_of(caller) };
        let relations = row.relations(caller, of_case);
        // A centre that forwarded it goes on seeing it. From then on as the case says, like everybody.
        let unheard = matches!(of_case, OfCase::Unheard);
        if relations.is_empty() && !unheard && (row.on_its_way || matches!(of_case, OfCase::Unsaid)) {
            unknown.push(row.id);
        }
        found.push((relations, unheard));
    }
    let had = store::had(conn, &unknown, caller.organisation_id).await?;
    let stands = rows.iter().zip(found).map(|(row, (mut relations, unheard))| {
        if relations.is_empty() && had.contains(&row.id) {
            relations.push(Relation::FormerCentre);
        }
        match (relations.is_empty(), unheard) {
            (false, _) => Standing::By(Relations::new(relations, caller)),
            (true, true) => Standing::Unheard,
            (true, false) => Standing::None,
        }
    });
    Ok(stands.collect())
}

/// The caller's relations to a notification. Without one it does not exist for the caller.
///
/// # Errors
/// [`Error::NotFound`] without a relation; [`Error::Unavailable`] where its case is known, and not what the registry said of it.
pub(crate) async fn relations(
    notifications: &Notifications,
    conn: &mut PgConnection,
    caller: &Caller,
    notification: &mut Notification,
) -> Result<Relations, Error> {
    let mut found = standings(notifications, conn, caller, std::slice::from_mut(notification)).await?;
    match found.pop() {
        Some(Standing::By(relations)) => Ok(relations),
        Some(Standing::Unheard) => Err(Error::Unavailable),
        Some(Standing::None) | None => Err(Error::NotFound("notification")),
    }
}

/// Those of some notifications that exist for the caller, with the relations; an audit row for each of them. Left out are those of
/// which nobody can tell while the registry is silent.
pub(crate) async fn visible<M>(
    notifications: &Notifications,
    conn: &mut PgConnection,
    call: &Call<M>,
    mut rows: Vec<Notification>,
) -> Result<Vec<(Notification, Relations)>, Error> {
    let stands = standings(notifications, conn, &call.caller, &mut rows).await?;
    let shown: Vec<(Notification, Relations)> =
        rows.into_iter().zip(stands).filter_map(|(row, stands)| Some((row, stands.known()?))).collect();
    record(call, conn, &shown).await?;
    Ok(shown)
}

/// One audit row per notification; one statement for those to which the caller stands alike.
async fn record<M>(call: &Call<M>, conn: &mut PgConnection, shown: &[(Notification, Relations)]) -> Result<(), Error> {
    let mut alike: Vec<(&Relations, Vec<NotificationId>)> = Vec::new();
    for (row, relations) in shown {
        match alike.iter_mut().find(|(held, _)| *held == relations) {
            Some((_, ids)) => ids.push(row.id),
            None => alike.push((relations, vec![row.id])),
        }
    }
    if alike.is_empty() {
        return call.record(conn, &Seen::default()).await;
    }
    for (relations, ids) in alike {
        call.record(conn, &Seen::by(relations, ids)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use access::{CaseId, cases};
    use proto::{
        identity::{OrganisationKind as Kind, Role},
        notification::{
            Acknowledgement, AcknowledgementOutcome as Became, BatchAcknowledgeRequest, ListInboxRequest,
            ListNotificationsRequest,
        },
        registry::Relation,
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use crate::{
        filing,
        fixture::{PREFECTURE, Scene, acknowledging, amending, by_telephone, forwarding, request_id, with_address},
        inbox,
    };

    /// The copy of the registry's cases is thrown away, as before a rebuild.
    async fn forget(scene: &Scene) -> anyhow::Result<()> {
        Ok(cases::forget_all(&mut *scene.world.base.pool.acquire().await?).await?)
    }

    #[tokio::test]
    async fn while_the_copy_of_the_cases_is_rebuilt_nobody_is_judged_by_what_the_form_says() -> Outcome {
        let scene = Scene::new().await?;
        let (receipt, case) = (scene.file().await?, CaseId::new());
        let handed_over = [
            (scene.neighbour, Relation::ResponsibleCentre),
            (scene.centre, Relation::FormerCentre),
            (scene.clinic, Relation::Reporter),
        ];
        scene.belongs(&receipt, case, &handed_over, 1).await?;
        let told = || proto::notification::AmendNotificationRequest {
            entry: Some(by_telephone(scene.clinic)),
            ..amending(&receipt, with_address())
        };
        assert_eq!(scene.get(&scene.coordinator, &receipt).await.refused().code(), Code::NotFound, "it left them");
        assert_eq!(scene.amend_as(&scene.nurse, told()).await.refused().code(), Code::PermissionDenied);

        forget(&scene).await?;
        // The old centre still has it in its inbox, in the old prefecture; the registry's answer is that it knows no such case.
        for caller in [&scene.nurse, &scene.coordinator, &scene.colleague] {
            assert_eq!(scene.get(caller, &receipt).await.refused().code(), Code::Unavailable, "{:?}", caller.kind);
        }
        assert_eq!(scene.amend_as(&scene.nurse, told()).await.refused().code(), Code::Unavailable);
        let accept = scene.acknowledge(&scene.nurse, acknowledging(&receipt)).await;
        assert_eq!(accept.refused().code(), Code::Unavailable);
        // It keeps nothing else back: the rest of the inbox is listed, and many are accepted at once.
        let other = scene.file().await?;
        let list = ListInboxRequest::default();
        let list = scene.world.ask(&scene.notifications, &scene.nurse, list, inbox::list).await?;
        let listed: Vec<&String> = list.notifications.iter().map(|one| &one.notification_id).collect();
        assert_eq!(listed, [&other.notification_id]);
        let many = BatchAcknowledgeRequest {
            request_id: request_id(),
            notification_ids: [&receipt, &other].map(|receipt| receipt.notification_id.clone()).to_vec(),
        };
        let accepted = scene.world.ask(&scene.notifications, &scene.nurse, many, inbox::batch_acknowledge).await?;
        let became: Vec<Became> = accepted.acknowledgements.iter().map(Acknowledgement::outcome).collect();
        assert_eq!(became, [Became::TryAgain, Became::Acknowledged]);
        assert_eq!(scene.world.audited("BatchAcknowledge").await?.len(), 1, "nobody knows yet whose the other one is");
        // Who filed it reads what they wrote all the same.
        scene.get(&scene.doctor, &receipt).await?;
        let own = ListNotificationsRequest::default();
        assert_eq!(
            scene.world.ask(&scene.notifications, &scene.doctor, own, filing::list).await?.notifications.len(),
            2
        );

        scene.belongs(&receipt, case, &handed_over, 1).await?;
        scene.get(&scene.nurse, &receipt).await?;
        scene.amend_as(&scene.colleague, told()).await?;
        assert_eq!(scene.get(&scene.coordinator, &receipt).await.refused().code(), Code::NotFound);
        Ok(())
    }

    #[tokio::test]
    async fn a_centre_whose_relation_ended_has_no_more_of_it_than_anybody_though_it_lies_in_its_inbox() -> Outcome {
        let scene = Scene::new().await?;
        let receipt = scene.file().await?;
        scene.belongs(&receipt, CaseId::new(), &[(scene.neighbour, Relation::ResponsibleCentre)], 1).await?;
        assert_eq!(scene.get(&scene.nurse, &receipt).await.refused().code(), Code::NotFound);
        let page =
            scene.world.ask(&scene.notifications, &scene.nurse, ListInboxRequest::default(), inbox::list).await?;
        assert!(page.notifications.is_empty());
        assert!(scene.world.audited("ListInbox").await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn a_list_shows_each_as_its_case_shows_it() -> Outcome {
        let scene = Scene::new().await?;
        let (fresh, handed_over) = (scene.file().await?, scene.file().await?);
        let grants = [(scene.neighbour, Relation::ResponsibleCentre), (scene.centre, Relation::FormerCentre)];
        scene.belongs(&handed_over, CaseId::new(), &grants, 1).await?;
        let page =
            scene.world.ask(&scene.notifications, &scene.nurse, ListInboxRequest::default(), inbox::list).await?;
        assert_eq!(page.notifications.len(), 2);
        for (receipt, what) in [(&fresh, "as it reached the inbox"), (&handed_over, "as a former centre")] {
            let listed =
                page.notifications.iter().find(|one| one.notification_id == receipt.notification_id).cloned().unwrap();
            assert!(listed == scene.get(&scene.nurse, receipt).await?, "{what}");
        }
        assert_eq!(scene.world.audited("ListInbox").await?.len(), 2);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_forwarded_is_the_new_centres_before_and_after_the_registry_hears_of_it() -> Outcome {
        let scene = Scene::new().await?;
        let (receipt, case) = (scene.file().await?, CaseId::new());
        let kobe = scene.world.body(Kind::HealthCentre, 28).await?;
        let there = kobe.staff(Role::Nurse);
        let before = [(scene.centre, Relation::ReceivingCentre), (scene.centre, Relation::ResponsibleCentre)];
        scene.belongs(&receipt, case, &before, 1).await?;
        scene.forward(&scene.nurse, forwarding(&receipt, kobe.id)).await?;
        scene.get(&there, &receipt).await?;
        // Something else of the case changed, and the registry has not heard of the forwarding yet.
        scene.belongs(&receipt, case, &before, 2).await?;
        scene.get(&there, &receipt).await?;

        let after = [
            (kobe, Relation::ReceivingCentre),
            (kobe, Relation::ResponsibleCentre),
            (scene.centre, Relation::FormerCentre),
        ];
        scene.belongs(&receipt, case, &after, 3).await?;
        scene.acknowledge(&there, acknowledging(&receipt)).await?;
        scene.get(&scene.nurse, &receipt).await?;

        // From there on the case decides alone.
        scene.belongs(&receipt, case, &[(scene.neighbour, Relation::ResponsibleCentre)], 4).await?;
        for caller in [&there, &scene.nurse] {
            assert_eq!(scene.get(caller, &receipt).await.refused().code(), Code::NotFound);
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_goes_on_before_the_registry_heard_anything_can_go_on_again() -> Outcome {
        let scene = Scene::new().await?;
        let (receipt, case) = (scene.file().await?, CaseId::new());
        scene.belongs(&receipt, case, &[(scene.centre, Relation::ReceivingCentre)], 1).await?;
        let kobe = scene.world.body(Kind::HealthCentre, 28).await?;
        scene.forward(&scene.nurse, forwarding(&receipt, scene.neighbour.id)).await?;
        scene.forward(&scene.colleague, forwarding(&receipt, kobe.id)).await?;
        scene.get(&scene.colleague, &receipt).await?;
        let stranger = scene.world.body(Kind::HealthCentre, PREFECTURE).await?.staff(Role::Nurse);
        assert_eq!(scene.get(&stranger, &receipt).await.refused().code(), Code::NotFound);
        Ok(())
    }
}
