//! Which record of each thing counts.

use std::collections::BTreeMap;

use super::model::{Content, Fact, FactId};

/// The record of each thing that counts, by thing. One without content says that the thing was withdrawn.
pub(crate) fn latest<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> BTreeMap<FactId, &'a Fact> {
    let mut found: BTreeMap<FactId, &Fact> = BTreeMap::new();
    for fact in facts {
        found
            .entry(fact.subject)
            .and_modify(|held| {
                if rank(held) < rank(fact) {
                    *held = fact;
                }
            })
            .or_insert(fact);
    }
    found
}

/// What counts of some facts, whatever order they are in.
pub(crate) fn standing<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Vec<&'a Fact> {
    latest(facts).into_values().filter(|fact| fact.content.is_some()).collect()
}

fn rank(fact: &Fact) -> (proto::registry::Authority, FactId) {
    (fact.authority, fact.id)
}

/// The record that counts of how the person is described.
pub(crate) fn described(facts: &[Fact]) -> Option<&Fact> {
    let said = |fact: &&Fact| match fact.content {
        Some(Content::Description(_, _, is_from_birth_date)) => Some((is_from_birth_date, rank(fact))),
        _ => None,
    };
    standing(facts).into_iter().filter(|fact| said(fact).is_some()).max_by_key(said)
}
