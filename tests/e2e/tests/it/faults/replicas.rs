//! Two of everything: who stops is followed, who comes gets its share, and a restart of everything in turn fails no call.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use client::Client;
use devstack::process;
use e2e::{World, amount, eventually, file, filing, form, person, register, request_id};
use nix::sys::signal::Signal;
use proto::{
    followup::{HealthReport, SubmitReportRequest},
    identity::Role,
    registry::ListCasesRequest,
};
use tokio::{sync::Mutex, task::JoinSet};
use tonic::Status;
use uuid::Uuid;

use super::filings::{Storm, accounted_for};
use crate::Outcome;

/// Two of each, the gateway too.
const TWO: [(&str, usize); 7] = [
    ("identity", 2),
    ("registry", 2),
    ("notification", 2),
    ("followup", 2),
    ("beds", 2),
    ("statistics", 2),
    ("gateway", 2),
];

/// Who leads is followed within this time.
const FOLLOWED: Duration = Duration::from_secs(5);

/// One after the other on one mesh: each finds the mesh as the one before left it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_everything_lose_nothing_and_fail_no_call() -> Outcome {
    let mut world = World::private_of(&[], &TWO).await?;
    an_idle_leader_that_stops_is_followed(&world).await.context("idle leaders")?;
    a_busy_leader_that_stops_is_followed(&world).await.context("busy leaders")?;
    a_new_replica_gets_its_share(&mut world).await.context("a new replica")?;
    a_restart_of_everything_in_turn_fails_no_call(&mut world).await.context("a rolling restart")
}

/// Stops (SIGSTOP) the first, then the second process of every service: one of the two leads.
async fn an_idle_leader_that_stops_is_followed(world: &World) -> Outcome {
    for number in [0, 1] {
        let stopped = stop_one_of_each(world, number)?;
        let mut waiting = JoinSet::new();
        for service in proto::SERVICES {
            let mut sql = world.sql(service).await?;
            let id = Uuid::now_v7();
            let row = "insert into outbox (id, type, payload, traceparent) values ($1, 'nobody.cares', '', '')";
            sqlx::query(row).bind(id).execute(&mut sql).await?;
            let sql = Arc::new(Mutex::new(sql));
            waiting.spawn(async move {
                let stamped = || async {
                    let question = sqlx::query_scalar("select seq is not null from outbox where id = $1");
                    Ok(question.bind(id).fetch_one(&mut *sql.lock().await).await?)
                };
                eventually(&format!("the log of {service} goes on"), FOLLOWED, stamped).await
            });
        }
        let answers = waiting.join_all().await;
        go_on(&stopped)?;
        answers.into_iter().collect::<anyhow::Result<()>>()?;
    }
    Ok(())
}

async fn a_busy_leader_that_stops_is_followed(world: &World) -> Outcome {
    let count = amount(160, 2_000);
    let mut filed = Vec::new();
    for number in [0, 1] {
        let storm = Storm::start(world, count, 8).await?;
        storm.reaches(count / 4).await?;
        let stopped = stop_one_of_each(world, number)?;
        let mut sql = world.sql("notification").await?;
        let last: i64 = sqlx::query_scalar("select coalesce(max(ordinal), 0) from outbox").fetch_one(&mut sql).await?;
        let stamped = eventually("the log goes on", FOLLOWED, || async {
            let mut sql = world.sql("notification").await?;
            let question = "select not exists (select from outbox where seq is null and ordinal <= $1)";
            Ok(sqlx::query_scalar(question).bind(last).fetch_one(&mut sql).await?)
        })
        .await;
        let some = storm.ends().await;
        go_on(&stopped)?;
        stamped?;
        ensure!(some.len() == count, "{} of {count} have a receipt", some.len());
        filed.extend(some);
    }
    accounted_for(world, &filed).await
}

/// The gateway finds it by itself.
async fn a_new_replica_gets_its_share(world: &mut World) -> Outcome {
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let name = world.stack.add("registry")?;
    world.stack.wait_until_ready(Duration::from_mins(1)).await?;
    let served = async || {
        let (_, text) = world.stack.admin(&name, "/metrics").await?;
        let lists = text.lines().filter(|line| line.contains("rpcs_total{") && line.contains("/ListCases\""));
        let counts = lists.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        Ok::<_, anyhow::Error>(counts.sum::<f64>())
    };
    eventually("the new replica is found", Duration::from_secs(10), || async {
        list(&nurse).await?;
        Ok(served().await? > 0.0)
    })
    .await?;
    let (before, calls) = (served().await?, 90);
    for _ in 0..calls {
        list(&nurse).await?;
    }
    let share = (served().await? - before) / f64::from(calls);
    ensure!((0.2..=0.5).contains(&share), "one of three answers {share:.2} of the calls");
    Ok(())
}

