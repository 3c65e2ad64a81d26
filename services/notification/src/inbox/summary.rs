//! `GetInboxSummary`: how much lies in the inbox. Nobody counts further than a desk reads.

use chassis::{Call, Error};
use proto::notification::{GetInboxSummaryRequest, InboxCount, InboxSummary};
use runtime::clock::to_proto;

use super::store;
use crate::service::Notifications;

/// What is counted at most of each.
const MOST: i32 = 1_000;

pub(crate) async fn summary(
    notifications: Notifications,
    call: Call<GetInboxSummaryRequest>,
) -> Result<InboxSummary, Error> {
    let mut conn = notifications.base.pool.acquire().await?;
    // One more than is told: it says that there are more.
    let found = store::summary(&mut conn, call.caller.organisation_id, i64::from(MOST) + 1).await?;
    Ok(InboxSummary {
        unacknowledged: Some(count(found.unacknowledged)),
        unassigned: Some(count(found.unassigned)),
        oldest_arrive_time: found.oldest.map(to_proto),
        returned: Some(count(found.returned)),
        with_missing_items: Some(count(found.lacking)),
    })
}

fn count(found: i64) -> InboxCount {
    let at_least = found > i64::from(MOST);
    InboxCount { count: i32::try_from(found).map_or(MOST, |found| found.min(MOST)), at_least }
}

#[cfg(test)]
mod tests {
    use access::Caller;
    use proto::{
        identity::Role,
        notification::{GetInboxSummaryRequest, InboxCount, InboxSummary},
    };
    use runtime::clock::to_proto;
    use testing::{NOW, Outcome, Refused as _};
    use time::Duration;
    use tonic::{Code, Status};

    use crate::{
        filing,
        fixture::{Scene, acknowledging, assigning, fill_in, returning, withdrawing},
        inbox,
    };

    async fn summary(scene: &Scene, caller: &Caller) -> Result<InboxSummary, Status> {
        scene.world.ask(&scene.notifications, caller, GetInboxSummaryRequest {}, inbox::summary).await
    }

    fn exactly(count: i32) -> InboxCount {
        InboxCount { count, at_least: false }
    }

    #[tokio::test]
    async fn a_desk_sees_what_waits_how_long_and_what_comes_back() -> Outcome {
        let scene = Scene::new().await?;
        let none = summary(&scene, &scene.nurse).await?;
        assert!(none.unacknowledged == Some(exactly(0)) && none.oldest_arrive_time.is_none());

        let mut filed = Vec::new();
        for _ in 0..6 {
            scene.world.clock.advance(Duration::minutes(1));
            filed.push(scene.file().await?);
        }
        scene.acknowledge(&scene.nurse, acknowledging(&filed[0])).await?;
        let ask = |request| scene.world.ask(&scene.notifications, &scene.nurse, request, inbox::send_back);
        ask(returning(&filed[1])).await?;
        scene.world.ask(&scene.notifications, &scene.doctor, withdrawing(&filed[2]), filing::withdraw).await?;
        let own = assigning(&filed[3], Some(scene.nurse.user_id));
        scene.world.ask(&scene.notifications, &scene.nurse, own, inbox::assign).await?;
        fill_in(&scene, &filed[4]).await?;

        let seen = summary(&scene, &scene.nurse).await?;
        assert!(seen.unacknowledged == Some(exactly(3)) && seen.unassigned == Some(exactly(2)));
        assert_eq!(seen.oldest_arrive_time, Some(to_proto(NOW + Duration::minutes(4))));
        assert!(seen.returned == Some(exactly(1)));
        assert!(seen.with_missing_items == Some(exactly(4)), "not what lacks nothing, and not what was withdrawn");
        assert!(summary(&scene, &scene.colleague).await? == none, "another centre's inbox is another");
        Ok(())
    }

    #[test]
    fn nobody_counts_further_than_a_thousand() {
        for (found, told, at_least) in [(0, 0, false), (1_000, 1_000, false), (1_001, 1_000, true)] {
            assert!(super::count(found) == InboxCount { count: told, at_least }, "{found}");
        }
    }

    #[tokio::test]
    async fn what_is_refused() -> Outcome {
        let scene = Scene::new().await?;
        let administrator = scene.centre.staff(Role::Administrator);
        assert_eq!(summary(&scene, &administrator).await.refused().code(), Code::PermissionDenied);
        Ok(())
    }
}
