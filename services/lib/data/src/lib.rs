//! Durable data: the pool with its guards, the event log (outbox), the relay, consumers, dead letters, repeated
//! requests.
//!
//! The promise behind all of it: what was acknowledged is in PostgreSQL; every consumer handles each event of an
//! owner's log exactly once and in order; if NATS loses everything, nobody notices more than a second's delay.

pub mod code;
pub mod consumer;
pub mod dead_letter;
pub mod event;
pub mod id;
pub mod log;
pub mod nats;
pub mod outbox;
pub mod pipeline;
pub mod pool;
pub mod relay;
pub mod request;
pub mod retention;
pub mod subject;

pub use code::{Code, code};
pub use consumer::{Consumer, Failure, Projection};
pub use event::Event;
pub use id::{NoSuch, text};

use std::sync::LazyLock;

/// The tables every service has.
pub static MIGRATOR: LazyLock<sqlx::migrate::Migrator> =
    LazyLock::new(|| migrations!["0001_event_log.sql" => include_str!("../migrations/0001_event_log.sql")]);

/// Re-exported so that [`migrations!`] and [`id!`] work in crates that do not name them.
pub use sqlx;
pub use uuid;

/// A set of migrations from files named `NNNN_what.sql`, in order. They only go forward and are never edited.
#[macro_export]
macro_rules! migrations {
    ($($name:literal => $sql:expr),+ $(,)?) => {
        $crate::sqlx::migrate::Migrator::with_migrations(vec![$($crate::pool::migration($name, $sql)),+])
    };
}
