//! The records since the newest checkpoint, and the checkpoint itself, folded into what they say.

use std::collections::{BTreeMap, BTreeSet};

use super::codec::{ChunkNote, Entry, SegmentNote};
use super::ranges::Ranges;
use crate::durable::{ConsumerId, Record, Sequence, State};

/// What the log says of everything but the messages themselves.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) state: State,
    /// How far each consumer came.
    pub(super) settled: BTreeMap<ConsumerId, Settled>,
    /// Segments before the checkpoint that were needed then.
    pub(super) notes: BTreeMap<u64, SegmentNote>,
    /// What was owed in them, by the first sequence: less what was settled since.
    pub(super) chunks: BTreeMap<Sequence, ChunkNote>,
    /// Messages that were copied since the checkpoint.
    pub(super) copied: BTreeSet<Sequence>,
    /// Sessions and uplinks that ended.
    pub(super) closed: BTreeSet<ConsumerId>,
    /// Whether there was a checkpoint: if not, there may be consumers that nothing else speaks of.
    pub(super) has_checkpoint: bool,
    /// Segments that are free since.
    pub(super) retired: BTreeSet<u64>,
}

/// What a consumer is not owed, whoever it was addressed to.
#[derive(Debug, Default, Clone)]
pub(super) struct Settled {
    low: u64,
    pub(super) done: Ranges<u64>,
}

impl Settled {
    pub(super) fn contains(&self, sequence: Sequence) -> bool {
        sequence.0 <= self.low || self.done.contains(sequence.0)
    }

    fn insert(&mut self, first: Sequence, last: Sequence) {
        self.done.insert(first.0.max(self.low + 1), last.0);
    }
}

impl Replay {
    pub(super) fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Kept(head) => {
                self.state.last_sequence = self.state.last_sequence.max(head.sequence);
                // Without a checkpoint nothing else may be left to say which names were given.
                let highest = head.consumers.iter().map(|consumer| consumer.0).max().unwrap_or(0);
                self.state.last_consumer = self.state.last_consumer.max(highest);
            }
            Entry::Moved(head) => {
                self.copied.insert(head.sequence);
            }
            Entry::CheckpointEnd => {}
            Entry::Record(record) => self.apply_record(&record),
            Entry::Checkpoint { last_sequence, last_consumer } => {
                *self = Replay { has_checkpoint: true, ..Replay::default() };
                self.state.last_sequence = last_sequence;
                self.state.last_consumer = last_consumer;
            }
            Entry::Segment(note) => {
                self.notes.insert(note.ordinal, note);
            }
            Entry::Chunk(note) => {
                self.chunks.insert(note.first, note);
            }
            Entry::Cursor(cursor) => {
                let mut settled = Settled { low: cursor.low, done: Ranges::default() };
                cursor.done.iter().for_each(|(first, last)| settled.done.insert(*first, *last));
                self.settled.insert(ConsumerId(cursor.consumer), settled);
            }
            Entry::DroppedRange { consumer, first, last, count, .. } => {
                self.settle(consumer, first, last, count);
            }
            Entry::Retired { ordinal } => {
                self.retired.insert(ordinal);
            }
        }
    }

    fn apply_record(&mut self, record: &Record) {
        match record {
            Record::SessionOpened { consumer, .. }
            | Record::UplinkOpened { consumer, .. }
            | Record::GroupOpened { consumer, .. } => {
                self.settled.entry(*consumer).or_default();
            }
            Record::ConsumerClosed { consumer } => {
                self.settled.remove(consumer);
                self.closed.insert(*consumer);
            }
            Record::Done { consumer, sequence } | Record::Dropped { consumer, sequence, .. } => {
                self.settle(*consumer, *sequence, *sequence, 1);
            }
            _ => {}
        }
        self.state.apply(record);
    }

    /// So many deliveries in this range ended; in one chunk, and nothing else that is owed to the consumer lies between.
    pub(super) fn settle(&mut self, consumer: ConsumerId, first: Sequence, last: Sequence, count: u64) {
        let Some(settled) = self.settled.get_mut(&consumer) else { return };
        // A checkpoint may have known of it before the record that says so.
        let is_new = !settled.contains(first);
        settled.insert(first, last);
        if !is_new {
            return;
        }
        let chunk = self.chunks.range_mut(..=first).next_back().map(|(_, chunk)| chunk);
        let chunk = chunk.filter(|chunk| first <= chunk.last);
        let owed = chunk.and_then(|chunk| chunk.owed.iter_mut().find(|owed| owed.consumer == consumer.0));
        if let Some(owed) = owed {
            owed.messages = owed.messages.saturating_sub(count);
        }
    }

    /// The segment of the chunk in whose range a message is, if a checkpoint speaks of one.
    pub(super) fn noted_in(&self, sequence: Sequence) -> Option<u64> {
        let (_, chunk) = self.chunks.range(..=sequence).next_back()?;
        (sequence <= chunk.last).then_some(chunk.segment)
    }

    pub(super) fn is_owed(&self, consumer: ConsumerId, sequence: Sequence) -> bool {
        self.settled.get(&consumer).is_some_and(|settled| !settled.contains(sequence))
    }

    /// Whether somebody was owed something of whom nothing is known any more.
    pub(super) fn is_orphaned(&self, consumer: ConsumerId) -> bool {
        !self.has_checkpoint && !self.settled.contains_key(&consumer) && !self.closed.contains(&consumer)
    }

    /// How many of these sequences somebody may be owed, should they have been addressed to them.
    pub(super) fn may_be_owed(&self, sequences: std::ops::Range<u64>) -> u64 {
        let lowest = self.settled.values().map(|settled| settled.low).min().unwrap_or(u64::MAX);
        let above = sequences.start.max(lowest.saturating_add(1))..sequences.end;
        let owed = above
            .filter(|sequence| self.settled.values().any(|settled| !settled.contains(Sequence(*sequence))));
        u64::try_from(owed.count()).unwrap_or(u64::MAX)
    }

    /// The state, without identifiers of deliveries that are settled: a checkpoint may know that a delivery ended
    /// before the record that says so came to disk.
    pub(super) fn into_state(mut self) -> State {
        let sessions =
            self.state.sessions.iter_mut().map(|(consumer, session)| (consumer, &mut session.assigned));
        let uplinks =
            self.state.uplinks.iter_mut().map(|(consumer, uplink)| (consumer, &mut uplink.assigned));
        for (consumer, assigned) in sessions.chain(uplinks) {
            if let Some(settled) = self.settled.get(consumer) {
                assigned.retain(|_, assigned| !settled.contains(assigned.sequence));
            }
        }
        self.state
    }
}
