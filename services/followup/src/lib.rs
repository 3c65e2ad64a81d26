//! Daily health observation (健康観察): plans, due reports, alerts, call-backs, release.

pub mod domain;
mod due;
mod events;
mod form;
mod release;
mod rpc;
mod rules;
mod slots;
mod store;
mod submit;
mod view;
mod watch;
mod worklist;

use chassis::{Base, MigrationSet};
use proto::followup::followup_service_server::FollowupServiceServer;
use vault::{Key, Sealed};

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] =
    &[access::cases::TABLE, ("0002_followup.sql", include_str!("../migrations/0002_followup.sql"))];

/// The encrypted columns.
const SEALED: &[Sealed] = &[
    Sealed { place: vault::SIGNING_KEYS, key: Key::Text("kid") },
    Sealed { place: view::MESSAGE, key: Key::Uuid("report_id") },
    Sealed { place: view::NOTE, key: Key::Uuid("attempt_id") },
    Sealed { place: view::VISIT, key: Key::Uuid("visit_id") },
];

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut base: Base) -> anyhow::Result<()> {
    base.seals(SEALED);
    let followup = rpc::Followups::new(&base)?;
    base.listen(events::Hears)?;
    due::start(&followup);
    base.serve(|routes| routes.add_service(FollowupServiceServer::new(followup))).await
}
