//! No name, phone or mail of a person leaves the mesh but sealed: not by message, not by trace, not on disk.

mod post;
mod telemetry;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use client::{Client, patiently};
use e2e::{Refused as _, World, amount, eventually, file, filing, form, person, register, request_id};
use proto::{
    beds::{Capability, DeclineAdmissionRequest, OfferBedRequest, ReportCapacityRequest, RequestAdmissionRequest},
    followup::{
        CareVisit, ContactChannel, HealthReport, RecordCareVisitRequest, RecordContactAttemptRequest,
        SubmitReportRequest,
    },
    identity::Role,
    notification::Form,
    registry::OfferTransferRequest,
};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::Outcome;

/// Each canary's name, phone and mail begin or end so; nothing else does.
const MARKS: &[&str] = &["KANARIENVOGEL", "0805519", "@canary.example"];

/// One mesh with everything that takes something out of it: a mail server and a collector of traces. At the end it is
/// stopped and looked through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_leaves_the_mesh_by_message_by_trace_or_on_disk() -> Outcome {
    let mailbox = post::Mailbox::start()?;
    let collector = telemetry::Collector::reserve()?;
    let (mail, traces) = (mailbox.settings(), collector.settings());
    let settings: Vec<(&str, &str)> = mail.iter().chain(&traces).map(|(name, value)| (*name, value.as_str())).collect();
    let world = World::private_with(&settings).await?;

    collector.listen(&world).await?;

    telemetry::one_trace_leads_from_the_gateway_over_the_bus_to_the_last_consumer(&world, &collector).await?;
    post::codes_and_initial_secrets_go_by_mail_and_short_message_and_carry_no_name(&world, &mailbox).await?;
    canaries_stay_in_their_cages(&world, &collector).await?;
    collector.stop().await;
    Ok(())
}

fn canary(number: u32) -> proto::registry::Person {
    proto::registry::Person {
        name_kanji: format!("KANARIENVOGEL {number:05}"),
        name_kana: String::new(),
        phone: format!("0805519{:04}", number % 10_000),
        mail: format!("bird{number}@canary.example"),
        address: format!("KANARIENVOGEL {number}"),
        ..person()
    }
}

/// What people write about people, wherever the system lets them.
async fn free_texts(world: &World, clinic: &Client) -> Outcome {
    let text = || "KANARIENVOGEL 0805519".to_owned();
    let nurse = world.at_work("osaka-city-centre", Role::Nurse).await?;
    let hospital = world.at_work("hospital", Role::Physician).await?;
    let hospital_id = world.organisation("hospital")?;
    let capacity = ReportCapacityRequest {
        request_id: request_id(),
        facility_id: hospital_id.clone(),
        capability: Capability::General.into(),
        secured: 5,
        ready: 5,
        ..ReportCapacityRequest::default()
    };
    hospital.capacity().report_capacity(hospital.request(capacity)).await?;
    for number in 0..20 {
        let case_id = register(clinic, canary(number)).await?.case_id;
        let report = SubmitReportRequest {
            request_id: request_id(),
            case_id: case_id.clone(),
            report: Some(HealthReport { message: text(), spo2_percent: Some(90), ..HealthReport::default() }),
            form_version: String::new(),
        };
        let report = &report;
        patiently(|| {
            let (mut reports, request) = (nurse.reports(), nurse.request(report.clone()));
            async move { reports.submit_report(request).await }
        })
        .await?;
        let call = RecordContactAttemptRequest {
            request_id: request_id(),
            case_id: case_id.clone(),
            reached: true,
            note: text(),
            channel: ContactChannel::Phone.into(),
        };
        nurse.contacts().record_contact_attempt(nurse.request(call)).await?;
        let visit = CareVisit {
            visit_date: "2020-06-03".to_owned(),
            institution: text(),
            note: text(),
            emergency_destination: text(),
        };
        let visit = RecordCareVisitRequest { request_id: request_id(), case_id: case_id.clone(), visit: Some(visit) };
        nurse.contacts().record_care_visit(nurse.request(visit)).await?;
        let ask = RequestAdmissionRequest {
            request_id: request_id(),
            case_id: case_id.clone(),
            capability: Capability::General.into(),
        };
        let ask = &ask;
        let admission_id = patiently(|| {
            let (mut admissions, request) = (nurse.admissions(), nurse.request(ask.clone()));
            async move { admissions.request_admission(request).await }
        })
        .await?
        .admission_id;
        let offer = OfferBedRequest {
            request_id: request_id(),
            admission_id: admission_id.clone(),
            facility_id: hospital_id.clone(),
            ..OfferBedRequest::default()
        };
        nurse.admissions().offer_bed(nurse.request(offer)).await?;
        let no = DeclineAdmissionRequest {
            request_id: request_id(),
            admission_id,
            reason: text(),
            ..DeclineAdmissionRequest::default()
        };
        hospital.admissions().decline_admission(hospital.request(no)).await?;
        let transfer = OfferTransferRequest {
            request_id: request_id(),
            case_id,
            etag: String::new(),
            to_centre_id: world.organisation("ibaraki-centre")?,
            reason: text(),
        };
        nurse.transfers().offer_transfer(nurse.request(transfer)).await?;
    }
    Ok(())
}

