//! Going through the commits of one segment, over damage and up to its end.

use super::disk::Disk;
use super::frame::{FRAME_HEADER_BYTES, Frame, SegmentHeader};
use super::options::PAGE_BYTES;
use super::segment_bytes::SegmentBytes;

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
    /// How many commits are intact.
    pub(super) commits: u64,
    /// The last of them.
    pub(super) last: Option<FrameAt>,
    /// Whether the first begins with a checkpoint.
    pub(super) has_checkpoint: bool,
    /// The damage between them.
    pub(super) holes: Vec<Hole>,
    /// The number of the last intact commit; one less than the first when there is none.
    pub(super) last_commit: u64,
    /// Where the log ends.
    pub(super) end: u64,
    /// How many bytes behind the end look like the start of the commit that would be next.
    pub(super) torn_bytes: u64,
}

/// Walks through a segment up to `end` and up to `last_commit`, and shows every intact commit with its entries. The file
/// may be shorter than it should be.
pub(super) fn walk<D: Disk>(
    bytes: &mut SegmentBytes<'_, D>,
    header: &SegmentHeader,
    end: u64,
    last_commit: u64,
    mut visit: impl FnMut(FrameAt, &[u8]),
) -> Walk {
    let end = end.min(SegmentHeader::tail_offset(header.bytes));
    let log_end = end.min(bytes.len());
    let before = header.first_commit.saturating_sub(1);
    let mut walk = Walk { last_commit: before, end: PAGE_BYTES, ..Walk::default() };
    let mut offset = PAGE_BYTES;
    while offset < log_end {
        let found = bytes.frame(offset, log_end - offset, header.generation, walk.last_commit);
        let Some(frame) = found else {
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
        walk.has_checkpoint |= walk.commits == 0 && frame.has_checkpoint;
        walk.last_commit = frame.commit;
        walk.end = found.end();
        walk.last = Some(found);
        walk.commits += 1;
        offset = walk.end;
        let whole = bytes.at(found.offset, FRAME_HEADER_BYTES + frame.body_bytes);
        visit(found, whole.get(FRAME_HEADER_BYTES..).unwrap_or_default());
    }
    let is_cut = walk.end < log_end && walk.last_commit < last_commit;
    if is_cut && begins_commit(bytes.at(walk.end, 16), walk.last_commit + 1) {
        walk.torn_bytes = end - walk.end;
    }
    walk
}

/// Whether a frame header with this number stands here, its checksum aside.
fn begins_commit(bytes: &[u8], commit: u64) -> bool {
    bytes.get(8..16) == Some(commit.to_le_bytes().as_slice())
}
