//! Release criteria, judged with an explanation.

use proto::{
    followup::{Condition, ReleaseEvaluation},
    registry::{CaseChanged, DiagnosisClass, Placement},
};
use time::{Date, Duration};

use super::rules::{Release, Setting, Way};

/// What is known of a person, as far as release depends on it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
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

impl Facts {
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

/// Judges by a rule for a release on a day: the first way that holds, else the one that comes first.
pub(crate) fn judge(rule: &Release, facts: &Facts, on: Date) -> ReleaseEvaluation {
    // Symptoms that appear later make an asymptomatic person a symptomatic one, with that day as day 0.
    let symptomatic = facts.onset.is_some() || !facts.carrier;
    let ways = if symptomatic { &rule.symptomatic } else { &rule.asymptomatic };
    // 発病年月日が明らかでない場合は、陽性確定に係る検体採取日.
    let zero = facts.onset.filter(|_| symptomatic).or(facts.sampled);
    let tried: Vec<Vec<Checked>> = ways
        .iter()
        .filter(|way| is_for(way, facts, rule))
        .map(|way| check(way, facts, zero, symptomatic, on))
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
        effective_date: rule.effective_from.to_string(),
        source: rule.source.clone(),
        conditions: shown.into_iter().map(|c| Condition { holds: c.holds, ja: c.ja, en: c.en }).collect(),
        earliest_date: earliest.map(|day| day.to_string()).unwrap_or_default(),
    }
}

