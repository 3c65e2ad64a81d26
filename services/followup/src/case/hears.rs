//! What follow-up hears of the registry.

use async_trait::async_trait;
use data::{Event, Failure, Projection};
use proto::registry::{CaseChanged, CaseOpenedInEmergency, FilingToCheck};
use runtime::Clock;
use sqlx::PgConnection;

use super::{on_changed, on_filing_to_check, on_opened_in_emergency};

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
        let now = self.clock.now();
        let versions: Vec<CaseChanged> = Event::read_all(events)?;
        on_changed::take(tx, &versions, now).await?;
        let openings: Vec<CaseOpenedInEmergency> = Event::read_all(events)?;
        on_opened_in_emergency::tell(tx, &openings, now).await?;
        let checks: Vec<FilingToCheck> = Event::read_all(events)?;
        on_filing_to_check::tell(tx, &checks, now).await
    }

    /// Plans and reports are follow-up's own record: nothing is thrown away.
    async fn reset(&self, _: &mut PgConnection) -> sqlx::Result<bool> {
        Ok(false)
    }
}
