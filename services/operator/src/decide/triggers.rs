//! What asks for a level: signals with hysteresis, schedules in Japan's time, and how long a level is kept.

use runtime::clock::JAPAN;
use time::{Duration, OffsetDateTime, Time, Weekday};

use super::{Memory, Observed};
use crate::plan::{Automatic, Day, Moment, Schedule, SignalState, SurgePlanSpec};

/// How the signals stand now. One that cannot be read stays as it was.
pub(super) fn signals(
    now: OffsetDateTime,
    plan: &SurgePlanSpec,
    observed: &Observed,
    before: &Memory,
) -> Vec<SignalState> {
    let stand = plan.signals.iter().map(|signal| {
        let held = before.signals.iter().find(|state| state.name == signal.name);
        let (active, turning_since) = held.map_or((false, None), |held| (held.active, held.turning_since));
        let name = signal.name.clone();
        let Some(value) = observed.signals.get(&signal.name) else {
            return SignalState { name, active, turning_since, known: false };
        };
        let (turns, patience) = if active {
            (*value < f64::from(signal.exit_below), signal.exit_for_seconds)
        } else {
            (*value > f64::from(signal.enter_above), signal.enter_for_seconds)
        };
        let since = turning_since.unwrap_or_else(|| Moment::new(now));
        let turned = turns && now - since.0 >= Duration::seconds(patience.into());
        SignalState {
            name,
            active: active != turned,
            turning_since: Some(since).filter(|_| turns && !turned),
            known: true,
        }
    });
    stand.collect()
}

/// The levels that schedules and signals ask for, each with its cause.
pub(super) fn asked(now: OffsetDateTime, plan: &SurgePlanSpec, signals: &[SignalState]) -> Vec<(usize, String)> {
    let schedules = plan.schedules.iter().filter(|schedule| is_open(schedule, now)).filter_map(|schedule| {
        let until = &schedule.to;
        Some((plan.rank(&schedule.level)?, format!("schedule: {} until {until}", schedule.name)))
    });
    let signals = plan.signals.iter().zip(signals).filter(|(_, state)| state.active).filter_map(|(signal, _)| {
        Some((plan.rank(&signal.level)?, format!("signal: {} above {}", signal.name, signal.enter_above)))
    });
    schedules.chain(signals).collect()
}

/// The level they bring: a higher one at once, a lower one after the dwell.
pub(super) fn held(now: OffsetDateTime, plan: &SurgePlanSpec, wanted: usize, before: &Memory) -> Automatic {
    let name = |rank: usize| plan.levels.get(rank).map(|level| level.name.clone()).unwrap_or_default();
    let held = before.automatic.as_ref().and_then(|held| Some((plan.rank(&held.level)?, held.since)));
    let dwell = Duration::seconds(plan.minimum_dwell_seconds.into());
    match held {
        Some((rank, since)) if wanted == rank || (wanted < rank && now - since.0 < dwell) => {
            Automatic { level: name(rank), since }
        }
        _ => Automatic { level: name(wanted), since: Moment::new(now) },
    }
}

/// Whether a window is open. It may run over midnight: it began on a day of its own.
fn is_open(schedule: &Schedule, now: OffsetDateTime) -> bool {
    let now = now.to_offset(JAPAN);
    let (Some(from), Some(to)) = (clock_time(&schedule.from), clock_time(&schedule.to)) else { return false };
    let begins = |weekday: Weekday| schedule.days.iter().any(|day| weekday_of(*day) == weekday);
    let (today, time) = (now.weekday(), now.time());
    if from < to {
        begins(today) && (from..to).contains(&time)
    } else {
        (begins(today) && time >= from) || (begins(today.previous()) && time < to)
    }
}

fn clock_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    Time::from_hms(hour.parse().ok()?, minute.parse().ok()?, 0).ok()
}

fn weekday_of(day: Day) -> Weekday {
    match day {
        Day::Mon => Weekday::Monday,
        Day::Tue => Weekday::Tuesday,
        Day::Wed => Weekday::Wednesday,
        Day::Thu => Weekday::Thursday,
        Day::Fri => Weekday::Friday,
        Day::Sat => Weekday::Saturday,
        Day::Sun => Weekday::Sunday,
    }
}
