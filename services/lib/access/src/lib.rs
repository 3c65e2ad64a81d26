//! Access control: tokens, permissions, field classes, validation at the door, and the directory.

pub mod caller;
pub mod cases;
pub mod classes;
pub mod directory;
pub mod door;
pub mod guard;
pub mod ids;
pub mod policy;
pub mod table;
pub mod token;
pub mod validate;

use std::sync::LazyLock;

pub use caller::Caller;
pub use cases::Relations;
pub use directory::Directory;
pub use ids::{CaseId, OrganisationId, SessionId, UserId};

/// The tables of access. Run after every other set: its grants cover all tables.
pub static MIGRATOR: LazyLock<sqlx::migrate::Migrator> = LazyLock::new(|| {
    data::migrations![
        "0001_access.sql" => include_str!("../migrations/0001_access.sql"),
        "0002_grants.sql" => include_str!("../migrations/0002_grants.sql"),
        "0003_trust.sql" => include_str!("../migrations/0003_trust.sql"),
    ]
});
