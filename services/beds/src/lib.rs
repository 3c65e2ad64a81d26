//! Who has room for a patient, and who gets which bed.
//!
//! - [`capacity`]: what facilities declare, and where there is room
//! - [`admission`]: the trunk, from the request to the day the patient leaves
//! - [`coordination`]: centres and prefectures look for a bed (入院調整)
//! - [`stay`]: facilities answer, take patients in and let them go
//! - [`case`]: the registry's cases, as far as beds knows them

mod admission;
mod capacity;
mod case;
mod coordination;
#[cfg(test)]
mod fixture;
mod grpc;
mod service;
mod stay;

use chassis::{MigrationSet, Mount, NoSettings};
use proto::beds::{admission_service_server::AdmissionServiceServer, capacity_service_server::CapacityServiceServer};
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
pub async fn run(mut mount: Mount<NoSettings>) -> anyhow::Result<()> {
    mount.seals(SEALED);
    let beds = service::Beds::new(&mount.base)?;
    mount.listen(coordination::Hears { clock: mount.base.clock.clone() })?;
    mount
        .serve(|routes| {
            routes.add_service(CapacityServiceServer::new(beds.clone())).add_service(AdmissionServiceServer::new(beds))
        })
        .await
}
