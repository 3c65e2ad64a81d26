//! Who you are and how you prove it: organisations, users, sign-in of staff and patients, tokens.

pub mod domain;
mod events;
mod hashing;
mod organisations;
mod patients;
mod rpc;
mod sessions;
mod store;
mod users;

use chassis::{Base, MigrationSet};
use proto::identity::identity_service_server::IdentityServiceServer;

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] = &[("0001_identity.sql", include_str!("../migrations/0001_identity.sql"))];

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut base: Base) -> anyhow::Result<()> {
    let identity = rpc::Identity::new(&base).await?;
    if let Some(file) = base.bootstrap_file() {
        users::bootstrap(&identity, file).await?;
    }
    base.listen(events::Hears::new(&base)?)?;
    base.serve(|routes| routes.add_service(IdentityServiceServer::new(identity))).await
}
