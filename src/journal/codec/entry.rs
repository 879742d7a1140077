//! What a commit is made of: records, and the journal's own notes.

use smallvec::SmallVec;

use super::message::{put_count, put_moment, read_moment};
use super::record::{kind, put_reason, put_record, read_delivery, read_reason, read_record, read_sequence};
use super::wire::{Malformed, Put, Reader};
use crate::durable::{ConsumerId, DropReason, Record, Sequence};
use crate::time::Moment;

type Result<T> = std::result::Result<T, Malformed>;

const MOVED: u8 = 2;
const CHECKPOINT: u8 = 32;
const SEGMENT: u8 = 33;
const CURSOR: u8 = 34;
const CHECKPOINT_END: u8 = 35;
const DROPPED_RANGE: u8 = 36;
const RETIRED: u8 = 37;
const CHUNK: u8 = 38;

/// One entry of a commit. Layout: length of the rest (varint) · kind · body.
///
/// The body of `Kept` and `Moved` begins with the CRC32C of the rest of it, so that a message read back much later,
/// alone, is known to be good. It does not depend on where the entry stands: compaction copies it as it is.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::journal) enum Entry {
    /// A message was kept. Only its head is decoded.
    Kept(KeptHead),
    /// The same message again, because its first segment is to be used for something else.
    Moved(KeptHead),
    /// Any other record.
    Record(Record),
    /// A checkpoint begins: the state is empty but for these, until the records and notes that follow are applied.
    Checkpoint {
        /// The last sequence given.
        last_sequence: Sequence,
        /// The highest consumer ever named.
        last_consumer: u32,
    },
    /// In a checkpoint: an earlier segment that is still needed.
    Segment(SegmentNote),
    /// In a checkpoint: neighbours in an earlier segment, and to whom how many of them are owed.
    Chunk(ChunkNote),
    /// In a checkpoint: how far a consumer came.
    Cursor(Cursor),
    /// The checkpoint is complete.
    CheckpointEnd,
    /// Everything owed to a consumer in this range of sequences was given up.
    DroppedRange {
        /// To whom it was owed.
        consumer: ConsumerId,
        /// The first sequence.
        first: Sequence,
        /// The last sequence.
        last: Sequence,
        /// How many were owed there.
        count: u64,
        /// Why.
        reason: DropReason,
    },
    /// Nothing in that segment is needed any more: its file may be used for something else.
    Retired {
        /// Which.
        ordinal: u64,
    },
}

/// What must be known of a kept message without reading all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::journal) struct KeptHead {
    pub(in crate::journal) sequence: Sequence,
    pub(in crate::journal) consumers: SmallVec<[ConsumerId; 2]>,
    pub(in crate::journal) accepted_at: Moment,
}

/// What a checkpoint says of an earlier segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::journal) struct SegmentNote {
    pub(in crate::journal) ordinal: u64,
    /// Where its log ends: what lies behind is not part of the journal.
    pub(in crate::journal) end: u64,
    pub(in crate::journal) first_commit: u64,
    /// The number after that of the last commit in it.
    pub(in crate::journal) next_commit: u64,
    /// The last sequence kept before it.
    pub(in crate::journal) base_sequence: u64,
    /// The last sequence kept before its end.
    pub(in crate::journal) last_sequence: u64,
    /// How many of its commits are known to be damaged.
    pub(in crate::journal) damaged_commits: u64,
    /// How many messages were put there, when the chunks of the checkpoint tell everything that is owed in it. None:
    /// it must be read (format 1; or it holds copies that do not count yet).
    pub(in crate::journal) listed: Option<u64>,
}

/// What a checkpoint says of a chunk: messages of one segment, in order of sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::journal) struct ChunkNote {
    /// The ordinal of the segment.
    pub(in crate::journal) segment: u64,
    pub(in crate::journal) first: Sequence,
    pub(in crate::journal) last: Sequence,
    /// How many there are, whether they are still owed or not.
    pub(in crate::journal) messages: u64,
    /// Bytes of their entries.
    pub(in crate::journal) bytes: u64,
    /// None that is owed is older than this.
    pub(in crate::journal) oldest: Moment,
    pub(in crate::journal) owed: Vec<OwedNote>,
}

/// How many messages of a chunk are owed to a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::journal) struct OwedNote {
    pub(in crate::journal) consumer: u32,
    pub(in crate::journal) messages: u64,
    /// Nothing before this is owed,
    pub(in crate::journal) first: Sequence,
    /// nor anything after this.
    pub(in crate::journal) last: Sequence,
}

/// How far a consumer came: nothing up to `low` is owed to it, nor what is in `done`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::journal) struct Cursor {
    pub(in crate::journal) consumer: u32,
    pub(in crate::journal) low: u64,
    /// Ascending, apart from each other, above `low`; first and last are in it.
    pub(in crate::journal) done: Vec<(u64, u64)>,
}

