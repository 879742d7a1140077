//! How others talk to the journal's thread: requests through a bounded channel, answers through a mailbox.
//!
//! The thread never waits for whoever reads its answers, so two full channels can never wait for each other: what
//! it says is merged in the mailbox (only the highest committed ticket matters), and what cannot be merged is
//! bounded by the question (one load at a time per consumer).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot};

use super::counters::Counters;
use super::thread::CommitHere;
use crate::durable::{ConsumerId, DropReason, JournalHealth, Record, Sequence, Ticket, Urgency};
use crate::journal::{Load, Loaded, Quota, Status, Writer};

/// The journal's thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal has stopped")]
pub struct JournalStopped;

/// What the journal says to one of its clients.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Everything that the client appended up to this ticket is on disk, or need not be any more.
    Committed {
        /// Up to which.
        ticket: Ticket,
    },
    /// The answer to a load.
    Loaded(Loaded),
    /// To an uplink: there is something for it, committed unless it is eager.
    Available {
        /// For which of its queues.
        consumer: ConsumerId,
        /// Up to which sequence.
        through: Sequence,
    },
    /// The journal gave up deliveries: to an uplink its own, to the broker all others.
    Dropped {
        /// To whom they were owed.
        consumer: ConsumerId,
        /// How many.
        count: u64,
        /// Why.
        reason: DropReason,
    },
    /// The journal's health changed.
    Health(JournalHealth),
}

/// What is appended in one request.
pub(super) type Records = Vec<(Ticket, Urgency, Record)>;

pub(super) enum Request {
    Register { writer: Writer, mailbox: Arc<Mailbox>, is_eager: bool },
    Append { writer: Writer, records: Records },
    Load { writer: Writer, load: Load },
    Quota(Quota),
    Status { answer: oneshot::Sender<Status> },
    Shutdown { answer: oneshot::Sender<()> },
}

/// Talks to the journal's thread. Cheap to clone.
#[derive(Clone)]
pub struct JournalHandle {
    requests: mpsc::Sender<Request>,
    desk: Arc<dyn CommitHere>,
    counters: Arc<Counters>,
}

impl JournalHandle {
    pub(super) fn new(
        requests: mpsc::Sender<Request>,
        desk: Arc<dyn CommitHere>,
        counters: Arc<Counters>,
    ) -> JournalHandle {
        JournalHandle { requests, desk, counters }
    }

    /// Becomes a client: the broker as [`Writer::BROKER`], an uplink as [`Writer::uplink`]. One client per writer;
    /// a later one takes over from an earlier one.
    ///
    /// # Errors
    /// When the journal has stopped.
    pub async fn client(&self, writer: Writer) -> Result<JournalClient, JournalStopped> {
        self.register(writer, false).await
    }

    async fn register(&self, writer: Writer, is_eager: bool) -> Result<JournalClient, JournalStopped> {
        let mailbox = Arc::new(Mailbox::default());
        let request = Request::Register { writer, mailbox: Arc::clone(&mailbox), is_eager };
        self.requests.send(request).await.map_err(|_| JournalStopped)?;
        let (requests, desk) = (self.requests.clone(), Arc::clone(&self.desk));
        Ok(JournalClient { requests, desk, writer, mailbox })
    }

    /// As [`JournalHandle::client`], for an uplink of several queues: what concerns any of them is said to the one
    /// client, which appends under the first. An eager one is given what waits for the disk, too, see
    /// [`crate::journal::Journal::set_eager`].
    ///
    /// # Errors
    /// When the journal has stopped.
    pub async fn client_of_queues(
        &self,
        first: ConsumerId,
        others: &[ConsumerId],
        is_eager: bool,
    ) -> Result<JournalClient, JournalStopped> {
        let client = self.register(Writer::uplink(first), is_eager).await?;
        for queue in others.iter().filter(|queue| **queue != first) {
            let mailbox = Arc::clone(&client.mailbox);
            let request = Request::Register { writer: Writer::uplink(*queue), mailbox, is_eager };
            self.requests.send(request).await.map_err(|_| JournalStopped)?;
        }
        Ok(client)
    }

    /// Gives some consumers a share, see [`crate::journal::Journal::set_quota`].
    ///
    /// # Errors
    /// When the journal has stopped.
    pub async fn set_quota(&self, quota: Quota) -> Result<(), JournalStopped> {
        self.requests.send(Request::Quota(quota)).await.map_err(|_| JournalStopped)
    }

    /// What is in the journal now.
    ///
    /// # Errors
    /// When the journal has stopped.
    pub async fn status(&self) -> Result<Status, JournalStopped> {
        let (answer, status) = oneshot::channel();
        self.requests.send(Request::Status { answer }).await.map_err(|_| JournalStopped)?;
        status.await.map_err(|_| JournalStopped)
    }

    /// Commits what waits and ends the thread; returns when that is done.
    ///
    /// # Errors
    /// When it had ended before.
    pub async fn shutdown(&self) -> Result<(), JournalStopped> {
        let (answer, done) = oneshot::channel();
        self.requests.send(Request::Shutdown { answer }).await.map_err(|_| JournalStopped)?;
        done.await.map_err(|_| JournalStopped)
    }

    /// What the thread counts.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }
}

