//! The bytes of one segment's file, read through a window, so that the length of a segment does not matter to memory.

use super::disk::{Disk, read_stubbornly};
use super::frame::{FRAME_HEADER_BYTES, Frame, frame_head};
use super::options::PAGE_BYTES;
use super::segments::Slot;

/// Bytes read at once, but for commits that are longer.
const WINDOW_BYTES: usize = 128 * 1024;

/// One segment's file. Pages that cannot be read are zeros.
pub(super) struct SegmentBytes<'a, D> {
    disk: &'a mut D,
    slot: &'a Slot,
    /// Where the window begins.
    start: u64,
    window: Vec<u8>,
    /// Reads that failed to the end.
    failures: u64,
}

impl<'a, D: Disk> SegmentBytes<'a, D> {
    pub(super) fn new(disk: &'a mut D, slot: &'a Slot) -> SegmentBytes<'a, D> {
        SegmentBytes { disk, slot, start: 0, window: Vec::new(), failures: 0 }
    }

    /// How long the file is.
    pub(super) fn len(&self) -> u64 {
        self.slot.bytes
    }

    /// How many pages could not be read.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    /// So many bytes from `offset` on; fewer at the end of the file.
    pub(super) fn at(&mut self, offset: u64, length: usize) -> &[u8] {
        if self.held(offset).is_none_or(|held| held.len() < length) {
            self.read(offset, length);
        }
        let held = self.held(offset).unwrap_or_default();
        held.get(..length).unwrap_or(held)
    }

    /// The commit that begins at `offset`, if there is one with a number that may follow `after`; `left` is how far it
    /// is to the end of the log.
    pub(super) fn frame(&mut self, offset: u64, left: u64, generation: u64, after: u64) -> Option<Frame> {
        let head = frame_head(self.at(offset, FRAME_HEADER_BYTES), offset, left, after)?;
        let whole = self.at(offset, head.frame_bytes());
        head.prove(whole, generation, offset)
    }

    fn held(&self, offset: u64) -> Option<&[u8]> {
        let start = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.window.get(start..)
    }

    fn read(&mut self, offset: u64, length: usize) {
        let left = usize::try_from(self.len().saturating_sub(offset)).unwrap_or(usize::MAX);
        self.start = offset;
        self.window.resize(length.max(WINDOW_BYTES).min(left), 0);
        match read_stubbornly(self.disk, &self.slot.name, offset, &mut self.window) {
            Ok(count) => self.window.truncate(count),
            Err(_) => self.read_page_by_page(),
        }
    }

    fn read_page_by_page(&mut self) {
        let mut offset = self.start;
        for page in self.window.chunks_mut(usize::try_from(PAGE_BYTES).unwrap_or(4096)) {
            if read_stubbornly(self.disk, &self.slot.name, offset, page).is_err() {
                page.fill(0);
                self.failures += 1;
            }
            offset += PAGE_BYTES;
        }
    }
}
