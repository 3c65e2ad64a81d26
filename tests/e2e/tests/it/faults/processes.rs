//! Every process killed in turn, while people file, report about their health and ask for beds.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use client::{Client, patiently};
use e2e::{World, amount, eventually, person, register, request_id};
use futures::{StreamExt as _, stream};
use proto::{
    beds::{Capability, RequestAdmissionRequest},
    followup::{AdjustPlanRequest, HealthReport, SubmitReportRequest, TaskKind},
    identity::Role,
};
use runtime::{Clock, clock::to_proto};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::filings::{DRAINED, Storm, accounted_for};
use crate::Outcome;

/// In the order they die.
const VICTIMS: &[&str] =
    &["notification", "registry", "followup", "statistics", "beds", "gateway", "identity", "nats", "postgres"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_any_process_under_load_loses_nothing_that_was_acknowledged_however_often_it_was_sent() -> Outcome {
    let (filings, people, rounds) = amount((440, 30, 3), (10_000, 120, 6));
    let mut world = World::private().await?;
    let care = Care::start(&world, people, rounds).await?;
    let storm = Storm::start_times(&world, filings, 24, 3).await?;
    for (turn, victim) in VICTIMS.iter().enumerate() {
        let share = |of: usize| (turn + 1) * of / (VICTIMS.len() + 2);
        storm.reaches(share(filings)).await.with_context(|| format!("filings before {victim}"))?;
        care.reaches(share(care.total)).await.with_context(|| format!("reports before {victim}"))?;
        match *victim {
            "nats" => {
                world.stack.kill_nats()?;
                world.stack.start_nats()?;
            }
            "postgres" => {
                world.stack.kill_postgres()?;
                world.stack.start_postgres()?;
            }
            service => {
                world.stack.kill(service)?;
                world.stack.start(service)?;
            }
        }
    }
    let acknowledged = storm.ends().await;
    let cared_for = care.ends().await?;
    world.stack.wait_until_ready(Duration::from_mins(3)).await?;
    assert_eq!(acknowledged.len(), filings, "who asks again gets a receipt");
    accounted_for(&world, &acknowledged).await?;
    cared_for.is_stored(&world).await?;
    cared_for.has_one_slot_each(&world).await?;

    // The oracle sees a loss: a receipt of a filing nobody has.
    let mut with_a_ghost = acknowledged;
    with_a_ghost.push(Uuid::now_v7().to_string());
    let stored: i64 = sqlx::query_scalar("select count(*) from notification")
        .fetch_one(&mut world.sql("notification").await?)
        .await?;
    assert_ne!(i64::try_from(with_a_ghost.len())?, stored);
    Ok(())
}

/// People under observation: half of them stay silent and are overdue while processes die, the others report again and again
/// and are looked a bed for.
struct Care {
    silent: Vec<String>,
    total: usize,
    done: Arc<AtomicUsize>,
    load: JoinSet<anyhow::Result<Vec<Acknowledged>>>,
    talking: Vec<String>,
}

/// A report, and the request for a bed where one was made with it.
struct Acknowledged {
    report: String,
    admission: Option<String>,
}

impl Care {
    async fn start(world: &World, people: usize, rounds: usize) -> anyhow::Result<Self> {
        let clinic = world.at_work("clinic", Role::Physician).await?;
        let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
        let mut silent: Vec<String> = stream::iter(0..people)
            .map(|_| async { Ok::<_, anyhow::Error>(register(&clinic, person()).await?.case_id) })
            .buffer_unordered(16)
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect::<Result<_, _>>()?;
        let talking = silent.split_off(people / 2);
        for case_id in &silent {
            overdue_soon(&nurse, case_id).await?;
        }
        let done = Arc::new(AtomicUsize::new(0));
        let work: Vec<(String, usize)> =
            (0..rounds).flat_map(|round| talking.iter().map(move |case_id| (case_id.clone(), round))).collect();
        let total = work.len();
        let mut load = JoinSet::new();
        let counter = Arc::clone(&done);
        load.spawn(async move {
            let answers = stream::iter(work)
                .map(|(case_id, round)| {
                    let (nurse, counter) = (nurse.clone(), Arc::clone(&counter));
                    async move {
                        let report = reported(&nurse, &case_id).await?;
                        let admission = if round == 0 { Some(asked(&nurse, &case_id).await?) } else { None };
                        counter.fetch_add(1, Ordering::AcqRel);
                        Ok::<_, anyhow::Error>(Acknowledged { report, admission })
                    }
                })
                .buffer_unordered(4)
                .collect::<Vec<_>>()
                .await;
            answers.into_iter().collect()
        });
        Ok(Self { silent, total, done, load, talking })
    }

    /// Waits until this many reports have been acknowledged.
    async fn reaches(&self, count: usize) -> Outcome {
        eventually("the reports go on", DRAINED, || async { Ok(self.done.load(Ordering::Acquire) >= count) }).await
    }

    async fn ends(mut self) -> anyhow::Result<CaredFor> {
        let acknowledged = self.load.join_next().await.context("the load was started")???;
        assert_eq!(acknowledged.len(), self.total);
        Ok(CaredFor { acknowledged, silent: uuids(&self.silent)?, talking: uuids(&self.talking)? })
    }
}

/// What was acknowledged of people under observation.
struct CaredFor {
    acknowledged: Vec<Acknowledged>,
    silent: Vec<Uuid>,
    talking: Vec<Uuid>,
}

impl CaredFor {
    /// What was acknowledged is there, and nothing besides.
    async fn is_stored(&self, world: &World) -> Outcome {
        let stored: Vec<Uuid> =
            sqlx::query_scalar("select report_id from report").fetch_all(&mut world.sql("followup").await?).await?;
        let reports: HashSet<Uuid> =
            self.acknowledged.iter().map(|one| Uuid::try_parse(&one.report)).collect::<Result<_, _>>()?;
        assert_eq!(reports.len(), self.acknowledged.len(), "each report has an id of its own");
        assert!(reports == stored.into_iter().collect());

        let stored: Vec<Uuid> =
            sqlx::query_scalar("select admission_id from admission").fetch_all(&mut world.sql("beds").await?).await?;
        let asked: HashSet<Uuid> = self
            .acknowledged
            .iter()
            .filter_map(|one| one.admission.as_ref())
            .map(|id| Uuid::try_parse(id))
            .collect::<Result<_, _>>()?;
        assert_eq!(asked.len(), self.talking.len());
        assert!(asked == stored.into_iter().collect());
        Ok(())
    }

    /// Whatever died in between: each silent person is one task, and one report is awaited of everybody.
    async fn has_one_slot_each(&self, world: &World) -> Outcome {
        const MISSED_REPORT: i16 = TaskKind::MissedReport as i16;
        let silent = i64::try_from(self.silent.len())?;
        eventually("every missed report is a task", Duration::from_secs(15), || async {
            let tasks: i64 = sqlx::query_scalar("select count(*) from task where kind = $1 and case_id = any($2)")
                .bind(MISSED_REPORT)
                .bind(&self.silent)
                .fetch_one(&mut world.sql("followup").await?)
                .await?;
            Ok(tasks == silent)
        })
        .await?;

        let mut followup = world.sql("followup").await?;
        let everybody: Vec<Uuid> = self.silent.iter().chain(&self.talking).copied().collect();
        // 1 awaited, 3 missed.
        let in_state = "select count(*), count(distinct case_id) from slot where state = $1 and case_id = any($2)";
        let (open, cases_with_open): (i64, i64) =
            sqlx::query_as(in_state).bind(1_i16).bind(&everybody).fetch_one(&mut followup).await?;
        let all = i64::try_from(everybody.len())?;
        assert_eq!((open, cases_with_open), (all, all));
        let (missed, _): (i64, i64) =
            sqlx::query_as(in_state).bind(3_i16).bind(&everybody).fetch_one(&mut followup).await?;
        assert_eq!(missed, silent);
        let announced: i64 = sqlx::query_scalar("select count(*) from outbox where type = 'report.missed'")
            .fetch_one(&mut followup)
            .await?;
        assert_eq!(announced, missed, "announced as often as it happened");
        Ok(())
    }
}

async fn overdue_soon(nurse: &Client, case_id: &str) -> Outcome {
    let request = AdjustPlanRequest {
        request_id: request_id(),
        case_id: case_id.to_owned(),
        next_due_time: Some(to_proto(Clock::system().now() + time::Duration::seconds(4))),
        ..AdjustPlanRequest::default()
    };
    patiently(|| {
        let (mut plans, request) = (nurse.plans(), nurse.request(request.clone()));
        async move { plans.adjust_plan(request).await }
    })
    .await?;
    Ok(())
}

async fn reported(nurse: &Client, case_id: &str) -> anyhow::Result<String> {
    let request = SubmitReportRequest {
        request_id: request_id(),
        case_id: case_id.to_owned(),
        report: Some(HealthReport { temperature_decicelsius: Some(365), ..HealthReport::default() }),
        ..SubmitReportRequest::default()
    };
    let sent = patiently(|| {
        let (mut reports, request) = (nurse.reports(), nurse.request(request.clone()));
        async move { reports.submit_report(request).await }
    })
    .await?;
    Ok(sent.report_id)
}

async fn asked(nurse: &Client, case_id: &str) -> anyhow::Result<String> {
    let request = RequestAdmissionRequest {
        request_id: request_id(),
        case_id: case_id.to_owned(),
        capability: Capability::General.into(),
    };
    let admission = patiently(|| {
        let (mut admissions, request) = (nurse.admissions(), nurse.request(request.clone()));
        async move { admissions.request_admission(request).await }
    })
    .await?;
    Ok(admission.admission_id)
}

fn uuids(ids: &[String]) -> anyhow::Result<Vec<Uuid>> {
    Ok(ids.iter().map(|id| Uuid::try_parse(id)).collect::<Result<_, _>>()?)
}
