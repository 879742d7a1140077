//! Where everything that is owed lies: in memory, rebuilt at every start.
//!
//! A [`Chunk`] is a run of messages of one segment, in order of sequence, with the place of each: four bytes a
//! message. A [`Queue`] says for one consumer which messages of which chunk it is owed, as ranges of places in the
//! chunk: eight bytes for any number of neighbours. What is in no queue is not needed any more, and a segment none
//! of whose messages is in a queue is free. Payloads are never here.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::codec::Cursor;
use super::ranges::Ranges;
use crate::durable::{ConsumerId, Sequence};
use crate::time::Moment;

/// Where an entry begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) segment: u64,
    pub(super) offset: u32,
}

/// The sequences of a chunk.
#[derive(Debug, Clone)]
enum Sequences {
    /// One after the other from here.
    From(Sequence),
    /// These; moved messages have gaps between them.
    These(Vec<Sequence>),
}

/// Messages of one segment, in order of sequence; no other chunk has a sequence between its first and its last.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub(super) segment: u64,
    sequences: Sequences,
    offsets: Vec<u32>,
    /// Bytes of all its entries.
    bytes: u64,
    /// Not older than this is any message from `aged` on.
    pub(super) oldest: Moment,
    /// Messages before this place were given up for their age.
    pub(super) aged: u32,
    /// How many deliveries of its messages are owed.
    owed: u64,
}

impl Chunk {
    fn new(sequences: Sequences, location: Location, bytes: u64, oldest: Moment) -> Chunk {
        let offsets = vec![location.offset];
        Chunk { segment: location.segment, sequences, offsets, bytes, oldest, aged: 0, owed: 0 }
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.offsets.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn sequence(&self, place: u32) -> Option<Sequence> {
        match &self.sequences {
            Sequences::From(first) => (place < self.len()).then(|| Sequence(first.0 + u64::from(place))),
            Sequences::These(these) => these.get(usize::try_from(place).ok()?).copied(),
        }
    }

    pub(super) fn location(&self, place: u32) -> Option<Location> {
        let offset = *self.offsets.get(usize::try_from(place).ok()?)?;
        Some(Location { segment: self.segment, offset })
    }

    /// The place of a sequence, or of the next larger one that is here.
    fn place_at_or_after(&self, sequence: Sequence) -> u32 {
        let place = match &self.sequences {
            Sequences::From(first) => {
                usize::try_from(sequence.0.saturating_sub(first.0)).unwrap_or(usize::MAX)
            }
            Sequences::These(these) => these.partition_point(|other| *other < sequence),
        };
        u32::try_from(place.min(self.offsets.len())).unwrap_or(u32::MAX)
    }

    fn place(&self, sequence: Sequence) -> Option<u32> {
        let place = self.place_at_or_after(sequence);
        (self.sequence(place) == Some(sequence)).then_some(place)
    }

    fn follows(&self, sequence: Sequence) -> bool {
        matches!(self.sequences, Sequences::From(first) if first.0 + u64::from(self.len()) == sequence.0)
    }

    /// About how many bytes one of its entries has.
    fn bytes_each(&self) -> u64 {
        self.bytes / u64::from(self.len()).max(1)
    }
}

/// What is owed to one consumer.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    /// By the first sequence of the chunk: the places in it that are owed. Never empty ones.
    runs: BTreeMap<Sequence, Ranges<u32>>,
    messages: u64,
    /// The last sequence that was ever owed since the start.
    last_queued: Sequence,
    /// Above the first that is owed: what is not owed any more.
    done: Ranges<u64>,
    /// The highest sequence that was handed out by a load.
    pub(super) loaded_through: Sequence,
}

/// All chunks and queues.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// By their first sequence.
    chunks: BTreeMap<Sequence, Chunk>,
    queues: BTreeMap<ConsumerId, Queue>,
    /// How many deliveries are owed in each segment; never zero.
    owed_in: BTreeMap<u64, u64>,
}

impl Index {
    pub(super) fn open_queue(&mut self, consumer: ConsumerId) {
        self.queues.entry(consumer).or_default();
    }

