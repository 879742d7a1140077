//! Reading older segments when somebody needs them, or when there is time: what is damaged in them is found then.

use super::codec::Entry;
use super::disk::{Disk, read_stubbornly};
use super::frame::SEGMENT_HEADER_BYTES;
use super::journal::Journal;
use super::judge::{KeptIn, judge};
use super::recover::entries;
use super::segment_bytes::SegmentBytes;
use super::types::{Alarm, Event, Report};
use super::walk::walk;
use crate::durable::{DropReason, Sequence};

/// So many segments are read in one go, to find out whether anything in them is owed.
const DOUBTS_AT_ONCE: usize = 4;

/// The disk does not answer: perhaps later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unanswered;

impl<D: Disk> Journal<D> {
    /// What was found when the journal was opened, and since in segments that were not read then.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Reads every segment that was not yet read, and says what was found in all of them. Where the disk does not answer
    /// nothing is said.
    pub fn examine_all(&mut self) -> &Report {
        while self.examine_next() {}
        &self.report
    }

    /// Reads one segment that was not yet read; whether there was one and the disk answered.
    pub(super) fn examine_next(&mut self) -> bool {
        let mut segments = self.segments.needed.iter();
        let next = segments.find(|(_, segment)| !segment.is_examined).map(|(ordinal, _)| *ordinal);
        let Some(segment) = next else { return false };
        let is_read = self.read_through(segment).is_ok();
        self.index.close_idle();
        is_read
    }

    /// Finds out whether anything is owed where that is doubtful, in some segments at once.
    pub(super) fn resolve_doubts(&mut self) {
        for _ in 0..DOUBTS_AT_ONCE {
            let Some(key) = self.index.doubtful.pop_first() else { return };
            if self.open_chunk(key).is_err() {
                self.index.doubtful.insert(key);
                return;
            }
        }
    }

    /// Opens a chunk, if it is not open already. It may be gone then, or owe less.
    pub(super) fn open_chunk(&mut self, key: Sequence) -> Result<(), Unanswered> {
        let Some(chunk) = self.index.chunk(key) else { return Ok(()) };
        let (segment, is_open) = (chunk.segment, chunk.places.is_some());
        if !is_open {
            self.read_through(segment)?;
        }
        self.index.touch(key);
        if !is_open {
            self.index.close_idle();
        }
        Ok(())
    }

    /// Opens all chunks of a segment. They stay open until the index is asked to close what is idle.
    pub(super) fn open_segment(&mut self, segment: u64) -> Result<(), Unanswered> {
        let is_closed = |key: &Sequence| self.index.chunk(*key).is_some_and(|chunk| chunk.places.is_none());
        if self.index.chunks_of(segment).iter().any(is_closed) {
            self.read_through(segment)?;
        }
        Ok(())
    }

    /// Reads a segment from its first commit to its last.
    fn read_through(&mut self, ordinal: u64) -> Result<(), Unanswered> {
        let Some(segment) = self.segments.needed.get_mut(&ordinal) else { return Ok(()) };
        let index = &mut self.index;
        let opening = index.begin_opening(ordinal);
        let mut kept_in = KeptIn::default();
        let slot = segment.slot.clone();
        let bytes = &mut SegmentBytes::new(&mut self.disk, &slot);
        let walk = walk(bytes, &segment.header, segment.end, segment.last_commit, |frame, body| {
            entries(&frame, body, |offset, _, entry| {
                let head = match entry {
                    Entry::Kept(head) => {
                        kept_in.note(frame.offset, head.sequence);
                        head
                    }
                    Entry::Moved(head) => head,
                    _ => return,
                };
                if let (Some(opening), Ok(offset)) = (&opening, u32::try_from(offset)) {
                    index.found(opening, &head, offset);
                }
            });
        });
        if bytes.failures() > 0 {
            // Bad sectors, or the whole disk? Its first bytes may tell.
            let mut header = [0; SEGMENT_HEADER_BYTES];
            if read_stubbornly(&mut self.disk, &slot.name, 0, &mut header).is_err() {
                opening.iter().for_each(|opening| index.give_up_opening(opening));
                return Err(Unanswered);
            }
        }
        let note = segment.note();
        let lost = judge(segment, &walk, &note, &kept_in, |range| index.may_be_owed(range));
        segment.is_examined = true;
        let missing = opening.map(|opening| index.end_opening(opening)).unwrap_or_default();
        debug_assert!(
            missing.is_empty() || !lost.is_empty(),
            "{missing:?} in segment {ordinal} without damage"
        );
        if !lost.is_empty() {
            // The next commit begins a segment, with a checkpoint that knows of the damage.
            self.segments.active = None;
        }
        for lost in lost {
            self.report.lost.push(lost);
            self.events.push(Event::Alarm(Alarm::Lost(lost)));
        }
        for missing in missing {
            let (consumer, count) = (missing.consumer, missing.messages);
            self.events.push(Event::Dropped { consumer, count, reason: DropReason::Damaged });
        }
        Ok(())
    }
}
