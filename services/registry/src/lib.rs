//! Persons, cases, tests, placement and outcome, and who has which relation to them.

mod admissions;
mod change;
pub mod domain;
mod events;
mod handover;
mod history;
mod internal;
mod rpc;
mod store;
mod view;
mod write;

use chassis::{Base, MigrationSet};
use proto::registry::{
    registry_internal_service_server::RegistryInternalServiceServer, registry_service_server::RegistryServiceServer,
};

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] = &[
    ("0001_registry.sql", include_str!("../migrations/0001_registry.sql")),
    ("0002_care.sql", include_str!("../migrations/0002_care.sql")),
];

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut base: Base) -> anyhow::Result<()> {
    let registry = rpc::Registry::new(base.clone());
    base.listen(events::Hears::new(&base)?)?;
    base.listen(admissions::Hears)?;
    base.serve(|routes| {
        routes
            .add_service(RegistryServiceServer::new(registry.clone()))
            .add_service(RegistryInternalServiceServer::new(registry))
    })
    .await
}
