//! What was acknowledged survives: processes killed, the bus gone, messages forged, callers that hang up.

mod bus;
mod filings;
mod processes;
mod replicas;
mod restore;
mod stalls;
