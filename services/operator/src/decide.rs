//! The one decision: which level is in force, and what each service gets. Pure: the same input gives the same output, and
//! what must be remembered is in the input.

mod budget;
mod triggers;

use std::collections::{BTreeMap, BTreeSet};

use proto::options::Switch;
use runtime::surge::State;
use time::OffsetDateTime;

use crate::plan::{Automatic, Level, Manual, Moment, SignalState, SurgePlanSpec, SurgePlanStatus};

pub use budget::Granted;

/// What is known of the mesh at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The value of each signal; none where it could not be read.
    pub signals: BTreeMap<String, f64>,
    /// How many replicas of each service there are.
    pub replicas: BTreeMap<String, i32>,
}

/// What is remembered from one decision to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The level that was in force, and since when.
    pub level: Option<(String, Moment)>,
    /// The level that schedules and signals asked for.
    pub automatic: Option<Automatic>,
    /// The signals.
    pub signals: Vec<SignalState>,
}

impl Memory {
    /// What the status of a plan remembers.
    pub fn of(status: &SurgePlanStatus) -> Self {
        Self {
            level: status.since.map(|since| (status.level.clone(), since)),
            automatic: status.automatic.clone(),
            signals: status.signals.clone(),
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The level in force.
    pub level: String,
    /// Its place among the levels, 0 for the normal one.
    pub rank: usize,
    /// Since when.
    pub since: Moment,
    /// When it ends by itself, if nothing else happens.
    pub until: Option<Moment>,
    /// Why, the strongest first.
    pub causes: Vec<String>,
    /// What each service gets, in the order of the plan.
    pub services: Vec<Granted>,
    /// Whether nothing may scale in.
    pub frozen: bool,
    /// How many placeholder pods wait.
    pub placeholders: i32,
    /// What is switched.
    pub switches: BTreeSet<Switch>,
    /// A level set by hand that has expired, or that the plan does not have any more.
    pub lapsed: Option<String>,
    /// What to remember.
    pub memory: Memory,
}

impl Decision {
    /// What gateway and services are told.
    pub fn state(&self) -> State {
        State {
            level: self.level.clone(),
            rank: u32::try_from(self.rank).unwrap_or(u32::MAX),
            switches: self.switches.clone(),
            until: self.until.map(|until| until.0),
        }
    }
}

/// Decides. The plan must keep its rules ([`crate::plan::SurgePlan::check`]).
pub fn decide(now: OffsetDateTime, plan: &SurgePlanSpec, observed: &Observed, before: &Memory) -> Decision {
    let signals = triggers::signals(now, plan, observed, before);
    let asked = triggers::asked(now, plan, &signals);
    let automatic = triggers::held(now, plan, asked.iter().map(|(rank, _)| *rank).max().unwrap_or(0), before);
    let by_itself = plan.rank(&automatic.level).unwrap_or(0);

    let manual = plan.manual.as_ref();
    let by_hand = manual.filter(|manual| now < manual.expires_at.0).and_then(|manual| plan.rank(&manual.level));
    let rank = by_itself.max(by_hand.unwrap_or(0));
    let level = plan.levels.get(rank);
    let name = level.map_or_else(|| "normal".to_owned(), |level| level.name.clone());
    let since = match &before.level {
        Some((held, since)) if *held == name => *since,
        _ => Moment::new(now),
    };

    let mut causes: Vec<String> = Vec::new();
    if let (Some(manual), Some(_)) = (manual, by_hand) {
        let Manual { reason, requested_by, expires_at, .. } = manual;
        causes.push(format!("manual: {reason} ({requested_by}, until {expires_at})"));
    }
    causes.extend(asked.into_iter().filter(|(asked, _)| *asked == by_itself).map(|(_, cause)| cause));
    if by_itself > 0 && causes.len() == usize::from(by_hand.is_some()) {
        causes.push(format!("held: {} since {}", automatic.level, automatic.since));
    }
    // The stronger first.
    if by_itself > by_hand.unwrap_or(0) && by_hand.is_some() {
        causes.rotate_left(1);
    }

    let frozen = plan.freeze_scale_in_from.as_ref().and_then(|from| plan.rank(from)).is_some_and(|from| rank >= from);
    Decision {
        since,
        until: manual.filter(|_| by_hand.is_some_and(|by_hand| by_hand > by_itself)).map(|manual| manual.expires_at),
        services: budget::grant(plan, level, observed),
        frozen,
        placeholders: level.map_or(0, |level| level.placeholders),
        switches: level.map(Level::switches).unwrap_or_default(),
        lapsed: manual.filter(|_| by_hand.is_none()).map(|manual| manual.level.clone()),
        memory: Memory { level: Some((name.clone(), since)), automatic: Some(automatic), signals },
        level: name,
        rank,
        causes,
    }
}

#[cfg(test)]
mod tests;
