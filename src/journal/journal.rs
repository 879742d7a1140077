//! The journal itself: what it holds, and how records come in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::codec::Entry;
use super::commit::Refused;
use super::compact::Compaction;
use super::disk::Disk;
use super::index::{Index, Queue};
use super::keep_latest::Latest;
use super::options::Options;
use super::pending::{From, Pending, What, about};
use super::quota::Quota;
use super::recover::{self, Found};
use super::segments::Segments;
use super::types::{Backlog, Event, OpenError, Recovery, Report, Sizes, Status, Writer};
use crate::durable::{
    ConsumerId, Delivery, DropReason, JournalHealth, Record, Sequence, State, Ticket, Urgency,
};
use crate::limits::COMMIT_ENTRIES;
use crate::mqtt::QoS;
use crate::time::{Instant, Moment};

/// The journal of one gateway. See the module for what lies on disk.
#[derive(Debug)]
pub struct Journal<D> {
    pub(super) disk: D,
    pub(super) options: Options,
    pub(super) segments: Segments,
    /// What the records on disk say.
    pub(super) state: State,
    /// Where what is owed lies. Knows what is settled as soon as it is appended: that is true whether it comes to
    /// disk or not.
    pub(super) index: Index,
    pub(super) pending: Pending,
    /// Who is given what waits for the disk, as long as nobody waits for that.
    pub(super) eager: BTreeSet<ConsumerId>,
    /// What waits for whom of them, and was not said.
    pub(super) ahead: BTreeMap<ConsumerId, Sequence>,
    pub(super) quotas: Vec<Quota>,
    /// Who is kept nothing new for, because their share is used up.
    pub(super) used_up: BTreeSet<ConsumerId>,
    pub(super) compaction: Option<Compaction>,
    pub(super) latest: Latest,
    pub(super) next_commit: u64,
    pub(super) last_appended: Sequence,
    /// The last sequence that an earlier run kept, in its last commit perhaps.
    pub(super) last_recovered: Sequence,
    pub(super) health: JournalHealth,
    /// After a commit that failed: when to try again.
    pub(super) retry_at: Option<Instant>,
    /// After a file that could not be made.
    pub(super) refused: Option<Refused>,
    pub(super) checkpoint_bytes: u64,
    pub(super) written_since_checkpoint: u64,
    pub(super) can_read: bool,
    /// What is to be told at the next opportunity.
    pub(super) events: Vec<Event>,
    pub(super) commits: u64,
    pub(super) written_bytes: u64,
    pub(super) readings_committed: u64,
    /// Messages that everybody had before they were written: they never were.
    pub(super) spared: u64,
    /// What was lost, as far as is known.
    pub(super) report: Report,
}

