//! In a cluster: the plan's `manual` is set and taken away; the operator does the rest.

use std::fmt::Write as _;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{Asked, Target};
use crate::plan::{Mode, SurgePlan};

/// The name under which people set levels.
const MANAGER: &str = "hersysctl";

async fn plans(target: &Target) -> anyhow::Result<(Client, Api<SurgePlan>)> {
    let client = Client::try_default().await;
    // Its chain of causes says the same thing four times.
    let client = client.map_err(|error| anyhow::anyhow!("is kubectl set to a cluster? {error}"))?;
    Ok((client.clone(), Api::namespaced(client, &target.namespace)))
}

pub(super) async fn plan(target: &Target) -> anyhow::Result<SurgePlan> {
    Ok(plans(target).await?.1.get(&target.name).await?)
}

pub(super) async fn show(target: &Target) -> anyhow::Result<String> {
    Ok(told(&plan(target).await?))
}

pub(super) async fn set(target: &Target, asked: Asked) -> anyhow::Result<String> {
    let (client, plans) = plans(target).await?;
    let mut plan = plans.get(&target.name).await?;
    let manual = asked.put_into(&mut plan, whoever(client).await)?;
    let patch = json!({ "spec": { "manual": manual } });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    plans.patch(&target.name, &params, &Patch::Merge(patch)).await?;
    Ok(format!("{} is asked for until {}; the operator acts within seconds\n", manual.level, manual.expires_at))
}

pub(super) async fn clear(target: &Target) -> anyhow::Result<String> {
    let (_, plans) = plans(target).await?;
    let had = plans.get(&target.name).await?.spec.manual.is_some();
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    plans.patch(&target.name, &params, &Patch::Merge(json!({ "spec": { "manual": null } }))).await?;
    Ok(if had { "the level set by hand has ended\n" } else { "no level was set by hand\n" }.to_owned())
}

/// Who the cluster says that one is.
async fn whoever(client: Client) -> String {
    let reviews: Api<SelfSubjectReview> = Api::all(client);
    let answer = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let user = answer.ok().and_then(|review| review.status?.user_info?.username);
    user.filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned()).chars().take(253).collect()
}

/// A plan for reading.
pub(super) fn told(plan: &SurgePlan) -> String {
    let Some(status) = &plan.status else { return "no operator has looked at the plan yet\n".to_owned() };
    let mut text = format!("level {}", status.level);
    if let Some(since) = status.since {
        let _ = write!(text, " since {since}");
    }
    if let Some(until) = status.until {
        let _ = write!(text, " until {until}");
    }
    if plan.spec.mode == Mode::Recommend {
        text.push_str(" (recommended only)");
    }
    text.push('\n');
    for cause in &status.causes {
        let _ = writeln!(text, "  {cause}");
    }
    let switched = if status.degrade.is_empty() { "nothing".to_owned() } else { status.degrade.join(", ") };
    let _ = writeln!(text, "switched: {switched}");
    let _ =
        writeln!(text, "{:<14}{:>7}{:>9}{:>10}{:>7}  blocked by", "service", "floor", "ceiling", "replicas", "ready");
    for one in &status.services {
        let blocked = one.blocked_by.as_deref().unwrap_or("-");
        let _ = writeln!(
            text,
            "{:<14}{:>7}{:>9}{:>10}{:>7}  {blocked}",
            one.name, one.floor, one.ceiling, one.replicas, one.ready
        );
    }
    for signal in &status.signals {
        let known = if signal.known { "" } else { " (could not be read)" };
        let _ = writeln!(text, "signal {}: {}{known}", signal.name, if signal.active { "active" } else { "quiet" });
    }
    for condition in status.conditions.iter().filter(|condition| condition.status != "True") {
        let _ = writeln!(text, "{}: {} – {}", condition.kind, condition.reason, condition.message);
    }
    text
}
