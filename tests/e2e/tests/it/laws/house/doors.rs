//! Every RPC of the contract has one door, and behind it one file of its verb.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, holds, services};
use crate::Outcome;

/// How a door hands a call on.
const WAYS: [&str; 3] = ["answer", "answer_public", "answer_internal"];

/// A door: `async fn rpc(…) { self.base.answer(self, r, capability::verb).await }`.
#[derive(Debug, PartialEq, Eq)]
struct Door {
    /// The RPC, `get_case`.
    rpc: String,
    /// What answers it, `["case", "get"]`; `None` where the door does something else.
    operation: Option<Vec<String>>,
}

fn is_doors(source: &Source) -> bool {
    matches!(source.place().1.as_slice(), ["grpc" | "internal"])
}

fn doors(source: &Source) -> Vec<Door> {
    source.code.split("async fn ").skip(1).filter_map(door).collect()
}

fn door(text: &str) -> Option<Door> {
    let (rpc, rest) = text.split_once('(')?;
    let (_, body) = rest.split_once('{')?;
    let (body, _) = body.split_once('}')?;
    let body: String = body.split_whitespace().collect();
    Some(Door { rpc: rpc.trim().to_owned(), operation: handed_on(&body).or_else(|| watched(&body)) })
}

/// `self.base.answer(self,r,capability::verb).await`
fn handed_on(body: &str) -> Option<Vec<String>> {
    let (way, rest) = body.strip_prefix("self.base.")?.split_once('(')?;
    let operation = rest.strip_suffix(".await")?.strip_suffix(')')?.trim_end_matches(',').strip_prefix("self,r,")?;
    path(operation).filter(|_| WAYS.contains(&way))
}

/// `capability::verb(self,r)`: a stream is not a call, and goes through `Base::watch`.
fn watched(body: &str) -> Option<Vec<String>> {
    path(body.strip_suffix("(self,r)")?)
}

fn path(text: &str) -> Option<Vec<String>> {
    let parts: Vec<String> = text.split("::").map(str::to_owned).collect();
    let named = parts
        .iter()
        .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c)));
    (parts.len() >= 2 && named).then_some(parts)
}

/// `GetCase` as Rust spells it: `get_case`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// What is wrong with the doors of a service, whose RPCs are these (and whether they stream).
fn wrong_doors(service: &str, rpcs: &[(&str, bool)], sources: &[Source]) -> Vec<String> {
    let own = || sources.iter().filter(|source| source.place().0 == service);
    let doors: Vec<Door> = own().filter(|source| is_doors(source)).flat_map(doors).collect();
    let mut wrong = Vec::new();
    let mut behind: BTreeMap<&[String], &str> = BTreeMap::new();
    for (name, streams) in rpcs {
        let of_rpc: Vec<&Door> = doors.iter().filter(|door| door.rpc == snake(name)).collect();
        let [door] = of_rpc.as_slice() else {
            wrong.push(format!("{service}: {name} has {} doors", of_rpc.len()));
            continue;
        };
        let Some(operation) = &door.operation else {
            wrong.push(format!("{service}: the door of {name} does more than hand it on"));
            continue;
        };
        if let Some(other) = behind.insert(operation, name) {
            wrong.push(format!("{service}: {other} and {name} share {}", operation.join("::")));
        }
        let file = format!("services/{service}/src/{}.rs", operation.join("/"));
        let verb = operation.last().map(String::as_str).unwrap_or_default();
        let written = own().find(|source| source.path == file);
        let has = |text: &str| written.is_some_and(|source| source.code.contains(text));
        if !has(&format!("fn {verb}(")) {
            wrong.push(format!("{file} has no {verb}, which answers {name}"));
        } else if *streams && !has(".base.watch(") {
            wrong.push(format!("{file} streams {name} without Base::watch"));
        }
    }
    let known: BTreeSet<String> = rpcs.iter().map(|(name, _)| snake(name)).collect();
    wrong.extend(
        doors.iter().filter(|d| !known.contains(&d.rpc)).map(|d| format!("{service}: no RPC is called {}", d.rpc)),
    );
    wrong
}

/// RPCs that are spelled: what a call is named stands in the contract.
fn spelled(source: &Source, names: &BTreeSet<&str>) -> Vec<String> {
    let spelled = source.literals.iter().filter(|(_, text)| names.contains(text.as_str()));
    spelled.map(|(line, name)| format!("{}:{line}: {name:?}", source.path)).collect()
}

#[test]
fn every_rpc_has_one_door_and_one_file_of_its_verb() -> Outcome {
    let sources = services()?;
    let mut wrong = Vec::new();
    for service in proto::SERVICES {
        let mut rpcs: Vec<(&str, bool)> = proto::rules()
            .filter(|rule| rule.package == *service)
            .map(|rule| (rule.name.as_str(), rule.streaming))
            .collect();
        rpcs.sort_unstable();
        anyhow::ensure!(rpcs.len() >= 3, "{service} has {} RPCs", rpcs.len());
        wrong.extend(wrong_doors(service, &rpcs, &sources));
    }
    anyhow::ensure!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn a_door_that_does_more_or_leads_nowhere_is_caught() {
    let doors = "
        async fn get_case(&self, r: Request<GetCaseRequest>) -> Reply<Case> {
            self.base.answer(self, r, case::get).await
        }
        async fn refer_case(&self, r: Request<ReferCaseRequest>) -> Reply<Case> {
            let case = self.base.answer(self, r, case::refer).await?;
            Ok(case)
        }
        async fn list_cases(&self, r: Request<ListCasesRequest>) -> Reply<Cases> {
            self.base.answer(self, r, case::list).await
        }
        async fn watch_cases(&self, r: Request<WatchCasesRequest>) -> Reply<Self::WatchCasesStream> {
            case::watch(self, r)
        }
        async fn more(&self) {}";
    let file = |path: &str, text: &str| Source::read(&format!("services/registry/src/{path}"), text);
    let sources = [
        file("grpc.rs", doors),
        file("case/get.rs", "pub(crate) async fn get(registry: Registry) {}"),
        file("case/list.rs", "pub(crate) async fn lists() {}"),
        file("case/watch.rs", "pub(crate) fn watch() {}"),
    ];
    let rpcs =
        [("GetCase", false), ("ListCases", false), ("ReferCase", false), ("UpdateCase", false), ("WatchCases", true)];
    assert_eq!(
        wrong_doors("registry", &rpcs, &sources),
        [
            "services/registry/src/case/list.rs has no list, which answers ListCases",
            "registry: the door of ReferCase does more than hand it on",
            "registry: UpdateCase has 0 doors",
            "services/registry/src/case/watch.rs streams WatchCases without Base::watch",
            "registry: no RPC is called more",
        ]
    );
}

#[test]
fn nobody_spells_the_name_of_an_rpc() -> Outcome {
    let names: BTreeSet<&str> = proto::rules().map(|rule| rule.name.as_str()).collect();
    holds(|source| spelled(source, &names))
}

#[test]
fn a_spelled_name_is_caught() {
    let bad =
        Source::read("services/beds/src/stay/accept.rs", "\nfn f() { record(\"GetCase\"); text(\"GetCase fails\") }");
    assert_eq!(spelled(&bad, &BTreeSet::from(["GetCase"])), ["services/beds/src/stay/accept.rs:2: \"GetCase\""]);
}
