//! The order of the days of an illness: which day cannot lie before which, and which seldom does.
//!
//! Birth ≤ infection ≤ onset ≤ first visit ≤ sampling ≤ result ≤ diagnosis ≤ report, and death after all of them. Where people do
//! go to a doctor before they fall ill, or are sampled before, it is unusual and asked back; what nobody can live through is refused.

use time::{Date, macros::date};

/// The first day on which anything of this illness can have happened in Japan. The first patient was reported on 2020-01-15.
pub const FIRST: Date = date!(2020 - 01 - 01);

/// What happened on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// 生年月日
    Birth,
    /// 感染したと推定される年月日
    Infection,
    /// 発病年月日
    Onset,
    /// 初診年月日
    FirstVisit,
    /// 検体採取日
    Sampling,
    /// 結果判明日
    Result,
    /// 診断（検案）年月日
    Diagnosis,
    /// 入院年月日
    Admission,
    /// 報告年月日
    Report,
    /// 死亡年月日
    Death,
    /// 転帰の日
    Outcome,
    /// 出国日: left Japan for where the infection is thought to have happened.
    Departure,
    /// 入国日: came to Japan from there.
    Return,
    /// 最終ワクチン接種日
    Vaccination,
}

impl Event {
    /// As forms call it.
    pub fn ja(self) -> &'static str {
        match self {
            Self::Birth => "生年月日",
            Self::Infection => "感染したと推定される年月日",
            Self::Onset => "発病年月日",
            Self::FirstVisit => "初診年月日",
            Self::Sampling => "検体採取日",
            Self::Result => "結果判明日",
            Self::Diagnosis => "診断（検案）年月日",
            Self::Admission => "入院年月日",
            Self::Report => "報告年月日",
            Self::Death => "死亡年月日",
            Self::Outcome => "転帰の日",
            Self::Departure => "出国日",
            Self::Return => "入国日",
            Self::Vaccination => "最終ワクチン接種日",
        }
    }

    /// In English.
    pub fn en(self) -> &'static str {
        match self {
            Self::Birth => "the birth date",
            Self::Infection => "the day of infection",
            Self::Onset => "the day of onset",
            Self::FirstVisit => "the first visit",
            Self::Sampling => "the day of sampling",
            Self::Result => "the day of the result",
            Self::Diagnosis => "the day of diagnosis",
            Self::Admission => "the day of admission",
            Self::Report => "the report date",
            Self::Death => "the day of death",
            Self::Outcome => "the day of the outcome",
            Self::Departure => "the departure from Japan",
            Self::Return => "the entry into Japan",
            Self::Vaccination => "the last vaccination",
        }
    }

    /// The name of the pair with a later event, by which somebody confirms that it is so.
    pub fn after(self, later: Self) -> String {
        format!("{}_AFTER_{}", self.name(), later.name())
    }

    fn name(self) -> &'static str {
        match self {
            Self::Birth => "BIRTH",
            Self::Infection => "INFECTION",
            Self::Onset => "ONSET",
            Self::FirstVisit => "FIRST_VISIT",
            Self::Sampling => "SAMPLING",
            Self::Result => "RESULT",
            Self::Diagnosis => "DIAGNOSIS",
            Self::Admission => "ADMISSION",
            Self::Report => "REPORT",
            Self::Death => "DEATH",
            Self::Outcome => "OUTCOME",
            Self::Departure => "DEPARTURE",
            Self::Return => "RETURN",
            Self::Vaccination => "VACCINATION",
        }
    }
}

/// What an order the wrong way round means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Refused.
    Impossible,
    /// Asked back.
    Unusual,
}

/// A pair of days in the wrong order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What must come first.
    pub earlier: Event,
    /// What must come after.
    pub later: Event,
    /// What it means that it does not.
    pub verdict: Verdict,
}

use Event::{
    Admission, Birth, Death, Departure, Diagnosis, FirstVisit, Infection, Onset, Outcome, Report, Result, Return,
    Sampling, Vaccination,
};
use Verdict::{Impossible, Unusual};

/// Of one form.
const FORM: [(Event, Event, Verdict); 47] = [
    (Birth, Infection, Impossible),
    (Birth, Onset, Impossible),
    (Birth, FirstVisit, Impossible),
    (Birth, Sampling, Impossible),
    (Birth, Diagnosis, Impossible),
    (Birth, Admission, Impossible),
    (Birth, Report, Impossible),
    (Birth, Death, Impossible),
    (Infection, Onset, Impossible),
    (Infection, FirstVisit, Unusual),
    (Infection, Sampling, Unusual),
    (Infection, Diagnosis, Impossible),
    (Infection, Report, Impossible),
    (Infection, Death, Impossible),
    (Onset, FirstVisit, Unusual),
    (Onset, Sampling, Unusual),
    (Onset, Diagnosis, Unusual),
    (Onset, Report, Impossible),
    (Onset, Death, Impossible),
    (FirstVisit, Sampling, Unusual),
    (FirstVisit, Diagnosis, Unusual),
    (FirstVisit, Report, Impossible),
    (FirstVisit, Death, Impossible),
    (Sampling, Result, Impossible),
    (Sampling, Diagnosis, Unusual),
    (Sampling, Report, Impossible),
    (Sampling, Death, Impossible),
    (Result, Diagnosis, Unusual),
    (Result, Report, Impossible),
    (Diagnosis, Report, Impossible),
    (Diagnosis, Death, Impossible),
    (Admission, Report, Impossible),
    (Admission, Death, Impossible),
    (Death, Report, Impossible),
    (Birth, Result, Impossible),
    (Birth, Outcome, Impossible),
    (Onset, Admission, Unusual),
    (Birth, Departure, Impossible),
    (Birth, Return, Impossible),
    (Birth, Vaccination, Impossible),
    (Departure, Return, Impossible),
    (Departure, Report, Impossible),
    (Return, Report, Impossible),
    // Where the place of infection is abroad.
    (Departure, Infection, Unusual),
    (Infection, Return, Unusual),
    (Vaccination, Report, Impossible),
    (Vaccination, Death, Impossible),
];

