//! What was acknowledged survives: every process killed in turn, the bus gone, its storage gone, callers that hang up.

use std::{
    collections::HashSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use ctl::client::patiently;
use e2e::{Refused as _, World, eventually, figures, filing, form, person};
use prost::Message as _;
use proto::{
    identity::Role,
    operations::{ListDeadLettersRequest, RebuildProjectionsRequest, ReplayDeadLetterRequest},
    registry::CaseChanged,
    statistics::{Dimension, QueryCasesRequest, Row},
};
use tokio::{
    sync::{Mutex, Semaphore},
    task::JoinSet,
};
use uuid::Uuid;

use crate::Outcome;

const FILINGS: usize = 2_000;
const DRAINED: Duration = Duration::from_mins(2);

/// Filings under way, and the ids of those that were acknowledged.
struct Storm {
    acknowledged: Arc<Mutex<Vec<String>>>,
    done: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Storm {
    /// Starts filing, as many clinics would: each asks again until it has its receipt.
    async fn start(world: &World, count: usize, at_once: usize) -> anyhow::Result<Self> {
        let clinic = world.staff("clinic", Role::Physician).await?;
        let (acknowledged, done) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let slots = Arc::new(Semaphore::new(at_once));
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (clinic, slots) = (clinic.clone(), Arc::clone(&slots));
            let (acknowledged, done) = (Arc::clone(&acknowledged), Arc::clone(&done));
            let request = filing(form(&person()));
            tasks.spawn(async move {
                let Ok(_slot) = slots.acquire().await else { return };
                let answer = patiently(|| {
                    let (mut notification, request) = (clinic.notification(), clinic.request(request.clone()));
                    async move { notification.file_notification(request).await }
                })
                .await;
                if let Ok(receipt) = answer {
                    acknowledged.lock().await.push(receipt.notification_id);
                }
                done.fetch_add(1, Ordering::AcqRel);
            });
        }
        Ok(Self { acknowledged, done, tasks })
    }

    /// Waits until this many have been answered.
    async fn reaches(&self, count: usize) -> Outcome {
        eventually("the storm goes on", DRAINED, || async { Ok(self.done.load(Ordering::Acquire) >= count) }).await
    }

    /// Waits for the end and returns what was acknowledged.
    async fn ends(mut self) -> Vec<String> {
        while self.tasks.join_next().await.is_some() {}
        let acknowledged = self.acknowledged.lock().await;
        acknowledged.clone()
    }
}

/// Every acknowledged filing is in the inbox, the registry and the statistics exactly once, and nothing else is.
async fn accounted_for(world: &World, acknowledged: &[String]) -> Outcome {
    let ids: HashSet<&String> = acknowledged.iter().collect();
    assert_eq!(ids.len(), acknowledged.len(), "two filings share a receipt");
    let mut notification = world.sql("notification").await?;
    let stored: Vec<Uuid> =
        sqlx::query_scalar("select notification_id from notification").fetch_all(&mut notification).await?;
    let stored: HashSet<String> = stored.iter().map(Uuid::to_string).collect();
    let lost = acknowledged.iter().filter(|id| !stored.contains(*id)).count();
    assert_eq!(lost, 0, "{lost} of {} acknowledged filings are lost", acknowledged.len());

    let mut registry = world.sql("registry").await?;
    let analyst = world.staff("ministry", Role::Analyst).await?;
    let expected = i64::try_from(stored.len())?;
    let seen = Mutex::new(String::new());
    let drained = eventually("registry and statistics have everything", DRAINED, || async {
        let counted = figures(&analyst, QueryCasesRequest::default()).await;
        let counted = counted.map(|answer| answer.rows.first().map_or(0, |row| row.count));
        *seen.lock().await = format!("{counted:?} of {expected}");
        Ok(counted.is_ok_and(|count| count >= expected))
    });
    if let Err(error) = drained.await {
        bail!("{error}; the last answer was {}", seen.into_inner());
    }
    let linked: Vec<(Uuid, Uuid)> =
        sqlx::query_as("select notification_id, case_id from case_notification").fetch_all(&mut registry).await?;
    let notifications: HashSet<String> = linked.iter().map(|(n, _)| n.to_string()).collect();
    let cases: HashSet<Uuid> = linked.iter().map(|(_, case)| *case).collect();
    assert_eq!((linked.len(), cases.len()), (stored.len(), stored.len()), "each filing is one case");
    assert!(notifications == stored);
    let answer = figures(&analyst, QueryCasesRequest::default()).await.context("the final count")?;
    assert_eq!(answer.rows.first().map_or(0, |row| row.count), expected, "each case is counted once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_any_process_under_load_loses_no_acknowledged_filing() -> Outcome {
    let mut world = World::private().await?;
    let storm = Storm::start(&world, FILINGS, 24).await?;
    let victims =
        ["notification", "registry", "statistics", "gateway", "identity", "followup", "beds", "nats", "postgres"];
    for (turn, victim) in victims.into_iter().enumerate() {
        storm.reaches((turn + 1) * FILINGS / 11).await.with_context(|| format!("before {victim}"))?;
        match victim {
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
    world.stack.wait_until_ready(Duration::from_mins(3)).await?;
    assert_eq!(acknowledged.len(), FILINGS, "who asks again gets a receipt");
    accounted_for(&world, &acknowledged).await?;

    // The oracle sees a loss: a receipt of a filing nobody has.
    let mut with_a_ghost = acknowledged;
    with_a_ghost.push(Uuid::now_v7().to_string());
    let stored: i64 = sqlx::query_scalar("select count(*) from notification")
        .fetch_one(&mut world.sql("notification").await?)
        .await?;
    assert_ne!(i64::try_from(with_a_ghost.len())?, stored);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_bus_filings_go_on_and_after_its_storage_is_lost_nothing_is() -> Outcome {
    let mut world = World::private().await?;
    let analyst = world.staff("ministry", Role::Analyst).await?;
    let before = Storm::start(&world, 200, 16).await?.ends().await;
    accounted_for(&world, &before).await?;
    let ask = |as_of| {
        let dimensions = vec![Dimension::ReportDate.into(), Dimension::Sex.into()];
        figures(&analyst, QueryCasesRequest { dimensions, as_of, ..QueryCasesRequest::default() })
    };
    let then = ask(None).await?;

    // Ten seconds without NATS.
    world.stack.kill_nats()?;
    let outage = tokio::time::Instant::now();
    let during = Storm::start(&world, 400, 16).await?.ends().await;
    assert_eq!(during.len(), 400, "filings go on");
    tokio::time::sleep_until(outage + Duration::from_secs(10)).await;
    // Its storage is gone when it comes back, as after a torn disk.
    fs::remove_dir_all(&world.stack.nats.store_dir)?;
    world.stack.start_nats()?;
    let after = Storm::start(&world, 200, 16).await?.ends().await;
    let all: Vec<String> = before.into_iter().chain(during).chain(after).collect();
    assert_eq!(all.len(), 800);
    accounted_for(&world, &all).await?;

    // The bus works again, from where the relay stands: the streams are new and receive.
    let operator = world.staff("ministry", Role::Operator).await?;
    eventually("the relay has caught up", DRAINED, || async {
        let request = operator.operation("registry", proto::operations::GetPipelineRequest {});
        let pipeline = operator.operations().get_pipeline(request).await?.into_inner();
        Ok(pipeline.published_seq == pipeline.stamped_seq && pipeline.unstamped == 0)
    })
    .await?;

    // A truncated projection is thrown away and rebuilt, and answers the old moment identically.
    let now = ask(None).await?;
    let mut statistics = world.sql("statistics").await?;
    sqlx::query("delete from case_fact where random() < 0.5").execute(&mut statistics).await?;
    let total = |rows: &[Row]| rows.iter().map(|row| row.count).sum::<i64>();
    assert!(total(&ask(now.as_of).await?.rows) < total(&now.rows), "half of the facts are gone");
    let rebuild = operator.operation("statistics", RebuildProjectionsRequest {});
    operator.operations().rebuild_projections(rebuild).await?;
    eventually("the figures are back", DRAINED, || async {
        Ok(ask(now.as_of).await.is_ok_and(|answer| answer.rows == now.rows && answer.as_of == now.as_of))
    })
    .await?;
    assert!(ask(then.as_of).await?.rows == then.rows, "an old as_of is answered identically");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_in_what_was_handled_is_found_and_rebuilt_without_being_told() -> Outcome {
    let world = World::private().await?;
    let all = Storm::start(&world, 100, 16).await?.ends().await;
    accounted_for(&world, &all).await?;
    // The projection's own account says less than the owner's, as after a restore from an old backup.
    let mut statistics = world.sql("statistics").await?;
    sqlx::query("delete from case_fact").execute(&mut statistics).await?;
    sqlx::query("update cursor_digest set count = count - 1, hash = 0 where source = 'registry'")
        .execute(&mut statistics)
        .await?;
    accounted_for(&world, &all).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_hang_up_take_no_acknowledged_filing_with_them() -> Outcome {
    let world = World::private().await?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let mut impatient = JoinSet::new();
    for number in 0..600_u64 {
        let clinic = clinic.clone();
        impatient.spawn(async move {
            let request = filing(form(&person()));
            let mut notification = clinic.notification();
            let call = notification.file_notification(clinic.request(request));
            let _ = tokio::time::timeout(Duration::from_micros(200 * (number % 40)), call).await;
        });
    }
    let patient = Storm::start(&world, 400, 16).await?;
    while impatient.join_next().await.is_some() {}
    let acknowledged = patient.ends().await;
    assert_eq!(acknowledged.len(), 400);
    accounted_for(&world, &acknowledged).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_message_is_refused_by_the_bus_and_a_poisoned_one_stops_nobody() -> Outcome {
    let world = World::private().await?;
    let before = Storm::start(&world, 20, 4).await?.ends().await;
    accounted_for(&world, &before).await?;
    let url = format!("tls://127.0.0.1:{}", world.stack.nats.port);
    let forged =
        CaseChanged { case_id: Uuid::now_v7().to_string(), version: 1, prefecture: 27, ..CaseChanged::default() };

    // With its own certificate a service may not speak for another.
    let publish = |from: &'static str, url: String| {
        let (tls, payload) = (world.stack.tls(from), forged.encode_to_vec());
        async move {
            let bus = data::nats::connect(&url, from, &tls?).await?;
            let js = async_nats::jetstream::new(bus);
            let ack = js.publish("hersys.registry.case.changed", payload.into()).await?;
            let stored = tokio::time::timeout(Duration::from_secs(3), ack).await;
            Ok::<_, anyhow::Error>(matches!(stored, Ok(Ok(_))))
        }
    };
    assert!(!publish("statistics", url.clone()).await?, "statistics may not announce cases");
    // The owner may: it is the sender that was refused. The message carries no place in the log, so nobody takes it.
    assert!(publish("registry", url).await?);
    accounted_for(&world, &before).await?;

    // An event nobody can read is set aside; everything behind it goes on.
    let mut registry = world.sql("registry").await?;
    sqlx::query("insert into outbox (id, type, payload, traceparent) values ($1, 'case.changed', '\\xffffff', '')")
        .bind(Uuid::now_v7())
        .execute(&mut registry)
        .await?;
    let after = Storm::start(&world, 20, 4).await?.ends().await;
    let all: Vec<String> = before.into_iter().chain(after).collect();
    accounted_for(&world, &all).await?;
    let operator = world.staff("ministry", Role::Operator).await?;
    let list = operator.operation("statistics", ListDeadLettersRequest { page_size: 10 });
    let letters = operator.operations().list_dead_letters(list).await?.into_inner().dead_letters;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, "payload is no case.changed");
    // Still unreadable: it stays where it is, with its reason.
    let again = ReplayDeadLetterRequest { event_id: letters[0].event_id.clone() };
    let refused = operator.operations().replay_dead_letter(operator.operation("statistics", again)).await.refused();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    Ok(())
}
