//! Capacity of hospitals and lodging, and who gets which bed.

mod capacity;
pub mod domain;
mod events;
mod rpc;
mod store;
mod view;

use chassis::{Base, MigrationSet};
use proto::beds::beds_service_server::BedsServiceServer;

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] =
    &[access::cases::TABLE, ("0002_beds.sql", include_str!("../migrations/0002_beds.sql"))];

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut base: Base) -> anyhow::Result<()> {
    let beds = rpc::Beds::new(&base)?;
    base.listen(events::Hears)?;
    base.serve(|routes| routes.add_service(BedsServiceServer::new(beds))).await
}
