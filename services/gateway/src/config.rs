//! Settings of the gateway.

use clap::{Parser, ValueEnum};
use ipnet::IpNet;
use runtime::config::Common;

/// Settings of the gateway. Every one is a flag and an environment variable.
#[derive(Clone, Debug, Parser)]
#[command(version, about = "The gateway of HER-SYS")]
pub struct Settings {
    /// What to do.
    #[arg(value_enum, default_value = "serve")]
    pub command: Command,

    /// For `ask`: the service, and where its admin port is, `host:port`.
    pub of: Vec<String>,

    /// Settings every process shares.
    #[command(flatten)]
    pub common: Common,

    /// Calls a signed-in principal may make per second, with bursts of ten seconds' worth.
    #[arg(long, env = "HERSYS_LIMIT_PER_PRINCIPAL", default_value_t = 50)]
    pub per_principal: u32,

    /// Anonymous calls (sign-in) one address may make per second, with bursts of ten seconds' worth. Whole hospitals and the
    /// customers of a mobile carrier share an address.
    #[arg(long, env = "HERSYS_LIMIT_ANONYMOUS", default_value_t = 50)]
    pub anonymous: u32,

    /// The most calls under way of one principal.
    #[arg(long, env = "HERSYS_UNDER_WAY", default_value_t = 32)]
    pub under_way: usize,

    /// The most anonymous calls (sign-in) under way of one address: a hospital in the morning shares one.
    #[arg(long, env = "HERSYS_UNDER_WAY_PER_ADDRESS", default_value_t = 64)]
    pub under_way_per_address: usize,

    /// The most connections at once. File descriptors may allow fewer.
    #[arg(long, env = "HERSYS_CONNECTIONS", default_value_t = 10_000)]
    pub connections: usize,

    /// The most connections of one address (IPv6: of one /64).
    #[arg(long, env = "HERSYS_CONNECTIONS_PER_ADDRESS", default_value_t = 2_000)]
    pub connections_per_address: usize,

    /// Load balancers in front of the gateway, as networks. They must send PROXY protocol v2; nobody else's word about an
    /// address is taken.
    #[arg(long, env = "HERSYS_PROXY_HOPS", value_delimiter = ',')]
    pub proxy_hops: Vec<IpNet>,

    /// The most calls under way at once. Less urgent calls are refused already at a share of it.
    #[arg(long, env = "HERSYS_IN_FLIGHT", default_value_t = 2_000)]
    pub in_flight: usize,

    /// The most streams open at once, counted apart from calls.
    #[arg(long, env = "HERSYS_STREAMS", default_value_t = 20_000)]
    pub streams: usize,

    /// The most bytes in a request body.
    #[arg(long, env = "HERSYS_BODY_BYTES", default_value_t = 4 << 20)]
    pub body_bytes: usize,
}

/// What the gateway's binary can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Command {
    /// Answer calls.
    Serve,
    /// Ask the gateway beside this process whether it can do its work now, and end: 0 if it can. For readiness probes.
    Healthcheck,
    /// The same for whether it lives, whatever others do. For liveness probes.
    Livecheck,
    /// Ask any service whether it can do its work now, and end: 0 if it can. For the tests of a deployment.
    Ask,
}