    /// Nothing is owed to that consumer any more; how much was.
    pub(super) fn close_queue(&mut self, consumer: ConsumerId) -> u64 {
        let Some(queue) = self.queues.remove(&consumer) else { return 0 };
        for (key, places) in &queue.runs {
            let count = places.iter().map(|(first, last)| u64::from(last - first) + 1).sum();
            self.release(*key, count);
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

    /// How many deliveries are owed in a segment.
    pub(super) fn owed_in(&self, segment: u64) -> u64 {
        self.owed_in.get(&segment).copied().unwrap_or(0)
    }

    /// A message lies at `location`. Sequences ascend. Returns the key of its chunk and its place there.
    pub(super) fn place(
        &mut self,
        sequence: Sequence,
        location: Location,
        entry_bytes: u64,
        accepted_at: Moment,
    ) -> (Sequence, u32) {
        if let Some(mut last) = self.chunks.last_entry()
            && last.get().segment == location.segment
            && last.get().follows(sequence)
        {
            let key = *last.key();
            let chunk = last.get_mut();
            chunk.offsets.push(location.offset);
            chunk.bytes += entry_bytes;
            return (key, chunk.len() - 1);
        }
        if let Some(last) = self.chunks.last_entry().filter(|last| last.get().owed == 0) {
            last.remove();
        }
        self.chunks
            .insert(sequence, Chunk::new(Sequences::From(sequence), location, entry_bytes, accepted_at));
        (sequence, 0)
    }

    /// A message is owed to a consumer. Sequences ascend for each consumer. Whether there is such a consumer.
    pub(super) fn owe(&mut self, consumer: ConsumerId, key: Sequence, place: u32) -> bool {
        let Some(queue) = self.queues.get_mut(&consumer) else { return false };
        let Some(chunk) = self.chunks.get_mut(&key) else { return false };
        queue.runs.entry(key).or_default().insert(place, place);
        queue.messages += 1;
        queue.last_queued = queue.last_queued.max(chunk.sequence(place).unwrap_or_default());
        chunk.owed += 1;
        *self.owed_in.entry(chunk.segment).or_default() += 1;
        true
    }

    /// A message is not owed to a consumer any more; whether it was.
    pub(super) fn settle(&mut self, consumer: ConsumerId, sequence: Sequence) -> bool {
        let Some((key, place)) = self.find(sequence) else { return false };
        let Some(queue) = self.queues.get_mut(&consumer) else { return false };
        let Some(run) = queue.runs.get_mut(&key) else { return false };
        if !run.remove(place) {
            return false;
        }
        let before_in_chunk = run.before(place);
        if run.is_empty() {
            queue.runs.remove(&key);
        }
        queue.messages -= 1;
        let before = match before_in_chunk {
            Some(place) => self.chunks.get(&key).and_then(|chunk| chunk.sequence(place)),
            None => {
                let earlier = queue.runs.range(..key).next_back();
                earlier.and_then(|(key, places)| self.chunks.get(key)?.sequence(places.last()?))
            }
        };
        match before {
            // Nothing is owed between the one before and this.
            Some(before) => queue.done.insert(before.0 + 1, sequence.0),
            None => {
                let first = queue.runs.first_key_value();
                let first = first.and_then(|(key, places)| self.chunks.get(key)?.sequence(places.first()?));
                queue.done.remove_through(first.map_or(u64::MAX, |first| first.0));
            }
        }
        self.release(key, 1);
        true
    }

    /// Notes that a message was settled before it ever was in the queue.
    pub(super) fn settled_before_queued(&mut self, consumer: ConsumerId, sequence: Sequence) {
        if let Some(queue) = self.queues.get_mut(&consumer).filter(|queue| !queue.runs.is_empty()) {
            queue.done.insert(sequence.0, sequence.0);
        }
    }

    /// How far each consumer came, for a checkpoint behind which nothing up to `committed` will be kept.
    pub(super) fn cursors(&self, committed: Sequence) -> impl Iterator<Item = Cursor> + '_ {
        self.queues.iter().map(move |(consumer, queue)| Cursor {
            consumer: consumer.0,
            low: self.first_owed(queue).map_or(committed.0, |first| first.0 - 1),
            done: queue.done.iter().collect(),
        })
    }

    /// Takes up what a consumer had settled, after everything that it is owed was found.
    pub(super) fn restore_cursor(&mut self, consumer: ConsumerId, mut done: Ranges<u64>) {
        let Some(queue) = self.queues.get(&consumer) else { return };
        done.remove_through(self.first_owed(queue).map_or(u64::MAX, |first| first.0));
        if let Some(queue) = self.queues.get_mut(&consumer) {
            queue.done = done;
        }
    }

    fn first_owed(&self, queue: &Queue) -> Option<Sequence> {
        let (key, places) = queue.runs.first_key_value()?;
        self.chunks.get(key)?.sequence(places.first()?)
    }

    /// Where a kept message is, when any of its chunk is still needed.
    pub(super) fn find(&self, sequence: Sequence) -> Option<(Sequence, u32)> {
        let (key, chunk) = self.chunks.range(..=sequence).next_back()?;
        Some((*key, chunk.place(sequence)?))
    }

    /// What is owed to a consumer after `after`, in order.
    pub(super) fn owed_after(
        &self,
        consumer: ConsumerId,
        after: Sequence,
    ) -> impl Iterator<Item = (Sequence, Location)> + '_ {
        let runs = self.queues.get(&consumer).map(|queue| &queue.runs);
        // The chunk in which `after` lies begins before it.
        let from = self.chunks.range(..=after).next_back().map_or(Sequence::ZERO, |(key, _)| *key);
        let runs =
            runs.into_iter().flat_map(move |runs| runs.range((Bound::Included(from), Bound::Unbounded)));
        runs.flat_map(move |(key, places)| {
            let chunk = self.chunks.get(key);
            let start = chunk.map_or(0, |chunk| chunk.place_at_or_after(after.next()));
            let places =
                std::iter::successors(places.at_or_after(start), |place| places.at_or_after(place + 1));
            places.filter_map(move |place| Some((chunk?.sequence(place)?, chunk?.location(place)?)))
        })
    }

