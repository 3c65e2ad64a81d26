//! The threat model names a test for each threat, and each of them is there.

use std::fs;

use anyhow::Context as _;

use crate::Outcome;

#[test]
fn every_test_the_threat_model_names_exists() -> Outcome {
    let named = tests_named_in("docs/security/threat-model.md")?;
    assert!(named > 25, "{named} rows name a test");
    Ok(())
}

/// How many rows of the tables of a document name a test. Each of them must be there.
pub(super) fn tests_named_in(document: &str) -> anyhow::Result<usize> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let text = fs::read_to_string(format!("{root}/{document}"))?;
    // `folder::file::test`, in the last column; `service::folder::file::tests::test` for one beside what it tests.
    let named: Vec<(&str, &str)> = text
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("::"))
        .filter_map(|line| line.rsplit('`').nth(1)?.rsplit_once("::"))
        .collect();
    for (place, test) in &named {
        let file = file_of(place);
        let text = fs::read_to_string(format!("{root}/{file}")).with_context(|| format!("there is no {file}"))?;
        anyhow::ensure!(text.contains(&format!("fn {test}(")), "there is no {place}::{test}");
    }
    Ok(named.len())
}

/// The folders of these tests.
const HERE: [&str; 5] = ["doors", "faults", "journeys", "laws", "promises"];

/// The file that a test's place names: of a service, where its first word is no folder of these tests.
fn file_of(place: &str) -> String {
    let beside = place.split_once("::").filter(|(service, _)| !HERE.contains(service));
    match beside {
        Some((service, rest)) => {
            let rest = rest.strip_suffix("::tests").unwrap_or(rest);
            format!("services/{service}/src/{}.rs", rest.replace("::", "/"))
        }
        None => format!("tests/e2e/tests/it/{}.rs", place.replace("::", "/")),
    }
}
