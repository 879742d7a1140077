//! A stand-in that keeps everything in memory while the files are being built: same answers, nothing durable.

use std::collections::{BTreeMap, BTreeSet};

use super::{Backlog, Disk, Event, Load, Loaded, OpenError, Options, Recovery, Sizes, Status, Writer};
use crate::durable::{ConsumerId, LoadedDelivery, Record, Sequence, State, Ticket, Urgency};
use crate::time::{Instant, Moment};

/// The journal of one gateway.
#[derive(Debug)]
pub struct Journal<D> {
    disk: D,
    options: Options,
    state: State,
    queues: BTreeMap<ConsumerId, BTreeMap<Sequence, LoadedDelivery>>,
    pending: Vec<(Writer, Ticket)>,
    pending_since: Option<Instant>,
    pending_bytes: u64,
    awaited: bool,
    available: BTreeSet<ConsumerId>,
    appended: Sequence,
    committed: Sequence,
    commits: u64,
}

impl<D: Disk> Journal<D> {
    /// Opens the journal that lies on `disk`, or begins one.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was written then.
    pub fn open(disk: D, options: Options, now: Moment) -> Result<(Journal<D>, Recovery), OpenError> {
        let _ = now;
        options.check()?;
        let journal = Journal {
            disk,
            options,
            state: State::default(),
            queues: BTreeMap::new(),
            pending: Vec::new(),
            pending_since: None,
            pending_bytes: 0,
            awaited: false,
            available: BTreeSet::new(),
            appended: Sequence::ZERO,
            committed: Sequence::ZERO,
            commits: 0,
        };
        Ok((journal, Recovery::default()))
    }

    /// Takes a record into memory. Consecutive records of one writer with one ticket are on disk together or
    /// not at all.
    pub fn append(&mut self, now: Moment, writer: Writer, ticket: Ticket, urgency: Urgency, record: Record) {
        self.state.apply(&record);
        match record {
            Record::Kept { sequence, message, deliveries } => {
                self.appended = self.appended.max(sequence);
                for delivery in deliveries {
                    let consumer = delivery.consumer;
                    let loaded = LoadedDelivery { sequence, delivery, message: message.clone() };
                    self.queues.entry(consumer).or_default().insert(sequence, loaded);
                    self.available.insert(consumer);
                }
            }
            Record::Done { consumer, sequence } | Record::Dropped { consumer, sequence, .. } => {
                if let Some(queue) = self.queues.get_mut(&consumer) {
                    queue.remove(&sequence);
                }
            }
            Record::ConsumerClosed { consumer } => {
                self.queues.remove(&consumer);
            }
            _ => {}
        }
        self.pending.push((writer, ticket));
        self.pending_bytes += 100;
        self.pending_since.get_or_insert(now.monotonic);
        self.awaited |= urgency == Urgency::Awaited;
    }

    /// When to call [`Journal::commit`]; `None` while nothing waits.
    #[must_use]
    pub fn next_commit(&self) -> Option<Instant> {
        let since = self.pending_since?;
        Some(if self.awaited { since } else { since + self.options.commit_interval })
    }

    /// Writes all that waits and makes it durable.
    pub fn commit(&mut self, now: Moment) -> Vec<Event> {
        let _ = now;
        let mut highest: BTreeMap<Writer, Ticket> = BTreeMap::new();
        for (writer, ticket) in self.pending.drain(..) {
            let entry = highest.entry(writer).or_default();
            *entry = (*entry).max(ticket);
        }
        self.pending_since = None;
        self.pending_bytes = 0;
        self.awaited = false;
        self.committed = self.appended;
        self.commits += u64::from(!highest.is_empty());
        let through = self.committed;
        let available = std::mem::take(&mut self.available).into_iter();
        let available = available.map(|consumer| Event::Available { consumer, through });
        highest
            .into_iter()
            .map(|(writer, ticket)| Event::Committed { writer, ticket })
            .chain(available)
            .collect()
    }

    /// Fetches what is owed to a consumer.
    pub fn load(&mut self, request: &Load) -> Loaded {
        let limit = if request.committed_only { self.committed } else { self.appended };
        let mut loaded = Loaded { consumer: request.consumer, deliveries: Vec::new(), through: limit };
        let owed = self.queues.get(&request.consumer);
        let owed = owed.into_iter().flat_map(|queue| queue.range(request.after.next()..));
        for (sequence, delivery) in owed.take_while(|(sequence, _)| **sequence <= limit) {
            if loaded.deliveries.len() >= request.max_messages.max(1) {
                loaded.through = loaded.deliveries.last().map_or(*sequence, |last| last.sequence);
                break;
            }
            loaded.deliveries.push(delivery.clone());
        }
        loaded
    }

    /// Looks after age, quota and files; call it after commits and about once a second.
    pub fn tend(&mut self, now: Moment) -> Vec<Event> {
        let _ = now;
        Vec::new()
    }

    /// What is in the journal now.
    pub fn status(&mut self) -> Status {
        let backlogs = self.queues.iter().filter(|(_, queue)| !queue.is_empty());
        let backlogs = backlogs.map(|(consumer, queue)| {
            let messages = u64::try_from(queue.len()).unwrap_or(u64::MAX);
            let oldest = queue.values().next().map(|first| first.message.accepted_at);
            (*consumer, Backlog { messages, bytes: messages * 100, oldest })
        });
        Status {
            uncommitted_bytes: self.pending_bytes,
            commits: self.commits,
            last_committed: self.committed,
            backlogs: backlogs.collect(),
            ..Status::default()
        }
    }

    /// Whether what waits is enough for a commit that should not grow any more.
    #[must_use]
    pub fn commit_is_large(&self) -> bool {
        usize::try_from(self.pending_bytes).is_ok_and(|bytes| bytes >= self.options.commit_bytes)
    }

    /// The figures that are cheap to ask for at any time.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        Sizes::default()
    }

    /// Gives the disk back, for a test that cuts its power.
    pub fn into_disk(self) -> D {
        self.disk
    }
}
