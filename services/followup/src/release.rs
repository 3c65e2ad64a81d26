//! Release criteria (退院基準・療養解除基準), evaluated with an explanation. No I/O.

use proto::{
    followup::{Condition, ReleaseEvaluation},
    registry::{CaseChanged, DiagnosisClass, Placement},
};
use time::{Date, Duration};

use crate::rules::{Release, Setting, Way};

/// What is known of a person, as far as release depends on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// 発症日 of people who fell ill.
    onset: Option<Date>,
    /// 検体採取日.
    sampled: Option<Date>,
    /// No symptoms at diagnosis.
    carrier: bool,
    in_hospital: bool,
    ventilated: bool,
    /// 症状軽快日.
    pub relieved: Option<Date>,
    /// Negative samples in a row, newest first.
    negatives: Vec<Date>,
}

impl Known {
    /// What the registry knows of a case, and since when symptoms are relieved.
    pub(crate) fn of(case: &CaseChanged, relieved: Option<Date>) -> Self {
        let day = |text: &str| japan::date::parse(text).ok();
        Self {
            onset: day(&case.onset_date),
            sampled: day(&case.test_date),
            carrier: case.diagnosis_class == i32::from(DiagnosisClass::AsymptomaticCarrier),
            in_hospital: case.placement == i32::from(Placement::Hospital),
            ventilated: case.was_ventilated,
            relieved,
            negatives: case.negative_test_dates.iter().filter_map(|text| day(text)).collect(),
        }
    }
}

/// Evaluates a rule for a release on a day: the first way that holds, else the one that comes first.
pub(crate) fn evaluate(rule: &Release, known: &Known, on: Date) -> ReleaseEvaluation {
    // Symptoms that appear later make an asymptomatic person a symptomatic one, with that day as day 0.
    let symptomatic = known.onset.is_some() || !known.carrier;
    let ways = if symptomatic { &rule.symptomatic } else { &rule.asymptomatic };
    let zero = if symptomatic { known.onset } else { known.sampled };
    let tried: Vec<Vec<Checked>> = ways
        .iter()
        .filter(|way| is_for(way, known, rule))
        .map(|way| check(way, known, zero, symptomatic, on))
        .collect();
    let met = tried.iter().find(|conditions| conditions.iter().all(|condition| condition.holds));
    let shown = met.or_else(|| tried.first()).cloned().unwrap_or_default();
    // Without a day 0 nothing can be said; else the latest of what each condition needs.
    let earliest = shown
        .iter()
        .map(|condition| condition.earliest)
        .try_fold(Date::MIN, |latest, day| day.map(|day| latest.max(day)));
    ReleaseEvaluation {
        met: met.is_some(),
        rule: format!("{} {}", if symptomatic { "symptomatic" } else { "asymptomatic" }, rule.effective_from),
        effective_from: rule.effective_from.to_string(),
        source: rule.source.clone(),
        conditions: shown.into_iter().map(|c| Condition { holds: c.holds, ja: c.ja, en: c.en }).collect(),
        earliest_day: earliest.map(|day| day.to_string()).unwrap_or_default(),
    }
}

/// Whether a way is open to somebody.
fn is_for(way: &Way, known: &Known, rule: &Release) -> bool {
    let strict = rule.symptomatic.iter().any(|way| way.setting == Some(Setting::Ventilated));
    let for_the_ventilated = strict && known.ventilated;
    match way.setting {
        Some(Setting::Ventilated) => known.ventilated,
        Some(Setting::Others) => !known.ventilated,
        Some(Setting::Hospital) => known.in_hospital && !for_the_ventilated,
        Some(Setting::Elsewhere) => !known.in_hospital && !for_the_ventilated,
        None => true,
    }
}

#[derive(Clone, Debug)]
struct Checked {
    holds: bool,
    ja: String,
    en: String,
    /// The first day on which it holds, where that can be said.
    earliest: Option<Date>,
}

fn check(way: &Way, known: &Known, zero: Option<Date>, symptomatic: bool, on: Date) -> Vec<Checked> {
    let mut found = Vec::new();
    let (zero_ja, zero_en) = if symptomatic { ("発症日", "onset") } else { ("検体採取日", "sampling") };
    if let Some(days) = way.days {
        // Day 0 is not counted; "ten days have passed" releases on day eleven.
        let earliest = zero.and_then(|zero| zero.checked_add(Duration::days(days + 1)));
        found.push(Checked {
            holds: earliest.is_some_and(|day| day <= on),
            ja: format!("{zero_ja}（{}）から{days}日間経過", shown(zero, "未登録")),
            en: format!("{days} days have passed since {zero_en} ({})", shown(zero, "not recorded")),
            earliest,
        });
    }
    if let Some(days) = way.relief_days {
        let earliest = known.relieved.and_then(|day| day.checked_add(Duration::days(days + 1)));
        found.push(Checked {
            holds: earliest.is_some_and(|day| day <= on),
            ja: format!("症状軽快（{}）後{}時間経過", shown(known.relieved, "報告なし"), days * 24),
            en: format!("{} hours have passed since relief ({})", days * 24, shown(known.relieved, "not reported")),
            earliest,
        });
    }
    if let Some(days) = way.relief_before_day {
        let before = zero.zip(known.relieved).is_some_and(|(zero, relieved)| (relieved - zero).whole_days() < days);
        found.push(Checked {
            holds: before,
            ja: format!("{zero_ja}から{days}日経過より前に症状軽快"),
            en: format!("relief before {days} days had passed since {zero_en}"),
            earliest: before.then_some(Date::MIN),
        });
    }
    if way.negative_tests {
        let (second, first) = (known.negatives.first().copied(), known.negatives.get(1).copied());
        let after_relief = |first: Date| !symptomatic || known.relieved.is_some_and(|relieved| first > relieved);
        // "Six days, then two tests": what was sampled before those days does not count.
        let after_days =
            |first: Date| way.days.is_none_or(|days| zero.is_some_and(|zero| (first - zero).whole_days() > days));
        let apart =
            first.zip(second).is_some_and(|(first, second)| second > first && after_relief(first) && after_days(first));
        found.push(Checked {
            holds: apart,
            ja: format!("24時間以上あけた2回の陰性（{}、{}）", shown(first, "なし"), shown(second, "なし")),
            en: format!("two negative samples a day apart ({}, {})", shown(first, "none"), shown(second, "none")),
            earliest: second.filter(|_| apart),
        });
    }
    found
}

