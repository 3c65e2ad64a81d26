//! The loop: read the plan and the mesh, decide, write what differs, say what has come of it. Level-triggered: nothing depends on
//! having seen a change happen.

mod report;

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    runtime::{
        Controller,
        controller::Action,
        events::{Event, EventType, Recorder, Reporter},
        finalizer, watcher,
    },
};
use runtime::{Clock, surge::State};

use crate::{
    cluster::{Cluster, MANAGER, Refused, Replicas},
    decide::{self, Decision, Memory, Observed},
    observe::Metrics,
    plan::{Mode, Scaled, SurgePlan},
};

/// Until the mesh is looked at again.
const EVERY: Duration = Duration::from_secs(15);
/// Until the API server is asked again after it failed.
const RETRY: Duration = Duration::from_secs(5);
/// How long a round may take: an API server that hangs must not keep the next round from beginning.
const LONGEST: Duration = Duration::from_mins(1);

/// Keeps a plan from vanishing before what the operator holds is handed back.
const FINALIZER: &str = "surge.hersys.internal/hand-back";

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The API server does not answer, or refused what is the operator's own.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The finalizer could not be set or taken away, or what it guards failed.
    #[error("the finalizer: {0}")]
    Finalizer(String),
    /// The round took too long.
    #[error("the round took too long")]
    TooLong,
}

/// What every round needs.
pub struct Context {
    client: Client,
    metrics: Metrics,
    clock: Clock,
    recorder: Recorder,
}

impl Context {
    /// What every round needs.
    pub fn new(client: Client, metrics: Metrics, clock: Clock) -> Self {
        let recorder = Recorder::new(client.clone(), Reporter { controller: MANAGER.to_owned(), instance: None });
        Self { client, metrics, clock, recorder }
    }
}

/// Follows the plans of a namespace until `stop`.
pub async fn run(context: Arc<Context>, namespace: &str, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let plans: Api<SurgePlan> = Api::namespaced(context.client.clone(), namespace);
    Controller::new(plans, watcher::Config::default())
        .graceful_shutdown_on(stop)
        .run(round, on_failure, context)
        .for_each(|done| async move {
            if let Err(error) = done {
                tracing::warn!(error = %error, "A round failed");
            }
        })
        .await;
}

fn on_failure(_: Arc<SurgePlan>, _: &Failure, _: Arc<Context>) -> Action {
    Action::requeue(RETRY)
}

/// One round for one plan.
///
/// # Errors
/// When the API server does not answer. Everything is tried again.
pub async fn round(plan: Arc<SurgePlan>, context: Arc<Context>) -> Result<Action, Failure> {
    let plans: Api<SurgePlan> = Api::namespaced(context.client.clone(), &plan.namespace().unwrap_or_default());
    let work = finalizer(&plans, FINALIZER, plan, |event| async {
        match event {
            finalizer::Event::Apply(plan) => enforce(&plan, &context).await,
            finalizer::Event::Cleanup(plan) => hand_back(&plan, &context).await,
        }
    });
    match tokio::time::timeout(LONGEST, work).await {
        Ok(Ok(action)) => Ok(action),
        Ok(Err(finalizer::Error::ApplyFailed(failure) | finalizer::Error::CleanupFailed(failure))) => Err(failure),
        Ok(Err(error)) => Err(Failure::Finalizer(error.to_string())),
        Err(_elapsed) => Err(Failure::TooLong),
    }
}

