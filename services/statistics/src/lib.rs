//! De-identified figures: live, and reproducible as of any past moment.
//!
//! - [`fact`]: the trunk, what is counted, and up to which moment it is known
//! - [`question`]: cases by up to four dimensions
//! - [`summary`]: where the nation and each prefecture stand
//! - [`care`]: the care survey (療養状況等及び入院患者受入病床数等に関する調査)

mod care;
mod fact;
#[cfg(test)]
mod fixture;
mod grpc;
mod question;
mod service;
mod summary;

use chassis::{MigrationSet, Mount, NoSettings};
use proto::statistics::statistics_service_server::StatisticsServiceServer;

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] = &[("0001_statistics.sql", include_str!("../migrations/0001_statistics.sql"))];

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut mount: Mount<NoSettings>) -> anyhow::Result<()> {
    let statistics = service::Statistics::new(&mount.base);
    mount.listen(fact::HearsCases::new(mount.base.directory.clone()))?;
    mount.listen(fact::HearsBeds)?;
    mount.serve(|routes| routes.add_service(StatisticsServiceServer::new(statistics))).await
}
