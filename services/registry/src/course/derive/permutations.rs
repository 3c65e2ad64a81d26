use access::CaseId;
use proptest::{collection::vec, prelude::*, sample::Index};
use proto::registry::{AdmissionNecessity, Authority, Outcome};
use time::{Date, Time};
use uuid::Uuid;

use super::{
    Course,
    tests::{by, centre, fact, instead, may},
};
use crate::{
    course::{ClinicalState, Stay, Test, facilities},
    fact::{Content, Exposure, Fact, Need, Report},
};

fn authorities() -> impl Strategy<Value = Authority> {
    prop_oneof![
        Just(Authority::Import),
        Just(Authority::Reporter),
        Just(Authority::TreatingInstitution),
        Just(Authority::ResponsibleCentre),
    ]
}

fn code<E: TryFrom<i32> + Default + std::fmt::Debug>(most: i32) -> impl Strategy<Value = E> {
    (0..=most).prop_map(|code| E::try_from(code).unwrap_or_default())
}

/// A few days only, so that records meet.
fn days() -> impl Strategy<Value = Date> {
    (1_u8..6).prop_map(may)
}

fn contents() -> impl Strategy<Value = Content> {
    let optional = || proptest::option::of(days());
    let hours = proptest::option::of((0_u8..24).prop_map(|hour| Time::from_hms(hour, 0, 0).unwrap()));
    let facility = || proptest::option::of((0_u8..3).prop_map(centre));
    prop_oneof![
        (code(5), days(), 0_u8..3).prop_map(|(class, on, of)| Content::Report(Report {
            class,
            on,
            centre: centre(of),
            prefecture: of + 1
        })),
        (code(4), days()).prop_map(|(kind, on)| Content::Day(kind, on)),
        (code(2), code(2), code(4), optional(), facility()).prop_map(
            |(method, specimen, result, sampled_on, facility_id)| {
                let (result_on, expected_on, administrative) = (None, None, None);
                Content::Test(Test {
                    method,
                    specimen,
                    result,
                    sampled_on,
                    result_on,
                    expected_on,
                    facility_id,
                    administrative,
                })
            }
        ),
        (code(7), days(), hours, facility()).prop_map(|(placement, since, since_time, facility_id)| {
            Content::Stay(Stay { placement, since, since_time, facility_id })
        }),
        (code(5), days(), any::<bool>(), any::<bool>()).prop_map(|(severity, on, icu, ventilator)| {
            Content::State(ClinicalState { on, severity, icu, ventilator, ecmo: false })
        }),
        (code(2), days()).prop_map(|(necessity, on): (AdmissionNecessity, Date)| Content::Need(Need { necessity, on })),
        (code(4), optional()).prop_map(|(outcome, on)| Content::Ending(outcome, on)),
        (code(3), code(14), any::<bool>()).prop_map(|(sex, band, born)| Content::Description(sex, band, born)),
        (proptest::option::of(0_u128..3), days()).prop_map(|(index, on)| {
            let index = index.map(|index| CaseId::from(Uuid::from_u128(index)));
            Content::Exposure(Exposure { index, on })
        }),
    ]
}

/// Records, some of them about what others are about, some of them withdrawals.
fn records() -> impl Strategy<Value = Vec<Fact>> {
    vec((contents(), authorities(), proptest::option::of((any::<Index>(), any::<bool>()))), 1..14).prop_map(|drawn| {
        let mut facts: Vec<Fact> = Vec::new();
        for (number, (content, authority, about)) in drawn.into_iter().enumerate() {
            let new = by(authority, fact(number as u128, content.clone()));
            facts.push(match about {
                Some((other, withdrawn)) if !facts.is_empty() => {
                    let of = other.get(&facts);
                    Fact { subject: of.subject, content: Some(content).filter(|_| !withdrawn), ..new }
                }
                _ => new,
            });
        }
        facts
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_permutation_of_the_facts_is_the_same_case(
        (told, shuffled) in records().prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle())),
    ) {
        prop_assert!(Course::of(&told) == Course::of(&shuffled));
        prop_assert_eq!(facilities(&told), facilities(&shuffled));
    }

    #[test]
    fn a_case_that_died_stays_dead_until_every_word_of_it_is_withdrawn(facts in records()) {
        let died = fact(99, Content::Ending(Outcome::Died, None));
        let told = [facts.clone(), vec![died.clone()]].concat();
        prop_assert_eq!(Course::of(&told).outcome, Outcome::Died);
        let taken_back = [told, vec![instead(100, &died, None)]].concat();
        prop_assert!(Course::of(&taken_back).outcome == Course::of(&facts).outcome);
    }
}