/// Files below a folder that contain one of the marks.
fn sightings(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let content = fs::read(entry.path())?;
                if MARKS.iter().any(|mark| contains(&content, mark.as_bytes())) {
                    found.push(entry.path());
                }
            }
        }
    }
    Ok(found)
}

fn contains(content: &[u8], mark: &[u8]) -> bool {
    memchr::memmem::find(content, mark).is_some()
}

async fn canaries_stay_in_their_cages(world: &World, collector: &telemetry::Collector) -> Outcome {
    let canaries: u32 = amount(1_000, 10_000);
    let clinic = world.at_work("clinic", Role::Physician).await?;
    let slots = Arc::new(Semaphore::new(64));
    let mut tasks = JoinSet::new();
    for number in 0..canaries {
        let (slot, clinic) = (Arc::clone(&slots).acquire_owned().await?, clinic.clone());
        tasks.spawn(async move {
            let _slot = slot;
            if number % 20 == 0 {
                register(&clinic, canary(number)).await?;
            }
            file(&clinic, filing(form(&canary(number)))).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    free_texts(world, &clinic).await?;
    // Errors repeat nothing of what was typed.
    let broken = Form { report_date: "KANARIENVOGEL".to_owned(), ..form(&canary(1)) };
    let refused = file(&clinic, filing(broken)).await.refused();
    assert!(!MARKS.iter().any(|mark| format!("{refused:?}").contains(mark)), "an error repeats its input");

    // Everything drains, so that the bus and every store have seen all of it.
    eventually("the registry has them all", Duration::from_mins(3), || async {
        let count = async |database: &str, table: &'static str| {
            let counting = sqlx::query_scalar::<_, i64>(table);
            anyhow::Ok(counting.fetch_one(&mut world.sql(database).await?).await?)
        };
        let filed = count("notification", "select count(*) from notification").await?;
        let taken = count("registry", "select count(*) from case_notification").await?;
        Ok(taken == filed && filed >= i64::from(canaries))
    })
    .await?;
    for name in world.stack.services.keys() {
        let (_, metrics) = world.stack.admin(name, "/metrics").await?;
        assert!(!MARKS.iter().any(|mark| metrics.contains(mark)), "metrics of {name}");
    }
    let traces = collector.everything().await;
    assert!(!MARKS.iter().any(|mark| contains(&traces, mark.as_bytes())), "a trace");
    // Stopped, so that every buffer is on disk.
    world.stack.down()?;
    assert_eq!(sightings(&world.stack.run)?, Vec::<PathBuf>::new(), "logs, keys and NATS");
    assert_eq!(sightings(&world.stack.postgres.data_dir)?, Vec::<PathBuf>::new(), "PostgreSQL");

    // A canary out of its cage would have been seen.
    let escaped = world.stack.run.join("logs/escaped.log");
    fs::write(&escaped, format!("… {} …", canary(7).mail))?;
    assert_eq!(sightings(&world.stack.run)?, [escaped]);
    Ok(())
}
