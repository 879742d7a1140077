//! Making room: segments that nobody needs, messages copied out of segments that hardly anybody needs.

use std::collections::BTreeSet;

use super::chunk::Location;
use super::codec::Entry;
use super::disk::Disk;
use super::journal::Journal;
use super::load::{Block, Unreadable};
use super::options::WhenFull;
use super::segments::{Segment, Slot};
use super::types::Event;
use crate::durable::{ConsumerId, DropReason, JournalHealth, Sequence};
use crate::time::Moment;

/// Free files that are kept ready: with fewer there is no room for what is new. They also are what acknowledgements
/// and copies are written to when the journal is full.
const SPARE_SEGMENTS: u64 = 2;
/// More free files than this are removed.
const SPARE_SEGMENTS_MAX: usize = 4;
/// Messages whose age is looked at in one go.
const AGED_AT_ONCE: u32 = 10_000;

/// Messages that are being copied out of a segment.
#[derive(Debug)]
pub(super) struct Compaction {
    from: u64,
    expected: usize,
    /// Copies that are on disk.
    pub(super) moved: Vec<(Sequence, Location, u64)>,
}

impl<D: Disk> Journal<D> {
    /// Looks after age, quota and files; call it about once a second, and when [`Journal::wants_tending`].
    pub fn tend(&mut self, now: Moment) -> Vec<Event> {
        self.resolve_doubts();
        self.drop_aged(&now);
        self.keep_to_ages(&now);
        self.make_room(now);
        if self.wants_tending(now)
            && let Ok(slot) = self.create_slot(now, self.options.segment_bytes)
        {
            self.segments.free.push(slot);
        }
        self.remove_spare();
        self.examine_next();
        self.index.shrink();
        std::mem::take(&mut self.events)
    }

    /// Whether a spare segment is missing that could be there.
    #[must_use]
    pub fn wants_tending(&self, now: Moment) -> bool {
        let may_ask = self.refused.is_none_or(|refused| refused.until <= now.monotonic);
        may_ask && count(self.segments.free.len()) < SPARE_SEGMENTS && self.creatable(now) > 0
    }

    /// How many more files there may be.
    fn creatable(&self, now: Moment) -> u64 {
        // A disk that fails for another reason has the room all the same.
        if self.refused.is_some_and(|refused| refused.is_full && now.monotonic < refused.until) {
            return 0;
        }
        let left = self.options.max_bytes.saturating_sub(self.segments.file_bytes());
        left / self.options.segment_bytes
    }

    /// How many more segments can be begun.
    fn room(&self, now: Moment) -> u64 {
        let retiring = self.segments.needed.values().filter(|segment| segment.is_retiring).count();
        count(self.segments.free.len() + retiring) + self.creatable(now)
    }

    /// Finds out whether there is room, and makes some if not.
    pub(super) fn make_room(&mut self, now: Moment) {
        self.keep_to_quotas();
        self.retire();
        self.compact_if_worth_it(now);
        while self.must_drop(now) {
            let is_thinned = self.keeps_latest() && self.compaction.is_none() && self.thin_out(now);
            if !is_thinned && (self.keeps_latest() && self.compaction.is_some() || !self.drop_oldest(now)) {
                break;
            }
        }
        let room = self.room(now);
        match self.health {
            JournalHealth::Accepting if room < SPARE_SEGMENTS => self.set_health(JournalHealth::Full),
            JournalHealth::Full if room > SPARE_SEGMENTS => self.set_health(JournalHealth::Accepting),
            _ => {}
        }
    }

    /// Whether what is old must go. On a disk that takes nothing that would make no room, and would not be known after
    /// a crash: what was given up would come back, behind what is younger.
    fn must_drop(&self, now: Moment) -> bool {
        matches!(self.options.when_full, WhenFull::DropOldest | WhenFull::KeepLatest)
            && self.health != JournalHealth::Dead
            && self.room(now) < SPARE_SEGMENTS
    }