fn shown(day: Option<Date>, otherwise: &str) -> String {
    day.map_or_else(|| otherwise.to_owned(), |day| day.to_string())
}

#[cfg(test)]
mod tests {
    use time::{Date, macros::date};

    use super::{Known, evaluate};
    use crate::rules;

    fn ill(relieved: Option<Date>) -> Known {
        Known { onset: Some(date!(2020 - 06 - 01)), relieved, ..Known::default() }
    }

    fn met(known: &Known, on: Date) -> bool {
        evaluate(rules::release(on).unwrap(), known, on).met
    }

    #[test]
    fn ten_days_release_on_day_eleven_if_relieved_for_three() {
        let known = ill(Some(date!(2020 - 06 - 05)));
        assert!(!met(&known, date!(2020 - 06 - 11)), "day ten itself");
        // 2020-06-11 is still under the rule of fourteen days.
        assert!(met(&known, date!(2020 - 06 - 12)));
        let late = ill(Some(date!(2020 - 06 - 10)));
        assert!(!met(&late, date!(2020 - 06 - 13)));
        assert!(met(&late, date!(2020 - 06 - 14)));
        assert!(!met(&ill(None), date!(2020 - 06 - 30)), "never said to be relieved");
    }

    #[test]
    fn the_reason_is_told_with_the_first_possible_day() {
        let rule = rules::release(date!(2020 - 06 - 20)).unwrap();
        let answer = evaluate(rule, &ill(Some(date!(2020 - 06 - 10))), date!(2020 - 06 - 13));
        assert!(!answer.met);
        assert_eq!(answer.earliest_day, "2020-06-14");
        assert_eq!(answer.source, "健感発0612第1号");
        assert_eq!(answer.conditions.iter().map(|c| c.holds).collect::<Vec<_>>(), [true, false]);
        let unknown = evaluate(rule, &ill(None), date!(2020 - 06 - 13));
        assert_eq!(unknown.earliest_day, "");
    }

    #[test]
    fn two_negative_samples_release_earlier() {
        let tested =
            Known { negatives: vec![date!(2020 - 06 - 09), date!(2020 - 06 - 08)], ..ill(Some(date!(2020 - 06 - 06))) };
        let rule = rules::release(date!(2020 - 06 - 12)).unwrap();
        assert!(evaluate(rule, &tested, date!(2020 - 06 - 10)).met);
        let same_day = Known { negatives: vec![date!(2020 - 06 - 09), date!(2020 - 06 - 09)], ..tested.clone() };
        assert!(!evaluate(rule, &same_day, date!(2020 - 06 - 10)).met, "less than a day apart");
        let before_relief = Known { relieved: Some(date!(2020 - 06 - 08)), ..tested };
        assert!(!evaluate(rule, &before_relief, date!(2020 - 06 - 10)).met, "the first came before relief");
    }

    #[test]
    fn without_symptoms_the_day_of_sampling_counts() {
        let carrier = Known { carrier: true, sampled: Some(date!(2020 - 06 - 15)), ..Known::default() };
        assert!(!met(&carrier, date!(2020 - 06 - 25)));
        assert!(met(&carrier, date!(2020 - 06 - 26)));
        let fell_ill = Known { onset: Some(date!(2020 - 06 - 20)), ..carrier };
        assert!(!met(&fell_ill, date!(2020 - 06 - 26)), "symptoms start the count anew");
    }

    #[test]
    fn without_symptoms_tests_count_only_after_six_days() {
        let rule = rules::release(date!(2020 - 06 - 20)).unwrap();
        let carrier = |first, second| Known {
            carrier: true,
            sampled: Some(date!(2020 - 06 - 15)),
            negatives: vec![second, first],
            ..Known::default()
        };
        let on = date!(2020 - 06 - 24);
        assert!(!evaluate(rule, &carrier(date!(2020 - 06 - 17), date!(2020 - 06 - 18)), on).met);
        assert!(evaluate(rule, &carrier(date!(2020 - 06 - 22), date!(2020 - 06 - 23)), on).met);
    }

    #[test]
    fn from_february_2021_the_ventilated_wait_fifteen_days() {
        let onset = Some(date!(2021 - 03 - 01));
        let known = Known { onset, relieved: Some(date!(2021 - 03 - 08)), ..Known::default() };
        assert!(met(&known, date!(2021 - 03 - 12)));
        let ventilated = Known { ventilated: true, ..known };
        assert!(!met(&ventilated, date!(2021 - 03 - 16)));
        assert!(met(&ventilated, date!(2021 - 03 - 17)));
    }

    #[test]
    fn from_september_2022_it_depends_on_the_place() {
        let known =
            Known { onset: Some(date!(2022 - 09 - 10)), relieved: Some(date!(2022 - 09 - 15)), ..Known::default() };
        assert!(met(&known, date!(2022 - 09 - 18)));
        let inpatient = Known { in_hospital: true, ..known };
        assert!(!met(&inpatient, date!(2022 - 09 - 18)));
        assert!(met(&inpatient, date!(2022 - 09 - 21)));
    }
}
