//! The legal notification (発生届): its form, its filing, and the inbox of the health centre that gets it.
//!
//! - [`form`]: the versions of form 6-1 as dated rules, its definition, and what must hold of a form
//! - [`draft`]: what was typed so far, kept until it is filed
//! - [`local_item`]: what a centre, a city or a prefecture asks beyond the form (任意入力項目)
//! - [`filing`]: the trunk: a form is filed, a receipt proves it, and it can be read again
//! - [`inbox`]: a centre's notifications, until it accepts (受理) or forwards them

mod draft;
mod filing;
#[cfg(test)]
mod fixture;
mod form;
mod grpc;
mod inbox;
mod internal;
mod local_item;
mod retention;
mod service;

use chassis::{MigrationSet, Mount, NoSettings};
use proto::notification::{
    draft_service_server::DraftServiceServer, filing_service_server::FilingServiceServer,
    form_service_server::FormServiceServer, inbox_service_server::InboxServiceServer,
    local_item_service_server::LocalItemServiceServer,
    notification_internal_service_server::NotificationInternalServiceServer,
};
use vault::{Key, Sealed};

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] =
    &[access::cases::TABLE, ("0002_notification.sql", include_str!("../migrations/0002_notification.sql"))];

/// The encrypted columns that a rotation re-encrypts.
const SEALED: &[Sealed] = &[
    Sealed { place: vault::SIGNING_KEYS, key: Key::Text("kid") },
    filing::SEALED[0],
    filing::SEALED[1],
    filing::SEALED[2],
    draft::SEALED[0],
];

/// 200 forms at once are larger than tonic's usual limit.
const FORMS: usize = 16 << 20;

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut mount: Mount<NoSettings>) -> anyhow::Result<()> {
    mount.seals(SEALED);
    mount.sweeps(retention::RULES);
    let notifications = service::Notifications::new(&mount.base)?;
    mount.listen(filing::Hears(mount.base.clone()))?;
    inbox::start_passing_on(&notifications);
    mount
        .serve(|routes| {
            routes
                .add_service(FilingServiceServer::new(notifications.clone()))
                .add_service(InboxServiceServer::new(notifications.clone()))
                .add_service(FormServiceServer::new(notifications.clone()))
                .add_service(DraftServiceServer::new(notifications.clone()))
                .add_service(LocalItemServiceServer::new(notifications.clone()))
                .add_service(NotificationInternalServiceServer::new(notifications).max_encoding_message_size(FORMS))
        })
        .await
}
