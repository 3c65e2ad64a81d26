//! Ten thousand canaries: no name, phone or mail of a person leaves the ciphertext.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use e2e::{Refused as _, World, file, filing, form, person, register};
use proto::{identity::Role, notification::Form};
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
