//! Ten thousand canaries: no name, phone or mail of a person leaves the ciphertext.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use ctl::{Client, client::patiently};
use e2e::{Refused as _, World, file, filing, form, person, register, request_id};
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

const CANARIES: u32 = 10_000;
/// Each canary's name, phone and mail begin or end so; nothing else does.
const MARKS: &[&str] = &["KANARIENVOGEL", "0805519", "@canary.example"];

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
    let nurse = world.staff("osaka-city-centre", Role::Nurse).await?;
    let hospital = world.staff("hospital", Role::Physician).await?;
    let hospital_id = world.organisation("hospital")?;
    let capacity = ReportCapacityRequest {
        request_id: request_id(),
        facility_id: hospital_id.clone(),
        capability: Capability::General.into(),
        secured: 5,
        ready: 5,
    };
    hospital.beds().report_capacity(hospital.request(capacity)).await?;
    for number in 0..20 {
        let case_id = register(clinic, canary(number)).await?.case_id;
        let report = SubmitReportRequest {
            request_id: request_id(),
            case_id: case_id.clone(),
            report: Some(HealthReport { message: text(), spo2_percent: 90, ..HealthReport::default() }),
            form_version: String::new(),
        };
        let report = &report;
        patiently(|| {
            let (mut followup, request) = (nurse.followup(), nurse.request(report.clone()));
            async move { followup.submit_report(request).await }
        })
        .await?;
        let call = RecordContactAttemptRequest {
            request_id: request_id(),
            case_id: case_id.clone(),
            reached: true,
            note: text(),
            channel: ContactChannel::Phone.into(),
        };
        nurse.followup().record_contact_attempt(nurse.request(call)).await?;
        let visit =
            CareVisit { on: "2020-06-03".to_owned(), institution: text(), note: text(), emergency_destination: text() };
        let visit = RecordCareVisitRequest { request_id: request_id(), case_id: case_id.clone(), visit: Some(visit) };
        nurse.followup().record_care_visit(nurse.request(visit)).await?;
        let ask = RequestAdmissionRequest {
            request_id: request_id(),
            case_id: case_id.clone(),
            capability: Capability::General.into(),
        };
        let ask = &ask;
        let admission_id = patiently(|| {
            let (mut beds, request) = (nurse.beds(), nurse.request(ask.clone()));
            async move { beds.request_admission(request).await }
        })
        .await?
        .admission_id;
        let offer = OfferBedRequest {
            request_id: request_id(),
            admission_id: admission_id.clone(),
            facility_id: hospital_id.clone(),
            hold_minutes: 0,
        };
        nurse.beds().offer_bed(nurse.request(offer)).await?;
        let no = DeclineAdmissionRequest { request_id: request_id(), admission_id, reason: text() };
        hospital.beds().decline_admission(hospital.request(no)).await?;
        let transfer = OfferTransferRequest {
            request_id: request_id(),
            case_id,
            etag: String::new(),
            to_centre_id: world.organisation("ibaraki-centre")?,
            reason: text(),
        };
        nurse.registry().offer_transfer(nurse.request(transfer)).await?;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_canaries_stay_in_their_cages() -> Outcome {
    let world = World::private().await?;
    let clinic = world.staff("clinic", Role::Physician).await?;
    let slots = Arc::new(Semaphore::new(64));
    let mut tasks = JoinSet::new();
    for number in 0..CANARIES {
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
    free_texts(&world, &clinic).await?;
    // Errors repeat nothing of what was typed.
    let broken = Form { report_date: "KANARIENVOGEL".to_owned(), ..form(&canary(1)) };
    let refused = file(&clinic, filing(broken)).await.refused();
    assert!(!MARKS.iter().any(|mark| format!("{refused:?}").contains(mark)), "an error repeats its input");

    // Everything drains, so that the bus and every store have seen all of it.
    e2e::eventually("the registry has them all", std::time::Duration::from_mins(3), || async {
        let counting = sqlx::query_scalar::<_, i64>("select count(*) from case_notification");
        Ok(counting.fetch_one(&mut world.sql("registry").await?).await? == i64::from(CANARIES))
    })
    .await?;
    for name in world.stack.services.keys() {
        let (_, metrics) = world.stack.admin(name, "/metrics").await?;
        assert!(!MARKS.iter().any(|mark| metrics.contains(mark)), "metrics of {name}");
    }
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
