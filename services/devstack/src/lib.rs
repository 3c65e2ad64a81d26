//! The whole mesh on one machine: private PostgreSQL and NATS, certificates, every service as its own process, a demo.
//!
//! What `make up` runs, and what the tests run on.

pub mod certs;
mod demo;
pub mod nats;
pub mod postgres;
pub mod process;
pub mod stack;

pub use stack::{Options, Stack};

/// The services with a database, in the order they start.
pub const SERVICES: &[&str] = &["identity", "registry", "notification", "followup", "beds", "statistics"];

/// Whose events each service listens to. Decides what the bus lets it do.
pub const LISTENS_TO: &[(&str, &[&str])] = &[
    ("identity", &["identity", "registry"]),
    ("registry", &["identity", "notification", "beds"]),
    ("notification", &["identity"]),
    ("followup", &["identity", "registry"]),
    ("beds", &["identity", "registry"]),
    ("statistics", &["identity", "registry", "beds"]),
];
