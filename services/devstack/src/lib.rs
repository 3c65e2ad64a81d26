//! The whole mesh on one machine: private PostgreSQL and NATS, certificates, every service as its own process, a demo.
//!
//! What `make up` runs, and what the tests run on.

pub mod certs;
mod demo;
pub mod nats;
pub mod postgres;
pub mod process;
pub mod stack;

pub use nats::LISTENS_TO;
pub use stack::{Options, Stack};