    /// Notes segments in which nothing is owed: their files are free when the note is on disk.
    pub(super) fn retire(&mut self) {
        let pinned = self.segments.pinned_from();
        let copies: Option<u64> = self.compaction.as_ref().and_then(Compaction::first_destination);
        for (ordinal, segment) in self.segments.needed.range_mut(..pinned) {
            let receives_copies = copies.is_some_and(|first| *ordinal >= first);
            if !segment.is_retiring && self.index.owed_in(*ordinal) == 0 && !receives_copies {
                segment.is_retiring = true;
                self.pending.note(Entry::Retired { ordinal: *ordinal });
            }
        }
    }

    /// A segment's note is on disk.
    pub(super) fn retired(&mut self, ordinal: u64) {
        if let Some(segment) = self.segments.needed.remove(&ordinal) {
            if segment.slot.bytes == self.options.segment_bytes {
                self.segments.free.push(segment.slot);
            } else {
                let _ = self.disk.remove(&segment.slot.name);
            }
        }
    }

    fn remove_spare(&mut self) {
        let is_over = self.segments.file_bytes() > self.options.max_bytes;
        let keep = if is_over { usize::try_from(SPARE_SEGMENTS).unwrap_or(2) } else { SPARE_SEGMENTS_MAX };
        let own_size = self.options.segment_bytes;
        let (mut free, mut surplus): (Vec<Slot>, Vec<Slot>) =
            self.segments.free.drain(..).partition(|slot| slot.bytes == own_size);
        surplus.extend(free.drain(keep.min(free.len())..));
        self.segments.free = free;
        for slot in surplus {
            // It comes back as a free file at the next start if it could not be removed.
            let _ = self.disk.remove(&slot.name);
        }
    }

    /// Copies what is owed out of the segment with the least of it, when half of the room is used.
    fn compact_if_worth_it(&mut self, now: Moment) {
        if self.compaction.is_some() || self.segments.used_bytes() <= self.options.max_bytes / 2 {
            return;
        }
        let pinned = self.segments.pinned_from();
        let owed = |segment: &Segment| self.index.owed_in(segment.header.ordinal);
        let sealed = self.segments.needed.range(..pinned).map(|(_, segment)| segment);
        let sparse = sealed.filter(|segment| !segment.is_retiring && owed(segment) * 2 < segment.messages);
        let least = sparse.min_by_key(|segment| owed(segment)).map(|segment| segment.header.ordinal);
        if let Some(ordinal) = least {
            self.compact(now, ordinal);
        }
    }

    /// Appends a copy of everything that is owed in a segment.
    pub(super) fn compact(&mut self, now: Moment, from: u64) {
        if self.open_segment(from).is_err() {
            return;
        }
        let mut block = Block::default();
        let mut copies = Vec::new();
        for (sequence, location) in self.index.live_in(from) {
            match self.read_body(location, &mut block) {
                Ok(body) => copies.push((sequence, body.to_vec())),
                Err(Unreadable::Disk) => return,
                Err(Unreadable::Damaged(error)) => {
                    for consumer in self.index.owners(sequence) {
                        self.give_up_damaged(consumer, sequence, location, error.clone());
                    }
                }
            }
        }
        if !copies.is_empty() {
            self.index.pinned = Some(from);
            self.compaction = Some(Compaction { from, expected: copies.len(), moved: Vec::new() });
        }
        for (sequence, body) in copies {
            self.pending.copy(now.monotonic, sequence, &body);
        }
    }

    /// When all copies are on disk, they are what counts.
    pub(super) fn finish_compaction(&mut self) {
        if let Some(compaction) = self.compaction.take_if(|compaction| compaction.is_complete()) {
            self.index.relocate(compaction.from, &compaction.moved);
            self.index.pinned = None;
            for (_, location, _) in &compaction.moved {
                if let Some(segment) = self.segments.needed.get_mut(&location.segment) {
                    segment.messages += 1;
                }
            }
        }
    }

    /// Gives up what is owed in the segment with the oldest messages, but for what was handed out: that is copied.
    /// Whether there was anything to give up.
    fn drop_oldest(&mut self, now: Moment) -> bool {
        let oldest = self.oldest_segments();
        oldest.into_iter().any(|segment| self.drop_segment(now, segment))
    }

