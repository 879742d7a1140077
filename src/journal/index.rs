//! Where everything that is owed lies, as far as memory needs to know.
//!
//! For each segment a few [`Chunk`]s, for each consumer a [`Run`] of each chunk in which it is owed anything: that is all
//! that a backlog costs. The chunks that are in use are open and know every place; `opening` says how they become so.
//! What is in no run is not needed any more, and a segment of which nothing is in a run is free. Payloads are never here.

use std::collections::{BTreeMap, BTreeSet};

use super::chunk::{Chunk, Location, Places, Run};
use super::codec::{ChunkNote, Cursor, OwedNote};
use super::ranges::Ranges;
use crate::durable::{ConsumerId, Sequence};
use crate::time::Moment;

/// What is owed to one consumer.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    /// By the first sequence of the chunk. Never empty ones.
    pub(super) runs: BTreeMap<Sequence, Run>,
    pub(super) messages: u64,
    /// The last sequence that was ever owed since the start.
    last_queued: Sequence,
    /// Above the first that is owed: what is not owed any more.
    pub(super) done: Ranges<u64>,
    /// The highest sequence that was handed out by a load.
    pub(super) loaded_through: Sequence,
}

/// All chunks and queues.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// By their first sequence.
    pub(super) chunks: BTreeMap<Sequence, Chunk>,
    pub(super) queues: BTreeMap<ConsumerId, Queue>,
    /// How many deliveries are owed in each segment; never zero.
    pub(super) owed_in: BTreeMap<u64, u64>,
    /// How many places may be known at once, those of the newest chunk aside.
    pub(super) places_max: usize,
    /// Closed chunks of which it is not known whether anything in them is owed.
    pub(super) doubtful: BTreeSet<Sequence>,
    /// A segment whose chunks stay open.
    pub(super) pinned: Option<u64>,
    pub(super) clock: u64,
}

impl Index {
    pub(super) fn open_queue(&mut self, consumer: ConsumerId) {
        self.queues.entry(consumer).or_default();
    }

    /// Nothing is owed to that consumer any more; how much was.
    pub(super) fn close_queue(&mut self, consumer: ConsumerId) -> u64 {
        let Some(queue) = self.queues.remove(&consumer) else { return 0 };
        for (key, run) in &queue.runs {
            self.release(*key, run.owed);
        }
        queue.messages
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = (ConsumerId, &Queue)> + '_ {
        self.queues.iter().map(|(consumer, queue)| (*consumer, queue))
    }

    pub(super) fn queue(&self, consumer: ConsumerId) -> Option<&Queue> {
        self.queues.get(&consumer)
    }

    pub(super) fn queue_mut(&mut self, consumer: ConsumerId) -> Option<&mut Queue> {
        self.queues.get_mut(&consumer)
    }

    pub(super) fn chunk(&self, key: Sequence) -> Option<&Chunk> {
        self.chunks.get(&key)
    }

    pub(super) fn chunk_mut(&mut self, key: Sequence) -> Option<&mut Chunk> {
        self.chunks.get_mut(&key)
    }

