//! A wave played through [`decide`](crate::decide): which levels it brings, how many replicas and connections, and whether the load
//! was ever more than the room.
//!
//! What a case costs, and what a replica carries, is stated in [`Model`]. Cluster and scaler are modelled plainly: a replica is
//! there a step after it is asked for.

mod curve;
mod picture;
mod table;

use std::{collections::BTreeMap, fmt};

use runtime::clock::JAPAN;
use time::{Duration, OffsetDateTime};

use crate::{
    decide::{Memory, Observed, decide},
    plan::{Service, Signal, SurgePlanSpec},
};

pub use curve::{Curve, date};
pub use picture::svg;
pub use table::weeks;

/// How long a step is.
pub const STEP: Duration = Duration::minutes(5);

/// Days for which a person reports health.
const FOLLOWED: usize = 7;

/// What a case costs, and what a replica carries.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Calls of staff for each new case on its day: filing, receipt, acknowledging, the case, first contact, beds.
    pub calls_per_case: f64,
    /// Calls for each health report: sign-in or refresh, form, report.
    pub calls_per_report: f64,
    /// The share of calls that sign somebody in with a password.
    pub sign_ins: f64,
    /// Calls a second that one replica of the gateway carries.
    pub gateway: f64,
    /// Calls a second that one replica of any other service carries.
    pub service: f64,
    /// Sign-ins a second that one replica of identity carries: passwords are slow to check on purpose.
    pub hashing: f64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            calls_per_case: 40.0,
            calls_per_report: 4.0,
            sign_ins: 0.05,
            gateway: 400.0,
            service: 80.0,
            hashing: 15.0,
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "assumed: {} calls for a case, {} for a health report on {FOLLOWED} days, {} of 100 sign in anew; a replica carries {} \
             calls/s (gateway {}, passwords {})",
            self.calls_per_case,
            self.calls_per_report,
            self.sign_ins * 100.0,
            self.service,
            self.gateway,
            self.hashing,
        )
    }
}

/// Percent of a day's calls of staff in each hour (Japan): two peaks, and a night.
const STAFF: [u8; 24] = [1, 1, 0, 0, 0, 0, 1, 3, 7, 11, 12, 10, 6, 8, 9, 9, 8, 6, 3, 2, 1, 1, 1, 0];
/// Percent of a day's health reports in each hour: due in the morning.
const REPORTS: [u8; 24] = [0, 0, 0, 0, 0, 1, 4, 11, 19, 20, 12, 7, 5, 3, 2, 2, 2, 3, 3, 2, 2, 1, 1, 0];
/// Percent of the mean with which staff work on a day of the week, Monday first: what the weekend left waits.
const WEEK: [u16; 7] = [140, 110, 100, 100, 105, 80, 65];

/// Which part of all calls reaches a service, beside the gateway.
fn share(service: &str) -> f64 {
    match service {
        "gateway" => 1.0,
        "identity" | "notification" => 0.15,
        "registry" => 0.30,
        "followup" => 0.45,
        "beds" => 0.05,
        _ => 0.03,
    }
}

/// One step of the play.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// When.
    pub at: OffsetDateTime,
    /// The level in force.
    pub level: String,
    /// Its place among the levels.
    pub rank: usize,
    /// Calls a second that came.
    pub calls: f64,
    /// The largest share of a service's room that was asked for: above 1, callers waited or were turned away.
    pub load: f64,
    /// Replicas of each service.
    pub replicas: BTreeMap<String, i32>,
    /// Connections they may open.
    pub connections: i64,
}

/// Plays a curve through a plan.
pub fn play(plan: &SurgePlanSpec, curve: &Curve, model: &Model) -> Vec<Step> {
    let mut memory = Memory::default();
    let mut replicas: BTreeMap<String, i32> = BTreeMap::new();
    let mut waiting = 0.0;
    let mut steps = Vec::new();
    for (day, date) in curve.days() {
        let midnight = date.midnight().assume_offset(JAPAN);
        let mut at = midnight;
        while at < midnight + Duration::DAY {
            let demand = Demand::of(curve, day, at, model);
            let identities = f64::from(replicas.get("identity").copied().unwrap_or(1));
            waiting = (waiting + (demand.sign_ins - identities * model.hashing) * STEP.as_seconds_f64())
                .clamp(0.0, 41.0 * identities);
            let load = plan.services.iter().map(|s| load(s, &replicas, demand.calls, model)).fold(0.0, f64::max);
            let signals = plan.signals.iter().filter_map(|s| Some((s.name.clone(), demand.read(s, waiting, load)?)));
            let observed = Observed { signals: signals.collect(), replicas: replicas.clone() };
            let decision = decide(at, plan, &observed, &memory);
            for (service, granted) in plan.services.iter().zip(&decision.services) {
                let target = f64::from(service.target_cpu_percent) / 100.0;
                let now = replicas.get(&service.name).copied().unwrap_or(granted.floor);
                let needed = (demand.calls * share(&service.name) / (room(service, model) * target)).ceil();
                #[expect(clippy::cast_possible_truncation, reason = "clamped to bounds of i32")]
                let needed = needed.clamp(f64::from(granted.floor), f64::from(granted.ceiling)) as i32;
                // Late and one by one on the way down, not at all while frozen.
                let slowly = if decision.frozen { now } else { now - 2 };
                let next = needed.max(slowly).clamp(granted.floor, granted.ceiling);
                replicas.insert(service.name.clone(), next);
            }
            let connections = plan.services.iter().map(|service| {
                i64::from(replicas.get(&service.name).copied().unwrap_or(0)) * i64::from(service.connections)
            });
            steps.push(Step {
                at,
                level: decision.level,
                rank: decision.rank,
                calls: demand.calls,
                load,
                replicas: replicas.clone(),
                connections: connections.sum(),
            });
            memory = decision.memory;
            at += STEP;
        }
    }
    steps
}