/// As an operations team rolls out a release, under load that never asks twice.
async fn a_restart_of_everything_in_turn_fails_no_call(world: &mut World) -> Outcome {
    let load = Load::start(world).await?;
    for name in world.stack.services.keys().cloned().collect::<Vec<_>>() {
        let before = load.done();
        world.stack.retire(&name).with_context(|| format!("stop {name}"))?;
        world.stack.start(&name)?;
        world.stack.wait_until_ready(Duration::from_mins(1)).await?;
        load.reaches(before + 10).await.with_context(|| format!("after {name}"))?;
    }
    let failed = load.ends().await;
    ensure!(failed.is_empty(), "{} calls failed: {failed:?}", failed.len());

    // The control: where nobody is left to take over, calls fail and the load sees it.
    let load = Load::start(world).await?;
    let both: Vec<String> = world.stack.of("registry").map(|(name, _)| name.clone()).collect();
    for name in &both {
        ensure!(world.stack.probe(name, "healthcheck")?, "{name} is well");
        world.stack.kill(name)?;
        ensure!(!world.stack.probe(name, "livecheck")?, "{name} is dead");
    }
    let before = load.done();
    load.reaches(before + 40).await?;
    for name in &both {
        world.stack.start(name)?;
    }
    ensure!(!load.ends().await.is_empty(), "calls to a service that is gone fail");
    world.stack.wait_until_ready(Duration::from_mins(1)).await
}

/// Filings, reports and lists, each once; what fails is kept.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    callers: JoinSet<Vec<Status>>,
}

impl Load {
    async fn start(world: &World) -> anyhow::Result<Self> {
        let clinic = world.at_work("clinic", Role::Physician).await?;
        let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
        let case_id = register(&clinic, person()).await?.case_id;
        eventually("the case is followed", FOLLOWED, || async { Ok(report(&nurse, &case_id).await.is_ok()) }).await?;
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut callers = JoinSet::new();
        for number in 0..amount(6, 40) {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            let (clinic, nurse, case_id) = (clinic.clone(), nurse.clone(), case_id.clone());
            callers.spawn(async move {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Acquire) {
                    let answer = match number % 3 {
                        0 => file(&clinic, filing(form(&person()))).await.map(drop),
                        1 => report(&nurse, &case_id).await,
                        _ => list(&nurse).await,
                    };
                    failed.extend(answer.err());
                    done.fetch_add(1, Ordering::AcqRel);
                }
                failed
            });
        }
        Ok(Self { stop, done, callers })
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::Acquire)
    }

    async fn reaches(&self, count: usize) -> Outcome {
        eventually("the load goes on", Duration::from_mins(1), || async { Ok(self.done() >= count) }).await
    }

    async fn ends(self) -> Vec<Status> {
        self.stop.store(true, Ordering::Release);
        self.callers.join_all().await.into_iter().flatten().collect()
    }
}

async fn report(nurse: &Client, case_id: &str) -> Result<(), Status> {
    let request = SubmitReportRequest {
        request_id: request_id(),
        case_id: case_id.to_owned(),
        report: Some(HealthReport { temperature_decicelsius: Some(365), ..HealthReport::default() }),
        ..SubmitReportRequest::default()
    };
    nurse.reports().submit_report(nurse.request(request)).await.map(drop)
}

async fn list(nurse: &Client) -> Result<(), Status> {
    let request = nurse.request(ListCasesRequest { page_size: 1, ..ListCasesRequest::default() });
    nurse.cases().list_cases(request).await.map(drop)
}

fn stop_one_of_each(world: &World, number: usize) -> anyhow::Result<Vec<u32>> {
    let mut stopped = Vec::new();
    for service in proto::SERVICES {
        let (_, process) = world.stack.of(service).nth(number).with_context(|| format!("no {service} {number}"))?;
        process::signal(process.pid, Signal::SIGSTOP)?;
        stopped.push(process.pid);
    }
    Ok(stopped)
}

fn go_on(stopped: &[u32]) -> Outcome {
    stopped.iter().try_for_each(|pid| process::signal(*pid, Signal::SIGCONT))
}
