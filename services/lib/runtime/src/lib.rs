//! What every process of the mesh needs to start, run and stop. Nothing here knows about public health.
//!
//! Settings, telemetry, TLS with reload, the gRPC server with its standard layers, the client for other services,
//! the admin port, the clock, and an orderly stop.

pub mod admin;
pub mod clock;
pub mod config;
pub mod layers;
pub mod mesh;
pub mod metrics;
pub mod personal;
pub mod problem;
pub mod pulse;
pub mod server;
pub mod shutdown;
pub mod spans;
pub mod surge;
pub mod telemetry;
pub mod tls;
pub mod trace;

pub use clock::Clock;
pub use personal::Personal;
pub use pulse::Pulses;
pub use shutdown::Shutdown;
pub use surge::Surge;
