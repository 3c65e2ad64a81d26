//! Applies what identity announces to the copy in the database.

use async_trait::async_trait;
use data::{Event, Failure, Projection};
use proto::identity::{AccessRevoked, ContractChanged, OrganisationChanged};
use sqlx::PgConnection;

use super::store;

/// Listens to identity and keeps the copy of the directory in the database.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hears;

#[async_trait]
impl Projection for Hears {
    type Fetched = ();

    fn source(&self) -> &'static str {
        "identity"
    }

    async fn fetch(&self, _: &[Event]) -> Result<(), Failure> {
        Ok(())
    }

    async fn apply(&self, tx: &mut PgConnection, events: &[Event], (): &()) -> Result<(), Failure> {
        for event in events {
            if let Some(changed) = event.read::<OrganisationChanged>()? {
                let organisation =
                    changed.organisation.ok_or_else(|| Failure::Dead("carries no organisation".to_owned()))?;
                store::save_organisation(tx, &organisation, changed.version, event.seq).await?;
            } else if let Some(changed) = event.read::<ContractChanged>()? {
                let contract = changed.contract.ok_or_else(|| Failure::Dead("carries no contract".to_owned()))?;
                store::save_contract(tx, &contract, changed.version, event.seq).await?;
            } else if let Some(revoked) = event.read::<AccessRevoked>()? {
                store::save_revocation(tx, &revoked, event.seq).await?;
            }
        }
        Ok(())
    }

    async fn reset(&self, tx: &mut PgConnection) -> sqlx::Result<bool> {
        store::forget_all(tx).await?;
        Ok(true)
    }
}
