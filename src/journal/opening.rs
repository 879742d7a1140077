//! Which chunks of the index know every place, and how they learn and forget them.

use super::chunk::{Chunk, Location, Places};
use super::codec::KeptHead;
use super::index::Index;
use super::ranges::Ranges;
use crate::durable::{ConsumerId, Sequence};
use crate::time::Moment;

/// Chunks of one segment that are being filled.
#[derive(Debug)]
pub(super) struct Opening {
    segment: u64,
    keys: Vec<Sequence>,
}

/// A consumer that is owed less in a chunk than was known: what is missing stood where the damage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) consumer: ConsumerId,
    pub(super) messages: u64,
}

impl Index {
    /// Somebody needs this chunk now.
    pub(super) fn touch(&mut self, key: Sequence) {
        self.clock += 1;
        if let Some(chunk) = self.chunks.get_mut(&key) {
            chunk.used = self.clock;
        }
    }

    /// Begins to open the chunks of a segment that are closed; every message of the segment must be shown then. None
    /// when there are no such chunks.
    pub(super) fn begin_opening(&mut self, segment: u64) -> Option<Opening> {
        let closed = |chunk: &Chunk| chunk.segment == segment && chunk.places.is_none();
        let chunks = self.chunks.iter_mut().filter(|(_, chunk)| closed(chunk));
        let mut keys = Vec::new();
        for (key, chunk) in chunks {
            chunk.places = Some(Places::none());
            keys.push(*key);
        }
        for key in &keys {
            let runs = self.queues.values_mut().filter_map(|queue| queue.runs.get_mut(key));
            runs.for_each(|run| run.places = Some(Ranges::default()));
        }
        (!keys.is_empty()).then_some(Opening { segment, keys })
    }

    /// A message was found in the segment; in order of their places.
    pub(super) fn found(&mut self, opening: &Opening, head: &KeptHead, offset: u32) {
        let sequence = head.sequence;
        let Some((key, chunk)) = self.chunks.range_mut(..=sequence).next_back() else { return };
        let is_of_it = chunk.segment == opening.segment && sequence <= chunk.last;
        if !is_of_it || opening.keys.binary_search(key).is_err() {
            return;
        }
        let Some(places) = chunk.places.as_mut().filter(|places| places.may_go_on(sequence, offset)) else {
            return;
        };
        let mut place = None;
        for consumer in &head.consumers {
            let Some(queue) = self.queues.get_mut(consumer) else { continue };
            let Some(run) = queue.runs.get_mut(key) else { continue };
            if !run.may_hold(sequence) || queue.done.contains(sequence.0) {
                continue;
            }
            // Only what is owed needs a place.
            let place = *place.get_or_insert_with(|| places.push(sequence, offset));
            run.found(place, head.accepted_at);
        }
    }

    /// Everything was shown: what was found is what counts. Says what is missing.
    pub(super) fn end_opening(&mut self, opening: Opening) -> Vec<Missing> {
        let mut missing = Vec::new();
        for key in opening.keys {
            self.doubtful.remove(&key);
            let mut owed_in_chunk = 0;
            for (consumer, queue) in &mut self.queues {
                let Some(run) = queue.runs.get_mut(&key) else { continue };
                let counted = run.owed;
                let known = counted - u64::from(run.is_doubtful);
                let found = run.recount(self.chunks.get(&key));
                owed_in_chunk += found;
                queue.messages = queue.messages - counted + found;
                if found < known {
                    missing.push(Missing { consumer: *consumer, messages: known - found });
                }
                if found == 0 {
                    queue.runs.remove(&key);
                }
            }
            self.set_owed(key, opening.segment, owed_in_chunk);
        }
        missing
    }

    fn set_owed(&mut self, key: Sequence, segment: u64, owed: u64) {
        let Some(chunk) = self.chunks.get_mut(&key) else { return };
        let known = std::mem::replace(&mut chunk.owed, owed);
        if owed == 0 && self.chunks.last_key_value().is_some_and(|(last, _)| *last != key) {
            self.chunks.remove(&key);
        }
        self.forget_owed(segment, known);
        if owed > 0 {
            *self.owed_in.entry(segment).or_default() += owed;
        }
    }

    /// The segment could not be read: the chunks are closed again, as they were.
    pub(super) fn give_up_opening(&mut self, opening: &Opening) {
        for key in &opening.keys {
            if let Some(chunk) = self.chunks.get_mut(key) {
                chunk.places = None;
            }
            let runs = self.queues.values_mut().filter_map(|queue| queue.runs.get_mut(key));
            runs.for_each(|run| run.places = None);
        }
    }

