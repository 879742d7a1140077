//! Reading a journal back: the newest checkpoint, what came after it, and where everything that is owed lies. Only
//! reads.

use std::collections::{BTreeMap, BTreeSet};

use super::codec::{Entry, Reader, SegmentNote, entry_length, kept_body, read_entry, read_kept};
use super::disk::Disk;
use super::files::{SegmentFile, read_files};
use super::finder::Finder;
use super::frame::SegmentHeader;
use super::index::Index;
use super::options::PAGE_BYTES;
use super::pending::What;
use super::replay::Replay;
use super::segment_bytes::SegmentBytes;
use super::segments::{Segment, Segments, Slot};
use super::types::{Lost, OpenError, Place, Report};
use super::walk::{FrameAt, walk};
use crate::durable::{Record, Sequence, State};

/// What a journal holds.
#[derive(Debug)]
pub(super) struct Found {
    /// What everything but the last commit makes.
    pub(super) state: State,
    pub(super) index: Index,
    pub(super) segments: Segments,
    /// What stands in the last commit. It may have been read from memory only, by a process that started after another
    /// one was killed between a write and its sync: it must be written again before anybody relies on it.
    pub(super) tail: Vec<What>,
    pub(super) next_commit: u64,
    pub(super) report: Report,
}

/// Where the last commit stands.
#[derive(Debug, Clone, Copy)]
struct TailAt {
    segment: u64,
    frame: FrameAt,
}

/// Reads the journal on `disk`: what came since the newest checkpoint, and of what is older only what that checkpoint
/// cannot tell.
pub(super) fn recover<D: Disk>(disk: &mut D) -> Result<Found, OpenError> {
    let mut files = read_files(disk)?;
    let unreadable_files = files.unreadable.iter().map(|slot| slot.name.clone()).collect();
    let mut report = Report { unreadable_files, ..Report::default() };
    let start = find_checkpoint(disk, &files.segments);
    let tail_at = find_tail(disk, &files.segments, start, &mut report);
    let (replay, mut tail) = replay_from(disk, &files.segments, start, tail_at, &mut report);
    let last = files.segments.values().next_back().map(|file| file.slot.clone());
    let mut segments = Segments {
        free: files.free,
        next_number: files.last_number,
        next_ordinal: files.segments.keys().next_back().map_or(1, |last| last + 1),
        ..Segments::default()
    };
    let notes = expected(&files.segments, start, tail_at, &replay);
    let retiring = |note: &SegmentNote| note.ordinal < start && retires(&tail, note.ordinal);
    let going: BTreeSet<u64> = notes.iter().filter(|note| retiring(note)).map(|note| note.ordinal).collect();
    let mut closed = left_closed(disk, &files.segments, start, &notes, &replay);
    closed.retain(|ordinal| !going.contains(ordinal));
    let mut finder = Finder::new(&replay, &closed);
    for mut note in notes {
        let Some(file) = files.segments.remove(&note.ordinal) else {
            if note.next_commit > note.first_commit && !retires(&tail, note.ordinal) {
                report.lost.push(lost_segment(&note, &replay));
            }
            continue;
        };
        let has_tail = tail_at.is_some_and(|tail| tail.segment == note.ordinal);
        if let (true, Some(first)) = (has_tail, first_kept(&tail)) {
            note.last_sequence = first.0.saturating_sub(1);
        }
        let mut segment = if closed.contains(&note.ordinal) {
            finder.take_noted(file, &note)
        } else if going.contains(&note.ordinal) {
            // What was owed in it is settled, or elsewhere; a run that was killed since may have used its file.
            Segment { is_examined: true, ..Segment::noted(file.slot, file.header, &note) }
        } else {
            let (segment, commits, lost) = finder.read_segment(disk, file, &note);
            report.lost.extend(lost);
            if commits == 0 && has_tail {
                // Nothing is in it but the last commit, which will soon be elsewhere.
                tail.push(What::Note(Entry::Retired { ordinal: note.ordinal }));
            }
            if commits == 0 && !has_tail && note.ordinal >= start {
                // Begun, and nothing came of it.
                segments.free.push(segment.slot);
                continue;
            }
            segment
        };
        // An older one is not free even with nothing in it: that may be said by a last commit which a power cut takes
        // back, and then it may hold the one before.
        segment.is_retiring = retires(&tail, note.ordinal);
        report.segments += 1;
        report.commits += commits_in(&segment) + u64::from(has_tail);
        segments.needed.insert(note.ordinal, segment);
    }
    segments.free.extend(files.segments.into_values().map(|file| file.slot));
    segments.mark = segments.free.extract_if(.., |slot| last.as_ref() == Some(slot)).next();
    find_second_checkpoint(disk, &mut segments, start);
    let index = finder.finish();
    report.messages = index.messages() + count(tail.iter().filter(|what| is_owed(what)).count());
    if finder.orphans > 0 {
        let place = Place { segment: start, offset: PAGE_BYTES, bytes: 0 };
        report.lost.push(Lost { place, commits: 0, messages: finder.orphans });
    }
    let last_commits = segments.needed.values().map(|segment| segment.last_commit);
    let next_commit = last_commits.chain(tail_at.map(|tail| tail.frame.frame.commit)).max().unwrap_or(0) + 1;
    Ok(Found { state: replay.into_state(), index, segments, tail, next_commit, report })
}

