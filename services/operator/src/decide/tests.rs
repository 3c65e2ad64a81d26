//! What holds of every decision, whatever the plan, the load and the order of things.

use proptest::prelude::*;
use time::{Duration, OffsetDateTime, macros::datetime};

use super::{Decision, Memory, Observed, decide};
use crate::plan::{
    Aggregate, Day, Moment, Schedule, Signal, Source, SurgePlanSpec,
    tests::{manual, plan},
};

const START: OffsetDateTime = datetime!(2022-02-01 00:00 UTC);

fn signal(name: &str, level: &str, enter_above: i32, exit_below: i32) -> Signal {
    Signal {
        name: name.to_owned(),
        source: Source {
            service: "intake".to_owned(),
            metric: "m".to_owned(),
            labels: [].into(),
            aggregate: Aggregate::Max,
            rate: false,
        },
        level: level.to_owned(),
        enter_above,
        enter_for_seconds: 60,
        exit_below,
        exit_for_seconds: 120,
    }
}

fn with_signals() -> SurgePlanSpec {
    SurgePlanSpec { signals: vec![signal("calls", "alert", 50, 20), signal("more", "surge", 80, 40)], ..plan() }
}

fn load(value: f64) -> Observed {
    let signals = [("calls".to_owned(), value), ("more".to_owned(), value)].into();
    Observed { signals, replicas: [("intake".to_owned(), 2), ("batch".to_owned(), 2)].into() }
}

/// Decides again and again, half a minute apart.
fn play(plan: &SurgePlanSpec, observed: impl IntoIterator<Item = Observed>) -> Vec<(OffsetDateTime, Decision)> {
    let (mut memory, mut at, mut decisions) = (Memory::default(), START, Vec::new());
    for observed in observed {
        let decision = decide(at, plan, &observed, &memory);
        memory = decision.memory.clone();
        decisions.push((at, decision));
        at += Duration::seconds(30);
    }
    decisions
}

#[test]
fn a_signal_must_last_before_it_counts_and_before_it_ends() {
    let plan = SurgePlanSpec { minimum_dwell_seconds: 0, ..with_signals() };
    let levels = |values: &[f64]| {
        play(&plan, values.iter().map(|value| load(*value))).into_iter().map(|(_, d)| d.rank).collect::<Vec<_>>()
    };
    assert_eq!(levels(&[60.0, 60.0, 60.0]), [0, 0, 1], "a minute");
    assert_eq!(levels(&[60.0, 60.0, 10.0, 60.0, 60.0, 60.0]), [0, 0, 0, 0, 0, 1], "a dip begins anew");
    let in_between = [60.0, 60.0, 60.0, 30.0, 30.0, 30.0, 30.0, 30.0, 30.0, 30.0];
    assert_eq!(levels(&in_between).last(), Some(&1), "neither high nor low: it stays");
    assert_eq!(levels(&[60.0, 60.0, 60.0, 10.0, 10.0, 10.0, 10.0, 10.0]), [0, 0, 1, 1, 1, 1, 1, 0], "two minutes");
}

#[test]
fn what_cannot_be_read_stays_as_it_was_and_says_so() {
    let plan = with_signals();
    let blind = Observed { signals: [].into(), ..load(0.0) };
    let decisions = play(&plan, [load(60.0), load(60.0), load(60.0), blind.clone(), blind]);
    let (_, last) = decisions.last().unwrap();
    assert_eq!(last.level, "alert");
    assert!(last.memory.signals.iter().all(|signal| !signal.known));
}

#[test]
fn a_schedule_is_in_japans_time_and_may_run_over_midnight() {
    let window = |days: &[Day], from: &str, to: &str| Schedule {
        name: "s".to_owned(),
        days: days.to_vec(),
        from: from.to_owned(),
        to: to.to_owned(),
        level: "alert".to_owned(),
    };
    let rank = |schedule: Schedule, at: OffsetDateTime| {
        decide(at, &SurgePlanSpec { schedules: vec![schedule], ..plan() }, &load(0.0), &Memory::default()).rank
    };
    // 31 January 2022 was a Monday.
    let morning = || window(&[Day::Mon], "08:00", "12:00");
    for (at, open) in [
        (datetime!(2022-01-31 07:59 +9), 0),
        (datetime!(2022-01-31 08:00 +9), 1),
        (datetime!(2022-01-31 11:59 +9), 1),
        (datetime!(2022-01-31 12:00 +9), 0),
        (datetime!(2022-02-01 09:00 +9), 0),
        (datetime!(2022-01-30 23:30 UTC), 1),
    ] {
        assert_eq!(rank(morning(), at), open, "{at}");
    }
    let night = || window(&[Day::Sun], "22:00", "02:00");
    for (at, open) in [
        (datetime!(2022-01-30 23:00 +9), 1),
        (datetime!(2022-01-31 01:59 +9), 1),
        (datetime!(2022-01-31 02:00 +9), 0),
        (datetime!(2022-01-31 23:00 +9), 0),
        (datetime!(2022-01-30 01:00 +9), 0),
    ] {
        assert_eq!(rank(night(), at), open, "{at}");
    }
}

#[test]
fn whoever_sets_a_level_waits_for_nothing_and_its_end_neither() {
    let plan = SurgePlanSpec { manual: Some(manual("surge")), ..plan() };
    let before = decide(START, &plan, &load(0.0), &Memory::default());
    assert_eq!((before.level.as_str(), before.frozen), ("surge", true));
    assert_eq!(before.until, Some(Moment(datetime!(2022-02-01 06:00 UTC))));
    assert!(before.causes[0].starts_with("manual: a wave (ops"), "{:?}", before.causes);
    let after = decide(datetime!(2022-02-01 06:00 UTC), &plan, &load(0.0), &before.memory);
    assert_eq!((after.level.as_str(), after.until, after.lapsed.as_deref()), ("normal", None, Some("surge")));
    assert!(after.switches.is_empty() && !after.frozen);
}

