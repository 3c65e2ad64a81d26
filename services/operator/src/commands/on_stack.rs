//! On the development stack: there is nothing to scale, but everything is switched as in a cluster.

use std::{fmt::Write as _, fs, io};

use runtime::surge::{State, name_of};
use time::OffsetDateTime;

use super::{Asked, Target, state_file};
use crate::decide::{Memory, Observed, decide};

pub(super) fn show(target: &Target, now: OffsetDateTime) -> anyhow::Result<String> {
    let state = match fs::read(state_file(target)?) {
        Ok(text) => State::parse(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => State::default(),
        Err(error) => return Err(error.into()),
    };
    let state = if state.until.is_some_and(|until| until <= now) { State::default() } else { state };
    let mut text = format!("level {}", state.level);
    if let Some(until) = state.until {
        let _ = write!(text, " until {}", crate::plan::Moment::new(until));
    }
    let switches: Vec<String> = state.switches.into_iter().map(name_of).collect();
    let _ =
        writeln!(text, "\nswitched: {}", if switches.is_empty() { "nothing".to_owned() } else { switches.join(", ") });
    let plan = target.plan_of_file()?;
    let levels: Vec<&str> = plan.spec.levels.iter().map(|level| level.name.as_str()).collect();
    let _ = writeln!(text, "levels of the plan: {}", levels.join(", "));
    Ok(text)
}

pub(super) fn set(target: &Target, asked: Asked) -> anyhow::Result<String> {
    let (file, now) = (state_file(target)?, asked.at);
    let mut plan = target.plan_of_file()?;
    asked.put_into(&mut plan, "somebody at this machine".to_owned())?;
    // Nobody watches the clock or the metrics here.
    plan.spec.schedules.clear();
    plan.spec.signals.clear();
    let decision = decide(now, &plan.spec, &Observed::default(), &Memory::default());
    let state = State { until: plan.spec.manual.map(|manual| manual.expires_at.0), ..decision.state() };
    state.write(&file)?;
    show(target, now)
}

pub(super) fn clear(target: &Target) -> anyhow::Result<String> {
    match fs::remove_file(state_file(target)?) {
        Ok(()) => Ok("the normal level is in force\n".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok("no level was set\n".to_owned()),
        Err(error) => Err(error.into()),
    }
}
