//! Daily health reports per second, and claims on the beds of one hospital.

use std::{collections::HashSet, io::Write, sync::Arc, time::Duration};

use client::{Client, patiently};
use e2e::{World, eventually, person, register, request_id};
use futures::{StreamExt as _, stream};
use proto::{
    beds::{Capability, OfferBedRequest, ReportCapacityRequest, RequestAdmissionRequest},
    followup::{Answer, HealthReport, SubmitReportRequest},
    identity::Role,
};
use tokio::time::Instant;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{report, storm};

/// A phase counts as sustained up to this p99.
const PATIENCE: Duration = Duration::from_millis(200);

/// Finds the highest rate of reports that is sustained with p99 within 200 ms.
pub(crate) async fn reports(
    world: &World,
    out: &mut impl Write,
    rates: &[u32],
    people: usize,
    length: Duration,
    ceiling: f64,
) -> anyhow::Result<()> {
    let clinic = world.staff("clinic", Role::Physician).await?;
    let mut nurses = Vec::new();
    for _ in 0..8 {
        nurses.push(world.staff("osaka-city-centre", Role::Nurse).await?);
    }
    let cases: Arc<Vec<String>> = Arc::new(registered(&clinic, people).await?);
    eventually("every case has its plan", Duration::from_mins(2), || async {
        let known: i64 = sqlx::query_scalar("select count(*) from plan where case_id = any($1::uuid[])")
            .bind(cases.as_ref())
            .fetch_one(&mut world.sql("followup").await?)
            .await?;
        Ok(known == i64::try_from(people)?)
    })
    .await?;
    let mut sql = world.sql("followup").await?;
    let call = |client: Client, index: usize| {
        let cases = Arc::clone(&cases);
        async move { submit(&client, cases.get(index % people).cloned().unwrap_or_default()).await }
    };
    storm::run(&nurses, 200, Duration::from_secs(3), call).await?;
    let (mut sustained, mut acknowledged) = (0.0_f64, Vec::new());
    for rate in rates {
        let phase = storm::run(&nurses, *rate, length, call).await?;
        report(out, &format!("health reports at {rate}/s"), &phase)?;
        let kept_up = phase.errors == 0 && phase.p99() <= PATIENCE;
        let reached = phase.per_second;
        acknowledged.extend(phase.acknowledged);
        if !kept_up {
            break;
        }
        sustained = sustained.max(reached);
    }
    writeln!(out, "sustained: {sustained:.0} health reports/s with p99 within {} ms", PATIENCE.as_millis())?;
    writeln!(out, "health reports: ratio to the raw ceiling: {:.3}", sustained / ceiling)?;
    let ids: Vec<Uuid> = acknowledged.iter().filter_map(|id| Uuid::try_parse(id).ok()).collect();
    let stored: i64 = sqlx::query_scalar("select count(*) from report where report_id = any($1)")
        .bind(&ids)
        .fetch_one(&mut sql)
        .await?;
    writeln!(out, "acknowledged: {} health reports, found afterwards: {stored}", acknowledged.len())?;
    Ok(())
}

async fn submit(client: &Client, case_id: String) -> Result<String, Status> {
    let report = HealthReport {
        temperature_decicelsius: Some(368),
        spo2_percent: Some(97),
        cough: Answer::Yes.into(),
        breathless: Answer::No.into(),
        ..HealthReport::default()
    };
    let request =
        SubmitReportRequest { request_id: request_id(), case_id, report: Some(report), form_version: String::new() };
    Ok(client.reports().submit_report(client.request(request)).await?.into_inner().report_id)
}

pub(crate) async fn registered(clinic: &Client, count: usize) -> anyhow::Result<Vec<String>> {
    let made: Vec<Result<String, Status>> = stream::iter(0..count)
        .map(|_| async { Ok(register(clinic, person()).await?.case_id) })
        .buffer_unordered(32)
        .collect()
        .await;
    Ok(made.into_iter().collect::<Result<_, _>>()?)
}

/// Makes many claims on half as many beds of one hospital: how many per second are decided, and that no bed is given
/// twice.
pub(crate) async fn claims(world: &World, out: &mut impl Write, count: usize) -> anyhow::Result<()> {
    let clinic = world.staff("clinic", Role::Physician).await?;
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let hospital = world.staff("hospital", Role::Physician).await?;
    let facility_id = world.organisation("hospital")?;
    let beds = i32::try_from(count / 2)?;
    let declare = ReportCapacityRequest {
        request_id: request_id(),
        facility_id: facility_id.clone(),
        capability: Capability::General.into(),
        secured: beds,
        ready: beds,
        etag: String::new(),
        entry: None,
    };
    hospital.capacity().report_capacity(hospital.request(declare)).await?;
    let cases = registered(&clinic, count).await?;
    let asked: Vec<Result<String, Status>> = stream::iter(cases)
        .map(|case_id| {
            let nurse = nurse.clone();
            async move {
                let request = RequestAdmissionRequest {
                    request_id: request_id(),
                    case_id,
                    capability: Capability::General.into(),
                };
                patiently(|| {
                    let (mut admissions, request) = (nurse.admissions(), nurse.request(request.clone()));
                    async move { admissions.request_admission(request).await }
                })
                .await
                .map(|admission| admission.admission_id)
            }
        })
        .buffer_unordered(32)
        .collect()
        .await;
    let asked: Vec<String> = asked.into_iter().collect::<Result<_, _>>()?;
    let started = Instant::now();
    let answers: Vec<Result<i32, Code>> = stream::iter(asked)
        .map(|admission_id| {
            let (nurse, facility_id) = (nurse.clone(), facility_id.clone());
            async move {
                let request = OfferBedRequest {
                    request_id: request_id(),
                    admission_id,
                    facility_id,
                    ..OfferBedRequest::default()
                };
                let held = nurse.admissions().offer_bed(nurse.request(request)).await;
                held.map(|answer| answer.into_inner().bed_number).map_err(|status| status.code())
            }
        })
        .buffer_unordered(64)
        .collect()
        .await;
    let took = started.elapsed().as_secs_f64();
    let given: Vec<i32> = answers.iter().filter_map(|answer| answer.ok()).collect();
    let distinct: HashSet<i32> = given.iter().copied().collect();
    let refused = answers.iter().filter(|answer| matches!(answer, Err(Code::FailedPrecondition))).count();
    writeln!(
        out,
        "beds: {:.0} claims/s on one hospital; {beds} beds: {} given, {} twice, {refused} told that none is free, {} errors",
        f64::from(u32::try_from(count)?) / took,
        given.len(),
        given.len() - distinct.len(),
        count - given.len() - refused
    )?;
    Ok(())
}
