//! What a notification does when the registry says how its case went on: to another centre, or into another case.

use access::{CaseId, cases};
use chassis::Base;
use proto::registry::CaseChanged;
use sqlx::PgConnection;

use super::{
    centres,
    store::{self, Left, Reached},
};
use crate::filing::NotificationId;

/// Takes what the registry says of cases: who stands to them how, which notifications belong to them, and with whom they are.
///
/// What the registry is asked may come before what it announced earlier, and all of it comes again in a rebuild. So a notification
/// stays with its case until that case lists it no more, and moves to another inbox only where its centre left the case after it got
/// there.
pub(in crate::filing) async fn take(
    base: &Base,
    conn: &mut PgConnection,
    versions: &[CaseChanged],
) -> sqlx::Result<()> {
    let fresh = cases::take(conn, versions).await?;
    let cases: Vec<CaseId> = fresh.iter().map(|(case, _)| *case).collect();
    let listed: Vec<(NotificationId, CaseId)> = fresh
        .iter()
        .flat_map(|(case, changed)| changed.notification_ids.iter().map(move |notification| (notification, *case)))
        .filter_map(|(notification, case)| Some((NotificationId::parse(notification).ok()?, case)))
        .collect();
    let ids = store::lock_concerned(conn, &cases, &listed).await?;
    if ids.is_empty() {
        return Ok(());
    }
    store::list(conn, &cases, &listed).await?;
    store::belong(conn, &ids).await?;

    let (mut reached, mut handed_over) = (Vec::new(), Vec::new());
    for (case, changed) in &fresh {
        let to = centres::responsible(changed);
        let prefecture = to.and_then(|to| base.directory.get(to)).map(|entry| entry.prefecture);
        for centre in centres::that_have(changed) {
            reached.push(Reached { case: *case, centre, left: None });
        }
        for (centre, left) in centres::that_left(changed) {
            reached.push(Reached { case: *case, centre, left: Some(left) });
            handed_over.extend(to.map(|to| Left { case: *case, from: centre, at: left, to, prefecture }));
        }
    }
    store::arrived(conn, &ids, &reached).await?;
    store::follow(conn, &ids, &handed_over, base.clock.now()).await
}