/// Segments of which the checkpoint tells enough, so that they need not be read now.
fn left_closed<D: Disk>(
    disk: &mut D,
    files: &BTreeMap<u64, SegmentFile>,
    start: u64,
    notes: &[SegmentNote],
    replay: &Replay,
) -> BTreeSet<u64> {
    let noted = || notes.iter().filter(|note| note.ordinal < start);
    let listed = noted().filter(|note| note.listed.is_some()).map(|note| note.ordinal);
    let mut closed: BTreeSet<u64> = listed.collect();
    // Copies that do not count yet: whether they ever do depends on whether their messages are still where they were.
    let mut copied: BTreeSet<Sequence> = replay.copied.clone();
    let unlisted = noted().filter(|note| note.listed.is_none());
    for file in unlisted.filter_map(|note| files.get(&note.ordinal)) {
        let bytes = &mut SegmentBytes::new(disk, &file.slot);
        walk(bytes, &file.header, u64::MAX, u64::MAX, |frame, body| {
            entries(&frame, body, |_, _, entry| {
                if let Entry::Moved(head) = entry {
                    copied.insert(head.sequence);
                }
            });
        });
    }
    let originals = copied.into_iter().filter_map(|sequence| replay.noted_in(sequence));
    for original in originals {
        closed.remove(&original);
    }
    closed
}

/// What is in a segment, the last commit aside.
fn commits_in(segment: &Segment) -> u64 {
    (segment.last_commit + 1)
        .saturating_sub(segment.header.first_commit)
        .saturating_sub(segment.damaged_commits)
}

/// Segments stay until two newer checkpoints are on disk: which of those that were not read begins with one?
fn find_second_checkpoint<D: Disk>(disk: &mut D, segments: &mut Segments, start: u64) {
    for segment in segments.needed.range_mut(..start).rev().map(|(_, segment)| segment) {
        if !segment.is_examined {
            segment.has_checkpoint = first_frame(disk, &segment.slot, &segment.header);
        }
        if segment.has_checkpoint {
            return;
        }
    }
}

/// Whether the first commit of a segment is intact and begins with a checkpoint.
fn first_frame<D: Disk>(disk: &mut D, slot: &Slot, header: &SegmentHeader) -> bool {
    let before = header.first_commit.saturating_sub(1);
    let mut bytes = SegmentBytes::new(disk, slot);
    let left = SegmentHeader::tail_offset(header.bytes).min(bytes.len()).saturating_sub(PAGE_BYTES);
    let frame = bytes.frame(PAGE_BYTES, left, header.generation, before);
    frame.is_some_and(|frame| frame.has_checkpoint && frame.commit == before + 1)
}

