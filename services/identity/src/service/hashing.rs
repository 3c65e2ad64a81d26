//! Password hashing behind a bulkhead: a storm of sign-ins waits here and nowhere else.

use std::{
    sync::{Arc, mpsc},
    thread,
};

use anyhow::Context as _;
use argon2::{Argon2, PasswordHash, PasswordHasher as _, PasswordVerifier as _};
use chassis::Error;
use runtime::metrics::SIGNING_IN;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Callers that may wait for their turn; the next one is told to come back.
const WAITING: usize = 40;
/// The same while the queue is switched to a longer one: the last of them waits some ten seconds.
const WAITING_IN_A_SURGE: usize = 200;

type Job = Box<dyn FnOnce() + Send>;

/// A place in the queue; given back when the work is done.
pub(crate) struct Turn(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Drop for Turn {
    fn drop(&mut self) {
        SIGNING_IN.dec();
    }
}

/// Argon2id with 19 MiB and two passes, on one thread of its own: the other core stays free for filing, and the 19 MiB are
/// the same ones each time instead of some in every thread's heap.
#[derive(Clone)]
pub(crate) struct Hashing {
    jobs: mpsc::Sender<Job>,
    admitted: Arc<Semaphore>,
    /// Checked where a log-in does not exist, so that an answer takes as long either way.
    decoy: Arc<str>,
}

impl Hashing {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let decoy = hash_now("a password nobody has")?;
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("hashing".to_owned())
            // Ends when the last handle is dropped.
            .spawn(move || queue.iter().for_each(|job| job()))
            .context("start the hashing thread")?;
        Ok(Self { jobs, admitted: Arc::new(Semaphore::new(1 + WAITING_IN_A_SURGE)), decoy: Arc::from(decoy) })
    }

    /// A turn in the queue, or the answer to come back later. `longer` lets more people wait.
    pub(crate) fn admit(&self, longer: bool) -> Result<Turn, Error> {
        let kept_free = if longer { 0 } else { WAITING_IN_A_SURGE - WAITING };
        if self.admitted.available_permits() <= kept_free {
            return Err(Error::Exhausted);
        }
        let turn = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| Error::Exhausted)?;
        SIGNING_IN.inc();
        Ok(Turn(turn))
    }

    pub(crate) async fn hash(&self, turn: Turn, password: String) -> Result<String, Error> {
        self.run(turn, move || hash_now(&password)).await?.map_err(Error::Internal)
    }

    /// Whether the password fits the hash; without a hash the same work is done and the answer is no.
    pub(crate) async fn verify(&self, turn: Turn, password: String, hash: Option<String>) -> Result<bool, Error> {
        let (hash, real) = hash.map_or_else(|| (self.decoy.to_string(), false), |hash| (hash, true));
        let fits = self
            .run(turn, move || {
                PasswordHash::new(&hash)
                    .is_ok_and(|parsed| Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
            })
            .await?;
        Ok(fits && real)
    }

    async fn run<T: Send + 'static>(&self, turn: Turn, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move || {
            // Whoever asked may have gone away; then nobody needs the work.
            let done = if answer.is_closed() { None } else { Some(work()) };
            // Before the answer: whoever has it may come again at once.
            drop(turn);
            if let Some(done) = done {
                let _ = answer.send(done);
            }
        });
        let gone = || Error::Internal(anyhow::anyhow!("the hashing thread is gone"));
        self.jobs.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())
    }
}

fn hash_now(password: &str) -> anyhow::Result<String> {
    let hash: PasswordHash =
        Argon2::default().hash_password(password.as_bytes()).map_err(|error| anyhow::anyhow!("hash: {error}"))?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::Hashing;

    #[tokio::test]
    async fn only_the_right_password_fits() {
        let hashing = Hashing::new().unwrap();
        let turn = || hashing.admit(false).unwrap();
        let hash = hashing.hash(turn(), "correct horse battery".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hashing.verify(turn(), "correct horse battery".to_owned(), Some(hash.clone())).await.unwrap());
        assert!(!hashing.verify(turn(), "correct horse batterx".to_owned(), Some(hash)).await.unwrap());
        assert!(!hashing.verify(turn(), "a password nobody has".to_owned(), None).await.unwrap());
    }

    #[tokio::test]
    async fn a_storm_is_turned_away_and_not_queued_for_ever() {
        let hashing = Hashing::new().unwrap();
        let storm = |longer: bool| (0..300).filter_map(|_| hashing.admit(longer).ok()).collect::<Vec<_>>();
        let turns = storm(false);
        assert_eq!(turns.len(), 41);
        assert_eq!(storm(true).len(), 160, "the longer queue takes those beyond");
        drop(turns);
        assert!(hashing.admit(false).is_ok(), "whoever gives up makes room");
    }
}
