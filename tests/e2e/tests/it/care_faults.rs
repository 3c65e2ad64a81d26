//! Follow-up and beds killed under load: nothing that was acknowledged is lost, and no slot is opened twice.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use ctl::client::patiently;
use e2e::{World, eventually, person, register, request_id};
use futures::{StreamExt as _, stream};
use proto::{
    beds::{Capability, RequestAdmissionRequest},
    followup::{AdjustPlanRequest, HealthReport, SubmitReportRequest},
    identity::Role,
};
use runtime::{Clock, clock::to_proto};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Outcome;

const PEOPLE: usize = 120;
const REPORTS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_followup_and_beds_under_load_loses_nothing_and_opens_no_slot_twice() -> Outcome {
    let mut world = World::private().await?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let cases: Vec<String> = stream::iter(0..PEOPLE)
        .map(|_| async { Ok::<_, anyhow::Error>(register(&clinic, person()).await?.case_id) })
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;
    // Half of them will be overdue while processes die.
    for case_id in &cases[..PEOPLE / 2] {
        let request = AdjustPlanRequest {
            request_id: request_id(),
            case_id: case_id.clone(),
            next_due_at: Some(to_proto(Clock.now() + time::Duration::seconds(4))),
            times: Vec::new(),
        };
        patiently(|| {
            let (mut followup, request) = (nurse.followup(), nurse.request(request.clone()));
            async move { followup.adjust_plan(request).await }
        })
        .await?;
    }
    let done = Arc::new(AtomicUsize::new(0));
    let work: Vec<(String, usize)> =
        (0..REPORTS).flat_map(|round| cases[PEOPLE / 2..].iter().map(move |case| (case.clone(), round))).collect();
    let mut load = JoinSet::new();
    load.spawn({
        let (nurse, done) = (nurse.clone(), Arc::clone(&done));
        async move {
            stream::iter(work)
                .map(|(case_id, round)| {
                    let (nurse, done) = (nurse.clone(), Arc::clone(&done));
                    async move {
                        let report = Some(HealthReport { temperature_decicelsius: 365, ..HealthReport::default() });
                        let request = SubmitReportRequest {
                            request_id: request_id(),
                            case_id: case_id.clone(),
                            report,
                            form_version: String::new(),
                        };
                        let sent = patiently(|| {
                            let (mut followup, request) = (nurse.followup(), nurse.request(request.clone()));
                            async move { followup.submit_report(request).await }
                        })
                        .await?;
                        let asked = if round == 0 {
                            let request = RequestAdmissionRequest {
                                request_id: request_id(),
                                case_id,
                                capability: Capability::General.into(),
                            };
                            let admission = patiently(|| {
                                let (mut beds, request) = (nurse.beds(), nurse.request(request.clone()));
                                async move { beds.request_admission(request).await }
                            })
                            .await?;
                            Some(admission.admission_id)
                        } else {
                            None
                        };
                        done.fetch_add(1, Ordering::AcqRel);
                        Ok::<_, anyhow::Error>((sent.report_id, asked))
                    }
                })
                .buffer_unordered(8)
                .collect::<Vec<_>>()
                .await
        }
    });
    let total = REPORTS * PEOPLE / 2;
    for turn in 1..=6 {
        eventually("the load goes on", Duration::from_mins(1), || async {
            Ok(done.load(Ordering::Acquire) >= turn * total / 8)
        })
        .await?;
        let victim = if turn % 2 == 0 { "beds" } else { "followup" };
        world.stack.kill(victim)?;
        world.stack.start(victim)?;
    }
    let acknowledged: Vec<(String, Option<String>)> =
        load.join_next().await.context("the load was started")??.into_iter().collect::<Result<_, _>>()?;
    world.stack.wait_until_ready(Duration::from_mins(3)).await?;

    let mut followup = world.sql("followup").await?;
    let stored: Vec<Uuid> = sqlx::query_scalar("select report_id from report").fetch_all(&mut followup).await?;
    let stored: HashSet<String> = stored.into_iter().map(|id| id.to_string()).collect();
    let reports: HashSet<String> = acknowledged.iter().map(|(report, _)| report.clone()).collect();
    assert_eq!(reports.len(), total, "each report has an id of its own");
    assert!(reports == stored, "what was acknowledged is there, and nothing besides");
    let mut beds = world.sql("beds").await?;
    let admissions: HashSet<String> = sqlx::query_scalar::<_, Uuid>("select admission_id from admission")
        .fetch_all(&mut beds)
        .await?
        .into_iter()
        .map(|id| id.to_string())
        .collect();
    let asked: HashSet<String> = acknowledged.into_iter().filter_map(|(_, asked)| asked).collect();
    assert!(asked == admissions && asked.len() == PEOPLE / 2);

    // Whatever died in between: each silent person is one task, and one report is awaited of everybody.
    eventually("every missed report is a task", Duration::from_secs(15), || async {
        let mut sql = world.sql("followup").await?;
        let tasks: i64 = sqlx::query_scalar("select count(*) from task where kind = 1").fetch_one(&mut sql).await?;
        Ok(tasks == i64::try_from(PEOPLE / 2)?)
    })
    .await?;
    let (open, cases_with_open): (i64, i64) =
        sqlx::query_as("select count(*), count(distinct case_id) from slot where state = 1")
            .fetch_one(&mut followup)
            .await?;
    assert_eq!((open, cases_with_open), (i64::try_from(PEOPLE)?, i64::try_from(PEOPLE)?));
    let missed: i64 = sqlx::query_scalar("select count(*) from slot where state = 3").fetch_one(&mut followup).await?;
    assert_eq!(missed, i64::try_from(PEOPLE / 2)?);
    let announced: i64 =
        sqlx::query_scalar("select count(*) from outbox where type = 'report.missed'").fetch_one(&mut followup).await?;
    assert_eq!(announced, missed, "announced as often as it happened");
    Ok(())
}
