//! What follow-up hears of notification.

use async_trait::async_trait;
use data::{Event, Failure, Projection};
use proto::notification::{
    NotificationAcknowledged, NotificationAmended, NotificationFiled, NotificationForwarded, NotificationReturned,
    NotificationWithdrawn,
};
use runtime::Clock;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    model::Filing, on_notification_acknowledged, on_notification_amended, on_notification_filed,
    on_notification_forwarded, on_notification_returned, on_notification_withdrawn, store,
};
use crate::worklist::{self, NotificationId, Wanted};

/// Hears notification.
pub(crate) struct Hears {
    pub clock: Clock,
}

/// What happened to a notification.
enum Happened {
    Filed(NotificationFiled),
    Amended(NotificationAmended),
    Returned(NotificationReturned),
    Acknowledged(NotificationAcknowledged),
    Withdrawn(NotificationWithdrawn),
    Forwarded(NotificationForwarded),
}

impl Happened {
    /// `None` where it makes no work.
    #[expect(clippy::same_functions_in_if_condition, reason = "each reads another type")]
    fn read(event: &Event) -> Result<Option<Self>, Failure> {
        Ok(if let Some(filed) = event.read()? {
            Some(Self::Filed(filed))
        } else if let Some(amended) = event.read()? {
            Some(Self::Amended(amended))
        } else if let Some(returned) = event.read()? {
            Some(Self::Returned(returned))
        } else if let Some(acknowledged) = event.read()? {
            Some(Self::Acknowledged(acknowledged))
        } else if let Some(withdrawn) = event.read()? {
            Some(Self::Withdrawn(withdrawn))
        } else {
            event.read()?.map(Self::Forwarded)
        })
    }

    fn notification(&self) -> Result<NotificationId, Failure> {
        let id = match self {
            Self::Filed(filed) => &filed.notification_id,
            Self::Amended(amended) => &amended.notification_id,
            Self::Returned(returned) => &returned.notification_id,
            Self::Acknowledged(acknowledged) => &acknowledged.notification_id,
            Self::Withdrawn(withdrawn) => &withdrawn.notification_id,
            Self::Forwarded(forwarded) => &forwarded.notification_id,
        };
        NotificationId::parse(id).map_err(dead)
    }

    fn befall(&self, filing: &mut Filing, at: OffsetDateTime) -> Result<(), Failure> {
        match self {
            Self::Filed(filed) => on_notification_filed::take(filing, filed, at),
            Self::Amended(amended) => on_notification_amended::take(filing, amended, at),
            Self::Returned(returned) => on_notification_returned::take(filing, returned, at),
            Self::Acknowledged(_) => {
                on_notification_acknowledged::take(filing);
                Ok(())
            }
            Self::Withdrawn(_) => {
                on_notification_withdrawn::take(filing);
                Ok(())
            }
            Self::Forwarded(forwarded) => on_notification_forwarded::take(filing, forwarded),
        }
    }
}

pub(super) fn dead(_: data::NoSuch) -> Failure {
    Failure::Dead("an id is no UUID".to_owned())
}

#[async_trait]
impl Projection for Hears {
    type Fetched = ();

    fn source(&self) -> &'static str {
        "notification"
    }

    async fn fetch(&self, _: &[Event]) -> Result<(), Failure> {
        Ok(())
    }

    /// Many with a fixed number of statements. An event that is older than what was heard changes nothing.
    async fn apply(&self, tx: &mut PgConnection, events: &[Event], (): &()) -> Result<(), Failure> {
        let mut heard = Vec::new();
        for event in events {
            if let Some(happened) = Happened::read(event)? {
                heard.push((happened.notification()?, event, happened));
            }
        }
        let mut ids: Vec<NotificationId> = heard.iter().map(|(id, ..)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            return Ok(());
        }

        let mut known = store::lock(tx, &ids).await?;
        for (id, event, happened) in heard {
            let filing = known.entry(id).or_insert_with(|| Filing::unheard(id));
            if event.seq > filing.seq {
                happened.befall(filing, event.recorded_at)?;
                filing.seq = event.seq;
            }
        }
        let mut filings: Vec<Filing> = known.into_values().collect();
        // The same order everywhere, so that there are no deadlocks.
        filings.sort_unstable_by_key(|filing| filing.id);
        store::save(tx, &mut filings).await?;

        let subjects: Vec<Uuid> = ids.into_iter().map(NotificationId::uuid).collect();
        let wanted: Vec<Wanted> = filings.iter().flat_map(Filing::tasks).collect();
        Ok(worklist::settle(tx, &subjects, &wanted, self.clock.now()).await?)
    }

    /// What was done about a notification is follow-up's own record: nothing is thrown away.
    async fn reset(&self, _: &mut PgConnection) -> sqlx::Result<bool> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use data::Failure;
    use proto::{
        followup::{Task, TaskKind},
        notification::{NotificationAmended, NotificationFiled, NotificationWithdrawn},
        registry::PersonCorrected,
    };
    use testing::Outcome;

    use super::Hears;
    use crate::fixture::{Scene, amended, filed};

    #[tokio::test]
    async fn an_event_that_comes_again_after_later_ones_changes_nothing() -> Outcome {
        let scene = Scene::new().await?;
        let first = filed(&scene, &["7"]);
        let hears = Hears { clock: scene.world.clock.clone() };
        let events = [scene.world.event(&first)?, scene.world.event(&amended(&first, 2, &[]))?];
        scene.world.hear_all(&hears, &events).await?;
        assert!(scene.tasks(&scene.physician).await?.is_empty(), "a batch is taken in order");
        scene.world.hear_all(&hears, &events[..1]).await?;
        assert!(scene.tasks(&scene.physician).await?.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn many_are_heard_at_once_and_those_that_make_no_work_are_passed_over() -> Outcome {
        let scene = Scene::new().await?;
        let (lacking, whole) = (filed(&scene, &["7", "12.method"]), filed(&scene, &[]));
        // Something that notification may announce one day.
        let other = PersonCorrected { case_id: whole.notification_id.clone() };
        let events = [scene.world.event(&lacking)?, scene.world.event(&whole)?, scene.world.event(&other)?];
        scene.world.hear_all(&Hears { clock: scene.world.clock.clone() }, &events).await?;
        let tasks = scene.tasks(&scene.physician).await?;
        assert_eq!(tasks.iter().map(Task::kind).collect::<Vec<_>>(), [TaskKind::ItemsMissing]);
        assert_eq!(tasks[0].notification_id, lacking.notification_id);
        Ok(())
    }

    #[tokio::test]
    async fn an_event_without_proper_ids_is_set_aside() -> Outcome {
        let scene = Scene::new().await?;
        let hears = Hears { clock: scene.world.clock.clone() };
        let good = filed(&scene, &["7"]);
        let nobody = NotificationFiled { reporter_id: "x".to_owned(), ..good.clone() };
        let nowhere = NotificationFiled { receiving_centre_id: "x".to_owned(), ..good.clone() };
        let nothing = NotificationWithdrawn { notification_id: "x".to_owned(), ..NotificationWithdrawn::default() };
        let unknown = NotificationAmended { reporter_id: "x".to_owned(), ..amended(&good, 2, &[]) };
        for event in [
            scene.world.event(&nobody)?,
            scene.world.event(&nowhere)?,
            scene.world.event(&nothing)?,
            scene.world.event(&unknown)?,
        ] {
            assert!(matches!(scene.world.hear_all(&hears, &[event]).await, Err(Failure::Dead(_))));
        }
        assert!(scene.tasks(&scene.physician).await?.is_empty());
        Ok(())
    }
}