    /// Closes the chunks that nobody needed for the longest time, until few enough places are known.
    pub(super) fn close_idle(&mut self) {
        let newest = self.chunks.last_key_value().map(|(key, _)| *key);
        let may_close = |key: &Sequence, chunk: &Chunk| {
            chunk.places.is_some() && Some(*key) != newest && self.pinned != Some(chunk.segment)
        };
        let open = self.chunks.iter().filter(|(key, chunk)| may_close(key, chunk));
        let mut open: Vec<(u64, Sequence, usize)> =
            open.map(|(key, chunk)| (chunk.used, *key, chunk.open_places())).collect();
        let mut places: usize = open.iter().map(|(_, _, places)| places).sum();
        if places <= self.places_max {
            return;
        }
        open.sort_unstable();
        // The one that was needed last stays, however large it is.
        open.pop();
        for (_, key, of_it) in open {
            if places <= self.places_max {
                return;
            }
            self.close(key);
            places -= of_it;
        }
    }

    fn close(&mut self, key: Sequence) {
        let Some(chunk) = self.chunks.get(&key) else { return };
        for queue in self.queues.values_mut() {
            if let Some(run) = queue.runs.get_mut(&key) {
                run.close(chunk);
            }
        }
        if let Some(chunk) = self.chunks.get_mut(&key) {
            chunk.places = None;
        }
    }

    /// Forgets chunks that nobody needs, and what was allocated for growth.
    pub(super) fn shrink(&mut self) {
        self.chunks.retain(|_, chunk| chunk.owed > 0);
        // The newest goes on growing.
        let others = self.chunks.values_mut().rev().skip(1);
        others.filter_map(|chunk| chunk.places.as_mut()).for_each(Places::shrink);
        self.close_idle();
    }

    /// Messages of one segment were copied elsewhere: from now on they lie there. `moved` is in order of sequence. The
    /// chunks of the segment are open.
    pub(super) fn relocate(&mut self, from: u64, moved: &[(Sequence, Location, u64)]) {
        for key in self.chunks_of(from) {
            let Some(old) = self.chunks.remove(&key) else { continue };
            let mine = moved.iter().filter(|(sequence, ..)| (key..=old.last).contains(sequence));
            let mut owners: Vec<Vec<ConsumerId>> = Vec::new();
            for (sequence, ..) in mine.clone() {
                let place = old.place(*sequence);
                let who = self.queues.iter().filter(|(_, queue)| {
                    let places = queue.runs.get(&key).and_then(|run| run.places.as_ref());
                    places.zip(place).is_some_and(|(places, place)| places.contains(place))
                });
                owners.push(who.map(|(consumer, _)| *consumer).collect());
            }
            self.unlist(key, &old);
            for ((sequence, location, bytes), who) in mine.zip(owners) {
                if !who.is_empty() {
                    let (key, place) = self.place_moved(*sequence, *location, *bytes, old.oldest);
                    who.into_iter().for_each(|consumer| {
                        self.owe(consumer, key, place, old.oldest);
                    });
                }
            }
        }
    }

    /// Takes a chunk out of every queue.
    fn unlist(&mut self, key: Sequence, old: &Chunk) {
        for queue in self.queues.values_mut() {
            if let Some(run) = queue.runs.remove(&key) {
                queue.messages -= run.owed;
            }
        }
        self.forget_owed(old.segment, old.owed);
    }

    /// A moved message lies at `location`: it joins the chunk just before it if it also lies just behind that. Nothing
    /// else may lie between.
    pub(super) fn place_moved(
        &mut self,
        sequence: Sequence,
        location: Location,
        entry_bytes: u64,
        oldest: Moment,
    ) -> (Sequence, u32) {
        let before = self.chunks.range_mut(..sequence).next_back();
        if let Some((key, chunk)) = before.filter(|(_, chunk)| chunk.segment == location.segment)
            && chunk.places.as_ref().is_some_and(|places| places.may_go_on(sequence, location.offset))
        {
            return (*key, chunk.push(sequence, location.offset, entry_bytes));
        }
        self.chunks.insert(sequence, Chunk::begun(sequence, location, entry_bytes, oldest));
        self.touch(sequence);
        (sequence, 0)
    }
}
