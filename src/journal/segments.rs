//! The files of the journal: which are needed, which are free.

use std::collections::BTreeMap;

use super::codec::SegmentNote;
use super::frame::SegmentHeader;
use super::options::PAGE_BYTES;

const SUFFIX: &str = ".segment";

/// A file that holds a segment, or may hold one. Its name means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) bytes: u64,
}

impl Slot {
    /// The name of the file with this number.
    pub(super) fn name(number: u64) -> String {
        format!("{number:06}{SUFFIX}")
    }

    /// The number in the name of a file, if it is one of the journal's.
    pub(super) fn number(name: &str) -> Option<u64> {
        name.strip_suffix(SUFFIX)?.parse().ok()
    }
}

/// A segment that is still needed.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) slot: Slot,
    pub(super) header: SegmentHeader,
    /// Where its log ends.
    pub(super) end: u64,
    pub(super) last_commit: u64,
    pub(super) last_sequence: u64,
    pub(super) damaged_commits: u64,
    /// Whether it begins with a checkpoint.
    pub(super) has_checkpoint: bool,
    /// How many messages were put there.
    pub(super) messages: u64,
    /// Whether a note that it is free waits to be written.
    pub(super) is_retiring: bool,
    /// Whether all of it was written or read by this run: damage in it is known.
    pub(super) is_examined: bool,
}

impl Segment {
    pub(super) fn begun(slot: Slot, header: SegmentHeader) -> Segment {
        Segment {
            slot,
            header,
            end: PAGE_BYTES,
            last_commit: header.first_commit.saturating_sub(1),
            last_sequence: header.base_sequence,
            damaged_commits: 0,
            has_checkpoint: false,
            messages: 0,
            is_retiring: false,
            is_examined: true,
        }
    }

    /// As a checkpoint tells, without a look at what is in it.
    pub(super) fn noted(slot: Slot, header: SegmentHeader, note: &SegmentNote) -> Segment {
        Segment {
            end: note.end.min(SegmentHeader::tail_offset(header.bytes)),
            last_commit: note.next_commit.saturating_sub(1),
            last_sequence: note.last_sequence,
            damaged_commits: note.damaged_commits,
            messages: note.listed.unwrap_or(0),
            is_examined: false,
            ..Segment::begun(slot, header)
        }
    }

    /// Bytes that a commit may still take.
    pub(super) fn room(&self) -> u64 {
        SegmentHeader::tail_offset(self.header.bytes).saturating_sub(self.end)
    }

    pub(super) fn note(&self) -> SegmentNote {
        SegmentNote {
            ordinal: self.header.ordinal,
            end: self.end,
            first_commit: self.header.first_commit,
            next_commit: self.last_commit + 1,
            base_sequence: self.header.base_sequence,
            last_sequence: self.last_sequence.max(self.header.base_sequence),
            damaged_commits: self.damaged_commits,
            listed: Some(self.messages),
        }
    }
}

/// Every file of the journal.
#[derive(Debug, Clone, Default)]
pub(super) struct Segments {
    /// By ordinal.
    pub(super) needed: BTreeMap<u64, Segment>,
    pub(super) free: Vec<Slot>,
    /// A file that says it is the last segment, and holds none that counts. It stays until a later one is on disk: were it
    /// removed, a power cut could bring it back, when its ordinal is another's.
    pub(super) mark: Option<Slot>,
    /// The one that is written to; none before the first commit of a run.
    pub(super) active: Option<u64>,
    pub(super) next_number: u64,
    pub(super) next_ordinal: u64,
}

impl Segments {
    pub(super) fn active(&self) -> Option<&Segment> {
        self.needed.get(&self.active?)
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.needed.values().map(|segment| segment.slot.bytes).sum()
    }

    /// Bytes of segments of which it is not known whether they are damaged.
    pub(super) fn unexamined_bytes(&self) -> u64 {
        let unexamined = self.needed.values().filter(|segment| !segment.is_examined);
        unexamined.map(|segment| segment.slot.bytes).sum()
    }

    pub(super) fn file_bytes(&self) -> u64 {
        self.used_bytes() + self.free.iter().chain(&self.mark).map(|slot| slot.bytes).sum::<u64>()
    }

    /// The ordinal from which on segments stay whatever they hold: the second newest checkpoint, so that damage to
    /// the newest loses nothing. Everything stays while there are fewer than two.
    pub(super) fn pinned_from(&self) -> u64 {
        let checkpoints = self.needed.values().rev().filter(|segment| segment.has_checkpoint);
        checkpoints.map(|segment| segment.header.ordinal).nth(1).unwrap_or(0)
    }

    /// A free file of at least `bytes`, the smallest that will do.
    pub(super) fn take_free(&mut self, bytes: u64) -> Option<Slot> {
        let fits = self.free.iter().enumerate().filter(|(_, slot)| slot.bytes >= bytes);
        let (index, _) = fits.min_by_key(|(_, slot)| slot.bytes)?;
        Some(self.free.swap_remove(index))
    }

    pub(super) fn fresh_name(&mut self) -> String {
        self.next_number += 1;
        Slot::name(self.next_number)
    }
}