fn retires(tail: &[What], segment: u64) -> bool {
    tail.iter().any(|what| matches!(what, What::Note(Entry::Retired { ordinal }) if *ordinal == segment))
}

fn first_kept(tail: &[What]) -> Option<Sequence> {
    let sequence = |what: &What| match what {
        What::Record(Record::Kept { sequence, .. }) => Some(*sequence),
        _ => None,
    };
    tail.iter().find_map(sequence)
}

fn is_owed(what: &What) -> bool {
    matches!(what, What::Record(Record::Kept { deliveries, .. }) if !deliveries.is_empty())
}

/// The newest segment whose checkpoint is intact; without any the oldest one.
fn find_checkpoint<D: Disk>(disk: &mut D, files: &BTreeMap<u64, SegmentFile>) -> u64 {
    for (ordinal, file) in files.iter().rev() {
        let counts = file.header.first_commit <= last_commit_before_next(files, *ordinal);
        if counts && first_frame(disk, &file.slot, &file.header) {
            return *ordinal;
        }
    }
    files.keys().next().copied().unwrap_or(0)
}

/// The last commit, and whether another one was begun behind it.
fn find_tail<D: Disk>(
    disk: &mut D,
    files: &BTreeMap<u64, SegmentFile>,
    start: u64,
    report: &mut Report,
) -> Option<TailAt> {
    let mut tail = None;
    for (ordinal, file) in files.range(start..) {
        let bytes = &mut SegmentBytes::new(disk, &file.slot);
        let walk = walk(bytes, &file.header, u64::MAX, last_commit_before_next(files, *ordinal), |_, _| ());
        if let Some(last) = walk.last {
            tail = Some(TailAt { segment: *ordinal, frame: last });
        }
        if walk.torn_bytes > 0 && files.keys().next_back() == Some(ordinal) {
            report.torn_tail = Some(Place { segment: *ordinal, offset: walk.end, bytes: walk.torn_bytes });
        }
    }
    tail
}

/// Applies everything from the checkpoint at the start of segment `start` on, up to the last commit; of that only a
/// checkpoint, and what is settled. Gives back the rest of it.
fn replay_from<D: Disk>(
    disk: &mut D,
    files: &BTreeMap<u64, SegmentFile>,
    start: u64,
    tail_at: Option<TailAt>,
    report: &mut Report,
) -> (Replay, Vec<What>) {
    let mut replay = Replay::default();
    let mut tail = Vec::new();
    for (ordinal, file) in files.range(start..) {
        let bytes = &mut SegmentBytes::new(disk, &file.slot);
        let last_commit = last_commit_before_next(files, *ordinal);
        walk(bytes, &file.header, u64::MAX, last_commit, |frame, body| {
            let is_tail = tail_at.is_some_and(|tail| (tail.segment, tail.frame) == (*ordinal, frame));
            let mut is_held = is_tail && !frame.frame.has_checkpoint;
            let damage = entries(&frame, body, |_, bytes, entry| {
                if is_held {
                    hold(&mut replay, &mut tail, entry, bytes);
                } else {
                    is_held = is_tail && entry == Entry::CheckpointEnd;
                    replay.apply(entry);
                }
            });
            if damage > 0 {
                let place =
                    Place { segment: *ordinal, offset: frame.offset, bytes: frame.end() - frame.offset };
                report.lost.push(Lost { place, commits: 1, messages: 0 });
            }
        });
    }
    (replay, tail)
}

