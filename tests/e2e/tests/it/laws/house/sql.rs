//! SQL stands in stores, names its codes, and leaves the time to the clock.

use super::{Source, collect, holds, only, services};
use crate::Outcome;

/// What sends a statement.
const STATEMENTS: &[&str] =
    &["sqlx::query", "query_as", "query_scalar", "query_with", "raw_sql", "QueryBuilder", "AssertSqlSafe"];

/// Columns that hold a code of the contract, also with something before it, as `slot_state`.
const CODES: &[&str] = &[
    "state",
    "kind",
    "placement",
    "outcome",
    "capability",
    "role",
    "relation",
    "severity",
    "diagnosis_class",
    "rights",
    "level",
    "scope",
    "admission_necessity",
    "test_result",
];

/// Stores that ask the database for the time, and why: what must be in one order across replicas is stamped by the one clock they share.
const DATABASE_TIME: &[(&str, &str)] = &[];

/// Where the system's clock is taken from; everybody else is handed one.
const CLOCKS: &[(&str, &str)] = &[
    ("services/client/", "runs on somebody's desk"),
    ("services/ctl/", "runs on somebody's desk"),
    ("services/devstack/", "starts the mesh"),
    ("services/gateway/src/lib.rs", "hands it to the gateway"),
    ("services/identity/src/main.rs", "runs beside the service"),
    ("services/lib/chassis/src/mount.rs", "hands it to a service"),
    ("services/lib/data/src/relay.rs", "makes partitions ahead of the database's clock"),
    ("services/lib/runtime/", "is the clock"),
    ("services/operator/src/commands.rs", "runs on somebody's desk"),
    ("services/operator/src/lib.rs", "hands it to the operator"),
];

fn statements(source: &Source) -> Vec<String> {
    let excepted = source.name() == "store.rs" || source.is_fixture();
    if excepted { Vec::new() } else { source.having(STATEMENTS) }
}

/// Codes that are compared with a bare number.
fn bare_codes(source: &Source) -> Vec<String> {
    if source.name() != "store.rs" {
        return Vec::new();
    }
    let bare = |text: &str| {
        let parts = parts(text);
        parts.windows(3).find_map(|three| match three {
            [column, operator, number] if is_code(column) && is_comparison(operator) && is_number(number) => {
                Some(format!("{column} {operator} {number}"))
            }
            [within, bracket, number] if within == "in" && bracket == "(" && is_number(number) => {
                Some(format!("in ({number}"))
            }
            _ => None,
        })
    };
    let found = source.literals.iter().filter_map(|(line, text)| Some((line, bare(text)?)));
    found.map(|(line, bare)| format!("{}:{line}: {bare}", source.path)).collect()
}

/// The words, numbers and signs of a statement.
fn parts(text: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut before = ' ';
    for c in text.chars().flat_map(char::to_lowercase) {
        let wordy = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '{' | '}');
        let goes_on = (wordy(c) && wordy(before)) || (matches!(c, '>' | '=') && matches!(before, '<' | '>' | '!'));
        match parts.last_mut() {
            Some(last) if goes_on => last.push(c),
            _ if c.is_whitespace() => {}
            _ => parts.push(c.to_string()),
        }
        before = c;
    }
    parts
}

fn is_code(word: &str) -> bool {
    CODES.iter().any(|code| word.strip_suffix(code).is_some_and(|before| before.is_empty() || before.ends_with('_')))
}

fn is_comparison(sign: &str) -> bool {
    ["=", "<>", "!=", ">=", "<=", "<", ">"].contains(&sign)
}

fn is_number(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_digit())
}

/// Files whose statements ask the database for the time.
fn database_time(source: &Source) -> Option<String> {
    let words = ["now()", "current_timestamp", "current_date", "clock_timestamp()", "localtimestamp"];
    let asks = |text: &str| words.iter().any(|word| text.to_lowercase().contains(word));
    source.literals.iter().any(|(_, text)| asks(text)).then(|| source.path.clone())
}

/// Files that take the system's clock where nobody should.
fn own_clock(source: &Source) -> Vec<String> {
    let excepted = CLOCKS.iter().any(|(path, _)| source.path.starts_with(path));
    if excepted { Vec::new() } else { source.having(&["Clock::system", "Clock::default"]) }
}

#[test]
fn only_stores_send_statements() -> Outcome {
    holds(statements)
}

#[test]
fn a_statement_outside_of_a_store_is_caught() {
    let text = "use sqlx::{FromRow, PgConnection};\nasync fn f() { sqlx::query(\"select\"); }\n";
    let bad = Source::read("services/beds/src/stay/accept.rs", text);
    assert_eq!(statements(&bad), ["services/beds/src/stay/accept.rs:2: sqlx::query"]);
    let imported = Source::read("services/beds/src/stay.rs", "use sqlx::{FromRow, query_as};\n");
    assert_eq!(statements(&imported), ["services/beds/src/stay.rs:1: query_as"]);
    for fine in ["stay/store.rs", "fixture.rs"] {
        assert!(statements(&Source::read(&format!("services/beds/src/{fine}"), text)).is_empty(), "{fine}");
    }
}

#[test]
fn statements_name_the_codes_they_compare() -> Outcome {
    holds(bare_codes)
}

#[test]
fn a_bare_code_is_caught() {
    let found = |sql: &str| {
        let text = format!("const SQL: &str = \"{sql}\";");
        bare_codes(&Source::read("services/beds/src/stay/store.rs", &text))
    };
    for bad in [
        "select 1 from a where a.state = 3",
        "select 1 from a where slot_state<>2",
        "where severity >= 4 and version = $1",
        "where role=1",
        "where x in (1, 2)",
        "update a set outcome = 1",
    ] {
        assert_eq!(found(bad).len(), 1, "{bad}");
    }
    for fine in [
        "where state = $3",
        "where state = {OPEN}",
        "where version = 1",
        "where state in ({A}, {B})",
        "where estate = 1",
        "limit 1",
    ] {
        assert!(found(fine).is_empty(), "{fine}");
    }
}

#[test]
fn statements_leave_the_time_to_the_clock() -> Outcome {
    let found: Vec<String> =
        services()?.iter().filter(|source| !source.is_fixture()).filter_map(database_time).collect();
    only(&found, &DATABASE_TIME.iter().map(|(path, _)| *path).collect::<Vec<_>>())
}

#[test]
fn a_statement_that_asks_for_the_time_is_caught() {
    let read = |text: &str| database_time(&Source::read("services/beds/src/stay/store.rs", text));
    assert_eq!(read("const A: &str = \"where ends < now()\";").as_deref(), Some("services/beds/src/stay/store.rs"));
    assert_eq!(read("// now()\nfn f() { clock.now() }\nconst A: &str = \"where ends < $1\";"), None);
}

#[test]
fn only_who_starts_takes_the_clock_of_the_system() -> Outcome {
    let mut sources = Vec::new();
    collect("services", &mut sources)?;
    let broken: Vec<String> = sources.iter().flat_map(own_clock).collect();
    anyhow::ensure!(broken.is_empty(), "\n{}", broken.join("\n"));
    Ok(())
}

#[test]
fn a_clock_of_ones_own_is_caught() {
    let text = "fn f() { let now = runtime::Clock::system().now(); }";
    assert_eq!(
        own_clock(&Source::read("services/beds/src/stay.rs", text)),
        ["services/beds/src/stay.rs:1: Clock::system"]
    );
    assert!(own_clock(&Source::read("services/gateway/src/lib.rs", text)).is_empty());
}
