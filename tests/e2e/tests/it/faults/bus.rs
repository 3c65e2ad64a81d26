//! The bus and what is read from it: callers that hang up, gaps, an outage, its storage lost, forged and poisoned messages.

use std::{fs, time::Duration};

use anyhow::{Context as _, bail};
use e2e::{Refused as _, World, amount, eventually, figures, filing, form, person};
use prost::Message as _;
use proto::{
    identity::Role,
    operations::{GetPipelineRequest, ListDeadLettersRequest, RebuildProjectionsRequest, ReplayDeadLetterRequest},
    registry::CaseChanged,
    statistics::{Dimension, QueryCasesRequest, Row},
};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::filings::{DRAINED, Storm, accounted_for};
use crate::Outcome;

/// One after the other on one mesh: each fault finds the mesh as the one before left it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_hang_ups_nor_gaps_nor_a_lost_bus_nor_forgeries_lose_an_acknowledged_filing() -> Outcome {
    let mut world = World::private().await?;
    let filed = callers_that_hang_up_take_no_acknowledged_filing_with_them(&world).await.context("hang-ups")?;
    a_gap_in_what_was_handled_is_found_and_rebuilt_without_being_told(&world, &filed).await.context("a gap")?;
    let filed = without_the_bus_filings_go_on_and_after_its_storage_is_lost_nothing_is(&mut world, filed)
        .await
        .context("no bus")?;
    a_forged_message_is_refused_by_the_bus_and_a_poisoned_one_stops_nobody(&world, filed).await.context("forgeries")
}

async fn callers_that_hang_up_take_no_acknowledged_filing_with_them(world: &World) -> anyhow::Result<Vec<String>> {
    let (impatient, patient) = amount((150_u64, 50), (600, 400));
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let mut callers = JoinSet::new();
    for number in 0..impatient {
        let clinic = clinic.clone();
        callers.spawn(async move {
            let request = clinic.request(filing(form(&person())));
            let mut service = clinic.filing();
            let call = service.file_notification(request);
            let _ = tokio::time::timeout(Duration::from_micros(200 * (number % 40)), call).await;
        });
    }
    let storm = Storm::start(world, patient, 16).await?;
    while callers.join_next().await.is_some() {}
    let acknowledged = storm.ends().await;
    assert_eq!(acknowledged.len(), patient);
    accounted_for(world, &acknowledged).await?;
    Ok(acknowledged)
}

async fn a_gap_in_what_was_handled_is_found_and_rebuilt_without_being_told(
    world: &World,
    acknowledged: &[String],
) -> Outcome {
    // The projection's own account says less than the owner's, as after a restore from an old backup.
    let mut statistics = world.sql("statistics").await?;
    sqlx::query("delete from case_fact").execute(&mut statistics).await?;
    sqlx::query("update cursor_digest set count = count - 1, hash = 0 where source = 'registry'")
        .execute(&mut statistics)
        .await?;
    accounted_for(world, acknowledged).await
}

async fn without_the_bus_filings_go_on_and_after_its_storage_is_lost_nothing_is(
    world: &mut World,
    before: Vec<String>,
) -> anyhow::Result<Vec<String>> {
    let (outage_lasts, count) = amount((Duration::from_secs(3), 60), (Duration::from_secs(10), 400));
    let analyst = world.at_work("ministry", Role::Analyst).await?;
    let ask = |as_of_time| {
        let dimensions = vec![Dimension::ReportDate.into(), Dimension::Sex.into()];
        figures(&analyst, QueryCasesRequest { dimensions, as_of_time, ..QueryCasesRequest::default() })
    };
    let then = ask(None).await?;

    world.stack.kill_nats()?;
    let outage = tokio::time::Instant::now();
    let during = Storm::start(world, count, 16).await?.ends().await;
    assert_eq!(during.len(), count, "filings go on");
    tokio::time::sleep_until(outage + outage_lasts).await;
    // Its storage is gone when it comes back, as after a torn disk.
    fs::remove_dir_all(&world.stack.nats.store_dir)?;
    world.stack.start_nats()?;
    let after = Storm::start(world, count, 16).await?.ends().await;
    let all: Vec<String> = before.into_iter().chain(during).chain(after).collect();
    accounted_for(world, &all).await?;

    // The bus works again, from where the relay stands: the streams are new and receive.
    let operator = world.at_work("ministry", Role::Operator).await?;
    eventually("the relay has caught up", DRAINED, || async {
        let request = operator.operation("registry", GetPipelineRequest {});
        let pipeline = operator.operations().get_pipeline(request).await?.into_inner();
        Ok(pipeline.published_seq == pipeline.stamped_seq && pipeline.unstamped == 0)
    })
    .await?;

    // A truncated projection is thrown away and rebuilt, and answers the old moment identically.
    let now = ask(None).await?;
    let mut statistics = world.sql("statistics").await?;
    sqlx::query("delete from case_fact where random() < 0.5").execute(&mut statistics).await?;
    let total = |rows: &[Row]| rows.iter().map(|row| row.count).sum::<i64>();
    assert!(total(&ask(now.as_of_time).await?.rows) < total(&now.rows), "half of the facts are gone");
    let rebuild = operator.operation("statistics", RebuildProjectionsRequest {});
    operator.operations().rebuild_projections(rebuild).await?;
    eventually("the figures are back", DRAINED, || async {
        let back = ask(now.as_of_time).await;
        Ok(back.is_ok_and(|answer| answer.rows == now.rows && answer.as_of_time == now.as_of_time))
    })
    .await?;
    assert!(ask(then.as_of_time).await?.rows == then.rows, "an old moment is answered identically");
    Ok(all)
}

async fn a_forged_message_is_refused_by_the_bus_and_a_poisoned_one_stops_nobody(
    world: &World,
    before: Vec<String>,
) -> Outcome {
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
    accounted_for(world, &before).await?;

    // An event nobody can read is set aside; everything behind it goes on.
    let mut registry = world.sql("registry").await?;
    sqlx::query("insert into outbox (id, type, payload, traceparent) values ($1, 'case.changed', '\\xffffff', '')")
        .bind(Uuid::now_v7())
        .execute(&mut registry)
        .await?;
    let after = Storm::start(world, 20, 4).await?.ends().await;
    let all: Vec<String> = before.into_iter().chain(after).collect();
    accounted_for(world, &all).await?;
    let operator = world.at_work("ministry", Role::Operator).await?;
    let list = ListDeadLettersRequest { page_size: 10, ..ListDeadLettersRequest::default() };
    let list = operator.operation("statistics", list);
    let letters = operator.operations().list_dead_letters(list).await?.into_inner().dead_letters;
    let [letter] = letters.as_slice() else { bail!("{} dead letters", letters.len()) };
    assert!(letter.reason.contains("case.changed"), "{}", letter.reason);
    // Still unreadable: it stays where it is, with its reason.
    let again = ReplayDeadLetterRequest { event_id: letter.event_id.clone() };
    let refused = operator.operations().replay_dead_letter(operator.operation("statistics", again)).await.refused();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    Ok(())
}
