//! Journeys, promises and faults, told as sentences, on the real mesh.

mod access;
mod bad_input;
mod beds;
mod care_faults;
mod commands;
mod contract;
mod factors;
mod faults;
mod followup;
mod handover;
mod issuing;
mod journey;
mod law;
mod matrix;
mod patients;
mod post;
mod privacy;
mod repeats;
mod rest;
mod storage;
mod swap;
mod systems;
mod telemetry;
mod tls;
mod trail;

/// What every test returns.
type Outcome = anyhow::Result<()>;
