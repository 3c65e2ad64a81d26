//! Who you are and how you prove it: organisations, users, sign-in of staff and patients, tokens.

mod bulk;
mod contracts;
pub mod domain;
mod events;
mod hashing;
mod import;
mod messages;
mod organisations;
mod patients;
mod rpc;
mod services;
mod sessions;
mod slip;
mod store;
mod terms;
mod users;

use chassis::{Base, MigrationSet};
use vault::{Key, Sealed};

/// The service's own tables.
pub const MIGRATIONS: &[MigrationSet] = &[
    ("0001_identity.sql", include_str!("../migrations/0001_identity.sql")),
    ("0002_access.sql", include_str!("../migrations/0002_access.sql")),
];

/// The encrypted columns.
const SEALED: &[Sealed] = &[
    Sealed { place: vault::SIGNING_KEYS, key: Key::Text("kid") },
    Sealed { place: rpc::TOTP, key: Key::Uuid("user_id") },
    Sealed { place: users::HOLDER, key: Key::Uuid("user_id") },
    Sealed { place: users::MAIL, key: Key::Uuid("user_id") },
    Sealed { place: organisations::RESPONSIBLE, key: Key::Uuid("organisation_id") },
    Sealed { place: patients::CONTACT, key: Key::Uuid("case_id") },
    Sealed { place: patients::PROXY_CONTACT, key: Key::Uuid("proxy_id") },
    Sealed { place: messages::MESSAGE, key: Key::Uuid("message_id") },
];

/// Runs the service until it is asked to stop.
///
/// # Errors
/// When something it cannot work without is missing.
pub async fn run(mut base: Base) -> anyhow::Result<()> {
    base.seals(SEALED);
    let identity = rpc::Identity::new(&base)?;
    if let Some(file) = base.bootstrap_file() {
        users::bootstrap(&identity, file).await?;
    }
    base.listen(events::Hears::new(&base)?)?;
    messages::start_courier(&identity)?;
    messages::start_forgetting(&identity);
    base.serve(|routes| rpc::routes(routes, identity)).await
}
