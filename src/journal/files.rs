//! What the files of a journal are, by their headers.

use std::collections::BTreeMap;

use super::disk::Disk;
use super::frame::{FORMAT_VERSION, HeaderFound, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::segments::Slot;
use super::types::OpenError;

/// A file that says which segment it is.
#[derive(Debug, Clone)]
pub(super) struct SegmentFile {
    pub(super) slot: Slot,
    pub(super) header: SegmentHeader,
}

/// The files of a journal.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    /// By ordinal; whether they are still needed is not known yet.
    pub(super) segments: BTreeMap<u64, SegmentFile>,
    /// Files that hold nothing.
    pub(super) free: Vec<Slot>,
    /// Files that hold something that cannot be read at all.
    pub(super) unreadable: Vec<Slot>,
    /// The highest number in a name.
    pub(super) last_number: u64,
}

/// Reads the headers of all files.
pub(super) fn read_files<D: Disk>(disk: &mut D) -> Result<Files, OpenError> {
    let mut files = Files::default();
    for entry in disk.list()? {
        let Some(number) = Slot::number(&entry.name) else { continue };
        files.last_number = files.last_number.max(number);
        let slot = Slot { name: entry.name, bytes: entry.bytes };
        match read_header(disk, &slot)? {
            HeaderFound::Newer(found) => {
                return Err(OpenError::NewerFormat { found, known: FORMAT_VERSION });
            }
            HeaderFound::Blank => files.free.push(slot),
            HeaderFound::Damaged => files.unreadable.push(slot),
            HeaderFound::Segment(header) => {
                let file = SegmentFile { slot, header };
                // A copy of a segment is no second segment.
                if let Some(copy) = files.segments.insert(header.ordinal, file) {
                    files.free.push(copy.slot);
                }
            }
        }
    }
    Ok(files)
}

/// The header, from its first or its second place: damage is local. Where a file was being used again when the power
/// went they differ, and the younger one counts.
fn read_header<D: Disk>(disk: &mut D, slot: &Slot) -> Result<HeaderFound, OpenError> {
    let mut at = |offset: u64| {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        disk.read_at(&slot.name, offset, &mut bytes).map(|_| SegmentHeader::decode(&bytes))
    };
    let first = at(0)?;
    let second = at(SegmentHeader::tail_offset(slot.bytes))?;
    Ok(match (first, second) {
        (HeaderFound::Newer(version), _) | (_, HeaderFound::Newer(version)) => HeaderFound::Newer(version),
        (HeaderFound::Segment(first), HeaderFound::Segment(second)) => {
            HeaderFound::Segment(if second.ordinal > first.ordinal { second } else { first })
        }
        (HeaderFound::Segment(header), _) | (_, HeaderFound::Segment(header)) => HeaderFound::Segment(header),
        (HeaderFound::Blank, _) => HeaderFound::Blank,
        (HeaderFound::Damaged, _) => HeaderFound::Damaged,
    })
}

/// A whole file; shorter than it should be when it was cut.
pub(super) fn read_whole<D: Disk>(disk: &mut D, slot: &Slot) -> Result<Vec<u8>, OpenError> {
    let mut bytes = vec![0; usize::try_from(slot.bytes).unwrap_or(usize::MAX)];
    let count = disk.read_at(&slot.name, 0, &mut bytes)?;
    bytes.truncate(count);
    Ok(bytes)
}
