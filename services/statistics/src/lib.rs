//! De-identified figures: live, and reproducible as of any past moment.

mod care;
pub mod domain;
mod events;
mod rpc;
mod store;

use chassis::{Base, MigrationSet};
use proto::statistics::statistics_service_server::StatisticsServiceServer;

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] = &[
    ("0001_facts.sql", include_str!("../migrations/0001_facts.sql")),
    ("0002_care.sql", include_str!("../migrations/0002_care.sql")),
];

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut base: Base) -> anyhow::Result<()> {
    let statistics = rpc::Statistics::new(&base);
    base.listen(events::Hears::new(base.directory.clone()))?;
    base.listen(events::HearsBeds)?;
    base.serve(|routes| routes.add_service(StatisticsServiceServer::new(statistics))).await
}
