//! Watching a list: what arrives is sent within a second (five, while a surge thins the watches), until the token ends.

use std::{collections::HashMap, sync::Arc, time::Duration};

use access::{directory::Standing, guard};
use prost::{Message, Name};
use proto::options::Switch;
use runtime::problem::{self, Unproved, why};
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{Base, Call, Error};

/// Look at least this often: writes of other processes wake nobody here.
const POLL: Duration = Duration::from_millis(800);
/// Look at most this often: in a surge, something arrives all the time.
const PAUSE: Duration = Duration::from_millis(150);
/// The same while watches are switched to less often. A task still reaches a screen within five seconds.
const PAUSE_IN_A_SURGE: Duration = Duration::from_millis(3_500);
const _: () =
    assert!(POLL.as_millis() + PAUSE_IN_A_SURGE.as_millis() < 5_000, "a task reaches a screen within five seconds");
/// A row may commit this much later than the moment it carries.
const OVERLAP: time::Duration = time::Duration::seconds(15);
/// The most rows in one message.
pub const BATCH: i64 = 100;

/// The answer of a watch: a stream of messages.
pub type Stream<R> = ReceiverStream<Result<R, Status>>;

/// Wakes the watches of this process when it has written something for them.
#[derive(Clone, Debug)]
pub struct Arrivals(Arc<watch::Sender<u64>>);

impl Default for Arrivals {
    fn default() -> Self {
        Self(Arc::new(watch::channel(0).0))
    }
}

impl Arrivals {
    /// Wakes every watch. Call it after the commit.
    pub fn came(&self) {
        self.0.send_modify(|n| *n = n.wrapping_add(1));
    }
}

/// Which rows to look for.
#[derive(Clone, Debug)]
pub struct Since {
    /// Rows that carry this moment or a later one.
    pub moment: OffsetDateTime,
    /// Rows already seen, to be left out.
    pub known: Vec<Uuid>,
    /// The most rows to find, oldest first.
    pub limit: i64,
}

/// The id of a row, and the moment it carries.
pub type Arrived = (Uuid, OffsetDateTime);

impl Base {
    /// Answers with a stream: an empty message once the watch is set up, then what arrives. `look` finds the rows that
    /// are new to the caller; `show` reads them, writes their audit rows and makes the message.
    ///
    /// # Errors
    /// Those of [`access::door::enter`]. An error of `look` or `show` ends the stream.
    pub fn watch<S, M, R, L, LF, W, WF>(
        &self,
        service: &S,
        request: Request<M>,
        arrivals: &Arrivals,
        look: L,
        show: W,
    ) -> Result<Response<Stream<R>>, Status>
    where
        S: Clone + Send + Sync + 'static,
        M: Message + Name + 'static,
        R: Default + Send + 'static,
        L: Fn(S, Arc<Call<M>>, Since) -> LF + Send + Sync + 'static,
        LF: Future<Output = Result<Vec<Arrived>, Error>> + Send,
        W: Fn(S, Arc<Call<M>>, Vec<Uuid>) -> WF + Send + Sync + 'static,
        WF: Future<Output = Result<R, Error>> + Send,
    {
        let call = Arc::new(Call::new(self, access::door::enter(request)?)?);
        let (sender, receiver) = mpsc::channel(4);
        let (base, service, arrivals) = (self.clone(), service.clone(), arrivals.clone());
        self.shutdown.spawn("watch", async move {
            let life = (call.caller.expires_at - base.clock.now()).max(time::Duration::ZERO).unsigned_abs();
            let look = |since| look(service.clone(), Arc::clone(&call), since);
            let show = |ids| show(service.clone(), Arc::clone(&call), ids);
            tokio::select! {
                () = base.shutdown.requested() => {}
                () = sender.closed() => {}
                () = tokio::time::sleep(life) => {
                    let _ = sender.try_send(Err(problem::unauthenticated(Unproved::TokenExpired)));
                }
                outcome = follow(&base, &call, &arrivals, &sender, look, show) => if let Err(error) = outcome {
                    let _ = sender.try_send(Err(error.into()));
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Whether the caller may still watch: sessions end, organisations are cut off, rights and contracts change.
fn may_go_on<M>(base: &Base, call: &Call<M>) -> Result<(), Error> {
    let (caller, now) = (&call.caller, base.clock.now());
    match base.directory.standing(caller, now, false) {
        Standing::Good if guard::permits(&base.directory, call.rule, caller, now) => Ok(()),
        Standing::Good => Err(Error::Denied(why(
            "PERMISSION_DENIED",
            "この操作を行う権限がなくなりました。",
            "Your organisation may no longer do this.",
        ))),
        Standing::Ended => Err(Error::Unauthenticated(Unproved::SessionEnded)),
        Standing::Unknown => Err(Error::Unavailable),
    }
}

async fn follow<M, R: Default, LF, WF>(
    base: &Base,
    call: &Call<M>,
    arrivals: &Arrivals,
    sender: &mpsc::Sender<Result<R, Status>>,
    look: impl Fn(Since) -> LF,
    show: impl Fn(Vec<Uuid>) -> WF,
) -> Result<(), Error>
where
    LF: Future<Output = Result<Vec<Arrived>, Error>>,
    WF: Future<Output = Result<R, Error>>,
{
    let mut woken = arrivals.0.subscribe();
    let started = base.clock.now();
    let mut newest = started;
    // Rows from before the watch are not news.
    let old = look(Since { moment: started - OVERLAP, known: Vec::new(), limit: 10_000 }).await?;
    let mut seen: HashMap<Uuid, OffsetDateTime> = old.into_iter().filter(|(_, at)| *at <= started).collect();
    if sender.send(Ok(R::default())).await.is_err() {
        return Ok(());
    }
    loop {
        may_go_on(base, call)?;
        let edge = newest - OVERLAP;
        seen.retain(|_, at| *at >= edge);
        let known = seen.keys().copied().collect();
        let fresh = look(Since { moment: edge, known, limit: BATCH }).await?;
        if fresh.is_empty() {
            let _ = tokio::time::timeout(POLL, woken.changed()).await;
            let thinned = base.surge.is_thrown(Switch::LongPolls, base.clock.now());
            tokio::time::sleep(if thinned { PAUSE_IN_A_SURGE } else { PAUSE }).await;
            continue;
        }
        newest = fresh.iter().map(|(_, at)| *at).fold(newest, OffsetDateTime::max);
        seen.extend(fresh.iter().copied());
        let message = show(fresh.into_iter().map(|(id, _)| id).collect()).await?;
        if sender.send(Ok(message)).await.is_err() {
            return Ok(());
        }
    }
}
