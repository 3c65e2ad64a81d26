//! Capacity of hospitals and lodging, and who gets which bed.

mod capacity;
pub mod domain;
mod events;
mod rpc;
mod store;
mod view;

use chassis::{Base, MigrationSet};
use proto::beds::beds_service_server::BedsServiceServer;
use vault::{Key, Sealed};

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] =
    &[access::cases::TABLE, ("0002_beds.sql", include_str!("../migrations/0002_beds.sql"))];

/// The encrypted columns that a rotation re-encrypts. A refusal's reason is bound to two ids and stays under the key that
/// sealed it.
const SEALED: &[Sealed] = &[Sealed { place: vault::SIGNING_KEYS, key: Key::Text("kid") }];

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut base: Base) -> anyhow::Result<()> {
    base.seals(SEALED);
    let beds = rpc::Beds::new(&base)?;
    base.listen(events::Hears)?;
    base.serve(|routes| routes.add_service(BedsServiceServer::new(beds))).await
}
