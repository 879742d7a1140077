//! The checking of passwords off the hot path: a few threads of their own, a bounded queue before them.
//!
//! Whoever waits for a verdict waits alone: the broker never hears of a CONNECT before its verdict is there. A flood
//! of wrong passwords fills its share of the queue and no more; beyond that it is told that the server is busy. Who
//! goes away while it waits is not hashed for. Never says why a login is wrong, and takes as long for a name that
//! nobody has.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Users;
use super::cache::{Cache, Mark};
use super::hash::StoredHash;
use crate::limits::{LOGINS_WAITING, LOGINS_WAITING_PER_ADDRESS, PASSWORD_THREADS};

/// Too many wait for a verdict already, or the threads that give it are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many logins wait to be checked")]
pub struct Overloaded;

/// Gives verdicts. Its threads end when it is dropped.
pub struct Verifier {
    jobs: SyncSender<Job>,
    waiting: Arc<Waiting>,
    cache: Option<Mutex<Cache>>,
}

/// One password to be hashed.
struct Job {
    stored: StoredHash,
    password: Bytes,
    verdict: oneshot::Sender<bool>,
    _place: Place,
}

/// How many logins of each address wait. Unix sockets have none.
#[derive(Debug, Default)]
struct Waiting(Mutex<HashMap<Option<IpAddr>, usize>>);

/// A place in the queue, given back when dropped.
struct Place {
    waiting: Arc<Waiting>,
    address: Option<IpAddr>,
}

impl Verifier {
    /// Starts the threads: half of the processors, so that a flood leaves the other half to those who are in.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> io::Result<Verifier> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let (jobs, receiver) = sync_channel(LOGINS_WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..(processors / 2).clamp(1, PASSWORD_THREADS) {
            let receiver = Arc::clone(&receiver);
            thread::Builder::new().name("passwords".to_owned()).spawn(move || work(&receiver))?;
        }
        Ok(Verifier { jobs, waiting: Arc::default(), cache: Cache::new().map(Mutex::new) })
    }

    /// Whether `password` is that of the user `name`, who tries from `address`. A login without a password is wrong.
    ///
    /// # Errors
    /// When too many wait already.
    pub async fn verify(
        &self,
        users: &Users,
        name: &str,
        password: Option<Bytes>,
        address: Option<IpAddr>,
    ) -> Result<bool, Overloaded> {
        let user = users.find(name);
        let has_password = password.is_some();
        let password = password.unwrap_or_default();
        let mark = user.and_then(|stored| self.mark(name, &password, stored));
        if mark.is_some_and(|mark| self.knows(&mark)) {
            return Ok(true);
        }
        let stored = user.cloned().unwrap_or_else(|| users.decoy(name));
        let is_right = self.ask(stored, password, address).await?;
        let is_theirs = is_right && user.is_some() && has_password;
        if let Some(mark) = mark.filter(|_| is_theirs) {
            self.remember(mark);
        }
        Ok(is_theirs)
    }

    async fn ask(
        &self,
        stored: StoredHash,
        password: Bytes,
        address: Option<IpAddr>,
    ) -> Result<bool, Overloaded> {
        let place = self.waiting.take(address).ok_or(Overloaded)?;
        let (verdict, answer) = oneshot::channel();
        // A copy of its own: the password lies in a buffer that is much larger.
        let password = Bytes::copy_from_slice(&password);
        match self.jobs.try_send(Job { stored, password, verdict, _place: place }) {
            Ok(()) => answer.await.map_err(|_| Overloaded),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Overloaded),
        }
    }

    fn mark(&self, name: &str, password: &[u8], stored: &StoredHash) -> Option<Mark> {
        self.cache()?.mark(name, password, stored)
    }

    fn knows(&self, mark: &Mark) -> bool {
        self.cache().is_some_and(|cache| cache.knows(mark, Instant::now()))
    }

    fn remember(&self, mark: Mark) {
        if let Some(mut cache) = self.cache() {
            cache.remember(mark, Instant::now());
        }
    }

    fn cache(&self) -> Option<MutexGuard<'_, Cache>> {
        Some(self.cache.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Verifier").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

fn work(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while this thread waits for a job, and not while it works.
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if job.verdict.is_closed() {
            continue;
        }
        let is_right = job.stored.verify(&job.password);
        // Who asked may have gone away meanwhile.
        let _ = job.verdict.send(is_right);
    }
}

impl Waiting {
    /// A place in the queue, if an address has not all of its share already.
    fn take(self: &Arc<Waiting>, address: Option<IpAddr>) -> Option<Place> {
        let address = address.map(network);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.entry(address).or_default();
        if *count >= LOGINS_WAITING_PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Place { waiting: Arc::clone(self), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut waiting = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: of IPv6 the 64 bits of the network, for the others are anybody's to choose.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}