impl<D: Disk> Journal<D> {
    /// Opens the journal that lies on `disk`, or begins one. Reads only, but for giving unreadable files another name:
    /// the first commit writes, to a segment of its own.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was written then.
    pub fn open(mut disk: D, options: Options, now: Moment) -> Result<(Journal<D>, Recovery), OpenError> {
        options.check()?;
        let Found { state, mut index, segments, tail, next_commit, report } = recover::recover(&mut disk)?;
        index.places_max = options.places_max;
        index.shrink();
        for name in &report.unreadable_files {
            // Out of the way, for somebody to look at. Should it fail, it is tried again at the next start.
            let _ = disk.rename(name, &format!("{name}.unreadable"));
        }
        let mut journal = Journal {
            disk,
            options,
            segments,
            last_appended: state.last_sequence,
            last_recovered: state.last_sequence,
            state,
            index,
            pending: Pending::default(),
            eager: BTreeSet::new(),
            ahead: BTreeMap::new(),
            quotas: Vec::new(),
            used_up: BTreeSet::new(),
            compaction: None,
            latest: Latest::default(),
            next_commit,
            health: JournalHealth::default(),
            retry_at: None,
            refused: None,
            checkpoint_bytes: 0,
            written_since_checkpoint: 0,
            can_read: true,
            events: Vec::new(),
            commits: 0,
            written_bytes: 0,
            readings_committed: 0,
            spared: 0,
            report: report.clone(),
        };
        let mut recovery = Recovery { state: journal.state.clone(), report, ..Recovery::default() };
        for what in tail {
            match what {
                What::Record(Record::Kept { sequence, .. }) if sequence <= journal.last_appended => {}
                What::Record(record) => {
                    recovery.state.apply(&record);
                    journal.take(now, From::EarlierRun, Urgency::Awaited, record);
                }
                What::Note(note) => {
                    if let Entry::DroppedRange { consumer, first, last, .. } = &note {
                        journal.pending.settle_range(*consumer, *first, *last);
                    }
                    journal.pending.note_from(From::EarlierRun, note);
                }
                What::Moved(_) | What::Spared => {}
            }
        }
        journal.last_recovered = journal.last_appended;
        let queues = || journal.index.queues().filter(|(_, queue)| queue.messages() > 0);
        recovery.queued = queues().map(|(consumer, queue)| (consumer, queue.last_queued())).collect();
        recovery.queued.extend(journal.pending.last_owed().map(|(consumer, last, _)| (consumer, last)));
        let owed = |queue: &Queue| (queue.messages(), queue.bytes(&journal.index));
        let owed = queues().map(|(consumer, queue)| (consumer, owed(queue)));
        let tail = journal.pending.last_owed().map(|(consumer, _, messages)| (consumer, (messages, 0)));
        for (consumer, (messages, bytes)) in owed.chain(tail) {
            let backlog: &mut Backlog = recovery.backlogs.entry(consumer).or_default();
            (backlog.messages, backlog.bytes) = (backlog.messages + messages, backlog.bytes + bytes);
        }
        Ok((journal, recovery))
    }

    /// Takes a record into memory. Consecutive records of one writer with one ticket are on disk together or
    /// not at all.
    ///
    /// # Panics
    /// When the sequence of a kept message is not above all before it.
    pub fn append(&mut self, now: Moment, writer: Writer, ticket: Ticket, urgency: Urgency, record: Record) {
        self.take(now, From::Writer(writer, ticket), urgency, record);
    }

    /// Whether a consumer is eager: it is given what waits for the disk, as long as nobody waits for that; and what
    /// everybody has before it was written never is. Everybody else is given it then, too, if they ask for it.
    pub fn set_eager(&mut self, consumer: ConsumerId, is_eager: bool) {
        if is_eager {
            self.eager.insert(consumer);
        } else {
            self.eager.remove(&consumer);
        }
    }

    /// What there is to be told without a commit; call it when records were appended, and before a commit: what is not
    /// kept is to be told before that is on disk.
    pub fn news(&mut self) -> Vec<Event> {
        let mut complete = BTreeMap::new();
        self.pending.reap(|writer, ticket| {
            complete.insert(writer, ticket);
        });
        let committed = complete.into_iter().map(|(writer, ticket)| Event::Committed { writer, ticket });
        let ahead = if self.pending.awaited { BTreeMap::new() } else { std::mem::take(&mut self.ahead) };
        let available = ahead.into_iter().map(|(consumer, through)| Event::Available { consumer, through });
        committed.chain(available).chain(std::mem::take(&mut self.events)).collect()
    }

    fn take(&mut self, now: Moment, from: From, urgency: Urgency, record: Record) {
        let (mut may_be_spared, mut refused) = (false, BTreeSet::new());
        match &record {
            Record::Kept { sequence, deliveries, .. } => {
                assert!(*sequence > self.last_appended, "sequence {sequence} was given twice");
                self.last_appended = *sequence;
                may_be_spared = urgency == Urgency::Lingers && self.goes_ahead(*sequence, deliveries);
                refused = self.used_up_of(deliveries);
            }
            Record::Done { consumer, sequence } | Record::Dropped { consumer, sequence, .. } => {
                self.settle(*consumer, *sequence);
                // While the disk takes nothing, what waits is what tells that it does again.
                if self.health != JournalHealth::Dead && self.pending.spare(*sequence) {
                    self.spared += 1;
                }
            }
            _ => {}
        }
        // What is said about a message that was spared must not come to disk: its sequence may be given again.
        let is_void = |sequence| sequence > self.state.last_sequence && !self.pending.has(sequence);
        if about(&record).is_some_and(is_void) {
            return self.pending.pass(now.monotonic, from);
        }
        if let Record::Done { consumer, sequence } = record
            && urgency == Urgency::Lingers
            && self.eager.contains(&consumer)
            && !self.pending.has(sequence)
            && !self.pending.has_earlier_run()
        {
            return self.pending.acknowledge(now.monotonic, from, consumer, sequence);
        }
        self.pending.append(now.monotonic, from, urgency, record, may_be_spared);
        self.give_up_appended(self.last_appended, from, refused);
    }