    /// Segments out of which something may be given up, in the order of the first that is owed in them.
    pub(super) fn oldest_segments(&self) -> Vec<u64> {
        let pinned = self.segments.pinned_from();
        let mut oldest: Vec<u64> = Vec::new();
        for (_, chunk) in self.index.chunks() {
            let segment = self.segments.needed.get(&chunk.segment);
            let may_go = chunk.segment < pinned && segment.is_some_and(|segment| !segment.is_retiring);
            if may_go && !oldest.contains(&chunk.segment) {
                oldest.push(chunk.segment);
            }
        }
        oldest
    }

    fn drop_segment(&mut self, now: Moment, segment: u64) -> bool {
        let before = self.index.owed_in(segment);
        if self.open_segment(segment).is_err() {
            return false;
        }
        for key in self.index.chunks_of(segment) {
            self.give_up_places(key, 0, u32::MAX, DropReason::JournalFull);
        }
        let after = self.index.owed_in(segment);
        if after > 0 && after < before && self.compaction.is_none() {
            self.compact(now, segment);
        }
        self.retire();
        after < before
    }

    /// Gives up what is owed of a chunk from place `from` up to place `to`, which is not among them, but for what was
    /// handed out.
    fn give_up_places(&mut self, key: Sequence, from: u32, to: u32, reason: DropReason) {
        let consumers: Vec<ConsumerId> = self.index.queues().map(|(consumer, _)| consumer).collect();
        for consumer in consumers {
            let owed = self.index.owed_in_chunk(consumer, key, from, to);
            if owed.is_empty() {
                continue;
            }
            let (loaded_through, assigned) = self.handed_out(consumer);
            let is_out = |sequence: &Sequence| *sequence <= loaded_through || assigned.contains(sequence);
            for run in owed.split(is_out) {
                self.give_up(consumer, run, reason);
            }
        }
    }

    /// Up to where a consumer has loaded, and which deliveries have packet identifiers.
    pub(super) fn handed_out(&self, consumer: ConsumerId) -> (Sequence, BTreeSet<Sequence>) {
        let loaded_through = self.index.queue(consumer).map_or(Sequence::ZERO, |queue| queue.loaded_through);
        let session = self.state.sessions.get(&consumer).map(|session| &session.assigned);
        let assigned = session.or_else(|| self.state.uplinks.get(&consumer).map(|uplink| &uplink.assigned));
        let assigned = assigned.into_iter().flat_map(|assigned| assigned.values());
        (loaded_through, assigned.map(|assigned| assigned.sequence).collect())
    }

    /// Gives up what is older than `max_age`.
    fn drop_aged(&mut self, now: &Moment) {
        let Some(max_age) = self.options.max_age else { return };
        let is_old = |accepted_at: &Moment| now.since(accepted_at).is_some_and(|age| age > max_age);
        let old = self.index.chunks().take_while(|(_, chunk)| is_old(&chunk.oldest));
        let keys: Vec<Sequence> = old.map(|(key, _)| key).collect();
        for key in keys {
            if self.open_chunk(key).is_err() {
                return;
            }
            let places = self.index.chunk(key).and_then(|chunk| Some((chunk, chunk.places.as_ref()?)));
            let Some((chunk, places)) = places else { continue };
            let (from, mut to) = (places.aged, places.aged);
            let last = places.len().min(from.saturating_add(AGED_AT_ONCE));
            let places: Vec<Location> = (from..last).filter_map(|place| chunk.location(place)).collect();
            let mut block = Block::default();
            let mut oldest = None;
            for location in places {
                oldest = self.accepted_at(location, &mut block);
                if !oldest.as_ref().is_none_or(is_old) {
                    break;
                }
                to += 1;
            }
            if let Some(chunk) = self.index.chunk_mut(key) {
                chunk.oldest = oldest.unwrap_or(chunk.oldest);
                chunk.places.iter_mut().for_each(|places| places.aged = to);
            }
            self.give_up_places(key, from, to, DropReason::TooOld);
        }
    }
}

impl Compaction {
    fn is_complete(&self) -> bool {
        self.moved.len() == self.expected
    }

    /// Copies that are on disk and not yet counted lie here or later.
    pub(super) fn first_destination(&self) -> Option<u64> {
        self.moved.first().map(|(_, location, _)| location.segment)
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
