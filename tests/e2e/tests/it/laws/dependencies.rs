//! The laws of the house: who may depend on whom, and that every member obeys the lints.

use std::fs;

use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::Outcome;

fn metadata() -> anyhow::Result<Metadata> {
    Ok(MetadataCommand::new().no_deps().exec()?)
}

/// The names of the members whose manifest lies in this folder of the repository.
fn members_of<'a>(metadata: &'a Metadata, folder: &str) -> Vec<&'a str> {
    let folder = metadata.workspace_root.join(folder);
    let lies_there = |package: &&Package| package.manifest_path.parent().and_then(|at| at.parent()) == Some(&folder);
    metadata.packages.iter().filter(lies_there).map(|package| package.name.as_str()).collect()
}

#[test]
fn a_service_depends_on_libraries_and_the_contract_never_on_another_service() -> Outcome {
    let metadata = metadata()?;
    let libraries = members_of(&metadata, "services/lib");
    let tools = ["client", "ctl", "devstack"];
    let services: Vec<&str> =
        members_of(&metadata, "services").into_iter().filter(|name| !tools.contains(name)).collect();
    assert!(proto::SERVICES.iter().all(|name| services.contains(name)) && services.contains(&"gateway"));
    assert!(libraries.len() > 5);
    let members: Vec<&str> = metadata.packages.iter().map(|package| package.name.as_str()).collect();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let ours = package.dependencies.iter().map(|d| d.name.as_str()).filter(|d| members.contains(d));
        for dependency in ours {
            let common = dependency == "proto" || libraries.contains(&dependency);
            let allowed = match name {
                "proto" => false,
                "client" => common,
                "ctl" => common || dependency == "client",
                _ if libraries.contains(&name) || services.contains(&name) => common,
                _ => true,
            };
            assert!(allowed, "{name} must not depend on {dependency}");
        }
    }
    Ok(())
}

#[test]
fn every_member_inherits_the_lints() -> Outcome {
    for package in metadata()?.packages.iter().filter(|package| package.name.as_str() != "proto") {
        let manifest = fs::read_to_string(&package.manifest_path)?;
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} is not linted", package.name);
    }
    Ok(())
}

#[test]
fn only_the_operator_knows_the_api_of_a_cluster() -> Outcome {
    let metadata = metadata()?;
    let knows = |package: &&Package| package.dependencies.iter().any(|d| d.name == "kube" || d.name == "k8s-openapi");
    let who: Vec<&str> = metadata.packages.iter().filter(knows).map(|package| package.name.as_str()).collect();
    assert_eq!(who, ["operator"]);
    Ok(())
}