/// Takes an entry of the last commit: it will be written again, but what it settles is settled.
fn hold(replay: &mut Replay, tail: &mut Vec<What>, entry: Entry, bytes: &[u8]) {
    match entry {
        Entry::Kept(_) => tail.extend(kept_body(bytes).and_then(read_kept).ok().map(What::Record)),
        Entry::Record(record) => {
            if let Record::Done { consumer, sequence } | Record::Dropped { consumer, sequence, .. } = &record
            {
                replay.settle(*consumer, *sequence, *sequence, 1);
            }
            tail.push(What::Record(record));
        }
        Entry::DroppedRange { consumer, first, last, count, .. } => {
            replay.settle(consumer, first, last, count);
            tail.push(What::Note(entry));
        }
        Entry::Retired { .. } => tail.push(What::Note(entry)),
        // A copy: the message is still where it was before.
        Entry::Moved(_) => {}
        Entry::Checkpoint { .. }
        | Entry::Segment(_)
        | Entry::Chunk(_)
        | Entry::Cursor(_)
        | Entry::CheckpointEnd => {}
    }
}

/// A commit that failed was written again to the next segment: what has its number or a higher one before that does
/// not count.
fn last_commit_before_next(files: &BTreeMap<u64, SegmentFile>, ordinal: u64) -> u64 {
    let next = files.range(ordinal + 1..).next();
    next.map_or(u64::MAX, |(_, file)| file.header.first_commit.saturating_sub(1))
}

/// What every segment that is still needed should hold, the last commit aside, as far as the log says.
fn expected(
    files: &BTreeMap<u64, SegmentFile>,
    start: u64,
    tail_at: Option<TailAt>,
    replay: &Replay,
) -> Vec<SegmentNote> {
    let noted = replay.notes.range(..start).map(|(_, note)| *note);
    let since = files.range(start..).map(|(ordinal, file)| {
        let tail = tail_at.filter(|tail| tail.segment == *ordinal).map(|tail| tail.frame);
        let next = files.range(ordinal + 1..).next();
        // What a segment in between held, if there was one, is no longer known.
        let next = next.filter(|(next, _)| replay.retired.range(ordinal..*next).next().is_none());
        // Behind the last commit there may be what was begun by a process that read what never came to disk: killed
        // before its own first commit was there, it proves nothing. Nor does a commit count that is there although it
        // failed, and failed again in the segment behind it.
        let is_behind = tail_at.is_none_or(|tail| tail.segment < *ordinal);
        let next = next.filter(|_| tail.is_none() && !is_behind).map(|(_, file)| file.header);
        let next_commit = if is_behind {
            file.header.first_commit
        } else {
            last_commit_before_next(files, *ordinal).saturating_add(1)
        };
        SegmentNote {
            ordinal: *ordinal,
            end: tail.map_or(u64::MAX, |tail| tail.offset),
            first_commit: file.header.first_commit,
            next_commit: tail.map_or(next_commit, |tail| tail.frame.commit),
            base_sequence: file.header.base_sequence,
            last_sequence: next.map_or(0, |next| next.base_sequence),
            damaged_commits: 0,
            listed: None,
        }
    });
    noted.chain(since).filter(|note| !replay.retired.contains(&note.ordinal)).collect()
}

/// Applies `what` to the entries of a commit, with the place and the bytes of each. How many could not be read.
pub(super) fn entries(frame: &FrameAt, body: &[u8], mut what: impl FnMut(u64, &[u8], Entry)) -> u64 {
    let mut reader = Reader::new(body);
    let mut offset = frame.body_offset();
    let mut unreadable = 0;
    while !reader.is_empty() {
        let bytes = reader.rest();
        let Ok(length) = entry_length(bytes) else { return unreadable + 1 };
        match read_entry(&mut reader) {
            Ok(entry) => what(offset, bytes.get(..length).unwrap_or(bytes), entry),
            Err(_) => unreadable += 1,
        }
        offset += count(length);
    }
    unreadable
}

/// What is lost when the whole file of a segment is gone.
fn lost_segment(note: &SegmentNote, replay: &Replay) -> Lost {
    let place =
        Place { segment: note.ordinal, offset: PAGE_BYTES, bytes: note.end.saturating_sub(PAGE_BYTES) };
    let commits = note.next_commit.saturating_sub(note.first_commit);
    Lost { place, commits, messages: replay.may_be_owed(note.base_sequence + 1..note.last_sequence + 1) }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
