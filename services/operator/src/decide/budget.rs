//! What a level's bounds become while connections to the database are short.

use super::Observed;
use crate::plan::{Level, Service, SurgePlanSpec};

/// What a service gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its name.
    pub service: String,
    /// At least so many replicas.
    pub floor: i32,
    /// At most so many.
    pub ceiling: i32,
    /// Why that is not what the level says.
    pub blocked_by: Option<String>,
}

/// Grants the level's bounds as far as there are connections. The plan fits its budget, but replicas that are above the
/// level's ceiling hold theirs until they are gone; until then the most important services go first: all floors in their
/// order, then all ceilings.
pub(super) fn grant(plan: &SurgePlanSpec, level: Option<&Level>, observed: &Observed) -> Vec<Granted> {
    let mut wanted: Vec<Wanted<'_>> = plan
        .services
        .iter()
        .filter_map(|service| {
            let bounds = level?.of(&service.name)?;
            let now = observed.replicas.get(&service.name).copied().unwrap_or(0).max(0);
            Some(Wanted { service, floor: bounds.floor, ceiling: bounds.ceiling, now, granted: now })
        })
        .collect();
    let held: i64 = wanted.iter().map(|one| one.connections(one.now)).sum();
    let mut left = i64::from(plan.connection_budget) - held;
    for one in &mut wanted {
        one.raise(one.floor, &mut left);
    }
    let floors: Vec<i32> = wanted.iter().map(|one| one.granted.min(one.floor)).collect();
    for one in &mut wanted {
        one.raise(one.ceiling, &mut left);
    }
    wanted
        .into_iter()
        .zip(floors)
        .map(|(one, floor)| {
            let ceiling = one.granted.min(one.ceiling).max(1);
            let floor = floor.clamp(1, ceiling);
            let short = floor < one.floor || ceiling < one.ceiling;
            let why = || format!("connections: {floor} to {ceiling} of {} to {}", one.floor, one.ceiling);
            Granted { service: one.service.name.clone(), floor, ceiling, blocked_by: short.then(why) }
        })
        .collect()
}

struct Wanted<'a> {
    service: &'a Service,
    floor: i32,
    ceiling: i32,
    now: i32,
    granted: i32,
}

impl Wanted<'_> {
    fn connections(&self, replicas: i32) -> i64 {
        i64::from(replicas) * i64::from(self.service.connections)
    }

    /// Raises what is granted towards a number, as far as connections are left.
    fn raise(&mut self, to: i32, left: &mut i64) {
        let more = (to - self.granted).max(0);
        let affordable = match i64::from(self.service.connections) {
            0 => more,
            each => more.min(i32::try_from((*left).max(0) / each).unwrap_or(i32::MAX)),
        };
        self.granted += affordable;
        *left -= self.connections(affordable);
    }
}