    /// The chunks in order of sequence.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (Sequence, &Chunk)> + '_ {
        self.chunks.iter().map(|(key, chunk)| (*key, chunk))
    }

    /// The chunks of one segment.
    pub(super) fn chunks_of(&self, segment: u64) -> Vec<Sequence> {
        let chunks = self.chunks.iter().filter(|(_, chunk)| chunk.segment == segment);
        chunks.map(|(key, _)| *key).collect()
    }

    /// How many deliveries are owed in a segment.
    pub(super) fn owed_in(&self, segment: u64) -> u64 {
        self.owed_in.get(&segment).copied().unwrap_or(0)
    }

    /// A message was committed at `location`, behind all others. Returns the key of its chunk and its place there.
    pub(super) fn place_newest(
        &mut self,
        sequence: Sequence,
        location: Location,
        entry_bytes: u64,
        accepted_at: Moment,
    ) -> (Sequence, u32) {
        // Between it and the one before there is nothing: what had those sequences was never written.
        self.push_onto_last(sequence, location, entry_bytes, |places| {
            places.may_go_on(sequence, location.offset)
        })
        .unwrap_or_else(|| self.place(sequence, location, entry_bytes, accepted_at))
    }

    /// Puts a message into the last chunk, if that is of its segment and its places go on with it.
    fn push_onto_last(
        &mut self,
        sequence: Sequence,
        location: Location,
        entry_bytes: u64,
        goes_on: impl FnOnce(&Places) -> bool,
    ) -> Option<(Sequence, u32)> {
        let mut last = self.chunks.last_entry()?;
        if last.get().segment != location.segment || !last.get().places.as_ref().is_some_and(goes_on) {
            return None;
        }
        let key = *last.key();
        Some((key, last.get_mut().push(sequence, location.offset, entry_bytes)))
    }

    /// A message lies at `location`. Sequences ascend. Returns the key of its chunk and its place there.
    pub(super) fn place(
        &mut self,
        sequence: Sequence,
        location: Location,
        entry_bytes: u64,
        accepted_at: Moment,
    ) -> (Sequence, u32) {
        let follows = |places: &Places| places.is_followed_by(sequence);
        if let Some(placed) = self.push_onto_last(sequence, location, entry_bytes, follows) {
            return placed;
        }
        if let Some(last) = self.chunks.last_entry().filter(|last| last.get().owed == 0) {
            last.remove();
        }
        self.chunks.insert(sequence, Chunk::begun(sequence, location, entry_bytes, accepted_at));
        self.touch(sequence);
        (sequence, 0)
    }

    /// A message is owed to a consumer. Sequences ascend for each consumer. Whether there is such a consumer.
    pub(super) fn owe(
        &mut self,
        consumer: ConsumerId,
        key: Sequence,
        place: u32,
        accepted_at: Moment,
    ) -> bool {
        let Some(queue) = self.queues.get_mut(&consumer) else { return false };
        let Some(chunk) = self.chunks.get_mut(&key) else { return false };
        let Some(sequence) = chunk.sequence(place) else { return false };
        queue.runs.entry(key).or_default().owe(place, sequence, accepted_at);
        queue.messages += 1;
        queue.last_queued = queue.last_queued.max(sequence);
        chunk.owed += 1;
        *self.owed_in.entry(chunk.segment).or_default() += 1;
        true
    }

    /// A chunk that a checkpoint tells of, less what was settled since; closed.
    pub(super) fn add_closed(&mut self, note: &ChunkNote) {
        let mut all = 0;
        for owed in &note.owed {
            let Some(queue) = self.queues.get_mut(&ConsumerId(owed.consumer)) else { continue };
            let messages = owed.messages.max(1);
            let mut run = Run::closed(messages, owed.first, owed.last);
            if owed.messages == 0 {
                run.is_doubtful = true;
                self.doubtful.insert(note.first);
            }
            queue.runs.insert(note.first, run);
            queue.messages += messages;
            queue.last_queued = queue.last_queued.max(owed.last);
            all += messages;
        }
        if all > 0 {
            *self.owed_in.entry(note.segment).or_default() += all;
            let (segment, last, messages, bytes) = (note.segment, note.last, note.messages, note.bytes);
            let oldest = note.oldest;
            let chunk = Chunk { segment, last, messages, bytes, oldest, owed: all, used: 0, places: None };
            self.chunks.insert(note.first, chunk);
        }
    }

    /// What a checkpoint says of the chunks of one segment.
    pub(super) fn notes(&self, segment: u64) -> Vec<ChunkNote> {
        let keys = self.chunks_of(segment);
        let chunks = keys.iter().filter_map(|key| Some((*key, self.chunks.get(key)?)));
        let note = |(key, chunk): (Sequence, &Chunk)| {
            let owed = self.queues.iter().filter_map(|(consumer, queue)| {
                let run = queue.runs.get(&key)?;
                let (first, last) = (run.first(chunk), run.last(chunk));
                let messages = run.owed - u64::from(run.is_doubtful);
                Some(OwedNote { consumer: consumer.0, messages, first, last })
            });
            let (segment, first, last) = (chunk.segment, key, chunk.last);
            let (messages, bytes, oldest) = (chunk.messages, chunk.bytes, chunk.oldest);
            ChunkNote { segment, first, last, messages, bytes, oldest, owed: owed.collect() }
        };
        chunks.filter(|(_, chunk)| chunk.owed > 0).map(note).collect()
    }

    /// A message is not owed to a consumer any more; whether it was.
    pub(super) fn settle(&mut self, consumer: ConsumerId, sequence: Sequence) -> bool {
        let Some(key) = self.chunk_of(sequence) else { return false };
        let Some(chunk) = self.chunks.get(&key) else { return false };
        let Some(queue) = self.queues.get_mut(&consumer) else { return false };
        let Some(run) = queue.runs.get_mut(&key) else { return false };
        let before = if let Some(places) = &mut run.places {
            let Some(place) = chunk.place(sequence).filter(|place| places.remove(*place)) else {
                return false;
            };
            places.before(place).and_then(|place| chunk.sequence(place))
        } else if run.may_hold(sequence) && !queue.done.contains(sequence.0) {
            if run.owed == 1 {
                run.is_doubtful = true;
                self.doubtful.insert(key);
                queue.done.insert(sequence.0, sequence.0);
                return true;
            }
            // Whether anything is owed just before it is not known.
            Some(Sequence(sequence.0.saturating_sub(1)))
        } else {
            return false;
        };
        run.owed -= 1;
        if run.owed == 0 {
            queue.runs.remove(&key);
        }
        queue.messages -= 1;
        let earlier = || {
            let (key, run) = queue.runs.range(..key).next_back()?;
            Some(run.last(self.chunks.get(key)?))
        };
        match before.or_else(earlier) {
            // Nothing is owed between the one before and this.
            Some(before) => queue.done.insert(before.0 + 1, sequence.0),
            None => {
                let first = self.first_owed(consumer);
                if let Some(queue) = self.queues.get_mut(&consumer) {
                    queue.done.remove_through(first.map_or(u64::MAX, |first| first.0.saturating_sub(1)));
                }
            }
        }
        self.release(key, 1);
        true
    }

    /// Notes that a message was settled before it ever was in the queue: it is the last of all.
    pub(super) fn settled_before_queued(&mut self, consumer: ConsumerId, sequence: Sequence) {
        let Some(queue) = self.queues.get_mut(&consumer) else { return };
        let Some((key, run)) = queue.runs.last_key_value() else { return };
        let last = self.chunks.get(key).map_or(*key, |chunk| run.last(chunk));
        queue.done.insert(last.0 + 1, sequence.0);
    }

    /// How far each consumer came, for a checkpoint behind which nothing up to `committed` will be kept.
    pub(super) fn cursors(&self, committed: Sequence) -> impl Iterator<Item = Cursor> + '_ {
        self.queues.iter().map(move |(consumer, queue)| {
            let low = self.first_owed(*consumer).map_or(committed.0, |first| first.0.saturating_sub(1));
            let above = queue.done.iter().filter(|(_, last)| *last > low);
            let done = above.map(|(first, last)| (first.max(low + 1), last)).collect();
            Cursor { consumer: consumer.0, low, done }
        })
    }

    /// Takes up what a consumer had settled, after everything that it is owed was found.
    pub(super) fn restore_cursor(&mut self, consumer: ConsumerId, mut done: Ranges<u64>) {
        done.remove_through(self.first_owed(consumer).map_or(u64::MAX, |first| first.0.saturating_sub(1)));
        if let Some(queue) = self.queues.get_mut(&consumer) {
            queue.done = done;
        }
    }

    /// Nothing before this is owed to a consumer.
    pub(super) fn first_owed(&self, consumer: ConsumerId) -> Option<Sequence> {
        let (key, run) = self.queues.get(&consumer)?.runs.first_key_value()?;
        Some(run.first(self.chunks.get(key)?))
    }

    /// The chunk in whose range a sequence is.
    pub(super) fn chunk_of(&self, sequence: Sequence) -> Option<Sequence> {
        let (key, chunk) = self.chunks.range(..=sequence).next_back()?;
        (sequence <= chunk.last).then_some(*key)
    }

    /// Whether a kept message is in an open chunk.
    pub(super) fn has(&self, sequence: Sequence) -> bool {
        let chunk = self.chunk_of(sequence).and_then(|key| self.chunks.get(&key));
        chunk.is_some_and(|chunk| chunk.place(sequence).is_some())
    }

    /// The first chunk of which a consumer may be owed something after `after`, with the last sequence of it.
    pub(super) fn next_chunk(&self, consumer: ConsumerId, after: Sequence) -> Option<(Sequence, Sequence)> {
        let runs = &self.queues.get(&consumer)?.runs;
        let here = runs.range(..=after).next_back();
        let here = here.and_then(|(key, _)| Some((*key, self.chunks.get(key)?.last)));
        here.filter(|(_, last)| *last > after).or_else(|| {
            let (key, _) = runs.range(after.next()..).next()?;
            Some((*key, self.chunks.get(key)?.last))
        })
    }

    /// What a consumer is owed of an open chunk after `after`, in order.
    pub(super) fn owed_after(
        &self,
        consumer: ConsumerId,
        key: Sequence,
        after: Sequence,
    ) -> impl Iterator<Item = (Sequence, Location)> + '_ {
        let run = self.queues.get(&consumer).and_then(|queue| queue.runs.get(&key)?.places.as_ref());
        let chunk = self.chunks.get(&key);
        let start = chunk.and_then(|chunk| chunk.places.as_ref());
        let start = start.map_or(0, |places| places.at_or_after(after.next()));
        let places = run.into_iter().flat_map(move |places| {
            std::iter::successors(places.at_or_after(start), |place| places.at_or_after(place + 1))
        });
        places.filter_map(move |place| Some((chunk?.sequence(place)?, chunk?.location(place)?)))
    }

    /// What a consumer is owed of an open chunk, from place `from` up to place `to`, which is not among them.
    pub(super) fn owed_in_chunk(
        &self,
        consumer: ConsumerId,
        key: Sequence,
        from: u32,
        to: u32,
    ) -> Vec<Sequence> {
        let places = self.queues.get(&consumer).and_then(|queue| queue.runs.get(&key)?.places.as_ref());
        let Some((places, chunk)) = places.zip(self.chunks.get(&key)) else { return Vec::new() };
        let places = places.iter().flat_map(|(first, last)| first.max(from)..last.saturating_add(1).min(to));
        places.filter_map(|place| chunk.sequence(place)).collect()
    }

    /// The messages of a segment that somebody is owed, in order of sequence. Its chunks are open.
    pub(super) fn live_in(&self, segment: u64) -> Vec<(Sequence, Location)> {
        let mut live = Vec::new();
        for (key, chunk) in self.chunks.iter().filter(|(_, chunk)| chunk.segment == segment) {
            let mut places = Ranges::default();
            let runs = self.queues.values().filter_map(|queue| queue.runs.get(key)?.places.as_ref());
            for run in runs {
                run.iter().for_each(|(first, last)| places.insert(first, last));
            }
            let places = places.iter().flat_map(|(first, last)| first..=last);
            live.extend(places.filter_map(|place| Some((chunk.sequence(place)?, chunk.location(place)?))));
        }
        live
    }

    /// Who is owed a message of an open chunk.
    pub(super) fn owners(&self, sequence: Sequence) -> Vec<ConsumerId> {
        let found = self.chunk_of(sequence);
        let found = found.and_then(|key| Some((key, self.chunks.get(&key)?.place(sequence)?)));
        let Some((key, place)) = found else { return Vec::new() };
        let places = |queue: &Queue| {
            queue.runs.get(&key).and_then(|run| run.places.as_ref()?.contains(place).then_some(()))
        };
        self.queues
            .iter()
            .filter(|(_, queue)| places(queue).is_some())
            .map(|(consumer, _)| *consumer)
            .collect()
    }

    /// How many of these sequences somebody may be owed, should they have been addressed to them; of chunks that are
    /// being opened.
    pub(super) fn may_be_owed(&self, sequences: std::ops::Range<u64>) -> u64 {
        let may_be_owed = |sequence: &u64| {
            let sequence = Sequence(*sequence);
            let Some(key) = self.chunk_of(sequence) else { return false };
            self.queues.values().any(|queue| {
                let run = queue.runs.get(&key).filter(|run| run.may_hold(sequence));
                run.is_some() && !queue.done.contains(sequence.0)
            })
        };
        u64::try_from(sequences.filter(may_be_owed).count()).unwrap_or(u64::MAX)
    }

    /// About how many messages are owed to somebody: where one is owed to several, it may count once only.
    pub(super) fn messages(&self) -> u64 {
        let most = |key: &Sequence| {
            let runs = self.queues.values().filter_map(|queue| queue.runs.get(key));
            runs.map(|run| run.owed).max().unwrap_or(0)
        };
        self.chunks.keys().map(most).sum()
    }

    /// So many deliveries of a chunk are not owed any more.
    pub(super) fn release(&mut self, key: Sequence, count: u64) {
        let Some(chunk) = self.chunks.get_mut(&key) else { return };
        chunk.owed -= count;
        let (segment, free) = (chunk.segment, chunk.owed == 0);
        self.forget_owed(segment, count);
        // The newest chunk may still grow.
        if free && self.chunks.last_key_value().is_some_and(|(last, _)| *last != key) {
            self.chunks.remove(&key);
        }
    }

    pub(super) fn forget_owed(&mut self, segment: u64, count: u64) {
        if let Some(owed) = self.owed_in.get_mut(&segment) {
            *owed -= count;
            if *owed == 0 {
                self.owed_in.remove(&segment);
            }
        }
    }
}

impl Queue {
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    pub(super) fn last_queued(&self) -> Sequence {
        self.last_queued
    }

    /// About how many bytes are owed.
    pub(super) fn bytes(&self, index: &Index) -> u64 {
        let chunks = self.runs.iter().filter_map(|(key, run)| Some((index.chunks.get(key)?, run)));
        chunks.map(|(chunk, run)| run.owed * chunk.bytes_each()).sum()
    }
}
