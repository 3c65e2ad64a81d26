//! Watching a worklist: what arises is sent within a second, until the token ends.

use std::{collections::HashMap, pin::Pin, time::Duration};

use access::Caller;
use chassis::Error;
use proto::followup::{Task, TaskKind, WatchAlertsResponse, WatchWorklistResponse};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::Status;
use uuid::Uuid;

use crate::{rpc::Followups, worklist};

type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;
/// Every task.
pub(crate) type WorklistStream = Boxed<WatchWorklistResponse>;
/// Alerts only.
pub(crate) type AlertStream = Boxed<WatchAlertsResponse>;

/// Other processes' tasks wake nobody here: look at least this often.
const POLL: Duration = Duration::from_millis(800);
/// Looks at most this often.
const PAUSE: Duration = Duration::from_millis(150);
/// A task may commit this much later than the moment it carries.
const OVERLAP: time::Duration = time::Duration::seconds(15);
/// Tasks per message.
const BATCH: i64 = 100;

/// Watches everything.
pub(crate) fn worklist(service: &Followups, caller: Caller) -> WorklistStream {
    Box::pin(start(service, caller, TaskKind::Unspecified).map(|tasks| Ok(WatchWorklistResponse { tasks: tasks? })))
}

/// Watches alerts.
pub(crate) fn alerts(service: &Followups, caller: Caller) -> AlertStream {
    Box::pin(start(service, caller, TaskKind::Caution).map(|tasks| Ok(WatchAlertsResponse { tasks: tasks? })))
}

fn start(service: &Followups, caller: Caller, from: TaskKind) -> ReceiverStream<Result<Vec<Task>, Status>> {
    let (sender, receiver) = mpsc::channel(4);
    let (this, stop) = (service.clone(), service.base.shutdown.clone());
    service.base.shutdown.spawn("watch-worklist", async move {
        let life = (caller.expires_at - this.clock.now()).max(time::Duration::ZERO).unsigned_abs();
        tokio::select! {
            () = stop.requested() => {}
            () = sender.closed() => {}
            () = tokio::time::sleep(life) => {
                let _ = sender.try_send(Err(runtime::problem::unauthenticated()));
            }
            outcome = watch(&this, &caller, from, &sender) => if let Err(error) = outcome {
                let _ = sender.try_send(Err(error.into()));
            }
        }
    });
    ReceiverStream::new(receiver)
}

async fn watch(
    service: &Followups,
    caller: &Caller,
    from: TaskKind,
    sender: &mpsc::Sender<Result<Vec<Task>, Status>>,
) -> Result<(), Error> {
    let mut arrivals = service.arrivals.subscribe();
    let started = service.clock.now();
    let mut newest = started;
    // What was there before is not news.
    let mut conn = service.base.pool.acquire().await?;
    let old = worklist::since(&mut conn, caller.organisation_id, from, started - OVERLAP, &[], 10_000).await?;
    drop(conn);
    let mut seen: HashMap<Uuid, OffsetDateTime> =
        old.iter().filter(|row| row.since <= started).map(|row| (row.task_id, row.since)).collect();
    if sender.send(Ok(Vec::new())).await.is_err() {
        return Ok(());
    }
    loop {
        if !service.base.directory.still_good(caller, service.clock.now(), false) {
            return Err(Error::Unauthenticated);
        }
        let edge = newest - OVERLAP;
        seen.retain(|_, since| *since >= edge);
        let known: Vec<Uuid> = seen.keys().copied().collect();
        let mut conn = service.base.pool.acquire().await?;
        let fresh = worklist::since(&mut conn, caller.organisation_id, from, edge, &known, BATCH).await?;
        drop(conn);
        let Some(last) = fresh.last() else {
            let _ = tokio::time::timeout(POLL, arrivals.changed()).await;
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        newest = newest.max(last.since);
        seen.extend(fresh.iter().map(|row| (row.task_id, row.since)));
        let tasks = service.tasks(caller, "WatchWorklist", &fresh).await?;
        if sender.send(Ok(tasks)).await.is_err() {
            return Ok(());
        }
    }
}