/// Writes one of the journal's own notes.
pub(in crate::journal) fn put_note(out: &mut Vec<u8>, entry: &Entry) {
    with_length(out, |out| match entry {
        Entry::Kept(_) | Entry::Moved(_) | Entry::Record(_) => {
            unreachable!("records are written by put_record_entry and put_moved")
        }
        Entry::Checkpoint { last_sequence, last_consumer } => {
            out.put_u8(CHECKPOINT);
            out.put_varint(last_sequence.0);
            out.put_varint(u64::from(*last_consumer));
        }
        Entry::Segment(note) => {
            out.put_u8(SEGMENT);
            let commits = [note.first_commit, note.next_commit - note.first_commit];
            let sequences = [note.base_sequence, note.last_sequence - note.base_sequence];
            out.put_varint(note.ordinal);
            out.put_varint(note.end);
            commits.into_iter().chain(sequences).for_each(|number| out.put_varint(number));
            out.put_varint(note.damaged_commits);
            note.listed.into_iter().for_each(|messages| out.put_varint(messages));
        }
        Entry::Chunk(note) => {
            out.put_u8(CHUNK);
            put_chunk(out, note);
        }
        Entry::Cursor(cursor) => {
            out.put_u8(CURSOR);
            out.put_varint(u64::from(cursor.consumer));
            put_ranges(out, cursor.low, &cursor.done);
        }
        Entry::CheckpointEnd => out.put_u8(CHECKPOINT_END),
        Entry::DroppedRange { consumer, first, last, count, reason } => {
            out.put_u8(DROPPED_RANGE);
            for number in [u64::from(consumer.0), first.0, last.0, *count] {
                out.put_varint(number);
            }
            put_reason(out, *reason);
        }
        Entry::Retired { ordinal } => {
            out.put_u8(RETIRED);
            out.put_varint(*ordinal);
        }
    });
}

/// Writes a record of any kind.
pub(in crate::journal) fn put_record_entry(out: &mut Vec<u8>, record: &Record) {
    with_length(out, |out| {
        let start = out.len();
        put_record(out, record);
        if matches!(record, Record::Kept { .. }) {
            let crc = crc32c::crc32c(out.get(start + 1..).unwrap_or_default()).to_le_bytes();
            out.splice(start + 1..start + 1, crc);
        }
    });
}

/// Writes a kept message again, from the bytes of its entry as [`kept_body`] gives them.
pub(in crate::journal) fn put_moved(out: &mut Vec<u8>, body: &[u8]) {
    with_length(out, |out| {
        out.put_u8(MOVED);
        out.extend_from_slice(body);
    });
}

/// Writes what `put` writes, with its length before it.
fn with_length(out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    put(out);
    let mut length = Vec::with_capacity(5);
    put_count(&mut length, out.len() - start);
    out.splice(start..start, length);
}

/// Reads one entry.
pub(in crate::journal) fn read_entry(reader: &mut Reader<'_>) -> Result<Entry> {
    let mut reader = Reader::new(reader.slice("entry")?);
    let kind = reader.u8("kind")?;
    let entry = match kind {
        kind::KEPT => return read_head(&mut reader).map(Entry::Kept),
        MOVED => return read_head(&mut reader).map(Entry::Moved),
        CHECKPOINT => Entry::Checkpoint {
            last_sequence: read_sequence(&mut reader)?,
            last_consumer: reader.number("consumer")?,
        },
        SEGMENT => Entry::Segment(read_segment(&mut reader)?),
        CHUNK => Entry::Chunk(read_chunk(&mut reader)?),
        CURSOR => {
            let consumer = reader.number("consumer")?;
            let (low, done) = read_ranges(&mut reader)?;
            Entry::Cursor(Cursor { consumer, low, done })
        }
        CHECKPOINT_END => Entry::CheckpointEnd,
        DROPPED_RANGE => Entry::DroppedRange {
            consumer: ConsumerId(reader.number("consumer")?),
            first: read_sequence(&mut reader)?,
            last: read_sequence(&mut reader)?,
            count: reader.varint("count")?,
            reason: read_reason(&mut reader)?,
        },
        RETIRED => Entry::Retired { ordinal: reader.varint("segment")? },
        kind => Entry::Record(read_record(kind, &mut reader)?),
    };
    reader.finish("end of entry")?;
    Ok(entry)
}

fn read_segment(reader: &mut Reader<'_>) -> Result<SegmentNote> {
    let mut number = || reader.varint("segment");
    let (ordinal, end, first_commit) = (number()?, number()?, number()?);
    let next_commit = first_commit.saturating_add(number()?);
    let base_sequence = number()?;
    let last_sequence = base_sequence.saturating_add(number()?);
    let damaged_commits = number()?;
    let listed = if reader.is_empty() { None } else { Some(reader.varint("segment")?) };
    Ok(SegmentNote {
        ordinal,
        end,
        first_commit,
        next_commit,
        base_sequence,
        last_sequence,
        damaged_commits,
        listed,
    })
}