/// The same plan without a wave: its normal level only.
pub fn without_levels(plan: &SurgePlanSpec) -> SurgePlanSpec {
    let levels = plan.levels.first().cloned().into_iter().collect();
    SurgePlanSpec {
        levels,
        manual: None,
        schedules: Vec::new(),
        signals: Vec::new(),
        freeze_scale_in_from: None,
        ..plan.clone()
    }
}

fn room(service: &Service, model: &Model) -> f64 {
    if service.name == "gateway" { model.gateway } else { model.service }
}

fn load(service: &Service, replicas: &BTreeMap<String, i32>, calls: f64, model: &Model) -> f64 {
    let Some(replicas) = replicas.get(&service.name) else { return 0.0 };
    calls * share(&service.name) / (f64::from(*replicas) * room(service, model))
}

/// What is asked of the mesh in a second.
struct Demand {
    calls: f64,
    sign_ins: f64,
}

impl Demand {
    fn of(curve: &Curve, day: usize, at: OffsetDateTime, model: &Model) -> Self {
        let hour = usize::from(at.hour());
        let weekday = usize::from(at.weekday().number_days_from_monday());
        let in_a_second = |percent: u8| f64::from(percent) / 100.0 / 3_600.0;
        let followed: f64 = (0..FOLLOWED).filter_map(|back| curve.cases(day.checked_sub(back)?)).sum();
        let week = WEEK.get(weekday).copied().map_or(1.0, |percent| f64::from(percent) / 100.0);
        let staff = curve.cases(day).unwrap_or(0.0) * model.calls_per_case * week;
        let staff = staff * STAFF.get(hour).copied().map_or(0.0, in_a_second);
        let reports = followed * model.calls_per_report * REPORTS.get(hour).copied().map_or(0.0, in_a_second);
        let calls = staff + reports;
        Self { calls, sign_ins: calls * model.sign_ins }
    }

    /// What a signal would read; none for metrics that the model does not know.
    fn read(&self, signal: &Signal, waiting: f64, load: f64) -> Option<f64> {
        match signal.source.metric.as_str() {
            "hersys_rpcs_total" => Some(self.calls),
            "hersys_sign_in_queue" => Some(waiting),
            // Events wait as long as the services that handle them have no room.
            "hersys_oldest_event_seconds" => Some(((load - 1.0).max(0.0) * STEP.as_seconds_f64()).round()),
            "hersys_lag_events" => Some(((load - 1.0).max(0.0) * self.calls * STEP.as_seconds_f64()).round()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use time::macros::date;

    use super::{Curve, Model, play, svg, weeks, without_levels};
    use crate::plan::SurgePlan;

    /// A wave of the shape of early 2022: forty-fold in four weeks, a plateau, and slowly back.
    fn wave() -> Curve {
        let mut text = "Date,ALL\n".to_owned();
        let mut date = date!(2022 - 01 - 03);
        for day in 0..70_u32 {
            let up = 5_000.0 * 1.14_f64.powi(day.min(28).try_into().unwrap());
            let down = 0.97_f64.powi(day.saturating_sub(42).try_into().unwrap());
            writeln!(text, "{date},{:.0}", up * down).unwrap();
            date = date.next_day().unwrap();
        }
        Curve::read(text.as_bytes(), None, None).unwrap()
    }

    #[test]
    fn a_wave_of_the_real_shape_brings_the_levels_and_takes_them_back() {
        let plan = SurgePlan::read(include_str!("../../../charts/hersys/golden/surge.yaml")).unwrap().spec;
        let (curve, model) = (wave(), Model::default());
        let (with, without) = (play(&plan, &curve, &model), play(&without_levels(&plan), &curve, &model));
        let highest = with.iter().map(|step| step.rank).max();
        assert!(highest >= Some(2), "{highest:?}");
        assert_eq!(with.last().map(|step| step.level.as_str()), Some("normal"), "at night, after the wave");
        assert!(with.iter().all(|step| step.connections <= i64::from(plan.connection_budget)));
        let crowded = |steps: &[super::Step]| steps.iter().filter(|step| step.load > 1.0).count();
        assert!(crowded(&with) < crowded(&without), "{} {}", crowded(&with), crowded(&without));
        // Up and down once or twice a day, not with every gust.
        let changes = with.windows(2).filter(|pair| pair[0].level != pair[1].level).count();
        assert!(changes < 70 * 7, "{changes}");
        let table = weeks(&plan, &with, &without);
        assert_eq!(table.lines().count(), 1 + 10 + 1, "{table}");
        let picture = svg(&plan, &with);
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"), "{picture}");
        assert!(!picture.contains("NaN"));
    }
}