/// Whether a way is open to somebody.
fn is_for(way: &Way, facts: &Facts, rule: &Release) -> bool {
    let strict = rule.symptomatic.iter().any(|way| way.setting == Some(Setting::Ventilated));
    let for_the_ventilated = strict && facts.ventilated;
    match way.setting {
        Some(Setting::Ventilated) => facts.ventilated,
        Some(Setting::Others) => !facts.ventilated,
        Some(Setting::Hospital) => facts.in_hospital && !for_the_ventilated,
        Some(Setting::Elsewhere) => !facts.in_hospital && !for_the_ventilated,
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

fn check(way: &Way, facts: &Facts, zero: Option<Date>, symptomatic: bool, on: Date) -> Vec<Checked> {
    let mut found = Vec::new();
    let from_onset = symptomatic && facts.onset.is_some();
    let (zero_ja, zero_en) = if from_onset { ("発症日", "onset") } else { ("検体採取日", "sampling") };
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
        let earliest = facts.relieved.and_then(|day| day.checked_add(Duration::days(days + 1)));
        found.push(Checked {
            holds: earliest.is_some_and(|day| day <= on),
            ja: format!("症状軽快（{}）後{}時間経過", shown(facts.relieved, "報告なし"), days * 24),
            en: format!("{} hours have passed since relief ({})", days * 24, shown(facts.relieved, "not reported")),
            earliest,
        });
    }
    if let Some(days) = way.relief_before_day {
        let before = zero.zip(facts.relieved).is_some_and(|(zero, relieved)| (relieved - zero).whole_days() < days);
        found.push(Checked {
            holds: before,
            ja: format!("{zero_ja}から{days}日経過より前に症状軽快"),
            en: format!("relief before {days} days had passed since {zero_en}"),
            earliest: before.then_some(Date::MIN),
        });
    }
    if way.negative_tests {
        let (second, first) = (facts.negatives.first().copied(), facts.negatives.get(1).copied());
        let after_relief = |first: Date| !symptomatic || facts.relieved.is_some_and(|relieved| first > relieved);
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

    use super::{Facts, judge};
    use crate::release::rules;

    fn ill(relieved: Option<Date>) -> Facts {
        Facts { onset: Some(date!(2020 - 06 - 01)), relieved, ..Facts::default() }
    }

    fn met(facts: &Facts, on: Date) -> bool {
        judge(rules::on(on).unwrap(), facts, on).met
    }

    #[test]
    fn ten_days_release_on_day_eleven_if_relieved_for_three() {
        let facts = ill(Some(date!(2020 - 06 - 05)));
        assert!(!met(&facts, date!(2020 - 06 - 11)), "day ten itself");
        // 2020-06-11 is still under the rule of fourteen days.
        assert!(met(&facts, date!(2020 - 06 - 12)));
        let late = ill(Some(date!(2020 - 06 - 10)));
        assert!(!met(&late, date!(2020 - 06 - 13)));
        assert!(met(&late, date!(2020 - 06 - 14)));
        assert!(!met(&ill(None), date!(2020 - 06 - 30)), "never said to be relieved");
    }

    #[test]
    fn the_reason_is_told_with_the_first_possible_day() {
        let rule = rules::on(date!(2020 - 06 - 20)).unwrap();
        let answer = judge(rule, &ill(Some(date!(2020 - 06 - 10))), date!(2020 - 06 - 13));
        assert!(!answer.met);
        assert_eq!(answer.earliest_date, "2020-06-14");
        assert_eq!(answer.source, "健感発0612第1号");
        assert_eq!(answer.conditions.iter().map(|c| c.holds).collect::<Vec<_>>(), [true, false]);
        let unfacts = judge(rule, &ill(None), date!(2020 - 06 - 13));
        assert_eq!(unfacts.earliest_date, "");
    }

    #[test]
    fn where_nobody_knows_the_onset_the_day_of_sampling_stands_for_it() {
        let unknown = Facts { onset: None, sampled: Some(date!(2020 - 06 - 01)), ..ill(Some(date!(2020 - 06 - 05))) };
        assert!(!met(&unknown, date!(2020 - 06 - 11)));
        assert!(met(&unknown, date!(2020 - 06 - 12)), "as ten days after an onset of that day");
        let rule = rules::on(date!(2020 - 06 - 20)).unwrap();
        let answer = judge(rule, &unknown, date!(2020 - 06 - 11));
        assert!(answer.conditions[0].ja.starts_with("検体採取日（2020-06-01）"), "{}", answer.conditions[0].ja);
        assert!(answer.rule.starts_with("symptomatic"), "relief is asked for all the same");
    }

    #[test]
    fn two_negative_samples_release_earlier() {
        let tested =
            Facts { negatives: vec![date!(2020 - 06 - 09), date!(2020 - 06 - 08)], ..ill(Some(date!(2020 - 06 - 06))) };
        let rule = rules::on(date!(2020 - 06 - 12)).unwrap();
        assert!(judge(rule, &tested, date!(2020 - 06 - 10)).met);
        let same_day = Facts { negatives: vec![date!(2020 - 06 - 09), date!(2020 - 06 - 09)], ..tested.clone() };
        assert!(!judge(rule, &same_day, date!(2020 - 06 - 10)).met, "less than a day apart");
        let before_relief = Facts { relieved: Some(date!(2020 - 06 - 08)), ..tested };
        assert!(!judge(rule, &before_relief, date!(2020 - 06 - 10)).met, "the first came before relief");
    }

    #[test]
    fn without_symptoms_the_day_of_sampling_counts() {
        let carrier = Facts { carrier: true, sampled: Some(date!(2020 - 06 - 15)), ..Facts::default() };
        assert!(!met(&carrier, date!(2020 - 06 - 25)));
        assert!(met(&carrier, date!(2020 - 06 - 26)));
        let fell_ill = Facts { onset: Some(date!(2020 - 06 - 20)), ..carrier };
        assert!(!met(&fell_ill, date!(2020 - 06 - 26)), "symptoms start the count anew");
    }

    #[test]
    fn without_symptoms_tests_count_only_after_six_days() {
        let rule = rules::on(date!(2020 - 06 - 20)).unwrap();
        let carrier = |first, second| Facts {
            carrier: true,
            sampled: Some(date!(2020 - 06 - 15)),
            negatives: vec![second, first],
            ..Facts::default()
        };
        let on = date!(2020 - 06 - 24);
        assert!(!judge(rule, &carrier(date!(2020 - 06 - 17), date!(2020 - 06 - 18)), on).met);
        assert!(judge(rule, &carrier(date!(2020 - 06 - 22), date!(2020 - 06 - 23)), on).met);
    }

    #[test]
    fn from_february_2021_the_ventilated_wait_fifteen_days() {
        let onset = Some(date!(2021 - 03 - 01));
        let facts = Facts { onset, relieved: Some(date!(2021 - 03 - 08)), ..Facts::default() };
        assert!(met(&facts, date!(2021 - 03 - 12)));
        let ventilated = Facts { ventilated: true, ..facts };
        assert!(!met(&ventilated, date!(2021 - 03 - 16)));
        assert!(met(&ventilated, date!(2021 - 03 - 17)));
    }

    #[test]
    fn from_september_2022_it_depends_on_the_place() {
        let facts =
            Facts { onset: Some(date!(2022 - 09 - 10)), relieved: Some(date!(2022 - 09 - 15)), ..Facts::default() };
        assert!(met(&facts, date!(2022 - 09 - 18)));
        let inpatient = Facts { in_hospital: true, ..facts };
        assert!(!met(&inpatient, date!(2022 - 09 - 18)));
        assert!(met(&inpatient, date!(2022 - 09 - 21)));
    }
}
