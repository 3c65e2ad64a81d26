//! The command line for operators and integrators: an ordinary client of the gateway, and the library the tests use.

pub mod admin;
pub mod audit;
pub mod cli;
pub mod client;
pub mod demo;
pub mod failure;
mod figures;
pub mod replay;
mod session;
mod trust;
pub mod wave;

pub use client::{Client, Credentials};
