//! On `case.changed`: the copy is replaced by the newer version.

use access::cases;
use async_trait::async_trait;
use data::{Event, Failure, Projection};
use proto::registry::CaseChanged;
use sqlx::PgConnection;

/// Hears the registry.
pub(crate) struct Hears;

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
        cases::take(tx, &versions).await?;
        Ok(())
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
    use proto::registry::CaseChanged;
    use testing::Outcome;

    use super::{Hears, cases};
    use crate::fixture::Scene;

    #[tokio::test]
    async fn a_newer_version_is_taken_and_an_older_one_never() -> Outcome {
        let scene = Scene::new().await?;
        let id = CaseId::new();
        let version = |version| CaseChanged { case_id: id.to_string(), version, ..CaseChanged::default() };
        for number in [2, 1] {
            scene.world.hear(&Hears, &version(number)).await?;
        }
        let mut conn = scene.world.base.pool.acquire().await?;
        let held = |found: std::collections::HashMap<CaseId, CaseChanged>| found.get(&id).map(|case| case.version);
        assert_eq!(held(cases::find(&mut conn, &[id]).await?), Some(2));
        assert!(Hears.reset(&mut conn).await?);
        assert_eq!(held(cases::find(&mut conn, &[id]).await?), None);
        Ok(())
    }
}
