//! On `case.changed`: the copy is replaced by the newer version. Who died or was released needs no bed any more.

use access::{CaseId, cases};
use async_trait::async_trait;
use data::{Event, Failure, Projection};
use proto::registry::{CaseChanged, Outcome};
use runtime::Clock;
use sqlx::PgConnection;

use super::end::end_with_the_episode;

/// Hears the registry.
pub(crate) struct Hears {
    pub clock: Clock,
}

#[async_trait]
impl Projection for Hears {
    type Fetched = ();

    fn source(&self) -> &'static str {
        "registry"
    }

    async fn fetch(&self, _: &[Event]) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(&self, tx: &mut PgConnection, events: &[Event], (): &()) -> Result<(), Failure> {
        let versions: Vec<CaseChanged> = Event::read_all(events)?;
        let fresh = cases::take(tx, &versions).await?;
        let ended: Vec<(CaseId, Outcome)> = fresh
            .into_iter()
            .map(|(id, case)| (id, data::code(case.outcome)))
            .filter(|(_, outcome)| *outcome != Outcome::Unspecified)
            .collect();
        end_with_the_episode(tx, &ended, self.clock.now()).await
    }

    async fn reset(&self, tx: &mut PgConnection) -> sqlx::Result<bool> {
        cases::forget_all(tx).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use access::CaseId;
    use data::Projection as _;
    use proto::{
        beds::{Admission, AdmissionChanged, AdmissionState, Capability, Destination},
        registry::{CaseChanged, Outcome as Ended},
    };
    use testing::{Outcome, Refused as _};
    use tonic::Code;

    use super::{Hears, cases};
    use crate::fixture::Scene;

    #[tokio::test]
    async fn a_newer_version_is_taken_and_an_older_one_never() -> Outcome {
        let scene = Scene::new().await?;
        let hears = Hears { clock: scene.world.clock.clone() };
        let id = CaseId::new();
        let version = |version| CaseChanged { case_id: id.to_string(), version, ..CaseChanged::default() };
        for number in [2, 1] {
            scene.world.hear(&hears, &version(number)).await?;
        }
        let mut conn = scene.world.base.pool.acquire().await?;
        let held = |found: std::collections::HashMap<CaseId, CaseChanged>| found.get(&id).map(|case| case.version);
        assert_eq!(held(cases::find(&mut conn, &[id]).await?), Some(2));
        assert!(hears.reset(&mut conn).await?);
        assert_eq!(held(cases::find(&mut conn, &[id]).await?), None);
        Ok(())
    }

    #[tokio::test]
    async fn the_end_of_an_episode_frees_the_bed_and_ends_the_search() -> Outcome {
        let scene = Scene::new().await?;
        let hears = Hears { clock: scene.world.clock.clone() };
        let end = async |admission: &Admission, outcome: Ended| {
            let changed = CaseChanged {
                case_id: admission.case_id.clone(),
                version: 99,
                outcome: outcome.into(),
                ..CaseChanged::default()
            };
            scene.world.hear(&hears, &changed).await?;
            let announced: Vec<AdmissionChanged> = scene.world.announced().await?;
            let last = announced.into_iter().rfind(|changed| changed.admission_id == admission.admission_id).unwrap();
            Ok::<_, anyhow::Error>((last.state(), last.destination()))
        };
        let lying = scene.offered().await?;
        scene.accept(&lying).await?;
        scene.arrive(&lying).await?;
        assert_eq!(end(&lying, Ended::Released).await?, (AdmissionState::Left, Destination::Discharged));
        // The bed is free for the next one, who is waiting for the answer and dies.
        let offered = scene.offered().await?;
        assert_eq!(end(&offered, Ended::Died).await?.0, AdmissionState::Cancelled);
        assert_eq!(scene.accept(&offered).await.refused().code(), Code::NotFound);
        // And the next one's search, too.
        let waiting = scene.request(scene.case().await?, Capability::General).await?;
        assert_eq!(end(&waiting, Ended::Died).await?.0, AdmissionState::Cancelled);
        Ok(())
    }
}
