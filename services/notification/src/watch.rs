//! Watching an inbox: what arrives is sent within a second, until the token ends.

use std::{collections::HashSet, time::Duration};

use access::{Caller, Relations};
use chassis::Error;
use proto::{notification::WatchInboxResponse, registry::Relation};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use uuid::Uuid;

use crate::{rpc::Notifications, store};

/// The stream of an inbox.
pub(crate) type Stream = ReceiverStream<Result<WatchInboxResponse, Status>>;

/// Other processes' filings wake nobody here: look at least this often.
const POLL: Duration = Duration::from_millis(800);
/// Looks at most this often.
const PAUSE: Duration = Duration::from_millis(150);
/// A filing may commit this much later than the moment it carries.
const OVERLAP: time::Duration = time::Duration::seconds(15);
/// Notifications per message.
const BATCH: i64 = 100;

/// Starts a watch.
pub(crate) fn start(service: &Notifications, caller: Caller) -> Stream {
    let (sender, receiver) = mpsc::channel(4);
    let (this, stop) = (service.clone(), service.base.shutdown.clone());
    service.base.shutdown.spawn("watch-inbox", async move {
        let until_token_ends = this.clock.now();
        let life = (caller.expires_at - until_token_ends).max(time::Duration::ZERO).unsigned_abs();
        tokio::select! {
            () = stop.requested() => {}
            () = sender.closed() => {}
            () = tokio::time::sleep(life) => {
                let _ = sender.try_send(Err(runtime::problem::unauthenticated()));
            }
            outcome = watch(&this, &caller, &sender) => if let Err(error) = outcome {
                let _ = sender.try_send(Err(error.into()));
            }
        }
    });
    ReceiverStream::new(receiver)
}

async fn watch(
    service: &Notifications,
    caller: &Caller,
    sender: &mpsc::Sender<Result<WatchInboxResponse, Status>>,
) -> Result<(), Error> {
    let mut arrivals = service.arrivals.subscribe();
    let started = service.clock.now();
    let mut seen: HashSet<Uuid> = HashSet::new();
    let mut newest = started;
    // What was there before is not news.
    let mut conn = service.base.pool.acquire().await?;
    let old = store::inbox_since(&mut conn, caller.organisation_id, started - OVERLAP, 10_000).await?;
    drop(conn);
    seen.extend(old.iter().filter(|row| row.arrived_at <= started).map(|row| row.notification_id));
    // The first, empty message tells the client that the watch stands.
    if sender.send(Ok(WatchInboxResponse::default())).await.is_err() {
        return Ok(());
    }
    loop {
        if !service.base.directory.still_good(caller, service.clock.now(), false) {
            return Err(Error::Unauthenticated);
        }
        let fresh = fetch(service, caller, newest - OVERLAP, &seen).await?;
        let Some(last) = fresh.last() else {
            let _ = tokio::time::timeout(POLL, arrivals.changed()).await;
            // In a surge every moment brings a filing for somebody: look a few times a second, not at each.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        newest = newest.max(last.arrived_at);
        seen.extend(fresh.iter().map(|row| row.notification_id));
        let relations = Relations::new(vec![Relation::ReceivingCentre], caller);
        let notifications = fresh.iter().map(|row| service.view(row, &relations)).collect::<Result<_, _>>()?;
        if sender.send(Ok(WatchInboxResponse { notifications })).await.is_err() {
            return Ok(());
        }
    }
}

/// What arrived and was not sent yet, read and audited in one transaction.
async fn fetch(
    service: &Notifications,
    caller: &Caller,
    since: OffsetDateTime,
    seen: &HashSet<Uuid>,
) -> Result<Vec<store::Row>, Error> {
    let limit = BATCH + i64::try_from(seen.len()).unwrap_or(0);
    let mut tx = service.base.pool.begin().await?;
    let mut fresh = store::inbox_since(&mut tx, caller.organisation_id, since, limit).await?;
    fresh.retain(|row| !seen.contains(&row.notification_id));
    fresh.truncate(usize::try_from(BATCH).unwrap_or(100));
    let ids: Vec<Uuid> = fresh.iter().map(|row| row.notification_id).collect();
    service
        .audit_read(&mut tx, caller, "WatchInbox", &Relations::new(vec![Relation::ReceivingCentre], caller), &ids)
        .await?;
    tx.commit().await?;
    Ok(fresh)
}
