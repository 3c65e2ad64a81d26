//! What has come of a plan, for people and for the next round.

use kube::Resource as _;
use runtime::surge;
use time::OffsetDateTime;

use crate::{
    decide::Decision,
    plan::{Condition, Mode, Moment, Scaled, SurgePlan, SurgePlanStatus},
};

/// The status after a round.
pub(super) fn status(
    before: &SurgePlanStatus,
    plan: &SurgePlan,
    decision: &Decision,
    services: Vec<Scaled>,
    blocked: &[String],
    now: OffsetDateTime,
) -> SurgePlanStatus {
    let mut faults: Vec<String> = blocked.to_vec();
    faults.extend(services.iter().filter_map(|s| Some(format!("{}: {}", s.name, s.blocked_by.as_ref()?))));
    let ready = if let Some(level) = &decision.lapsed {
        ("False", "ManualLapsed", format!("manual: {level} has expired, or is no level of the plan"))
    } else if !faults.is_empty() {
        ("False", "Blocked", faults.join("; "))
    } else if plan.spec.mode == Mode::Recommend {
        ("True", "Recommending", "nothing is written: mode is Recommend".to_owned())
    } else {
        ("True", "Enforced", "the level is in force".to_owned())
    };
    let short: Vec<&str> =
        decision.services.iter().filter(|granted| granted.blocked_by.is_some()).map(|s| s.service.as_str()).collect();
    let budget = if short.is_empty() {
        ("True", "Fits", "every service may have what the level says".to_owned())
    } else {
        ("False", "Exceeded", format!("connections are short for {}", short.join(", ")))
    };
    let unknown: Vec<&str> =
        decision.memory.signals.iter().filter(|signal| !signal.known).map(|signal| signal.name.as_str()).collect();
    let signals = if unknown.is_empty() {
        ("True", "Read", "every signal could be read".to_owned())
    } else {
        ("False", "Unknown", format!("stay as they were: {}", unknown.join(", ")))
    };
    SurgePlanStatus {
        observed_generation: plan.meta().generation.unwrap_or_default(),
        level: decision.level.clone(),
        since: Some(decision.since),
        until: decision.until,
        automatic: decision.memory.automatic.clone(),
        causes: decision.causes.clone(),
        signals: decision.memory.signals.clone(),
        services,
        placeholders: decision.placeholders,
        degrade: decision.switches.iter().map(|switch| surge::name_of(*switch)).collect(),
        conditions: [("Ready", ready), ("WithinBudget", budget), ("SignalsKnown", signals)]
            .into_iter()
            .map(|(kind, told)| condition(before, kind, told, now))
            .collect(),
    }
}

/// The status of a plan that breaks a rule: what was in force stays.
pub(super) fn invalid(before: SurgePlanStatus, plan: &SurgePlan, why: &str, now: OffsetDateTime) -> SurgePlanStatus {
    let told = ("False", "Invalid", why.chars().take(1_000).collect());
    SurgePlanStatus {
        observed_generation: plan.meta().generation.unwrap_or_default(),
        conditions: vec![condition(&before, "Ready", told, now)],
        ..before
    }
}

fn condition(
    before: &SurgePlanStatus,
    kind: &str,
    (status, reason, message): (&str, &str, String),
    now: OffsetDateTime,
) -> Condition {
    let held = before.conditions.iter().find(|held| held.kind == kind && held.status == status);
    Condition {
        kind: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: held.map_or_else(|| Moment::new(now), |held| held.last_transition_time),
    }
}
