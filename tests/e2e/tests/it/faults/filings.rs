//! Filings under way, and whether each that was acknowledged is where it belongs.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use client::patiently;
use e2e::{World, eventually, figures, filing, form, person};
use futures::future::join_all;
use proto::{identity::Role, statistics::QueryCasesRequest};
use tokio::{
    sync::{Mutex, Semaphore},
    task::JoinSet,
};
use uuid::Uuid;

use crate::Outcome;

/// How long the mesh may take to catch up.
pub(super) const DRAINED: Duration = Duration::from_mins(2);

/// Filings under way, and the ids of those that were acknowledged.
pub(super) struct Storm {
    acknowledged: Arc<Mutex<Vec<String>>>,
    done: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
}

impl Storm {
    /// Starts filing, as many clinics would: each asks again until it has its receipt.
    pub(super) async fn start(world: &World, count: usize, at_once: usize) -> anyhow::Result<Self> {
        Self::start_times(world, count, at_once, 1).await
    }

    /// The same, and each filing is sent so many times at once, as an impatient client does.
    pub(super) async fn start_times(world: &World, count: usize, at_once: usize, times: usize) -> anyhow::Result<Self> {
        let clinic = world.at_work("clinic", Role::Physician).await?;
        let (acknowledged, done) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let slots = Arc::new(Semaphore::new(at_once));
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let (clinic, slots) = (clinic.clone(), Arc::clone(&slots));
            let (acknowledged, done) = (Arc::clone(&acknowledged), Arc::clone(&done));
            let request = filing(form(&person()));
            tasks.spawn(async move {
                let Ok(_slot) = slots.acquire().await else { return };
                let file = || {
                    patiently(|| {
                        let (mut filing, request) = (clinic.filing(), clinic.request(request.clone()));
                        async move { filing.file_notification(request).await }
                    })
                };
                let mut receipts: Vec<String> = join_all((0..times).map(|_| file()))
                    .await
                    .into_iter()
                    .filter_map(|answer| answer.ok().map(|receipt| receipt.notification_id))
                    .collect();
                // However often it was sent, it was filed once. A second receipt would be one too many in the count.
                receipts.dedup();
                acknowledged.lock().await.extend(receipts);
                done.fetch_add(1, Ordering::AcqRel);
            });
        }
        Ok(Self { acknowledged, done, tasks })
    }

    /// Waits until this many have been answered.
    pub(super) async fn reaches(&self, count: usize) -> Outcome {
        eventually("the storm goes on", DRAINED, || async { Ok(self.done.load(Ordering::Acquire) >= count) }).await
    }

    /// Waits for the end and returns what was acknowledged.
    pub(super) async fn ends(mut self) -> Vec<String> {
        while self.tasks.join_next().await.is_some() {}
        let acknowledged = self.acknowledged.lock().await;
        acknowledged.clone()
    }
}

/// Every acknowledged filing is in the inbox, the registry and the statistics exactly once, and nothing else is.
pub(super) async fn accounted_for(world: &World, acknowledged: &[String]) -> Outcome {
    let ids: HashSet<&String> = acknowledged.iter().collect();
    assert_eq!(ids.len(), acknowledged.len(), "two filings share a receipt");
    let mut notification = world.sql("notification").await?;
    let stored: Vec<Uuid> =
        sqlx::query_scalar("select notification_id from notification").fetch_all(&mut notification).await?;
    let stored: HashSet<String> = stored.iter().map(Uuid::to_string).collect();
    let lost = acknowledged.iter().filter(|id| !stored.contains(*id)).count();
    assert_eq!(lost, 0, "{lost} of {} acknowledged filings are lost", acknowledged.len());

    let mut registry = world.sql("registry").await?;
    let analyst = world.at_work("ministry", Role::Analyst).await?;
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
