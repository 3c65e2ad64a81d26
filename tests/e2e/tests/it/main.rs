//! Journeys, promises and faults, told as sentences, on the real mesh.

mod access;
mod bad_input;
mod beds;
mod care_faults;
mod commands;
mod contract;
mod faults;
mod followup;
mod handover;
mod journey;
mod law;
mod privacy;
mod repeats;
mod rest;
mod storage;
mod telemetry;
mod tls;

/// What every test returns.
type Outcome = anyhow::Result<()>;
