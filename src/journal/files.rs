//! What the files of a journal are, by their headers.

use std::collections::BTreeMap;

use super::disk::{Disk, read_stubbornly};
use super::frame::{FORMAT_VERSION, HeaderFound, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::options::PAGE_BYTES;
use super::segment_bytes::SegmentBytes;
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
        match read_header(disk, &slot) {
            HeaderFound::Newer(found) => {
                return Err(OpenError::NewerFormat { found, known: FORMAT_VERSION });
            }
            HeaderFound::Blank => files.free.push(slot),
            // The write that was to begin a segment ended within the header: there never was anything.
            HeaderFound::Damaged if is_blank_behind_header(disk, &slot) => files.free.push(slot),
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

fn is_blank_behind_header<D: Disk>(disk: &mut D, slot: &Slot) -> bool {
    let mut bytes = SegmentBytes::new(disk, slot);
    let page = usize::try_from(PAGE_BYTES).unwrap_or(4096);
    let mut skipped = SEGMENT_HEADER_BYTES;
    let is_blank = (0..slot.bytes).step_by(page).all(|offset| {
        let skipped = std::mem::take(&mut skipped);
        bytes.at(offset, page).iter().skip(skipped).all(|byte| *byte == 0)
    });
    is_blank && bytes.failures() == 0
}

/// The header, from its first or its second place: damage is local. Where a file was being used again when the power
/// went they differ, and the younger one counts.
pub(super) fn read_header<D: Disk>(disk: &mut D, slot: &Slot) -> HeaderFound {
    let mut at = |offset: u64| {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        match read_stubbornly(disk, &slot.name, offset, &mut bytes) {
            Ok(_) => SegmentHeader::decode(&bytes),
            Err(_) => HeaderFound::Damaged,
        }
    };
    let first = at(0);
    let second = at(SegmentHeader::tail_offset(slot.bytes));
    match (first, second) {
        (HeaderFound::Newer(version), _) | (_, HeaderFound::Newer(version)) => HeaderFound::Newer(version),
        (HeaderFound::Segment(first), HeaderFound::Segment(second)) => {
            HeaderFound::Segment(if second.ordinal > first.ordinal { second } else { first })
        }
        (HeaderFound::Segment(header), _) | (_, HeaderFound::Segment(header)) => HeaderFound::Segment(header),
        (HeaderFound::Blank, _) => HeaderFound::Blank,
        (HeaderFound::Damaged, _) => HeaderFound::Damaged,
    }
}