    /// What a consumer is owed of a chunk, from place `from` up to place `to`, which is not among them.
    pub(super) fn owed_in_chunk(
        &self,
        consumer: ConsumerId,
        key: Sequence,
        from: u32,
        to: u32,
    ) -> Vec<Sequence> {
        let places = self.queues.get(&consumer).and_then(|queue| queue.runs.get(&key));
        let Some((places, chunk)) = places.zip(self.chunks.get(&key)) else { return Vec::new() };
        let places = places.iter().flat_map(|(first, last)| first.max(from)..last.saturating_add(1).min(to));
        places.filter_map(|place| chunk.sequence(place)).collect()
    }

    /// The messages of a segment that somebody is owed, in order of sequence.
    pub(super) fn live_in(&self, segment: u64) -> Vec<(Sequence, Location)> {
        let mut live = Vec::new();
        for (key, chunk) in self.chunks.iter().filter(|(_, chunk)| chunk.segment == segment) {
            let mut places = Ranges::default();
            for run in self.queues.values().filter_map(|queue| queue.runs.get(key)) {
                run.iter().for_each(|(first, last)| places.insert(first, last));
            }
            let places = places.iter().flat_map(|(first, last)| first..=last);
            live.extend(places.filter_map(|place| Some((chunk.sequence(place)?, chunk.location(place)?))));
        }
        live
    }

    /// Who is owed a message.
    pub(super) fn owners(&self, sequence: Sequence) -> Vec<ConsumerId> {
        let Some((key, place)) = self.find(sequence) else { return Vec::new() };
        let owed = |queue: &Queue| queue.runs.get(&key).is_some_and(|places| places.contains(place));
        self.queues.iter().filter(|(_, queue)| owed(queue)).map(|(consumer, _)| *consumer).collect()
    }

