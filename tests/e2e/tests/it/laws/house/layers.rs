//! Who may use what: models do no input or output, capabilities touch of each other what they re-export, the state knows nobody.

use std::collections::BTreeSet;

use super::{Source, holds, only, services};
use crate::Outcome;

/// What a model has no business with. `data::id!` is allowed: an id is a type.
const IO: &[&str] = &[
    "sqlx",
    "PgConnection",
    "PgPool",
    "tonic",
    "tokio",
    "async_nats",
    "Clock",
    "std::env",
    "std::fs",
    "async fn",
    "async move",
];

/// Own types that the state of a service is made of.
const STATE: &[&str] = &["services/identity/src/service.rs: crate::settings::Post"];

fn input_or_output(source: &Source) -> Vec<String> {
    if source.name() == "model.rs" { source.having(IO) } else { Vec::new() }
}

/// The modules of each capability, as (service, capability, module).
fn rooms(sources: &[Source]) -> BTreeSet<(String, String, String)> {
    let room = |source: &Source| {
        let (service, modules) = source.place();
        let [capability, module, ..] = modules.as_slice() else { return None };
        Some((service.to_owned(), (*capability).to_owned(), (*module).to_owned()))
    };
    sources.iter().filter_map(room).collect()
}

/// Paths into another capability, past what its own file re-exports.
fn too_deep(source: &Source, rooms: &BTreeSet<(String, String, String)>) -> Vec<String> {
    let (service, modules) = source.place();
    let deep = |path: &[String]| match path {
        [capability, module, _, ..] => {
            modules.first() != Some(&capability.as_str())
                && rooms.contains(&(service.to_owned(), capability.clone(), module.clone()))
        }
        _ => false,
    };
    source
        .paths()
        .into_iter()
        .filter(|(_, path)| deep(path))
        .map(|(line, path)| format!("{}:{line}: crate::{}", source.path, path.join("::")))
        .collect()
}

/// Modules that others could reach into: what others may touch is re-exported by name.
fn open_rooms(source: &Source) -> Vec<String> {
    if source.is_fixture() { Vec::new() } else { source.having(&["pub mod", "pub(crate) mod", "pub(super) mod"]) }
}

/// What the state uses of its own crate.
fn known_to_the_state(source: &Source) -> Vec<String> {
    let (_, modules) = source.place();
    if modules.first() != Some(&"service") {
        return Vec::new();
    }
    let own = |path: &[String]| path.first().is_none_or(|first| first == "service");
    let foreign = source.paths().into_iter().filter(|(_, path)| !own(path));
    foreign.map(|(_, path)| format!("{}: crate::{}", source.path, path.join("::"))).collect()
}

#[test]
fn models_do_no_input_or_output() -> Outcome {
    let models = services()?.iter().filter(|source| source.name() == "model.rs").count();
    anyhow::ensure!(models > 15, "{models} models");
    holds(input_or_output)
}

#[test]
fn a_model_that_reads_the_clock_is_caught() {
    let text = "use runtime::{Clock, clock::day_in_japan};\ndata::id!(\n    /// tokio\n    StayId,\n    \"stay\"\n);\n";
    let bad = Source::read("services/beds/src/stay/model.rs", text);
    assert_eq!(input_or_output(&bad), ["services/beds/src/stay/model.rs:1: Clock"]);
    let store = Source::read("services/beds/src/stay/store.rs", text);
    assert!(input_or_output(&store).is_empty(), "a store may");
}

#[test]
fn capabilities_touch_of_each_other_what_is_re_exported() -> Outcome {
    let sources = services()?;
    let rooms = rooms(&sources);
    let broken: Vec<String> =
        sources.iter().flat_map(|source| [too_deep(source, &rooms), open_rooms(source)].concat()).collect();
    anyhow::ensure!(broken.is_empty(), "\n{}", broken.join("\n"));
    Ok(())
}

#[test]
fn a_path_into_another_capability_is_caught() {
    let read = |path: &str, text: &str| Source::read(&format!("services/beds/src/{path}"), text);
    let store = read("capacity/store.rs", "");
    let verb = read("capacity/report.rs", "use super::store;\nuse crate::capacity::store::room;\n");
    let text = "use crate::{\n    capacity::{self, report, store::{self, room}},\n    service::Beds,\n};\n";
    let bad = read("stay/accept.rs", text);
    let rooms = rooms(&[store, read("service.rs", "")]);
    assert_eq!(
        too_deep(&bad, &rooms),
        ["services/beds/src/stay/accept.rs:1: crate::capacity::store::room"],
        "a function that is named like its file is re-exported"
    );
    assert!(too_deep(&verb, &rooms).is_empty(), "its own store");
    let open = read("capacity.rs", "mod report;\npub(crate) mod store;\n#[cfg(test)]\npub(crate) mod fixture;\n");
    assert_eq!(open_rooms(&open), ["services/beds/src/capacity.rs:2: pub(crate) mod"]);
}

#[test]
fn the_state_knows_no_capability() -> Outcome {
    let found: Vec<String> = services()?.iter().flat_map(known_to_the_state).collect();
    only(&found, STATE)
}

#[test]
fn a_state_that_knows_a_capability_is_caught() {
    let text = "use chassis::Base;\npub(crate) use hashing::Hashing;\nuse crate::{service::Turn, stay::Beds};\n";
    let bad = Source::read("services/beds/src/service.rs", text);
    assert_eq!(known_to_the_state(&bad), ["services/beds/src/service.rs: crate::stay::Beds"]);
    assert!(known_to_the_state(&Source::read("services/beds/src/stay.rs", text)).is_empty());
}