/// One writer's end: the broker's or an uplink's.
pub struct JournalClient {
    requests: mpsc::Sender<Request>,
    desk: Arc<dyn CommitHere>,
    writer: Writer,
    mailbox: Arc<Mailbox>,
}

impl JournalClient {
    /// Hands records over, in order; waits while the journal has too much to do. Consecutive records with one
    /// ticket are on disk together or not at all: hand them over in one call.
    ///
    /// # Errors
    /// When the journal has stopped.
    pub async fn append(&self, records: Vec<(Ticket, Urgency, Record)>) -> Result<(), JournalStopped> {
        if records.is_empty() {
            return Ok(());
        }
        let request = Request::Append { writer: self.writer, records };
        self.requests.send(request).await.map_err(|_| JournalStopped)
    }

    /// Hands records over as [`JournalClient::append`] does, if there is room now.
    ///
    /// # Errors
    /// The records, when there is no room or the journal has stopped.
    pub fn try_append(
        &self,
        records: Vec<(Ticket, Urgency, Record)>,
    ) -> Result<(), Vec<(Ticket, Urgency, Record)>> {
        let request = Request::Append { writer: self.writer, records };
        self.requests.try_send(request).map_err(|error| match error.into_inner() {
            Request::Append { records, .. } => records,
            _ => Vec::new(),
        })
    }

    /// Appends records and commits them on this thread, if the journal's has nothing to do and the disk is quick.
    /// The answer comes as always, and is there already.
    ///
    /// # Errors
    /// The records, when they are better handed over.
    pub fn commit_here(
        &self,
        records: Vec<(Ticket, Urgency, Record)>,
    ) -> Result<(), Vec<(Ticket, Urgency, Record)>> {
        // Whatever was asked for before is done first.
        let all_served = || self.requests.capacity() == self.requests.max_capacity();
        self.desk.commit_here(self.writer, records, &all_served)
    }

    /// Asks for deliveries as [`JournalClient::load`] does, if there is room now: whether it was asked.
    #[must_use]
    pub fn try_load(&self, load: Load) -> bool {
        self.requests.try_send(Request::Load { writer: self.writer, load }).is_ok()
    }

    /// Waits until there is room for one request. May be dropped while it waits.
    ///
    /// # Errors
    /// When the journal has stopped.
    pub async fn room(&self) -> Result<(), JournalStopped> {
        self.requests.reserve().await.map(drop).map_err(|_| JournalStopped)
    }

    /// Asks for deliveries; the answer comes as [`Reply::Loaded`]. Ask for one load at a time per consumer.
    ///
    /// # Errors
    /// When the journal has stopped.
    pub async fn load(&self, load: Load) -> Result<(), JournalStopped> {
        let request = Request::Load { writer: self.writer, load };
        self.requests.send(request).await.map_err(|_| JournalStopped)
    }

    /// What the journal said since the last call; waits until there is something. May be dropped while it waits
    /// and loses nothing then.
    ///
    /// # Errors
    /// When the journal has stopped, or another client took over, and everything it said was taken.
    pub async fn replies(&self) -> Result<Vec<Reply>, JournalStopped> {
        loop {
            let closed = self.mailbox.closed.load(Ordering::Acquire);
            let replies = self.mailbox.take();
            if !replies.is_empty() {
                return Ok(replies);
            }
            if closed {
                return Err(JournalStopped);
            }
            self.mailbox.filled.notified().await;
        }
    }
}

/// What the journal said to one client and the client has not taken yet.
#[derive(Default)]
pub(super) struct Mailbox {
    letters: Mutex<Letters>,
    filled: Notify,
    closed: AtomicBool,
}

#[derive(Default)]
struct Letters {
    committed: Option<Ticket>,
    available: BTreeMap<ConsumerId, Sequence>,
    health: Option<JournalHealth>,
    dropped: BTreeMap<(ConsumerId, DropReason), u64>,
    loaded: Vec<Loaded>,
}

impl Mailbox {
    pub(super) fn put(&self, reply: Reply) {
        let mut letters = self.letters();
        match reply {
            Reply::Committed { ticket } => letters.committed = letters.committed.max(Some(ticket)),
            Reply::Available { consumer, through } => {
                let known = letters.available.entry(consumer).or_default();
                *known = through.max(*known);
            }
            Reply::Health(health) => letters.health = Some(health),
            Reply::Loaded(loaded) => letters.loaded.push(loaded),
            Reply::Dropped { consumer, count, reason } => {
                *letters.dropped.entry((consumer, reason)).or_default() += count;
            }
        }
        drop(letters);
        self.filled.notify_one();
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    fn take(&self) -> Vec<Reply> {
        let letters = std::mem::take(&mut *self.letters());
        let committed = letters.committed.map(|ticket| Reply::Committed { ticket });
        let available = letters.available.into_iter();
        let available = available.map(|(consumer, through)| Reply::Available { consumer, through });
        let dropped = letters.dropped.into_iter();
        let dropped = dropped.map(|((consumer, reason), count)| Reply::Dropped { consumer, count, reason });
        let loaded = letters.loaded.into_iter().map(Reply::Loaded);
        let health = letters.health.map(Reply::Health);
        committed.into_iter().chain(dropped).chain(loaded).chain(available).chain(health).collect()
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        // A panic while the lock is held would leave at worst a letter out; the others are sound.
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
