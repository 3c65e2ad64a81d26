//! On `case.changed`: every version of every case becomes a fact.

use access::Directory;
use async_trait::async_trait;
use data::{Event, Failure, Projection};
use proto::registry::CaseChanged;
use sqlx::PgConnection;

use super::{
    model::{CaseFact, Malformed},
    moment::REGISTRY,
    store,
};

/// Hears the registry.
pub(crate) struct HearsCases {
    directory: Directory,
}

impl HearsCases {
    pub(crate) fn new(directory: Directory) -> Self {
        Self { directory }
    }

    fn fact(&self, event: &Event) -> Result<Option<CaseFact>, Failure> {
        let Some(changed) = event.read::<CaseChanged>()? else { return Ok(None) };
        let prefecture_of = |id| self.directory.get(id).map(|centre| centre.prefecture);
        let fact = CaseFact::read(&changed, event.recorded_at, prefecture_of);
        fact.map(Some).map_err(|Malformed(why)| Failure::Dead(why.to_owned()))
    }
}

#[async_trait]
impl Projection for HearsCases {
    type Fetched = ();

    fn source(&self) -> &'static str {
        REGISTRY
    }

    async fn fetch(&self, _: &[Event]) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(&self, tx: &mut PgConnection, events: &[Event], (): &()) -> Result<(), Failure> {
        let facts = events.iter().filter_map(|event| self.fact(event).transpose()).collect::<Result<Vec<_>, _>>()?;
        if !facts.is_empty() {
            store::insert_cases(tx, &facts).await?;
        }
        Ok(())
    }

    async fn reset(&self, tx: &mut PgConnection) -> sqlx::Result<bool> {
        store::forget_cases(tx).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use data::{Failure, Projection as _};
    use proto::{
        identity::OrganisationKind as Kind,
        registry::{CaseChanged, Outcome, PersonCorrected},
    };
    use testing::Outcome as Tested;
    use time::Duration;

    use crate::{
        fact::{POSITIVE, REGISTRY},
        fixture::{Scene, TOKYO},
    };

    #[tokio::test]
    async fn versions_count_from_when_they_were_recorded_in_whatever_order_they_come() -> Tested {
        let scene = Scene::new().await?;
        let mut known = Vec::new();
        let mut case = scene.case();
        // Suspected, confirmed, released: an hour each.
        for (version, class, outcome) in [
            (1, proto::registry::DiagnosisClass::Suspected, Outcome::Unspecified),
            (2, POSITIVE[0], Outcome::Unspecified),
            (3, POSITIVE[0], Outcome::Released),
        ] {
            scene.world.clock.advance(Duration::hours(1));
            case = CaseChanged { version, diagnosis_class: class.into(), outcome: outcome.into(), ..case };
            known.push(scene.world.event(&case)?);
        }
        let [first, second, third] = known.as_slice() else { anyhow::bail!("three versions") };
        for events in [vec![third.clone(), first.clone()], vec![second.clone()], vec![first.clone()]] {
            scene.world.hear_all(&scene.cases, &events).await?;
        }
        scene.heard(REGISTRY).await?;

        for (at, figures) in [
            (first.recorded_at - Duration::seconds(1), (0, 0, 0)),
            (first.recorded_at, (0, 0, 0)),
            (second.recorded_at - Duration::seconds(1), (0, 0, 0)),
            (second.recorded_at, (1, 1, 0)),
            (third.recorded_at, (1, 0, 1)),
        ] {
            let row = scene.summary(&scene.ministry, Some(at)).await?.nation.unwrap_or_default();
            assert_eq!((row.positive, row.open, row.released), figures, "as known at {at}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn people_are_cared_for_where_their_centre_is() -> Tested {
        let scene = Scene::new().await?;
        let tokyo = scene.world.body(Kind::HealthCentre, TOKYO).await?;
        let moved = CaseChanged { responsible_centre_id: tokyo.id.to_string(), ..scene.case() };
        // A centre that the directory does not know: the person is taken to be where the case was received.
        let unknown = CaseChanged { responsible_centre_id: access::OrganisationId::new().to_string(), ..scene.case() };
        scene.tell(&[moved, unknown]).await?;

        let care = scene.care(&scene.ministry, None).await?;
        let under_care: Vec<(i32, i64)> = care.prefectures.iter().map(|row| (row.prefecture, row.under_care)).collect();
        assert_eq!(under_care, [(13, 1), (27, 1)]);
        let received = scene.summary(&scene.ministry, None).await?;
        assert_eq!(received.prefectures.iter().map(|row| (row.prefecture, row.open)).collect::<Vec<_>>(), [(27, 2)]);
        Ok(())
    }

    #[tokio::test]
    async fn an_event_that_holds_no_fact_is_set_aside() -> Tested {
        let scene = Scene::new().await?;
        let malformed = || "x".to_owned();
        let good = || scene.case();
        for (wrong, why) in [
            (CaseChanged { case_id: malformed(), ..good() }, "id"),
            (CaseChanged { case_id: String::new(), ..good() }, "id"),
            (CaseChanged { centre_id: malformed(), ..good() }, "id"),
            (CaseChanged { responsible_centre_id: malformed(), ..good() }, "id"),
            (CaseChanged { report_date: "2020-02-30".to_owned(), ..good() }, "date"),
            (CaseChanged { onset_date: malformed(), ..good() }, "date"),
            (CaseChanged { test_date: malformed(), ..good() }, "date"),
            (CaseChanged { prefecture: 1_000, ..good() }, "prefecture"),
            (CaseChanged { outcome: 77, ..good() }, "code"),
        ] {
            let failure = scene.world.hear(&scene.cases, &wrong).await;
            assert!(matches!(&failure, Err(Failure::Dead(told)) if told.contains(why)), "{why}: {failure:?}");
        }
        // Other news of the registry is none of ours.
        scene.world.hear(&scene.cases, &PersonCorrected { case_id: malformed() }).await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_rebuild_begins_with_nothing() -> Tested {
        let scene = Scene::new().await?;
        scene.tell(&[scene.case()]).await?;
        let mut conn = scene.world.base.pool.acquire().await?;
        assert!(scene.cases.reset(&mut conn).await?);
        assert!(scene.summary(&scene.ministry, None).await?.prefectures.is_empty());
        Ok(())
    }
}
