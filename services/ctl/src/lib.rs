//! The command line for operators and integrators: an ordinary client of the gateway, and the library the tests use.

pub mod audit;
pub mod cli;
mod commands;
mod console;
pub mod demo;
pub mod failure;
pub mod replay;
mod secret_file;
mod target;
pub mod wave;

pub use client;
pub use client::{Client, Credentials};
pub use commands::{contracts, organisations, users};
