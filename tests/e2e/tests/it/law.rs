//! The laws of the house: who may depend on whom, and that every member obeys the lints.

use std::fs;

use cargo_metadata::MetadataCommand;

use crate::Outcome;

const LIBRARIES: &[&str] = &["runtime", "data", "access", "vault", "japan", "chassis"];
const SERVICES: &[&str] = &["identity", "registry", "notification", "followup", "beds", "statistics", "gateway"];

#[test]
fn a_service_depends_on_libraries_and_the_contract_never_on_another_service() -> Outcome {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let members: Vec<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let ours = package.dependencies.iter().map(|d| d.name.as_str()).filter(|d| members.contains(d));
        for dependency in ours {
            let allowed = match name {
                "proto" => false,
                _ if LIBRARIES.contains(&name) => dependency == "proto" || LIBRARIES.contains(&dependency),
                _ if SERVICES.contains(&name) => dependency == "proto" || LIBRARIES.contains(&dependency),
                "ctl" => dependency == "proto" || LIBRARIES.contains(&dependency),
                _ => true,
            };
            assert!(allowed, "{name} must not depend on {dependency}");
        }
    }
    Ok(())
}

#[test]
fn every_member_inherits_the_lints() -> Outcome {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    for package in metadata.packages.iter().filter(|package| package.name.as_str() != "proto") {
        let manifest = fs::read_to_string(&package.manifest_path)?;
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} is not linted", package.name);
    }
    Ok(())
}

#[test]
fn domain_files_do_no_input_or_output() -> Outcome {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let mut looked_at = 0;
    for package in &metadata.packages {
        let folder = package.manifest_path.parent().unwrap();
        let Ok(text) = fs::read_to_string(folder.join("src/domain.rs")) else { continue };
        looked_at += 1;
        for banned in ["sqlx", "tonic", "async_nats", "Clock", "std::env", "tokio"] {
            assert!(!text.contains(banned), "{}/src/domain.rs uses {banned}", package.name);
        }
    }
    assert!(looked_at >= 4);
    Ok(())
}

#[test]
fn every_test_the_threat_model_names_exists() -> Outcome {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let model = fs::read_to_string(format!("{root}/docs/security/threat-model.md"))?;
    let named: Vec<(&str, &str)> = model
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("::"))
        .filter_map(|line| line.rsplit('`').nth(1)?.split_once("::"))
        .collect();
    for (file, test) in &named {
        let text = fs::read_to_string(format!("{root}/tests/e2e/tests/it/{file}.rs"))?;
        assert!(text.contains(&format!("fn {test}(")), "there is no {file}::{test}");
    }
    assert!(named.len() > 25, "{} rows name a test", named.len());
    Ok(())
}