#[cfg(test)]
mod tests {
    use access::{Caller, CaseId};
    use proto::{
        identity::{OrganisationKind as Kind, Role},
        notification::{
            BatchGetFormsRequest, GetInboxSummaryRequest, ListInboxRequest, NotificationForwarded,
            NotificationState as State, Receipt,
        },
        registry::{CaseChanged, Grant, Relation},
    };
    use runtime::clock::to_proto;
    use testing::{Body, NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::Code;

    use crate::{
        filing,
        fixture::{self, Scene, acknowledging, amending, assigning, forwarding, returning, with_address, withdrawing},
        inbox,
    };

    /// Who has a relation to a case, from which hour on and until which.
    type Held = (Body, Relation, i64, Option<i64>);

    fn told(case: CaseId, version: i64, receipts: &[&Receipt], held: &[Held]) -> CaseChanged {
        let at = |hours: i64| to_proto(NOW + Duration::hours(hours));
        let grant = |(body, relation, from, until): &Held| Grant {
            organisation_id: body.id.to_string(),
            relation: (*relation).into(),
            from_time: Some(at(*from)),
            until_time: until.map(at),
            user_id: String::new(),
        };
        CaseChanged {
            case_id: case.to_string(),
            version,
            notification_ids: receipts.iter().map(|receipt| receipt.notification_id.clone()).collect(),
            grants: held.iter().map(grant).collect(),
            ..CaseChanged::default()
        }
    }

    /// A centre has the case, and goes on having it.
    fn has(centre: Body, from: i64) -> [Held; 2] {
        [(centre, Relation::ReceivingCentre, from, None), (centre, Relation::ResponsibleCentre, from, None)]
    }

    /// One centre handed the case over to another at an hour.
    fn handed_over(from: Body, to: Body, at: i64) -> [Held; 4] {
        [
            (from, Relation::ReceivingCentre, 0, Some(at)),
            (from, Relation::ResponsibleCentre, 0, Some(at)),
            (from, Relation::FormerCentre, at, None),
            (to, Relation::ResponsibleCentre, at, None),
        ]
    }

    /// The inbox of a caller's centre, oldest first.
    async fn listed(scene: &Scene, caller: &Caller) -> anyhow::Result<Vec<String>> {
        let page = scene.world.ask(&scene.notifications, caller, ListInboxRequest::default(), inbox::list).await?;
        let mut ids: Vec<String> = page.notifications.into_iter().map(|one| one.notification_id).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    fn ids<const N: usize>(receipts: [&Receipt; N]) -> Vec<String> {
        let mut ids = receipts.map(|receipt| receipt.notification_id.clone()).to_vec();
        ids.sort_unstable();
        ids
    }

    #[tokio::test]
    async fn what_is_not_accepted_is_the_work_of_the_centre_that_got_the_case() -> Outcome {
        let scene = Scene::new().await?;
        let (open, sent_back, accepted, withdrawn) =
            (scene.file().await?, scene.file().await?, scene.file().await?, scene.file().await?);
        let ask = |request| scene.world.ask(&scene.notifications, &scene.nurse, request, inbox::assign);
        ask(assigning(&open, Some(scene.nurse.user_id))).await?;
        scene.world.ask(&scene.notifications, &scene.nurse, returning(&sent_back), inbox::send_back).await?;
        scene.acknowledge(&scene.nurse, acknowledging(&accepted)).await?;
        scene.world.ask(&scene.notifications, &scene.doctor, withdrawing(&withdrawn), filing::withdraw).await?;
        let (case, all) = (CaseId::new(), [&open, &sent_back, &accepted, &withdrawn]);
        scene.hears(&told(case, 1, &all, &has(scene.centre, 0))).await?;
        assert_eq!(listed(&scene, &scene.nurse).await?, ids(all), "the centre still has the case");

        scene.world.clock.advance(Duration::hours(2));
        scene.hears(&told(case, 2, &all, &handed_over(scene.centre, scene.neighbour, 1))).await?;
        assert_eq!(listed(&scene, &scene.nurse).await?, ids([&accepted, &withdrawn]), "what was done with stays");
        assert_eq!(listed(&scene, &scene.colleague).await?, ids([&open, &sent_back]));
        let there = scene.get(&scene.colleague, &open).await?;
        assert_eq!((there.state(), there.arrive_time), (State::Filed, Some(to_proto(NOW + Duration::hours(2)))));
        assert_eq!(
            (there.receiving_centre_id, there.assigned_user_id),
            (scene.neighbour.id.to_string(), String::new())
        );
        let summary = |caller| scene.world.ask(&scene.notifications, caller, GetInboxSummaryRequest {}, inbox::summary);
        let (here, there) = (summary(&scene.nurse).await?, summary(&scene.colleague).await?);
        assert_eq!((here.unacknowledged.unwrap().count, here.returned.unwrap().count), (0, 0));
        assert_eq!((there.unacknowledged.unwrap().count, there.returned.unwrap().count), (1, 1));

        // What was returned comes to whom the case has gone.
        scene.amend(&sent_back, with_address()).await?;
        assert_eq!(scene.get(&scene.colleague, &sent_back).await?.state(), State::Filed);
        scene
            .world
            .ask(&scene.notifications, &scene.colleague, assigning(&open, Some(scene.colleague.user_id)), inbox::assign)
            .await?;
        for receipt in [&open, &sent_back] {
            scene.get(&scene.nurse, receipt).await?;
            let refused = scene.acknowledge(&scene.nurse, acknowledging(receipt)).await.refused();
            assert_eq!(refused.code(), Code::PermissionDenied, "the former centre reads on, and no more");
            scene.acknowledge(&scene.colleague, acknowledging(receipt)).await?;
        }

        // The registry is told nothing that it did not say itself, and counts the report where it was received.
        assert!(scene.world.announced::<NotificationForwarded>().await?.is_empty());
        let request = BatchGetFormsRequest { notification_ids: ids([&open, &sent_back]) };
        let forms =
            scene.world.ask_as_service(&scene.notifications, "registry", request, filing::batch_get_forms).await?;
        assert!(forms.forms.iter().all(|form| form.receiving_centre_id == scene.centre.id.to_string()));
        Ok(())
    }

    #[tokio::test]
    async fn heard_again_from_the_beginning_nothing_moves() -> Outcome {
        let scene = Scene::new().await?;
        let (receipt, case) = (scene.file().await?, CaseId::new());
        let (here, there) = (scene.centre, scene.neighbour);
        // Handed over, handed back, and handed over for good. A relation keeps the moment it began first.
        let back = [
            (here, Relation::ResponsibleCentre, 0, None),
            (here, Relation::FormerCentre, 1, None),
            (there, Relation::ResponsibleCentre, 1, Some(2)),
            (there, Relation::FormerCentre, 2, None),
        ];
        let again = [
            (here, Relation::ResponsibleCentre, 0, Some(3)),
            (here, Relation::FormerCentre, 1, None),
            (there, Relation::ResponsibleCentre, 1, None),
            (there, Relation::FormerCentre, 2, None),
        ];
        let versions = [
            told(case, 1, &[&receipt], &has(here, 0)),
            told(case, 2, &[&receipt], &handed_over(here, there, 1)),
            told(case, 3, &[&receipt], &back),
            told(case, 4, &[&receipt], &again),
        ];
        let place = [&scene.nurse, &scene.colleague, &scene.nurse, &scene.colleague];
        for (heard, caller) in place.iter().enumerate() {
            scene.hears(&versions[heard]).await?;
            assert_eq!(listed(&scene, caller).await?, ids([&receipt]), "version {}", heard + 1);
            let desk = assigning(&receipt, Some(caller.user_id));
            let desk = scene.world.ask(&scene.notifications, caller, desk, inbox::assign).await?;

            // A rebuild brings every version once more.
            access::cases::forget_all(&mut *scene.world.base.pool.acquire().await?).await?;
            for version in &versions[..=heard] {
                scene.hears(version).await?;
            }
            assert!(scene.get(caller, &receipt).await? == desk, "version {}", heard + 1);
            scene.world.clock.advance(Duration::hours(1));
        }

        // Who hears of the last version first has it there as well, and what comes late moves nothing.
        let (late, case) = (scene.file().await?, CaseId::new());
        let moved = told(case, 9, &[&late], &handed_over(here, there, 5));
        scene.world.clock.advance(Duration::hours(2));
        scene.hears(&moved).await?;
        scene.hears(&told(case, 1, &[&late], &has(here, 4))).await?;
        assert!(listed(&scene, &scene.colleague).await?.contains(&late.notification_id));
        Ok(())
    }

    #[tokio::test]
    async fn what_reaches_a_centre_after_it_handed_the_case_over_is_its_own_to_decide() -> Outcome {
        let scene = Scene::new().await?;
        let (old, case) = (scene.file().await?, CaseId::new());
        scene.acknowledge(&scene.nurse, acknowledging(&old)).await?;
        scene.hears(&told(case, 1, &[&old], &has(scene.centre, 0))).await?;
        scene.world.clock.advance(Duration::hours(2));
        let kobe = scene.world.body(Kind::HealthCentre, 28).await?;
        let handed_over = handed_over(scene.centre, kobe, 1);
        scene.hears(&told(case, 2, &[&old], &handed_over)).await?;

        let new = [scene.file().await?, scene.file().await?, scene.file().await?];
        let notified = [handed_over.as_slice(), &[(scene.centre, Relation::NotifiedCentre, 2, None)]].concat();
        scene.hears(&told(case, 3, &[&old, &new[0], &new[1], &new[2]], &notified)).await?;
        scene.acknowledge(&scene.nurse, acknowledging(&new[0])).await?;
        scene.world.ask(&scene.notifications, &scene.nurse, returning(&new[1]), inbox::send_back).await?;
        scene.forward(&scene.nurse, forwarding(&new[2], kobe.id)).await?;
        // What it had before it handed the case over stays read only.
        let refused = scene.forward(&scene.nurse, forwarding(&old, kobe.id)).await.refused();
        assert_eq!(refused.code(), Code::PermissionDenied);
        scene.get(&scene.nurse, &old).await?;

        // The registry heard of the forwarding: the centre reads along no more, and what it had not accepted goes after the case.
        let gone = [
            handed_over.as_slice(),
            &[(scene.centre, Relation::NotifiedCentre, 2, Some(4)), (kobe, Relation::ReceivingCentre, 4, None)],
        ]
        .concat();
        scene.world.clock.advance(Duration::hours(2));
        scene.hears(&told(case, 4, &[&old, &new[0], &new[1], &new[2]], &gone)).await?;
        assert_eq!(listed(&scene, &kobe.staff(Role::Nurse)).await?, ids([&new[1], &new[2]]));
        Ok(())
    }

    #[tokio::test]
    async fn what_is_forwarded_is_the_work_of_the_new_centre_alone_before_the_registry_hears_of_it() -> Outcome {
        let scene = Scene::new().await?;
        let (receipt, case) = (scene.file().await?, CaseId::new());
        scene.hears(&told(case, 1, &[&receipt], &has(scene.centre, 0))).await?;
        scene.forward(&scene.nurse, forwarding(&receipt, scene.neighbour.id)).await?;
        scene.get(&scene.nurse, &receipt).await?;
        let denied = Code::PermissionDenied;
        assert_eq!(scene.acknowledge(&scene.nurse, acknowledging(&receipt)).await.refused().code(), denied);
        let kobe = scene.world.body(Kind::HealthCentre, 28).await?;
        assert_eq!(scene.forward(&scene.nurse, forwarding(&receipt, kobe.id)).await.refused().code(), denied);
        let ask = scene.world.ask(&scene.notifications, &scene.nurse, returning(&receipt), inbox::send_back).await;
        assert_eq!(ask.refused().code(), denied);
        let mut by_telephone = amending(&receipt, with_address());
        by_telephone.entry = Some(fixture::by_telephone(scene.clinic));
        assert_eq!(scene.amend_as(&scene.nurse, by_telephone.clone()).await.refused().code(), denied);

        scene.amend_as(&scene.colleague, by_telephone).await?;
        scene.acknowledge(&scene.colleague, acknowledging(&receipt)).await?;
        Ok(())
    }

    #[tokio::test]
    async fn what_was_forwarded_follows_a_case_that_the_new_centre_handed_over_at_once() -> Outcome {
        let scene = Scene::new().await?;
        let (receipt, case) = (scene.file().await?, CaseId::new());
        scene.hears(&told(case, 1, &[&receipt], &has(scene.centre, 0))).await?;
        scene.forward(&scene.nurse, forwarding(&receipt, scene.neighbour.id)).await?;
        scene.world.clock.advance(Duration::hours(3));
        // This service was told of neither of the versions in between.
        let kobe = scene.world.body(Kind::HealthCentre, 28).await?;
        scene.hears(&told(case, 4, &[&receipt], &handed_over(scene.neighbour, kobe, 2))).await?;
        let there = kobe.staff(Role::Nurse);
        assert_eq!(listed(&scene, &there).await?, ids([&receipt]));
        scene.acknowledge(&there, acknowledging(&receipt)).await?;
        scene.get(&scene.colleague, &receipt).await?;
        Ok(())
    }

    #[tokio::test]
    async fn what_a_responsible_centre_returns_comes_back_to_it() -> Outcome {
        let scene = Scene::new().await?;
        let (receipt, case) = (scene.file().await?, CaseId::new());
        scene.acknowledge(&scene.nurse, acknowledging(&receipt)).await?;
        scene.world.clock.advance(Duration::hours(2));
        scene.hears(&told(case, 2, &[&receipt], &handed_over(scene.centre, scene.neighbour, 1))).await?;
        assert_eq!(listed(&scene, &scene.nurse).await?, ids([&receipt]), "the old centre had accepted it");
        let returned =
            scene.world.ask(&scene.notifications, &scene.colleague, returning(&receipt), inbox::send_back).await?;
        assert_eq!(returned.receiving_centre_id, scene.neighbour.id.to_string());
        scene.amend(&receipt, with_address()).await?;
        assert_eq!(listed(&scene, &scene.colleague).await?, ids([&receipt]));
        assert!(listed(&scene, &scene.nurse).await?.is_empty());
        scene.get(&scene.nurse, &receipt).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_notification_ends_in_the_case_that_goes_on_in_whatever_order_versions_are_heard() -> Outcome {
        let scene = Scene::new().await?;
        // Two cases of one person are joined; what came from the registry at once may overtake what it had announced before.
        for start in 0..5 {
            for backwards in [false, true] {
                let (moves, stays) = (scene.file().await?, scene.file().await?);
                let (joined, goes_on) = (CaseId::new(), CaseId::new());
                let held = has(scene.centre, 0);
                let mut versions = [
                    told(joined, 1, &[&moves], &held),
                    told(goes_on, 1, &[&stays], &held),
                    told(joined, 2, &[&moves], &held),
                    told(joined, 3, &[], &held),
                    told(goes_on, 2, &[&stays, &moves], &held),
                ];
                versions.rotate_left(start);
                if backwards {
                    versions.reverse();
                }
                let order: Vec<(bool, i64)> =
                    versions.iter().map(|told| (told.case_id == goes_on.to_string(), told.version)).collect();
                for version in &versions {
                    scene.hears(version).await?;
                }
                for receipt in [&moves, &stays] {
                    assert_eq!(scene.get(&scene.nurse, receipt).await?.case_id, goes_on.to_string(), "{order:?}");
                }

                access::cases::forget_all(&mut *scene.world.base.pool.acquire().await?).await?;
                scene.hears(&told(goes_on, 2, &[&stays, &moves], &held)).await?;
                scene.hears(&told(joined, 1, &[&moves], &held)).await?;
                let seen = scene.get(&scene.nurse, &moves).await?;
                assert_eq!(seen.case_id, goes_on.to_string(), "nor does a rebuild take it back");
                scene.hears(&told(joined, 3, &[], &held)).await?;
            }
        }
        Ok(())
    }
}