#[test]
fn replicas_above_the_new_ceiling_hold_their_connections_until_they_are_gone() {
    let surge = SurgePlanSpec { manual: Some(manual("surge")), ..plan() };
    let replicas = |intake, batch| Observed {
        replicas: [("intake".to_owned(), intake), ("batch".to_owned(), batch)].into(),
        ..Observed::default()
    };
    let crowded = decide(START, &surge, &replicas(4, 6), &Memory::default());
    let bounds: Vec<_> = crowded.services.iter().map(|s| (s.floor, s.ceiling)).collect();
    assert_eq!(bounds, [(4, 4), (1, 1)], "batch still holds sixty of a hundred");
    assert!(crowded.services[0].blocked_by.as_ref().is_some_and(|why| why.contains("connections")));
    let halfway = decide(START, &surge, &replicas(4, 3), &Memory::default());
    assert_eq!((halfway.services[0].floor, halfway.services[0].ceiling), (5, 7));
    let free = decide(START, &surge, &replicas(5, 1), &Memory::default());
    assert_eq!((free.services[0].floor, free.services[0].ceiling, &free.services[0].blocked_by), (5, 9, &None));
}

proptest! {
    /// Whatever runs, nobody is allowed more than fits; and what fits, everybody is allowed.
    #[test]
    fn never_beyond_the_budget_and_never_below_a_floor_that_fits(
        level in 0_usize..3, intake in 0_i32..12, batch in 0_i32..12,
    ) {
        let name = plan().levels[level].name.clone();
        let spec = SurgePlanSpec { manual: Some(manual(&name)), ..plan() };
        let replicas = [("intake".to_owned(), intake), ("batch".to_owned(), batch)].into();
        let decision = decide(START, &spec, &Observed { replicas, ..Observed::default() }, &Memory::default());
        let now = [intake, batch];
        let held: i32 = now.iter().sum::<i32>() * 10;
        // A scaler needs a ceiling of one at least.
        let least: i32 = now.iter().filter(|now| **now == 0).count().try_into().map(|n: i32| n * 10).unwrap();
        let most: i32 = decision.services.iter().zip(now).map(|(granted, now)| granted.ceiling.max(now) * 10).sum();
        prop_assert!(most <= held.max(spec.connection_budget) + if held >= 100 { least } else { 0 }, "{most} of {held}");
        for (granted, bounds) in decision.services.iter().zip(&spec.levels[level].bounds) {
            prop_assert!(granted.floor <= granted.ceiling && granted.ceiling <= bounds.ceiling && granted.floor >= 1);
            prop_assert_eq!(granted.blocked_by.is_none(), granted.floor == bounds.floor && granted.ceiling == bounds.ceiling);
        }
        if now.iter().zip(&spec.levels[level].bounds).all(|(now, bounds)| *now <= bounds.ceiling) {
            prop_assert!(decision.services.iter().all(|granted| granted.blocked_by.is_none()), "the plan fits");
        }
    }

    /// Once a level has come, it stays for the dwell, whatever the signals do.
    #[test]
    fn no_flapping_within_the_dwell(values in prop::collection::vec(0.0_f64..100.0, 1..200)) {
        let spec = with_signals();
        let decisions = play(&spec, values.into_iter().map(load));
        let mut changed = START;
        for pair in decisions.windows(2) {
            let [(_, before), (at, after)] = pair else { unreachable!() };
            if after.rank < before.rank {
                prop_assert!(*at - changed >= Duration::seconds(600), "fell after {}", *at - changed);
            }
            if after.rank == before.rank {
                prop_assert_eq!(after.since, before.since);
            } else {
                changed = *at;
                prop_assert_eq!(after.since, Moment::new(*at));
            }
        }
    }

    /// More load never brings a lower level.
    #[test]
    fn the_level_is_monotone_in_the_load(
        values in prop::collection::vec((0.0_f64..100.0, 0.0_f64..50.0), 1..100),
    ) {
        // From one level up to the other the patience is the same, so that who asks for more never waits longer.
        let spec = SurgePlanSpec { minimum_dwell_seconds: 0, ..with_signals() };
        let lower = play(&spec, values.iter().map(|(value, _)| load(*value)));
        let higher = play(&spec, values.iter().map(|(value, more)| load(value + more)));
        for ((_, lower), (_, higher)) in lower.iter().zip(&higher) {
            prop_assert!(higher.rank >= lower.rank);
        }
    }

    /// A level set by hand holds until its end and not a moment longer; beside it, everything goes on as without it.
    #[test]
    fn an_end_is_always_kept(seconds in 0_i64..50_000, level in 0_usize..3, value in 0.0_f64..100.0) {
        let name = plan().levels[level].name.clone();
        let by_hand = SurgePlanSpec { manual: Some(manual(&name)), ..with_signals() };
        let at = START + Duration::seconds(seconds);
        let memory = Memory::default();
        let (with, without) = (decide(at, &by_hand, &load(value), &memory), decide(at, &with_signals(), &load(value), &memory));
        if at < manual("x").expires_at.0 {
            prop_assert!(with.rank >= level && with.lapsed.is_none());
        } else {
            prop_assert_eq!(with.rank, without.rank);
            prop_assert!(with.lapsed.is_some());
        }
        prop_assert_eq!(with.memory.automatic.clone(), without.memory.automatic);
        prop_assert_eq!(&with, &decide(at, &by_hand, &load(value), &memory), "the same input, the same output");
    }
}
