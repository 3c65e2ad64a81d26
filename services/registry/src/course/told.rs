//! What the facts of a case tell of one kind, each thing once, in the order of time.

use access::OrganisationId;
use proto::registry::{Authority, Placement, Specimen, TestMethod, TestResult};

use super::model::{ClinicalState, Stay, Test};
use crate::fact::{Answered, Content, Exposure, Fact, FactId, standing};

/// What a fact weighs against another about the same day.
pub(crate) type Weight = (Authority, FactId);

/// The tests that facts tell of: each once, however often it was recorded. Oldest first.
pub(crate) fn tests(facts: &[&Fact]) -> Vec<Test> {
    numbered_tests(facts).into_iter().map(|(_, test)| test).collect()
}

/// The tests with the record of each that says most.
pub(crate) fn numbered_tests(facts: &[&Fact]) -> Vec<(FactId, Test)> {
    let mut told: Vec<(Weight, Test)> = weighed(facts, |content| match content {
        Content::Test(test) => Some(*test),
        _ => None,
    })
    .collect();
    // What says most comes first, so that what says less joins it.
    told.sort_by_key(|(weight, test)| {
        let unstated = (test.method == TestMethod::Unspecified, test.specimen == Specimen::Unspecified);
        let knows_less = (test.result == TestResult::Pending, unstated);
        (test.sampled_on.is_none(), test.sampled_on, knows_less, std::cmp::Reverse(*weight))
    });
    let mut found: Vec<(FactId, Test)> = Vec::new();
    for ((_, id), test) in told {
        match found.iter_mut().find(|(_, known)| known.is_same(&test)) {
            Some((_, known)) => *known = known.with(&test),
            None => found.push((id, test)),
        }
    }
    found
}

/// The stays that facts tell of, in the order of time: the last one is the present one.
pub(crate) fn stays(facts: &[&Fact]) -> Vec<(FactId, Stay)> {
    let mut told: Vec<(Weight, Stay)> = weighed(facts, |content| match content {
        Content::Stay(stay) => Some(*stay),
        _ => None,
    })
    .collect();
    told.sort_by_key(|(weight, stay)| (stay.began(), *weight));
    told.into_iter().map(|((_, id), stay)| (id, stay)).collect()
}

/// How ill the person was, in the order of time.
pub(crate) fn states(facts: &[&Fact]) -> Vec<(FactId, ClinicalState)> {
    let mut told: Vec<(Weight, ClinicalState)> = weighed(facts, |content| match content {
        Content::State(state) => Some(*state),
        _ => None,
    })
    .collect();
    told.sort_by_key(|(weight, state)| (state.on, *weight));
    told.into_iter().map(|((_, id), state)| (id, state)).collect()
}

/// What was found at the notification, as the weightiest source says it.
pub(crate) fn findings(facts: &[&Fact]) -> Vec<Answered> {
    let told = weighed(facts, |content| match content {
        Content::Findings(answers) => Some(answers.clone()),
        _ => None,
    });
    told.max_by_key(|(weight, _)| *weight).map(|(_, answers)| answers).unwrap_or_default()
}

/// The exposures that facts tell of, with what each weighs.
pub(crate) fn exposures(facts: &[&Fact]) -> Vec<(Weight, Exposure)> {
    weighed(facts, |content| match content {
        Content::Exposure(exposure) => Some(*exposure),
        _ => None,
    })
    .collect()
}

/// The hospitals that have or had the person, and the lodging that has: they see the case (治療する医療機関, 宿泊療養施設).
pub(crate) fn facilities<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Vec<(OrganisationId, bool)> {
    let stands = standing(facts);
    let stays = stays(&stands);
    let present = stays.len().saturating_sub(1);
    let of = |(place, (_, stay)): (usize, &(FactId, Stay))| {
        let lodging = stay.placement != Placement::Hospital;
        let sees = !lodging || place == present;
        stay.facility_id.filter(|_| sees).map(|facility| (facility, lodging))
    };
    let mut found: Vec<(OrganisationId, bool)> = stays.iter().enumerate().filter_map(of).collect();
    found.sort_unstable();
    found.dedup();
    found
}

pub(super) fn weighed<'a, T>(
    facts: &'a [&'a Fact],
    read: impl Fn(&Content) -> Option<T> + 'a,
) -> impl Iterator<Item = (Weight, T)> + 'a {
    facts.iter().filter_map(move |fact| Some(((fact.authority, fact.id), read(fact.content.as_ref()?)?)))
}
