//! Segment headers and commit frames: the bytes that say whether other bytes can be believed.

use super::codec::{Put, Reader};
use super::options::PAGE_BYTES;

const MAGIC: [u8; 8] = *b"TIDEGATE";
/// The format that is written, and the newest that is read.
pub(super) const FORMAT_VERSION: u32 = 2;
/// Length of a segment's header; it stands in the first page and again in the last.
pub(super) const SEGMENT_HEADER_BYTES: usize = 64;
/// Length of a commit's header.
pub(super) const FRAME_HEADER_BYTES: usize = 20;
/// The commit begins with a checkpoint.
const CHECKPOINT_FLAG: u32 = 1;

/// Who a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The place of the segment in the log; never given twice.
    pub(super) ordinal: u64,
    /// Random; begins every checksum in the segment.
    pub(super) generation: u64,
    /// The number of the first commit in it.
    pub(super) first_commit: u64,
    /// The last sequence that was kept before it.
    pub(super) base_sequence: u64,
    /// The length of its file.
    pub(super) bytes: u64,
}

/// What the header page of a file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderFound {
    /// Nothing: zeros.
    Blank,
    /// A segment.
    Segment(SegmentHeader),
    /// A segment of a newer format.
    Newer(u32),
    /// Bytes that mean nothing.
    Damaged,
}

impl SegmentHeader {
    /// Layout: magic 8 · version 4 · CRC32C of all other bytes 4 · ordinal 8 · generation 8 · first commit 8 ·
    /// base sequence 8 · length of the file 8 · zeros 8.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        let numbers = [self.ordinal, self.generation, self.first_commit, self.base_sequence, self.bytes, 0];
        numbers.into_iter().for_each(|number| body.put_u64_le(number));
        let mut header = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        header.extend_from_slice(&MAGIC);
        header.put_u32_le(FORMAT_VERSION);
        header.put_u32_le(crc32c::crc32c_append(crc32c::crc32c(&header), &body));
        header.extend_from_slice(&body);
        header
    }

    pub(super) fn decode(bytes: &[u8]) -> HeaderFound {
        if bytes.iter().all(|byte| *byte == 0) {
            return HeaderFound::Blank;
        }
        SegmentHeader::parse(bytes).unwrap_or(HeaderFound::Damaged)
    }

    fn parse(bytes: &[u8]) -> Option<HeaderFound> {
        let (start, body) = bytes.get(..SEGMENT_HEADER_BYTES)?.split_at_checked(16)?;
        let mut reader = Reader::new(start);
        let magic = reader.take(MAGIC.len(), "magic").ok()?;
        let version = reader.u32_le("version").ok()?;
        let crc = reader.u32_le("checksum").ok()?;
        let expected = crc32c::crc32c_append(crc32c::crc32c(start.get(..12)?), body);
        if magic != MAGIC || crc != expected {
            return None;
        }
        if version > FORMAT_VERSION {
            return Some(HeaderFound::Newer(version));
        }
        let mut reader = Reader::new(body);
        let mut number = || reader.u64_le("header").ok();
        Some(HeaderFound::Segment(SegmentHeader {
            ordinal: number()?,
            generation: number()?,
            first_commit: number()?,
            base_sequence: number()?,
            bytes: number()?,
        }))
    }

    /// Where the second copy of the header stands, which is where the log must end.
    pub(super) fn tail_offset(bytes: u64) -> u64 {
        bytes.saturating_sub(PAGE_BYTES)
    }
}

/// A commit whose checksum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its number; one more than that of the commit before it.
    pub(super) commit: u64,
    /// Whether it begins with a checkpoint.
    pub(super) has_checkpoint: bool,
    /// Length of its entries.
    pub(super) body_bytes: usize,
}

impl Frame {
    /// Bytes from the start of the frame to the start of the next.
    pub(super) fn padded_bytes(&self) -> usize {
        padded(FRAME_HEADER_BYTES + self.body_bytes)
    }
}

/// The next multiple of a page.
pub(super) fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(usize::try_from(PAGE_BYTES).unwrap_or(4096))
}

/// An empty frame, for entries to be put after.
pub(super) fn begin_frame(out: &mut Vec<u8>) {
    out.clear();
    out.resize(FRAME_HEADER_BYTES, 0);
}

/// Fills in the header of a frame that begins at the start of `frame`, and pads it to whole pages.
///
/// Layout: CRC32C 4 · length of the entries 4 · commit 8 · flags 4 · entries · zeros. The checksum covers everything
/// after itself but the zeros, and begins with generation and offset.
pub(super) fn seal_frame(
    frame: &mut Vec<u8>,
    generation: u64,
    offset: u64,
    commit: u64,
    has_checkpoint: bool,
) {
    let body_bytes = u32::try_from(frame.len() - FRAME_HEADER_BYTES);
    let body_bytes = body_bytes.unwrap_or_else(|_| unreachable!("a commit of more than 4 GiB"));
    let mut header = Vec::with_capacity(FRAME_HEADER_BYTES);
    header.put_u32_le(body_bytes);
    header.put_u64_le(commit);
    header.put_u32_le(if has_checkpoint { CHECKPOINT_FLAG } else { 0 });
    if let Some(place) = frame.get_mut(4..FRAME_HEADER_BYTES) {
        place.copy_from_slice(&header);
    }
    let crc = crc32c::crc32c_append(seed(generation, offset), frame.get(4..).unwrap_or_default());
    if let Some(place) = frame.get_mut(..4) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
    frame.resize(padded(frame.len()), 0);
}

/// What stands where a commit may begin: not believed before it is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameHead {
    crc: u32,
    frame: Frame,
}

/// The head of a commit at the start of `bytes`, if there may be one with a number that may follow `after`. `left` is how
/// far it is from there to the end of the log.
pub(super) fn frame_head(bytes: &[u8], offset: u64, left: u64, after: u64) -> Option<FrameHead> {
    let mut reader = Reader::new(bytes);
    let crc = reader.u32_le("checksum").ok()?;
    let body_bytes = usize::try_from(reader.u32_le("length").ok()?).ok()?;
    let commit = reader.u64_le("commit").ok()?;
    let flags = reader.u32_le("flags").ok()?;
    // Cheap tests first: most pages that are looked at while a hole is searched begin no frame.
    let is_long = u64::try_from(FRAME_HEADER_BYTES + body_bytes).is_ok_and(|bytes| bytes > left);
    if commit <= after || is_long || flags > CHECKPOINT_FLAG {
        return None;
    }
    // Behind a hole the number says how many commits stood there: at most one a page.
    if commit - after > offset / PAGE_BYTES + left / PAGE_BYTES {
        return None;
    }
    let frame = Frame { commit, has_checkpoint: flags == CHECKPOINT_FLAG, body_bytes };
    Some(FrameHead { crc, frame })
}

impl FrameHead {
    /// Bytes of the frame, without the padding.
    pub(super) fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.frame.body_bytes
    }

    /// The frame, if its bytes are those of this segment and this place.
    pub(super) fn prove(self, bytes: &[u8], generation: u64, offset: u64) -> Option<Frame> {
        let covered = bytes.get(4..self.frame_bytes())?;
        let expected = crc32c::crc32c_append(seed(generation, offset), covered);
        (self.crc == expected).then_some(self.frame)
    }
}

fn seed(generation: u64, offset: u64) -> u32 {
    let generation = crc32c::crc32c(&generation.to_le_bytes());
    crc32c::crc32c_append(generation, &offset.to_le_bytes())
}
