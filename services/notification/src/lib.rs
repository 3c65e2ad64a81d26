//! Filing of the legal notification (発生届), its receipt, and the health centre's inbox.

pub mod domain;
mod internal;
mod receipt;
mod rpc;
pub mod rules;
mod store;
mod watch;

use chassis::{Base, MigrationSet};
use proto::notification::{
    notification_internal_service_server::NotificationInternalServiceServer,
    notification_service_server::NotificationServiceServer,
};
use vault::{Key, Sealed};

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] =
    &[("0001_notification.sql", include_str!("../migrations/0001_notification.sql"))];

/// The encrypted columns.
const SEALED: &[Sealed] = &[
    Sealed { place: vault::SIGNING_KEYS, key: Key::Text("kid") },
    Sealed { place: rpc::FORM, key: Key::Uuid("notification_id") },
];

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut base: Base) -> anyhow::Result<()> {
    base.seals(SEALED);
    let notification = rpc::Notifications::new(&base);
    base.serve(|routes| {
        routes
            .add_service(NotificationServiceServer::new(notification.clone()))
            .add_service(NotificationInternalServiceServer::new(notification).max_encoding_message_size(16 << 20))
    })
    .await
}
