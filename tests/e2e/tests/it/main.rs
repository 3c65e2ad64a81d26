//! Journeys, promises, faults, doors and laws, told as sentences, on the real mesh.

mod doors;
mod faults;
mod journeys;
mod laws;
mod promises;

/// What every test returns.
type Outcome = anyhow::Result<()>;
