//! Compares what a segment holds with what it should, and says what is lost.

use std::ops::Range;

use super::codec::SegmentNote;
use super::frame::SegmentHeader;
use super::segments::Segment;
use super::types::{Lost, Place};
use super::walk::{Hole, Walk};
use crate::durable::Sequence;

/// The first and the last message that were kept in each commit of a segment.
#[derive(Debug, Default)]
pub(super) struct KeptIn(Vec<(u64, Sequence, Sequence)>);

impl KeptIn {
    /// A message was kept in the commit at `offset`; in order.
    pub(super) fn note(&mut self, offset: u64, sequence: Sequence) {
        match self.0.last_mut().filter(|(last, ..)| *last == offset) {
            Some((.., last)) => *last = sequence,
            None => self.0.push((offset, sequence, sequence)),
        }
    }

    pub(super) fn last(&self) -> Option<Sequence> {
        self.0.last().map(|(.., last)| *last)
    }

    fn before(&self, offset: u64) -> Option<Sequence> {
        self.0.iter().rev().find(|(at, ..)| *at < offset).map(|(.., last)| *last)
    }

    fn after(&self, offset: u64) -> Option<Sequence> {
        self.0.iter().find(|(at, ..)| *at > offset).map(|(_, first, _)| *first)
    }
}

/// `note` is what the segment should hold. `may_be_owed` tells how many of these sequences somebody may be owed. The
/// segment knows of its damage afterwards.
pub(super) fn judge(
    segment: &mut Segment,
    walk: &Walk,
    note: &SegmentNote,
    kept_in: &KeptIn,
    may_be_owed: impl Fn(Range<u64>) -> u64,
) -> Vec<Lost> {
    let next_commit = if note.next_commit == u64::MAX { walk.last_commit + 1 } else { note.next_commit };
    let missing = next_commit.saturating_sub(note.first_commit).saturating_sub(walk.commits);
    segment.damaged_commits = missing;
    segment.last_commit = segment.last_commit.max(next_commit - 1);
    segment.last_sequence = segment.last_sequence.max(note.last_sequence);
    if missing <= note.damaged_commits {
        return Vec::new();
    }
    let mut holes = walk.holes.clone();
    let in_holes: u64 = holes.iter().map(|hole| hole.commits).sum();
    if missing > in_holes {
        let end = note.end.min(SegmentHeader::tail_offset(segment.header.bytes));
        let bytes = end.saturating_sub(walk.end);
        holes.push(Hole { offset: walk.end, bytes, commits: missing - in_holes });
    }
    let lost = holes.into_iter().map(|hole| {
        let before = kept_in.before(hole.offset).map_or(note.base_sequence, |before| before.0);
        let after = kept_in.after(hole.offset).map_or(segment.last_sequence + 1, |after| after.0);
        let place = Place { segment: note.ordinal, offset: hole.offset, bytes: hole.bytes };
        Lost { place, commits: hole.commits, messages: may_be_owed(before + 1..after) }
    });
    lost.collect()
}
