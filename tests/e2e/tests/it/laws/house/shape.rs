//! What a file looks like: short, and an operation ends with its tests.

use super::{Source, collect, only, services};
use crate::Outcome;

/// Lines without tests that a file may have.
const LONG: usize = 300;

/// Files that are longer. This list may only shrink.
const LONGER: &[&str] = &[];

/// Operations without tests of their own. This list may only shrink.
const UNTESTED: &[&str] = &[];

fn too_long(source: &Source) -> Option<String> {
    (source.lines > LONG).then(|| source.path.clone())
}

/// Whether a file answers an RPC: it has a function that is handed the call, or it watches.
fn is_operation(source: &Source) -> bool {
    let functions = source.code.split("pub(crate) async fn ").skip(1);
    let mut heads = functions.filter_map(|text| text.split_once('{').map(|(head, _)| head));
    source.code.contains(".base.watch(") || heads.any(|head| head.contains(": Call<"))
}

fn untested(source: &Source) -> Option<String> {
    (is_operation(source) && !source.has_tests).then(|| source.path.clone())
}

#[test]
fn files_are_short() -> Outcome {
    let mut sources = Vec::new();
    collect("services", &mut sources)?;
    sources.retain(|source| source.path.contains("/src/"));
    only(&sources.iter().filter_map(too_long).collect::<Vec<_>>(), LONGER)
}

#[test]
fn a_long_file_is_caught_and_its_tests_do_not_count() {
    let long = "fn f() {}\n".repeat(LONG);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "    fn t() {}\n".repeat(50));
    let read = |text: &str| too_long(&Source::read("services/beds/src/stay.rs", text));
    assert_eq!(read(&format!("{long}{tests}")), None);
    assert_eq!(read(&format!("{long}fn g() {{}}\n{tests}")).as_deref(), Some("services/beds/src/stay.rs"));
}

#[test]
fn an_operation_ends_with_its_tests() -> Outcome {
    let sources = services()?;
    let operations = sources.iter().filter(|source| is_operation(source)).count();
    anyhow::ensure!(operations > 60, "{operations} operations");
    only(&sources.iter().filter_map(untested).collect::<Vec<_>>(), UNTESTED)
}

#[test]
fn an_operation_without_tests_is_caught() {
    let operation =
        "pub(crate) async fn accept(\n    beds: Beds,\n    call: Call<Request>,\n) -> Result<A, Error> {\n}\n";
    let helper = "pub(crate) async fn change(beds: &Beds, call: &Call<Request>) {\n    let f = |call: Call<R>| 1;\n}\n";
    let read = |text: &str| untested(&Source::read("services/beds/src/stay/accept.rs", text));
    assert_eq!(read(operation).as_deref(), Some("services/beds/src/stay/accept.rs"));
    assert_eq!(read(&format!("{operation}\n#[cfg(test)]\nmod tests {{\n}}\n")), None);
    assert_eq!(read(helper), None, "it is lent the call by an operation");
}