    /// Whether somebody eager is to get a message before it is on disk.
    fn goes_ahead(&mut self, sequence: Sequence, deliveries: &[Delivery]) -> bool {
        // What is said of a message at QoS 2 on its way must be on disk, and it before that.
        if self.eager.is_empty() || deliveries.iter().any(|delivery| delivery.qos == QoS::ExactlyOnce) {
            return false;
        }
        let eager = deliveries.iter().map(|delivery| delivery.consumer);
        let eager = eager.filter(|consumer| self.eager.contains(consumer));
        let ahead = eager.map(|consumer| self.ahead.insert(consumer, sequence)).count();
        ahead > 0
    }

    pub(super) fn settle(&mut self, consumer: ConsumerId, sequence: Sequence) -> bool {
        self.index.settle(consumer, sequence) || self.pending.settle(consumer, sequence)
    }

    /// Gives up deliveries of one consumer that are on disk, all for one reason. `sequences` ascend, and nothing else
    /// that is owed to it lies between them.
    pub(super) fn give_up(&mut self, consumer: ConsumerId, sequences: &[Sequence], reason: DropReason) {
        let (Some(first), Some(last)) = (sequences.first().copied(), sequences.last().copied()) else {
            return;
        };
        let settled = sequences.iter().filter(|sequence| self.index.settle(consumer, **sequence));
        let count = u64::try_from(settled.count()).unwrap_or(u64::MAX);
        if count > 0 {
            self.pending.note(Entry::DroppedRange { consumer, first, last, count, reason });
            self.events.push(Event::Dropped { consumer, count, reason });
        }
    }

    /// When to call [`Journal::commit`]; `None` while nothing waits.
    #[must_use]
    pub fn next_commit(&self) -> Option<Instant> {
        let is_due = self.pending.awaited || self.commit_is_large();
        let due = self.pending.due(if is_due { Duration::ZERO } else { self.options.commit_interval })?;
        Some(self.retry_at.map_or(due, |retry| retry.max(due)))
    }

    /// Whether what waits is enough for a commit that should not grow any more.
    #[must_use]
    pub fn commit_is_large(&self) -> bool {
        self.pending.bytes() >= self.options.commit_bytes || self.pending.len() >= COMMIT_ENTRIES
    }

    /// The figures that are cheap to ask for at any time.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        Sizes {
            file_bytes: self.segments.file_bytes(),
            written_bytes: self.written_bytes,
            readings_committed: self.readings_committed,
            spared: self.spared,
        }
    }

    /// What is in the journal now.
    pub fn status(&mut self) -> Status {
        let queues = self.index.queues().filter(|(_, queue)| queue.messages() > 0);
        let mut backlogs: Vec<(ConsumerId, Backlog)> = queues
            .map(|(consumer, queue)| {
                let bytes = queue.bytes(&self.index);
                (consumer, Backlog { messages: queue.messages(), bytes, oldest: None })
            })
            .collect();
        for (consumer, backlog) in &mut backlogs {
            backlog.oldest = self.oldest(*consumer);
        }
        Status {
            health: self.health,
            sizes: self.sizes(),
            used_bytes: self.segments.used_bytes(),
            uncommitted_bytes: u64::try_from(self.pending.bytes()).unwrap_or(u64::MAX),
            commits: self.commits,
            last_committed: self.state.last_sequence,
            backlogs: backlogs.into_iter().collect(),
            messages_lost: self.report.messages_lost(),
            unexamined_bytes: self.segments.unexamined_bytes(),
        }
    }

    /// Gives the disk back. What was not committed is gone.
    pub fn into_disk(self) -> D {
        self.disk
    }

    pub(super) fn set_health(&mut self, health: JournalHealth) {
        if self.health != health {
            self.health = health;
            self.events.push(Event::Health(health));
        }
    }
}
