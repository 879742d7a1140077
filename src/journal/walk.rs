//! Going through the commits of one segment, over damage and up to its end.

use super::frame::{FRAME_HEADER_BYTES, Frame, SegmentHeader, check_frame};
use super::options::PAGE_BYTES;

/// A commit at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameAt {
    /// Where the frame begins.
    pub(super) offset: u64,
    /// What it is.
    pub(super) frame: Frame,
}

impl FrameAt {
    /// Where its entries begin.
    pub(super) fn body_offset(&self) -> u64 {
        self.offset + u64::try_from(FRAME_HEADER_BYTES).unwrap_or_default()
    }

    /// Where the next frame begins.
    pub(super) fn end(&self) -> u64 {
        self.offset + u64::try_from(self.frame.padded_bytes()).unwrap_or(u64::MAX)
    }

    /// Its entries in the bytes of the whole segment.
    pub(super) fn body<'a>(&self, segment: &'a [u8]) -> &'a [u8] {
        let start = usize::try_from(self.body_offset()).unwrap_or(usize::MAX);
        segment.get(start..start.saturating_add(self.frame.body_bytes)).unwrap_or_default()
    }
}

/// Pages that hold no commit although commits stand behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hole {
    /// Where it begins.
    pub(super) offset: u64,
    /// How long it is.
    pub(super) bytes: u64,
    /// How many commits stood there.
    pub(super) commits: u64,
}

/// What was found in a segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Walk {
    /// The intact commits, in order.
    pub(super) frames: Vec<FrameAt>,
    /// The damage between them.
    pub(super) holes: Vec<Hole>,
    /// The number of the last intact commit; one less than the first when there is none.
    pub(super) last_commit: u64,
    /// Where the log ends.
    pub(super) end: u64,
    /// How many bytes behind the end look like the start of the commit that would be next.
    pub(super) torn_bytes: u64,
}

/// Walks through a segment up to `end` and up to `last_commit`. `bytes` is its file, which may be shorter than it
/// should be.
pub(super) fn walk(bytes: &[u8], header: &SegmentHeader, end: u64, last_commit: u64) -> Walk {
    let end = end.min(SegmentHeader::tail_offset(header.bytes));
    let log = bytes.get(..usize::try_from(end).unwrap_or(usize::MAX)).unwrap_or(bytes);
    let at = |offset: u64| log.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
    let before = header.first_commit.saturating_sub(1);
    let mut walk = Walk { last_commit: before, end: PAGE_BYTES, ..Walk::default() };
    let mut offset = PAGE_BYTES;
    while !at(offset).is_empty() {
        let Some(frame) = check_frame(at(offset), header.generation, offset, walk.last_commit) else {
            offset += PAGE_BYTES;
            continue;
        };
        if frame.commit > last_commit {
            break;
        }
        let skipped = frame.commit - walk.last_commit - 1;
        if skipped > 0 {
            let bytes = offset - walk.end;
            walk.holes.push(Hole { offset: walk.end, bytes, commits: skipped });
        }
        let found = FrameAt { offset, frame };
        walk.last_commit = frame.commit;
        walk.end = found.end();
        offset = walk.end;
        walk.frames.push(found);
    }
    if walk.last_commit < last_commit && begins_commit(at(walk.end), walk.last_commit + 1) {
        walk.torn_bytes = end - walk.end;
    }
    walk
}

/// Whether a frame header with this number stands here, its checksum aside.
fn begins_commit(bytes: &[u8], commit: u64) -> bool {
    bytes.get(8..16) == Some(commit.to_le_bytes().as_slice())
}
