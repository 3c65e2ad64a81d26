//! Settings of the operator.

use clap::{Parser, ValueEnum};
use runtime::config::Common;

/// Settings of the operator. Every one is a flag and an environment variable.
#[derive(Clone, Debug, Parser)]
#[command(version, about = "The surge operator of HER-SYS")]
pub struct Settings {
    /// What to do.
    #[arg(value_enum, default_value = "serve")]
    pub command: Command,

    /// Settings every process shares. `--listen` is not used: the operator answers no calls.
    #[command(flatten)]
    pub common: Common,

    /// The namespace whose plans it follows; its own.
    #[arg(long, env = "HERSYS_NAMESPACE", default_value = "hersys")]
    pub namespace: String,

    /// The name of this process in the lease; its pod's.
    #[arg(long, env = "HERSYS_POD", default_value = "operator")]
    pub pod: String,

    /// The domain of the cluster's services.
    #[arg(long, env = "HERSYS_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,

    /// The admin port of the mesh's processes.
    #[arg(long, env = "HERSYS_ADMIN_PORT", default_value_t = 9443)]
    pub admin_port: u16,
}

/// What the operator's binary can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Command {
    /// Follow the plans.
    Serve,
    /// Ask the operator beside this process whether it can do its work now, and end: 0 if it can. For readiness probes.
    Healthcheck,
    /// The same for whether it lives, whatever others do. For liveness probes.
    Livecheck,
}
