//! What the chart says of the mesh, against what the code does.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::Context as _;
use devstack::nats::LISTENS_TO;

use crate::Outcome;

/// Caller and callee.
type Call = (String, String);

#[test]
fn the_calls_of_the_chart_are_those_of_the_code() -> Outcome {
    let values = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/hersys/values.yaml"))?;
    let (_, block) = values.split_once("\ncalls:\n").context("values.yaml has no calls")?;
    let mut told = BTreeSet::new();
    for line in block.lines().take_while(|line| line.starts_with("  ")) {
        let (caller, callees) = line.trim().split_once(": [").context("a line is `caller: [callee, …]`")?;
        for callee in callees.trim_end_matches(']').split(", ").filter(|callee| !callee.is_empty()) {
            told.insert((caller.to_owned(), callee.to_owned()));
        }
    }
    assert_eq!(told, made());
    Ok(())
}

/// Whose log a service listens to: who else there is (identity), and what its projections say.
fn heard_by(service: &str) -> anyhow::Result<BTreeSet<String>> {
    let mut folders = vec![PathBuf::from(format!("{}/../../services/{service}/src", env!("CARGO_MANIFEST_DIR")))];
    let mut heard = BTreeSet::from(["identity".to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path)?;
            let sources = text.split("fn source(&self) -> &'static str {").skip(1);
            // A literal, or a constant of that name.
            let named = |rest: &str| Some(rest.split_whitespace().next()?.trim_matches('"').to_lowercase());
            heard.extend(sources.filter_map(named));
        }
    }
    Ok(heard)
}

#[test]
fn every_service_may_hear_whom_it_listens_to() -> Outcome {
    for (listener, sources) in LISTENS_TO {
        let allowed: BTreeSet<String> = sources.iter().map(|source| (*source).to_owned()).collect();
        assert_eq!(allowed, heard_by(listener)?, "{listener}: nats.rs, and the bus refuses the rest");
    }
    Ok(())
}

/// A file below `k8s/base`.
fn platform(file: &str) -> anyhow::Result<String> {
    let path = format!("{}/../../k8s/base/{file}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).with_context(|| format!("read {path}"))
}

#[test]
fn database_and_bus_of_the_platform_let_in_whom_the_development_stack_lets_in() -> Outcome {
    let hint = "hersys-devstack bus-users > k8s/base/bus/users.conf";
    assert_eq!(platform("bus/users.conf")?, devstack::nats::authorization()?, "{hint}");
    let database = platform("database/cluster.yaml")?;
    let listed = |line: &str| database.lines().any(|told| told.trim() == format!("- {line}"));
    let missing: Vec<String> = devstack::postgres::databases()
        .into_iter()
        .chain(proto::SERVICES.iter().flat_map(|service| devstack::postgres::identities(service)))
        .filter(|line| !listed(line))
        .collect();
    assert!(missing.is_empty(), "cluster.yaml lacks {missing:?}");
    let roles = database.lines().filter(|line| line.trim().starts_with("- mesh ")).count();
    assert_eq!(roles, 2 * proto::SERVICES.len(), "and nobody besides");
    Ok(())
}

/// The gateway calls everybody, everybody asks identity for its keys, a listener reads the log of whom it listens to, and the contract
/// says who may call what is between services.
fn made() -> BTreeSet<Call> {
    let call = |caller: &str, callee: &str| (caller.to_owned(), callee.to_owned());
    let mut calls = BTreeSet::new();
    for service in proto::SERVICES {
        calls.insert(call("gateway", service));
        calls.insert(call(service, "identity"));
    }
    for (listener, sources) in LISTENS_TO {
        calls.extend(sources.iter().map(|source| call(listener, source)));
    }
    let between = proto::rules().filter(|rule| proto::SERVICES.contains(&rule.package.as_str()));
    for rule in between {
        calls.extend(rule.peers.iter().map(|peer| call(peer, &rule.package)));
    }
    calls
}