fn put_chunk(out: &mut Vec<u8>, note: &ChunkNote) {
    for number in [note.segment, note.first.0, note.last.0 - note.first.0, note.messages, note.bytes] {
        out.put_varint(number);
    }
    put_moment(out, &note.oldest);
    put_count(out, note.owed.len());
    for owed in &note.owed {
        out.put_varint(u64::from(owed.consumer));
        out.put_varint(owed.messages);
        out.put_varint(owed.first.0 - note.first.0);
        out.put_varint(note.last.0 - owed.last.0);
    }
}

fn read_chunk(reader: &mut Reader<'_>) -> Result<ChunkNote> {
    let (segment, first) = (reader.varint("chunk")?, reader.varint("chunk")?);
    let last = first.checked_add(reader.varint("chunk")?).ok_or(Malformed("chunk"))?;
    let (messages, bytes) = (reader.varint("chunk")?, reader.varint("chunk")?);
    let oldest = read_moment(reader)?;
    let owed = (0..reader.varint("chunk")?).map(|_| {
        Ok(OwedNote {
            consumer: reader.number("consumer")?,
            messages: reader.varint("chunk")?,
            first: Sequence(first.checked_add(reader.varint("chunk")?).ok_or(Malformed("chunk"))?),
            last: Sequence(last.checked_sub(reader.varint("chunk")?).ok_or(Malformed("chunk"))?),
        })
    });
    let owed = owed.collect::<Result<_>>()?;
    Ok(ChunkNote { segment, first: Sequence(first), last: Sequence(last), messages, bytes, oldest, owed })
}

fn read_head(reader: &mut Reader<'_>) -> Result<KeptHead> {
    reader.u32_le("checksum")?;
    let sequence = read_sequence(reader)?;
    let count = reader.varint("deliveries")?;
    let consumers = (0..count).map(|_| read_delivery(reader).map(|delivery| delivery.consumer));
    Ok(KeptHead { sequence, consumers: consumers.collect::<Result<_>>()?, accepted_at: read_moment(reader)? })
}

/// How long the entry is that begins here, its length itself included.
pub(in crate::journal) fn entry_length(bytes: &[u8]) -> Result<usize> {
    let mut reader = Reader::new(bytes);
    let length: usize = reader.number("length")?;
    Ok(length.saturating_add(bytes.len() - reader.rest().len()))
}

/// The body of the `Kept` or `Moved` entry that begins here, its checksum proved.
pub(in crate::journal) fn kept_body(bytes: &[u8]) -> Result<&[u8]> {
    let whole = Reader::new(bytes).slice("entry")?;
    let (kind, body) = whole.split_first().ok_or(Malformed("kind"))?;
    if !matches!(*kind, kind::KEPT | MOVED) {
        return Err(Malformed("kind"));
    }
    let mut reader = Reader::new(body);
    if reader.u32_le("checksum")? != crc32c::crc32c(reader.rest()) {
        return Err(Malformed("checksum"));
    }
    Ok(body)
}

/// The head of a body as [`kept_body`] gives it.
pub(in crate::journal) fn read_kept_head(body: &[u8]) -> Result<KeptHead> {
    read_head(&mut Reader::new(body))
}

/// Decodes a body as [`kept_body`] gives it.
pub(in crate::journal) fn read_kept(body: &[u8]) -> Result<Record> {
    let mut reader = Reader::new(body);
    reader.u32_le("checksum")?;
    let record = read_record(kind::KEPT, &mut reader)?;
    reader.finish("end of message")?;
    Ok(record)
}

/// Each number as the difference to the one before.
fn put_ranges(out: &mut Vec<u8>, low: u64, ranges: &[(u64, u64)]) {
    out.put_varint(low);
    put_count(out, ranges.len());
    let mut before = low;
    for (first, last) in ranges {
        out.put_varint(first.wrapping_sub(before));
        out.put_varint(last.wrapping_sub(*first));
        before = *last;
    }
}

fn read_ranges(reader: &mut Reader<'_>) -> Result<(u64, Vec<(u64, u64)>)> {
    let low = reader.varint("cursor")?;
    let mut before = low;
    let ranges = (0..reader.varint("cursor")?).map(|_| {
        let first = before.checked_add(reader.varint("cursor")?).ok_or(Malformed("cursor"))?;
        before = first.checked_add(reader.varint("cursor")?).ok_or(Malformed("cursor"))?;
        Ok((first, before))
    });
    Ok((low, ranges.collect::<Result<_>>()?))
}
