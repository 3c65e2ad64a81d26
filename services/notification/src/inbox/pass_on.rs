//! What lies unread with a centre that closed, or was cut off, goes on to the one that takes the rest of its prefecture. A centre
//! closes by the calendar, and no event tells of it.

use std::time::Duration;

use access::{OrganisationId, classes};
use audit::{Act, Actor};
use data::{outbox, pool};
use proto::{notification::NotificationForwarded, registry::Relation};
use sqlx::PgConnection;

use super::store;
use crate::{filing, service::Notifications};

/// How often to look.
const EVERY: Duration = Duration::from_secs(30);
/// The most notifications passed on in one transaction.
const BATCH: i64 = 200;

/// Passes on until the process is to stop. Several processes may: each takes what the others do not.
pub(crate) fn start_passing_on(notifications: &Notifications) {
    let (notifications, stop) = (notifications.clone(), notifications.base.shutdown.clone());
    stop.clone().spawn("passing on", async move {
        loop {
            let passed = if notifications.base.pulses.may_act() { pass(&notifications).await } else { Ok(0) };
            match passed {
                Ok(passed) if passed > 0 => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "Could not pass on what lies with closed centres"),
            }
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    });
}

/// One batch. Returns how many were passed on.
async fn pass(notifications: &Notifications) -> sqlx::Result<usize> {
    let base = &notifications.base;
    let now = base.clock.now();
    let mut passed = 0;
    for from in base.directory.centres_that_do_not_receive(now) {
        let Some(to) = base.directory.successor(from, now) else { continue };
        let mut tx = pool::begin_task(&base.pool).await?;
        for mut notification in store::lock_unread(&mut tx, from, BATCH).await? {
            notification.forward(to.id, to.prefecture, now);
            filing::save(&mut tx, &notification).await?;
            store::remember_centre(&mut tx, notification.id, from, now).await?;
            tell(&mut tx, notification.id.to_string(), from, to.id).await?;
            record(&mut tx, notification.id.uuid()).await?;
            passed += 1;
        }
        tx.commit().await?;
    }
    if passed > 0 {
        base.wake.relay();
        notifications.arrivals.came();
    }
    Ok(passed)
}

async fn tell(
    conn: &mut PgConnection,
    notification_id: String,
    from: OrganisationId,
    to: OrganisationId,
) -> sqlx::Result<()> {
    let event =
        NotificationForwarded { notification_id, from_centre_id: from.to_string(), to_centre_id: to.to_string() };
    outbox::add(conn, &event).await
}

async fn record(conn: &mut PgConnection, notification: uuid::Uuid) -> sqlx::Result<()> {
    let act = Act {
        actor: Actor::Service("notification"),
        rpc: "notification.forwarded",
        groups: &classes::groups_shown(&vec![Relation::ReceivingCentre].into()),
        request_id: None,
        on_behalf_of: None,
    };
    audit::record(conn, &act, &[notification]).await
}

#[cfg(test)]
mod tests {
    use proto::{
        identity::{OrganisationKind as Kind, Role},
        notification::{ListInboxRequest, NotificationForwarded},
    };
    use testing::Outcome;
    use time::Duration;

    use super::pass;
    use crate::{fixture::Scene, inbox};

    #[tokio::test]
    async fn what_nobody_reads_any_more_goes_on_by_the_calendar_alone() -> Outcome {
        let scene = Scene::new().await?;
        let rest = scene.world.organisation(Kind::HealthCentre, 27, |centre| centre.catch_all = true).await?;
        let filed = scene.file().await?;
        assert_eq!(pass(&scene.notifications).await?, 0);
        let until = |centre: &mut proto::identity::Organisation| centre.valid_until_date = "2020-06-02".to_owned();
        scene.world.change(scene.centre, until).await?;
        assert_eq!(pass(&scene.notifications).await?, 0, "it is open today");

        scene.world.clock.advance(Duration::days(2));
        assert_eq!((pass(&scene.notifications).await?, pass(&scene.notifications).await?), (1, 0));
        let nurse = rest.staff(Role::Nurse);
        let inbox = scene.world.ask(&scene.notifications, &nurse, ListInboxRequest::default(), inbox::list).await?;
        assert_eq!(inbox.notifications[0].notification_id, filed.notification_id);
        let told: Vec<NotificationForwarded> = scene.world.announced().await?;
        assert_eq!(told[0].to_centre_id, rest.id.to_string());
        assert_eq!(scene.world.audited("notification.forwarded").await?.len(), 1);
        Ok(())
    }
}