    /// Messages of one segment were copied elsewhere: from now on they lie there. `moved` is in order of sequence.
    pub(super) fn relocate(&mut self, from: u64, moved: &[(Sequence, Location, u64)]) {
        let keys: Vec<Sequence> =
            self.chunks.iter().filter(|(_, chunk)| chunk.segment == from).map(|(key, _)| *key).collect();
        for key in keys {
            let Some(old) = self.chunks.remove(&key) else { continue };
            let last = old.len().checked_sub(1).and_then(|place| old.sequence(place)).unwrap_or(key);
            let mine = moved.iter().filter(|(sequence, ..)| (key..=last).contains(sequence));
            let mut owners: Vec<(Sequence, Vec<ConsumerId>)> = Vec::new();
            for (sequence, ..) in mine.clone() {
                let place = old.place(*sequence);
                let owed = |queue: &Queue| {
                    queue.runs.get(&key).zip(place).is_some_and(|(places, place)| places.contains(place))
                };
                let who = self.queues.iter().filter(|(_, queue)| owed(queue)).map(|(consumer, _)| *consumer);
                owners.push((*sequence, who.collect()));
            }
            self.unlist(key, &old);
            for ((sequence, location, bytes), (_, who)) in mine.zip(owners) {
                if !who.is_empty() {
                    let (key, place) = self.place_moved(*sequence, *location, *bytes, old.oldest);
                    who.into_iter().for_each(|consumer| {
                        self.owe(consumer, key, place);
                    });
                }
            }
        }
    }

    /// Takes a chunk out of every queue.
    fn unlist(&mut self, key: Sequence, old: &Chunk) {
        for queue in self.queues.values_mut() {
            if let Some(places) = queue.runs.remove(&key) {
                queue.messages -= places.iter().map(|(first, last)| u64::from(last - first) + 1).sum::<u64>();
            }
        }
        self.forget_owed(old.segment, old.owed);
    }

    /// A moved message lies at `location`: it joins the chunk just before it if that lies in the same segment and is
    /// of moved messages too. Nothing else may lie between.
    pub(super) fn place_moved(
        &mut self,
        sequence: Sequence,
        location: Location,
        entry_bytes: u64,
        oldest: Moment,
    ) -> (Sequence, u32) {
        if let Some((key, chunk)) = self.chunks.range_mut(..sequence).next_back()
            && chunk.segment == location.segment
            && let Sequences::These(these) = &mut chunk.sequences
            && these.last().is_some_and(|last| *last < sequence)
        {
            these.push(sequence);
            chunk.offsets.push(location.offset);
            chunk.bytes += entry_bytes;
            return (*key, chunk.len() - 1);
        }
        let sequences = Sequences::These(vec![sequence]);
        self.chunks.insert(sequence, Chunk::new(sequences, location, entry_bytes, oldest));
        (sequence, 0)
    }

    fn release(&mut self, key: Sequence, count: u64) {
        let Some(chunk) = self.chunks.get_mut(&key) else { return };
        chunk.owed -= count;
        let (segment, free) = (chunk.segment, chunk.owed == 0);
        self.forget_owed(segment, count);
        // The newest chunk may still grow.
        if free && self.chunks.last_key_value().is_some_and(|(last, _)| *last != key) {
            self.chunks.remove(&key);
        }
    }

    fn forget_owed(&mut self, segment: u64, count: u64) {
        if let Some(owed) = self.owed_in.get_mut(&segment) {
            *owed -= count;
            if *owed == 0 {
                self.owed_in.remove(&segment);
            }
        }
    }

    /// Forgets chunks that nobody needs, and what was allocated for growth.
    pub(super) fn shrink(&mut self) {
        self.chunks.retain(|_, chunk| chunk.owed > 0);
        // The newest goes on growing.
        self.chunks.values_mut().rev().skip(1).for_each(|chunk| chunk.offsets.shrink_to_fit());
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
        let chunks = self.runs.iter().filter_map(|(key, places)| Some((index.chunks.get(key)?, places)));
        let bytes = chunks.map(|(chunk, places)| {
            places.iter().map(|(first, last)| u64::from(last - first) + 1).sum::<u64>() * chunk.bytes_each()
        });
        bytes.sum()
    }
}
