//! Persons, cases, tests, placement and outcome, and who has which relation to them.

mod admissions;
mod change;
pub mod domain;
mod emergency;
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
use vault::{Key, Sealed};

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] = &[
    ("0001_registry.sql", include_str!("../migrations/0001_registry.sql")),
    ("0002_care.sql", include_str!("../migrations/0002_care.sql")),
    ("0003_emergency.sql", include_str!("../migrations/0003_emergency.sql")),
];

/// The encrypted columns.
const SEALED: &[Sealed] = &[
    Sealed { place: vault::SIGNING_KEYS, key: Key::Text("kid") },
    Sealed { place: write::PERSON, key: Key::Uuid("person_id") },
    Sealed { place: write::ACCESS, key: Key::Uuid("case_id") },
    Sealed { place: view::REASON, key: Key::Uuid("case_id") },
    Sealed { place: view::ANSWER_REASON, key: Key::Uuid("case_id") },
    Sealed { place: emergency::REASON, key: Key::Uuid("opening_id") },
];

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut base: Base) -> anyhow::Result<()> {
    base.seals(SEALED);
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
