//! What hangs instead of dying, while people file: an open transaction, rows that no bus carries, a silent service, a silent database.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use client::Client;
use devstack::process;
use e2e::{World, amount, eventually};
use nix::sys::signal::Signal;
use proto::{
    identity::{Role, SignOutRequest},
    registry::ListCasesRequest,
};
use sqlx::Connection as _;
use tokio::time::Instant;
use tonic::Code;
use uuid::Uuid;

use super::filings::{DRAINED, Storm, accounted_for};
use crate::Outcome;

/// How long something hangs.
const HANGS: Duration = Duration::from_secs(8);

/// One after the other on one mesh: each fault finds the mesh as the one before left it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_hangs_loses_nothing_and_lets_nobody_in_or_out_wrongly() -> Outcome {
    let (rounds, count) = amount((1, 80), (40, 600));
    let mut world = World::private().await?;
    let mut filed = Vec::new();
    for _ in 0..rounds {
        let storm = Storm::start(&world, count, 8).await?;
        an_open_transaction_stops_neither_the_log_nor_a_revocation(&world).await.context("an open transaction")?;
        rows_that_no_bus_carries_stop_nobody(&world).await.context("odd rows")?;
        filed.extend(storm.ends().await);
        while_identity_is_silent_nobody_is_turned_away_as_a_stranger(&mut world).await.context("identity silent")?;
        let storm = Storm::start(&world, count, 8).await?;
        a_database_that_hangs_and_returns_is_found_again(&world).await.context("the database silent")?;
        filed.extend(storm.ends().await);
        ensure!(filed.len() >= 2 * count, "{} filings have a receipt", filed.len());
        accounted_for(&world, &filed).await?;
    }
    Ok(())
}

async fn an_open_transaction_stops_neither_the_log_nor_a_revocation(world: &World) -> Outcome {
    let mut registry = world.sql("registry").await?;
    let mut open = registry.begin().await?;
    sqlx::query("create table left_open (x int)").execute(&mut *open).await?;
    sqlx::query("select pg_current_xact_id()").execute(&mut *open).await?;

    let leaver = world.staff("osaka-city-centre", Role::Nurse).await?;
    assert_eq!(list(&leaver).await, Code::Ok);
    leaver.sessions().sign_out(leaver.request(SignOutRequest {})).await?;
    eventually("who has signed out is out", Duration::from_secs(5), || async {
        Ok(list(&leaver).await == Code::Unauthenticated)
    })
    .await?;
    let mut looks = world.sql("registry").await?;
    let last: i64 = sqlx::query_scalar("select coalesce(max(ordinal), 0) from outbox").fetch_one(&mut looks).await?;
    eventually("what was written meanwhile is stamped", Duration::from_secs(5), || async {
        let mut looks = world.sql("registry").await?;
        let stamped = sqlx::query_scalar("select not exists (select from outbox where seq is null and ordinal <= $1)");
        Ok(stamped.bind(last).fetch_one(&mut looks).await?)
    })
    .await?;
    open.rollback().await?;
    Ok(())
}

async fn rows_that_no_bus_carries_stop_nobody(world: &World) -> Outcome {
    let before = world.stack.services.get("identity").context("there is no identity")?.pid;
    let mut identity = world.sql("identity").await?;
    for (kind, size, traceparent) in [("user.changed", 1, "00-\r\nx: y"), (" ", 1, ""), ("user.changed", 2 << 20, "")] {
        sqlx::query("insert into outbox (id, type, payload, traceparent) values ($1, $2, $3, $4)")
            .bind(Uuid::now_v7())
            .bind(kind)
            .bind(vec![0xff_u8; size])
            .bind(traceparent)
            .execute(&mut identity)
            .await?;
    }
    eventually("everything is published", DRAINED, || async {
        let mut identity = world.sql("identity").await?;
        let waits = "select exists (select from outbox where seq is null)
                         or (select published_seq < stamped_seq from relay)";
        Ok(!sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut identity).await?)
    })
    .await?;
    assert!(process::is_alive(before, "identity"), "an odd row ended the process");
    Ok(())
}

async fn while_identity_is_silent_nobody_is_turned_away_as_a_stranger(world: &mut World) -> Outcome {
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let identity = world.stack.services.get("identity").context("there is no identity")?.pid;
    process::signal(identity, Signal::SIGSTOP)?;
    // A gateway that starts meanwhile knows the keys from its file.
    let restarted = world.stack.kill("gateway").and_then(|()| world.stack.start("gateway"));
    let until = Instant::now() + 2 * HANGS;
    let mut answers = Vec::new();
    while Instant::now() < until {
        answers.push(list(&nurse).await);
    }
    let filed = match Storm::start(world, 20, 4).await {
        Ok(storm) => storm.ends().await.len(),
        Err(_) => 0,
    };
    process::signal(identity, Signal::SIGCONT)?;
    restarted?;
    assert_eq!(filed, 20, "filings go on");
    let odd: Vec<_> = answers.iter().filter(|code| !matches!(code, Code::Ok | Code::Unavailable)).collect();
    assert!(odd.is_empty(), "a good token was answered {odd:?}");
    assert_eq!(answers.last(), Some(&Code::Ok), "the restarted gateway serves");
    world.stack.wait_until_ready(Duration::from_mins(1)).await
}

async fn a_database_that_hangs_and_returns_is_found_again(world: &World) -> Outcome {
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let (began, family) = (Instant::now(), process::family(world.stack.postgres.pid));
    for pid in &family {
        process::signal(*pid, Signal::SIGSTOP)?;
    }
    // Its life does not depend on others; whether it can work does.
    let (lives, works) = (world.stack.probe("registry", "livecheck")?, world.stack.probe("registry", "healthcheck")?);
    let said = tokio::time::timeout(HANGS, list(&nurse)).await;
    // It hangs so long, however soon the call gave up.
    tokio::time::sleep_until(began + HANGS).await;
    for pid in &family {
        process::signal(*pid, Signal::SIGCONT)?;
    }
    assert!(lives && !works, "lives {lives}, works {works}");
    assert!(!matches!(said, Ok(Code::Unauthenticated)), "a silent database makes no stranger");
    eventually("lists are answered again", Duration::from_secs(10), || async { Ok(list(&nurse).await == Code::Ok) })
        .await?;
    world.stack.wait_until_ready(Duration::from_secs(30)).await
}

async fn list(nurse: &Client) -> Code {
    let request = nurse.request(ListCasesRequest { page_size: 1, ..ListCasesRequest::default() });
    match nurse.cases().list_cases(request).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}
