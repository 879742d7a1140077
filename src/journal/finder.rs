//! Finds where everything that is owed lies, when a journal is opened.

use std::collections::{BTreeMap, BTreeSet};

use super::chunk::Location;
use super::codec::{Entry, KeptHead, SegmentNote};
use super::disk::Disk;
use super::files::SegmentFile;
use super::index::Index;
use super::judge::{KeptIn, judge};
use super::recover::entries;
use super::replay::Replay;
use super::segment_bytes::SegmentBytes;
use super::segments::Segment;
use super::types::Lost;
use super::walk::walk;
use crate::durable::Sequence;

/// A message that was copied out of its first segment.
struct Copied {
    location: Location,
    bytes: u64,
    head: KeptHead,
}

/// Shown the segments in order of ordinals, it makes the index.
pub(super) struct Finder<'a> {
    replay: &'a Replay,
    /// Segments that are not read.
    closed: &'a BTreeSet<u64>,
    index: Index,
    last_seen: Sequence,
    /// Messages owed to consumers of whom nothing is known any more.
    pub(super) orphans: u64,
    copied: BTreeMap<Sequence, Copied>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(replay: &'a Replay, closed: &'a BTreeSet<u64>) -> Finder<'a> {
        let mut index = Index::default();
        replay.settled.keys().for_each(|consumer| index.open_queue(*consumer));
        Finder { replay, closed, index, last_seen: Sequence::ZERO, orphans: 0, copied: BTreeMap::new() }
    }

    /// Takes a segment as the checkpoint tells.
    pub(super) fn take_noted(&mut self, file: SegmentFile, note: &SegmentNote) -> Segment {
        let chunks = self.replay.chunks.values().filter(|chunk| chunk.segment == note.ordinal);
        chunks.for_each(|chunk| self.index.add_closed(chunk));
        self.last_seen = self.last_seen.max(Sequence(note.last_sequence));
        Segment::noted(file.slot, file.header, note)
    }

    /// Reads a segment. Also tells how many commits are intact, and what is lost.
    pub(super) fn read_segment<D: Disk>(
        &mut self,
        disk: &mut D,
        file: SegmentFile,
        note: &SegmentNote,
    ) -> (Segment, u64, Vec<Lost>) {
        let ordinal = file.header.ordinal;
        let mut segment = Segment::begun(file.slot, file.header);
        let mut kept_in = KeptIn::default();
        let slot = segment.slot.clone();
        let last_commit = note.next_commit.saturating_sub(1);
        let bytes = &mut SegmentBytes::new(disk, &slot);
        let walk = walk(bytes, &file.header, note.end, last_commit, |frame, body| {
            entries(&frame, body, |offset, bytes, entry| {
                let location =
                    Location { segment: ordinal, offset: u32::try_from(offset).unwrap_or(u32::MAX) };
                let bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                match entry {
                    Entry::Kept(head) if head.sequence > self.last_seen => {
                        segment.messages += 1;
                        kept_in.note(frame.offset, head.sequence);
                        self.kept(&head, location, bytes);
                    }
                    Entry::Kept(head) | Entry::Moved(head) => {
                        segment.messages += 1;
                        self.copied(head, location, bytes);
                    }
                    _ => {}
                }
            });
        });
        segment.end = walk.end;
        segment.last_commit = walk.last_commit;
        segment.has_checkpoint = walk.has_checkpoint;
        segment.last_sequence = kept_in.last().map_or(segment.header.base_sequence, |last| last.0);
        let lost = judge(&mut segment, &walk, note, &kept_in, |range| self.replay.may_be_owed(range));
        (segment, walk.commits, lost)
    }

    fn kept(&mut self, head: &KeptHead, location: Location, entry_bytes: u64) {
        self.last_seen = head.sequence;
        if self.is_elsewhere(head.sequence) {
            return;
        }
        let (key, place) = self.index.place(head.sequence, location, entry_bytes, head.accepted_at);
        self.owe(head, key, place);
    }

    /// Whether the checkpoint says that a message lies in a segment that is not read.
    fn is_elsewhere(&self, sequence: Sequence) -> bool {
        self.replay.noted_in(sequence).is_some_and(|segment| self.closed.contains(&segment))
    }

    fn owe(&mut self, head: &KeptHead, key: Sequence, place: u32) {
        let mut is_owed = false;
        for consumer in &head.consumers {
            if self.replay.is_owed(*consumer, head.sequence) {
                is_owed |= self.index.owe(*consumer, key, place, head.accepted_at);
            }
        }
        let is_orphaned = head.consumers.iter().any(|consumer| self.replay.is_orphaned(*consumer));
        self.orphans += u64::from(is_orphaned && !is_owed);
    }

    fn copied(&mut self, head: KeptHead, location: Location, bytes: u64) {
        if head.consumers.iter().any(|consumer| self.replay.is_owed(*consumer, head.sequence)) {
            self.copied.insert(head.sequence, Copied { location, bytes, head });
        }
    }

    pub(super) fn finish(&mut self) -> Index {
        for (sequence, copied) in std::mem::take(&mut self.copied) {
            // As long as the first segment is there and intact, the message is taken from it.
            if self.is_elsewhere(sequence) || self.index.has(sequence) {
                continue;
            }
            let Copied { location, bytes, head } = copied;
            let (key, place) = self.index.place_moved(sequence, location, bytes, head.accepted_at);
            self.owe(&head, key, place);
        }
        for (consumer, settled) in &self.replay.settled {
            self.index.restore_cursor(*consumer, settled.done.clone());
        }
        std::mem::take(&mut self.index)
    }
}