/// Of all a case knows. Tests, stays and reports go on after a report; nothing goes on after death.
const CASE: [(Event, Event, Verdict); 8] = [
    (Infection, Onset, Impossible),
    (Infection, Death, Impossible),
    (Onset, Death, Impossible),
    (Onset, Outcome, Impossible),
    (FirstVisit, Death, Impossible),
    (Sampling, Death, Impossible),
    (Diagnosis, Death, Impossible),
    (Admission, Death, Impossible),
];

/// Every pair of a form, with what it means the wrong way round.
pub fn pairs_of_form() -> impl Iterator<Item = Conflict> {
    FORM.iter().map(|&(earlier, later, verdict)| Conflict { earlier, later, verdict })
}

/// The pairs of a form that are in the wrong order. A corpse is examined, sampled and diagnosed after the death.
pub fn of_form(days: &[(Event, Date)], is_corpse: bool) -> Vec<Conflict> {
    conflicts(&FORM, days, is_corpse)
}

/// The pairs of what a case knows that are in the wrong order.
pub fn of_case(days: &[(Event, Date)], is_corpse: bool) -> Vec<Conflict> {
    conflicts(&CASE, days, is_corpse)
}

/// Whether a pair does not hold of a corpse, which is examined after the death (検案).
pub fn is_examination(earlier: Event, later: Event) -> bool {
    later == Death && matches!(earlier, Sampling | Diagnosis | FirstVisit)
}

fn conflicts(table: &[(Event, Event, Verdict)], days: &[(Event, Date)], is_corpse: bool) -> Vec<Conflict> {
    let on = |wanted: Event| days.iter().filter(move |(event, _)| *event == wanted).map(|(_, day)| *day);
    table
        .iter()
        .filter(|(earlier, later, _)| !(is_corpse && is_examination(*earlier, *later)))
        .filter(|(earlier, later, _)| on(*earlier).any(|first| on(*later).any(|second| second < first)))
        .map(|&(earlier, later, verdict)| Conflict { earlier, later, verdict })
        .collect()
}

#[cfg(test)]
mod tests {
    use time::{Date, macros::date};

    use super::{
        CASE,
        Event::{
            self, Admission, Birth, Death, Departure, Diagnosis, FirstVisit, Infection, Onset, Outcome, Report, Result,
            Return, Sampling, Vaccination,
        },
        FORM, Verdict, is_examination, of_case, of_form,
    };

    const DAY: Date = date!(2020 - 05 - 10);
    const EVE: Date = date!(2020 - 05 - 09);

    #[test]
    fn every_pair_of_the_table_is_found_the_wrong_way_round_and_not_the_right_way() {
        for (earlier, later, verdict) in FORM {
            let found = of_form(&[(earlier, DAY), (later, EVE)], false);
            assert_eq!(found.len(), 1, "{earlier:?} {later:?}");
            assert_eq!((found[0].earlier, found[0].later, found[0].verdict), (earlier, later, verdict));
            assert!(of_form(&[(earlier, DAY), (later, DAY)], false).is_empty(), "one day is no wrong order");
            assert!(of_form(&[(earlier, EVE), (later, DAY)], false).is_empty());
        }
        for (earlier, later, _) in CASE {
            assert_eq!(of_case(&[(earlier, DAY), (later, EVE)], false).len(), 1, "{earlier:?} {later:?}");
        }
    }

    #[test]
    fn the_table_is_one_order() {
        // Report and death change places: a death is reported after it happened.
        let order = [
            Birth,
            Vaccination,
            Departure,
            Infection,
            Return,
            Onset,
            FirstVisit,
            Sampling,
            Result,
            Diagnosis,
            Admission,
            Death,
            Report,
            Outcome,
        ];
        let place = |event: Event| order.iter().position(|known| *known == event).unwrap();
        for (earlier, later, _) in FORM.iter().chain(&CASE) {
            assert!(place(*earlier) < place(*later), "{earlier:?} {later:?}");
        }
        for (place, later) in order.iter().enumerate().skip(1).filter(|(_, event)| **event != Report) {
            let born = |(one, other, verdict): &(Event, Event, Verdict)| {
                (*one, *other, *verdict) == (Birth, *later, Verdict::Impossible)
            };
            assert!(FORM.iter().any(born), "nobody is born after {place}");
        }
    }

    #[test]
    fn a_corpse_is_examined_after_the_death() {
        for event in [Sampling, Diagnosis, FirstVisit] {
            let days = [(event, DAY), (Death, EVE)];
            assert_eq!((of_form(&days, false).len(), of_form(&days, true).len()), (1, 0));
            assert!(is_examination(event, Death) && !is_examination(event, Report));
        }
        assert_eq!(of_form(&[(Onset, DAY), (Death, EVE)], true).len(), 1, "nobody falls ill when dead");
    }

    #[test]
    fn the_pair_has_a_name() {
        assert_eq!(FirstVisit.after(Sampling), "FIRST_VISIT_AFTER_SAMPLING");
    }
}
