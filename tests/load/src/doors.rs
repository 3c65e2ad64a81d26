//! The same call through different doors: native gRPC and REST at the gateway, and another transcoder in front of the
//! same services. The doors take turns, so that none of them has the quieter machine.

use std::{io::Write, time::Duration};

use client::Client;
use e2e::World;
use futures::{StreamExt as _, stream};
use hdrhistogram::Histogram;
use http::Request;
use http_body_util::BodyExt as _;
use proto::{identity::Role, registry::GetCaseRequest};
use tokio::time::Instant;
use tonic::body::Body;

use crate::care;

/// Calls under way at once.
const AT_ONCE: usize = 32;
/// How many turns each door has.
const TURNS: u32 = 4;

#[derive(Clone, Copy)]
enum Door {
    Native,
    Rest,
}

struct Measured {
    calls: u64,
    seconds: f64,
    micros: Histogram<u64>,
}

impl Measured {
    fn per_second(&self) -> f64 {
        f64::from(u32::try_from(self.calls).unwrap_or(u32::MAX)) / self.seconds
    }

    fn p99_ms(&self) -> f64 {
        Duration::from_micros(self.micros.value_at_quantile(0.99)).as_secs_f64() * 1_000.0
    }
}

/// Measures reading a case by each door, and prints the ratios.
pub(crate) async fn compare(
    world: &World,
    out: &mut impl Write,
    length: Duration,
    other: Option<&str>,
) -> anyhow::Result<()> {
    let mut clinic = world.staff("clinic", Role::Physician).await?;
    let cases = care::registered(&clinic, 64).await?;
    clinic.keep_fresh().await?;
    let mut doors = vec![("native gRPC", Door::Native, clinic.clone()), ("REST", Door::Rest, clinic.clone())];
    if let (Some(url), Some(session)) = (other, clinic.session()) {
        let there = Client::new(url, &world.stack.gateway.ca)?.with_session(session.clone());
        doors.push(("REST by Envoy", Door::Rest, there));
    }
    let mut measured: Vec<Measured> = Vec::new();
    for _ in &doors {
        measured.push(Measured { calls: 0, seconds: 0.0, micros: Histogram::new(3)? });
    }
    for _ in 0..TURNS {
        for ((_, door, client), sum) in doors.iter().zip(&mut measured) {
            slice(*door, client, &cases, length / TURNS, sum).await?;
        }
    }
    for ((name, ..), sum) in doors.iter().zip(&measured) {
        writeln!(out, "read a case by {name}: {:.0}/s, p99 {:.1} ms", sum.per_second(), sum.p99_ms())?;
    }
    if let [native, rest, others @ ..] = measured.as_slice() {
        writeln!(out, "REST: ratio to native gRPC: {:.3}", rest.per_second() / native.per_second())?;
        for other in others {
            let (throughput, p99) = (rest.per_second() / other.per_second(), rest.p99_ms() / other.p99_ms());
            writeln!(out, "REST: ratio to Envoy: throughput {throughput:.3}, p99 {p99:.3}")?;
        }
    }
    Ok(())
}

async fn slice(
    door: Door,
    client: &Client,
    cases: &[String],
    length: Duration,
    sum: &mut Measured,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let until = started + length;
    let ids = cases.iter().cycle().take_while(|_| Instant::now() < until);
    let mut calls = stream::iter(ids)
        .map(|id| async move {
            let asked = Instant::now();
            ask(door, client, id).await?;
            Ok::<_, anyhow::Error>(asked.elapsed())
        })
        .buffer_unordered(AT_ONCE);
    while let Some(took) = calls.next().await {
        sum.micros.record(u64::try_from(took?.as_micros())?)?;
        sum.calls += 1;
    }
    sum.seconds += started.elapsed().as_secs_f64();
    Ok(())
}

async fn ask(door: Door, client: &Client, case_id: &str) -> anyhow::Result<()> {
    match door {
        Door::Native => {
            let request = GetCaseRequest { case_id: case_id.to_owned() };
            client.cases().get_case(client.request(request)).await?;
        }
        Door::Rest => {
            let token = client.session().map(|session| session.access_token.clone()).unwrap_or_default();
            let request = Request::get(format!("/v1/cases/{case_id}"))
                .header("authorization", format!("Bearer {token}"))
                .body(Body::empty())?;
            let response = client.channel().send(request).await?;
            anyhow::ensure!(response.status() == 200, "answered {}", response.status());
            response.into_body().collect().await?;
        }
    }
    Ok(())
}
