//! What a wave brought, week by week, as a table.

use std::fmt::Write as _;

use time::Date;

use super::{STEP, Step};
use crate::plan::SurgePlanSpec;

/// The weeks of a play: hours at each level, the largest load, replicas and connections.
pub fn weeks(plan: &SurgePlanSpec, steps: &[Step], without: &[Step]) -> String {
    let levels: Vec<&str> = plan.levels.iter().map(|level| level.name.as_str()).collect();
    let mut text = format!("{:<12}", "week of");
    for level in &levels {
        let _ = write!(text, "{:>12}", format!("{level} h"));
    }
    let _ =
        writeln!(text, "{:>10}{:>10}{:>13}{:>10}{:>10}", "calls/s", "replicas", "connections", "load %", "without %");
    for (week, of_week) in chunks(steps) {
        let _ = write!(text, "{week:<12}");
        for rank in 0..levels.len() {
            let there = of_week.iter().filter(|step| step.rank == rank).count();
            let _ = write!(text, "{:>12.1}", hours(there));
        }
        let most = |of: fn(&Step) -> f64| of_week.iter().map(of).fold(0.0, f64::max);
        let other =
            without.iter().filter(|step| monday(step.at.date()) == week).map(|step| step.load).fold(0.0, f64::max);
        let replicas = of_week.iter().map(|step| step.replicas.values().sum::<i32>()).max().unwrap_or(0);
        let connections = of_week.iter().map(|step| step.connections).max().unwrap_or(0);
        let (calls, load) = (most(|step| step.calls), most(|step| step.load) * 100.0);
        let _ = writeln!(text, "{calls:>10.0}{replicas:>10}{connections:>13}{load:>10.0}{:>10.0}", other * 100.0);
    }
    let over = |steps: &[Step]| hours(steps.iter().filter(|step| step.load > 1.0).count());
    let changes = steps.windows(2).filter(|pair| matches!(pair, [a, b] if a.level != b.level)).count();
    let _ = writeln!(
        text,
        "{changes} changes of level; more load than room in {:.1} h, without the plan in {:.1} h; at most {} connections of {}",
        over(steps),
        over(without),
        steps.iter().map(|step| step.connections).max().unwrap_or(0),
        plan.connection_budget,
    );
    text
}

fn hours(steps: usize) -> f64 {
    f64::from(u32::try_from(steps).unwrap_or(u32::MAX)) * STEP.as_seconds_f64() / 3_600.0
}

/// The steps of each week, with the week's Monday.
fn chunks(steps: &[Step]) -> impl Iterator<Item = (Date, &[Step])> {
    let of_one_week = |a: &Step, b: &Step| monday(a.at.date()) == monday(b.at.date());
    steps.chunk_by(of_one_week).filter_map(|week| Some((monday(week.first()?.at.date()), week)))
}

fn monday(date: Date) -> Date {
    let since = i64::from(date.weekday().number_days_from_monday());
    date.checked_sub(time::Duration::days(since)).unwrap_or(date)
}
