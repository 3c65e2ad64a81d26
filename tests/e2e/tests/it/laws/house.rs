//! The floor plan of `docs/architecture.md` as laws over the sources of the services. Each comes with a small bad example that it must
//! catch: a law that finds nothing anywhere is no law.

mod doors;
mod layers;
mod shape;
mod source;
mod sql;

use std::{collections::BTreeSet, fs, path::Path};

use source::Source;

/// The sources of the services, tests cut off.
fn services() -> anyhow::Result<Vec<Source>> {
    let mut found = Vec::new();
    for service in proto::SERVICES {
        collect(&format!("services/{service}/src"), &mut found)?;
    }
    anyhow::ensure!(found.len() > 100, "{} files", found.len());
    Ok(found)
}

/// Every source of a folder and the folders in it, in the order of their names.
fn collect(folder: &str, found: &mut Vec<Source>) -> anyhow::Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(root.join(folder))? {
        names.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    for name in names {
        let path = format!("{folder}/{name}");
        if root.join(&path).is_dir() {
            collect(&path, found)?;
        } else if Path::new(&name).extension().is_some_and(|extension| extension == "rs") {
            found.push(Source::read(&path, &fs::read_to_string(root.join(&path))?));
        }
    }
    Ok(())
}

/// A law over single files holds everywhere.
fn holds(law: impl Fn(&Source) -> Vec<String>) -> anyhow::Result<()> {
    let broken: Vec<String> = services()?.iter().flat_map(law).collect();
    anyhow::ensure!(broken.is_empty(), "\n{}", broken.join("\n"));
    Ok(())
}

/// What was found is what is listed: nothing new, and what is not found any more leaves the list.
fn only(found: &[String], listed: &[&str]) -> anyhow::Result<()> {
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    let listed: BTreeSet<&str> = listed.iter().copied().collect();
    let new: Vec<&str> = found.difference(&listed).copied().collect();
    let gone: Vec<&str> = listed.difference(&found).copied().collect();
    anyhow::ensure!(new.is_empty(), "against the law:\n{}", new.join("\n"));
    anyhow::ensure!(gone.is_empty(), "in order now, take it off the list:\n{}", gone.join("\n"));
    Ok(())
}

#[test]
fn a_list_may_only_shrink() {
    let found = ["a".to_owned()];
    assert!(only(&found, &["a"]).is_ok());
    assert!(only(&found, &[]).is_err(), "something new");
    assert!(only(&found, &["a", "b"]).is_err(), "something gone");
}
