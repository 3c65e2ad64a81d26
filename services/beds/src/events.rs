//! What beds hears: cases, so that it can decide who may and tell a facility the coded facts.

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
        let versions: Vec<CaseChanged> = events
            .iter()
            .filter(|event| event.r#type == "case.changed")
            .map(Event::decode)
            .collect::<Result<_, _>>()?;
        cases::take(tx, &versions).await?;
        Ok(())
    }

    async fn reset(&self, tx: &mut PgConnection) -> sqlx::Result<bool> {
        sqlx::query("delete from case_copy").execute(tx).await?;
        Ok(true)
    }
}
