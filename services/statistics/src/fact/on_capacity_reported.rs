//! On `capacity.reported`: every declaration of every facility becomes a fact.

use async_trait::async_trait;
use data::{Event, Failure, Projection};
use proto::beds::CapacityReported;
use sqlx::PgConnection;

use super::{
    model::{CapacityFact, Malformed},
    moment::BEDS,
    store,
};

/// Hears beds.
pub(crate) struct HearsBeds;

fn fact(event: &Event) -> Result<Option<CapacityFact>, Failure> {
    let Some(reported) = event.read::<CapacityReported>()? else { return Ok(None) };
    let fact = CapacityFact::read(&reported, event.recorded_at);
    fact.map(Some).map_err(|Malformed(why)| Failure::Dead(why.to_owned()))
}

#[async_trait]
impl Projection for HearsBeds {
    type Fetched = ();

    fn source(&self) -> &'static str {
        BEDS
    }

    async fn fetch(&self, _: &[Event]) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(&self, tx: &mut PgConnection, events: &[Event], (): &()) -> Result<(), Failure> {
        let facts = events.iter().filter_map(|event| fact(event).transpose()).collect::<Result<Vec<_>, _>>()?;
        if !facts.is_empty() {
            store::insert_capacities(tx, &facts).await?;
        }
        Ok(())
    }

    async fn reset(&self, tx: &mut PgConnection) -> sqlx::Result<bool> {
        store::forget_capacities(tx).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use data::{Failure, Projection as _};
    use proto::beds::{AdmissionChanged, Capability, CapacityReported};
    use testing::Outcome;
    use time::Duration;

    use super::HearsBeds;
    use crate::{
        fact::{BEDS, REGISTRY},
        fixture::Scene,
    };

    #[tokio::test]
    async fn declarations_hold_from_when_they_were_recorded_in_whatever_order_they_come() -> Outcome {
        let scene = Scene::new().await?;
        let declared = scene.capacity(Capability::Icu, 4, 2);
        let first = scene.world.event(&declared)?;
        scene.world.clock.advance(Duration::hours(1));
        let second = scene.world.event(&CapacityReported { version: 2, ready: 3, ..declared })?;
        // The second of another kind of bed ends nothing of this one.
        let other = scene.world.event(&CapacityReported { version: 2, ..scene.capacity(Capability::General, 7, 7) })?;
        for events in [vec![second.clone(), other], vec![first.clone()], vec![second.clone()]] {
            scene.world.hear_all(&HearsBeds, &events).await?;
        }
        scene.heard(REGISTRY).await?;
        scene.heard(BEDS).await?;

        for (at, ready) in [(first.recorded_at, 2), (second.recorded_at, 3 + 7)] {
            let total = scene.care(&scene.ministry, Some(at)).await?.total.unwrap_or_default();
            assert_eq!(total.ready_beds, ready, "as known at {at}");
        }
        let mut conn = scene.world.base.pool.acquire().await?;
        assert!(HearsBeds.reset(&mut conn).await?);
        assert!(scene.care(&scene.ministry, None).await?.prefectures.is_empty());
        Ok(())
    }

    #[tokio::test]
    async fn an_event_that_holds_no_fact_is_set_aside() -> Outcome {
        let scene = Scene::new().await?;
        let good = || scene.capacity(Capability::Icu, 1, 1);
        for (wrong, why) in [
            (CapacityReported { facility_id: "x".to_owned(), ..good() }, "id"),
            (CapacityReported { capability: 77, ..good() }, "code"),
            (CapacityReported { prefecture: -1, ..good() }, "prefecture"),
        ] {
            let failure = scene.world.hear(&HearsBeds, &wrong).await;
            assert!(matches!(&failure, Err(Failure::Dead(told)) if told.contains(why)), "{why}: {failure:?}");
        }
        // Other news of beds is none of ours.
        scene.world.hear(&HearsBeds, &AdmissionChanged::default()).await?;
        Ok(())
    }
}
