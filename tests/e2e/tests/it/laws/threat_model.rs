//! The threat model names a test for each threat, and each of them is there.

use std::fs;

use anyhow::Context as _;

use crate::Outcome;

#[test]
fn every_test_the_threat_model_names_exists() -> Outcome {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let model = fs::read_to_string(format!("{root}/docs/security/threat-model.md"))?;
    // `folder::file::test`, in the last column; `service::folder::file::tests::test` for one beside what it tests.
    let named: Vec<(&str, &str)> = model
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("::"))
        .filter_map(|line| line.rsplit('`').nth(1)?.rsplit_once("::"))
        .collect();
    for (place, test) in &named {
        let beside = place.strip_suffix("::tests").and_then(|place| place.split_once("::"));
        let file = match beside {
            Some((service, place)) => format!("{root}/services/{service}/src/{}.rs", place.replace("::", "/")),
            None => format!("{root}/tests/e2e/tests/it/{}.rs", place.replace("::", "/")),
        };
        let text = fs::read_to_string(&file).with_context(|| format!("there is no {file}"))?;
        assert!(text.contains(&format!("fn {test}(")), "there is no {place}::{test}");
    }
    assert!(named.len() > 25, "{} rows name a test", named.len());
    Ok(())
}
