//! The contract of the mesh: messages, clients and servers generated from `proto/hersys`, and what the annotations say.
//!
//! Rust has no nested package names with versions, so `hersys.registry.v1` is [`registry`].

#![allow(
    missing_docs,
    clippy::all,
    clippy::pedantic,
    reason = "generated code carries the comments of the proto files and its own habits"
)]

mod rules;
#[cfg(test)]
mod snapshots;

/// A moment on the wire.
pub use prost_types::Timestamp;
pub use rules::{Http, Rule, event, method, pool, rule, rule_for, rules};

/// The compiled descriptors with every option and comment.
pub static DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

macro_rules! packages {
    ($($name:ident => $package:literal),+ $(,)?) => {
        // Generated code refers to sibling packages by nested modules of these names.
        mod tree {
            pub mod hersys { $(pub mod $name { pub mod v1 { include!(concat!(env!("OUT_DIR"), "/", $package, ".rs")); } })+ }
        }
        $(#[doc = concat!("`", $package, "`")] pub mod $name { pub use super::tree::hersys::$name::v1::*; })+
    };
}

packages! {
    beds => "hersys.beds.v1",
    followup => "hersys.followup.v1",
    identity => "hersys.identity.v1",
    notification => "hersys.notification.v1",
    operations => "hersys.operations.v1",
    options => "hersys.options.v1",
    registry => "hersys.registry.v1",
    statistics => "hersys.statistics.v1",
}

/// The services with a database, in the order they start. Each answers the RPCs of the package of its name, and those of
/// `operations` for itself.
pub const SERVICES: &[&str] = &["identity", "registry", "notification", "followup", "beds", "statistics"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_package_with_rpcs_belongs_to_a_service() {
        let packages: BTreeSet<&str> = super::rules().map(|rule| rule.package.as_str()).collect();
        let named: BTreeSet<&str> = super::SERVICES.iter().copied().chain(["operations"]).collect();
        assert_eq!(packages, named);
    }
}