/// Puts a plan into force, or says what it would do.
async fn enforce(plan: &SurgePlan, context: &Context) -> Result<Action, Failure> {
    let (now, cluster) = (context.clock.now(), Cluster::of(context.client.clone(), plan));
    let before = plan.status.clone().unwrap_or_default();
    if let Err(error) = plan.check() {
        // Written past the API server's rules, by an older definition: nothing moves.
        let status = report::invalid(before, plan, &format!("{error:#}"), now);
        cluster.report(plan, &status).await?;
        return Ok(Action::requeue(EVERY));
    }
    let mut observed = Observed { signals: context.metrics.read(&plan.spec).await, ..Observed::default() };
    let mut found = Vec::with_capacity(plan.spec.services.len());
    for service in &plan.spec.services {
        let deployment = cluster.deployment(service).await;
        if let Err(Refused::Away(error)) = deployment {
            return Err(Refused::Away(error).into());
        }
        let replicas = deployment.as_ref().ok().and_then(|found| found.status.as_ref()).map(|status| Replicas {
            all: status.replicas.unwrap_or_default(),
            ready: status.ready_replicas.unwrap_or_default(),
        });
        observed.replicas.insert(service.name.clone(), replicas.unwrap_or_default().all);
        found.push((deployment, replicas.unwrap_or_default()));
    }
    let decision = decide::decide(now, &plan.spec, &observed, &Memory::of(&before));

    let enforces = plan.spec.mode == Mode::Enforce;
    let mut blocked = Vec::new();
    if enforces {
        blocked.extend(or_blocked(cluster.tell(plan, &decision.state()).await)?);
        if let Some(deployment) = &plan.spec.placeholder_deployment {
            blocked.extend(or_blocked(cluster.place(deployment, decision.placeholders).await)?);
        }
    }
    let mut services = Vec::with_capacity(found.len());
    for ((service, granted), (deployment, replicas)) in plan.spec.services.iter().zip(&decision.services).zip(found) {
        let refused = match deployment {
            Ok(deployment) if enforces => {
                or_blocked(cluster.scale(plan, service, &deployment, granted, decision.frozen).await)?
            }
            Ok(_) => None,
            Err(refused) => Some(refused.to_string()),
        };
        services.push(Scaled {
            name: service.name.clone(),
            floor: granted.floor,
            ceiling: granted.ceiling,
            replicas: replicas.all,
            ready: replicas.ready,
            blocked_by: refused.or_else(|| granted.blocked_by.clone()),
        });
    }
    tell_people(plan, context, &before.level, &decision).await;
    let status = report::status(&before, plan, &decision, services, &blocked, now);
    cluster.report(plan, &status).await?;
    Ok(Action::requeue(EVERY))
}

/// What somebody else owns blocks only itself.
fn or_blocked(done: Result<(), Refused>) -> Result<Option<String>, Refused> {
    match done {
        Ok(()) => Ok(None),
        Err(Refused::Blocked(why)) => Ok(Some(why)),
        Err(away @ Refused::Away(_)) => Err(away),
    }
}

/// Tells a change of level as an event of the plan. That an event was lost changes nothing.
async fn tell_people(plan: &SurgePlan, context: &Context, before: &str, decision: &Decision) {
    if before == decision.level {
        return;
    }
    tracing::info!(level = decision.level, before, causes = ?decision.causes, "The level changed");
    let cause = decision.causes.first().map_or("nothing asks for another", String::as_str);
    let event = Event {
        type_: if decision.rank == 0 { EventType::Normal } else { EventType::Warning },
        reason: "LevelChanged".to_owned(),
        note: Some(format!("{} instead of {before}: {cause}", decision.level)),
        action: if plan.spec.mode == Mode::Enforce { "Scaling" } else { "Recommending" }.to_owned(),
        secondary: None,
    };
    if let Err(error) = context.recorder.publish(&event, &plan.object_ref(&())).await {
        tracing::warn!(%error, "Could not tell the change of level");
    }
}

/// Ends what the plan did: the normal level, and everything may be owned by others again.
async fn hand_back(plan: &SurgePlan, context: &Context) -> Result<Action, Failure> {
    let cluster = Cluster::of(context.client.clone(), plan);
    if plan.spec.mode == Mode::Enforce {
        let spec = crate::plan::SurgePlanSpec {
            manual: None,
            schedules: Vec::new(),
            signals: Vec::new(),
            ..plan.spec.clone()
        };
        let decision = decide::decide(context.clock.now(), &spec, &Observed::default(), &Memory::default());
        or_blocked(cluster.tell(plan, &State { level: decision.level.clone(), ..State::default() }).await)?;
        if let Some(deployment) = &spec.placeholder_deployment {
            or_blocked(cluster.place(deployment, decision.placeholders).await)?;
        }
        for (service, granted) in spec.services.iter().zip(&decision.services) {
            match cluster.deployment(service).await {
                Ok(deployment) => or_blocked(cluster.scale(plan, service, &deployment, granted, false).await)?,
                Err(Refused::Blocked(_)) => None,
                Err(away @ Refused::Away(_)) => return Err(away.into()),
            };
        }
    }
    for service in &plan.spec.services {
        or_blocked(cluster.hand_back(service).await)?;
    }
    Ok(Action::await_change())
}

#[cfg(test)]
mod tests;
