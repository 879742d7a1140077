//! Reading a journal back: the newest checkpoint, what came after it, and where everything that is owed lies. Only
//! reads.

use std::collections::BTreeMap;

use super::codec::{Entry, KeptHead, Reader, SegmentNote, entry_length, kept_body, read_entry, read_kept};
use super::disk::Disk;
use super::files::{SegmentFile, read_files, read_whole};
use super::frame::{SegmentHeader, check_frame};
use super::index::{Index, Location};
use super::options::PAGE_BYTES;
use super::pending::What;
use super::replay::Replay;
use super::segments::{Segment, Segments};
use super::types::{Lost, OpenError, Place, Report};
use super::walk::{FrameAt, Hole, Walk, walk};
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

/// Reads the journal on `disk`.
pub(super) fn recover<D: Disk>(disk: &mut D) -> Result<Found, OpenError> {
    let mut files = read_files(disk)?;
    let unreadable_files = files.unreadable.iter().map(|slot| slot.name.clone()).collect();
    let mut report = Report { unreadable_files, ..Report::default() };
    let start = find_checkpoint(disk, &files.segments);
    let tail_at = find_tail(disk, &files.segments, start, &mut report);
    let (replay, mut tail) = replay_from(disk, &files.segments, start, tail_at, &mut report);
    let mut segments = Segments {
        free: files.free,
        next_number: files.last_number,
        next_ordinal: files.segments.keys().next_back().map_or(1, |last| last + 1),
        ..Segments::default()
    };
    let mut finder = Finder::new(&replay);
    for mut note in expected(&files.segments, start, tail_at, &replay) {
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
        let bytes = read_whole(disk, &file.slot);
        let walk = walk(&bytes, &file.header, note.end, note.next_commit.saturating_sub(1));
        let (mut segment, kept_in) = finder.read_segment(file, &walk, &bytes);
        report.lost.extend(judge(&mut segment, &walk, &note, &kept_in, &replay));
        if walk.frames.is_empty() && has_tail {
            // Nothing is in it but the last commit, which will soon be elsewhere.
            tail.push(What::Note(Entry::Retired { ordinal: note.ordinal }));
        }
        if walk.frames.is_empty() && !has_tail && note.ordinal >= start {
            // Begun, and nothing came of it.
            segments.free.push(segment.slot);
            continue;
        }
        // An older one is not free even with nothing in it: that may be said by a last commit which a power cut takes
        // back, and then it may hold the one before.
        segment.is_retiring = retires(&tail, note.ordinal);
        report.segments += 1;
        report.commits += count(walk.frames.len()) + u64::from(has_tail);
        segments.needed.insert(note.ordinal, segment);
    }
    segments.free.extend(files.segments.into_values().map(|file| file.slot));
    let index = finder.finish();
    report.messages = finder.messages + count(tail.iter().filter(|what| is_owed(what)).count());
    if finder.orphans > 0 {
        let place = Place { segment: start, offset: PAGE_BYTES, bytes: 0 };
        report.lost.push(Lost { place, commits: 0, messages: finder.orphans });
    }
    let last_commit = segments.needed.values().map(|segment| segment.last_commit).max().unwrap_or(0);
    let next_commit = tail_at.map_or(last_commit, |tail| last_commit.max(tail.frame.frame.commit)) + 1;
    Ok(Found { state: replay.into_state(), index, segments, tail, next_commit, report })
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
        let bytes = read_whole(disk, &file.slot);
        let first = bytes.get(usize::try_from(PAGE_BYTES).unwrap_or(0)..).unwrap_or_default();
        let before = file.header.first_commit.saturating_sub(1);
        let frame = check_frame(first, file.header.generation, PAGE_BYTES, before);
        let counts = file.header.first_commit <= last_commit_before_next(files, *ordinal);
        if counts && frame.is_some_and(|frame| frame.has_checkpoint && frame.commit == before + 1) {
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
        let bytes = read_whole(disk, &file.slot);
        let walk = walk(&bytes, &file.header, u64::MAX, last_commit_before_next(files, *ordinal));
        if let Some(last) = walk.frames.last() {
            tail = Some(TailAt { segment: *ordinal, frame: *last });
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
        let bytes = read_whole(disk, &file.slot);
        let walk = walk(&bytes, &file.header, u64::MAX, last_commit_before_next(files, *ordinal));
        for frame in &walk.frames {
            let is_tail = tail_at.is_some_and(|tail| (tail.segment, tail.frame) == (*ordinal, *frame));
            let mut is_held = is_tail && !frame.frame.has_checkpoint;
            let damage = entries(frame, &bytes, |offset, _, entry| {
                if is_held {
                    hold(&mut replay, &mut tail, entry, at(&bytes, offset));
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
        }
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
                replay.settle(*consumer, *sequence, *sequence);
            }
            tail.push(What::Record(record));
        }
        Entry::DroppedRange { consumer, first, last, .. } => {
            replay.settle(consumer, first, last);
            tail.push(What::Note(entry));
        }
        Entry::Retired { .. } => tail.push(What::Note(entry)),
        // A copy: the message is still where it was before.
        Entry::Moved(_) => {}
        Entry::Checkpoint { .. } | Entry::Segment(_) | Entry::Cursor(_) | Entry::CheckpointEnd => {}
    }
}

fn at(bytes: &[u8], offset: u64) -> &[u8] {
    bytes.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default()
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
        let next = next.filter(|_| tail.is_none()).map(|(_, file)| file.header);
        let next_commit = last_commit_before_next(files, *ordinal).saturating_add(1);
        SegmentNote {
            ordinal: *ordinal,
            end: tail.map_or(u64::MAX, |tail| tail.offset),
            first_commit: file.header.first_commit,
            next_commit: tail.map_or(next_commit, |tail| tail.frame.commit),
            base_sequence: file.header.base_sequence,
            last_sequence: next.map_or(0, |next| next.base_sequence),
            damaged_commits: 0,
        }
    });
    noted.chain(since).filter(|note| !replay.retired.contains(&note.ordinal)).collect()
}

/// Applies `what` to the entries of a commit, with the place and the length of each. How many could not be read.
fn entries(frame: &FrameAt, segment: &[u8], mut what: impl FnMut(u64, u64, Entry)) -> u64 {
    let mut reader = Reader::new(frame.body(segment));
    let mut offset = frame.body_offset();
    let mut unreadable = 0;
    while !reader.is_empty() {
        let Ok(length) = entry_length(reader.rest()) else { return unreadable + 1 };
        match read_entry(&mut reader) {
            Ok(entry) => what(offset, count(length), entry),
            Err(_) => unreadable += 1,
        }
        offset += count(length);
    }
    unreadable
}

/// A message that was copied out of its first segment.
struct Copied {
    location: Location,
    bytes: u64,
    head: KeptHead,
}

/// Finds where everything that is owed lies.
struct Finder<'a> {
    replay: &'a Replay,
    index: Index,
    last_seen: Sequence,
    messages: u64,
    /// Messages owed to consumers of whom nothing is known any more.
    orphans: u64,
    copied: BTreeMap<Sequence, Copied>,
}

/// The first and the last message that were kept in a commit.
#[derive(Debug, Clone, Copy)]
struct KeptIn {
    offset: u64,
    first: Sequence,
    last: Sequence,
}

impl<'a> Finder<'a> {
    fn new(replay: &'a Replay) -> Finder<'a> {
        let mut index = Index::default();
        replay.settled.keys().for_each(|consumer| index.open_queue(*consumer));
        Finder { replay, index, last_seen: Sequence::ZERO, messages: 0, orphans: 0, copied: BTreeMap::new() }
    }

    fn read_segment(&mut self, file: SegmentFile, walk: &Walk, bytes: &[u8]) -> (Segment, Vec<KeptIn>) {
        let ordinal = file.header.ordinal;
        let mut segment = Segment::begun(file.slot, file.header);
        segment.end = walk.end;
        segment.last_commit = walk.last_commit;
        segment.has_checkpoint = walk.frames.first().is_some_and(|first| first.frame.has_checkpoint);
        let mut kept_in: Vec<KeptIn> = Vec::new();
        for frame in &walk.frames {
            entries(frame, bytes, |offset, entry_bytes, entry| {
                let location =
                    Location { segment: ordinal, offset: u32::try_from(offset).unwrap_or(u32::MAX) };
                match entry {
                    Entry::Kept(head) if head.sequence > self.last_seen => {
                        segment.messages += 1;
                        match kept_in.last_mut().filter(|kept| kept.offset == frame.offset) {
                            Some(kept) => kept.last = head.sequence,
                            None => kept_in.push(KeptIn {
                                offset: frame.offset,
                                first: head.sequence,
                                last: head.sequence,
                            }),
                        }
                        self.kept(&head, location, entry_bytes);
                    }
                    Entry::Kept(head) | Entry::Moved(head) => {
                        segment.messages += 1;
                        self.copied(head, location, entry_bytes);
                    }
                    _ => {}
                }
            });
        }
        segment.last_sequence = kept_in.last().map_or(segment.header.base_sequence, |kept| kept.last.0);
        (segment, kept_in)
    }

    fn kept(&mut self, head: &KeptHead, location: Location, entry_bytes: u64) {
        self.last_seen = head.sequence;
        let (key, place) = self.index.place(head.sequence, location, entry_bytes, head.accepted_at);
        self.owe(head, key, place);
    }

    fn owe(&mut self, head: &KeptHead, key: Sequence, place: u32) {
        let mut is_owed = false;
        for consumer in &head.consumers {
            if self.replay.is_owed(*consumer, head.sequence) {
                is_owed |= self.index.owe(*consumer, key, place);
            }
        }
        self.messages += u64::from(is_owed);
        let is_orphaned = head.consumers.iter().any(|consumer| self.replay.is_orphaned(*consumer));
        self.orphans += u64::from(is_orphaned && !is_owed);
    }

    fn copied(&mut self, head: KeptHead, location: Location, bytes: u64) {
        if head.consumers.iter().any(|consumer| self.replay.is_owed(*consumer, head.sequence)) {
            self.copied.insert(head.sequence, Copied { location, bytes, head });
        }
    }

    fn finish(&mut self) -> Index {
        for (sequence, copied) in std::mem::take(&mut self.copied) {
            // As long as the first segment is there and intact, the message is taken from it.
            if self.index.find(sequence).is_some() {
                continue;
            }
            let Copied { location, bytes, head } = copied;
            let (key, place) = self.index.place_moved(sequence, location, bytes, head.accepted_at);
            self.owe(&head, key, place);
        }
        for (consumer, settled) in &self.replay.settled {
            self.index.restore_cursor(*consumer, settled.done.clone());
        }
        self.index.shrink();
        std::mem::take(&mut self.index)
    }
}

/// Compares what a segment holds with what it should, and says what is lost.
fn judge(
    segment: &mut Segment,
    walk: &Walk,
    note: &SegmentNote,
    kept_in: &[KeptIn],
    replay: &Replay,
) -> Vec<Lost> {
    let next_commit = if note.next_commit == u64::MAX { walk.last_commit + 1 } else { note.next_commit };
    let missing = next_commit.saturating_sub(note.first_commit).saturating_sub(count(walk.frames.len()));
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
        let before = kept_in.iter().rev().find(|kept| kept.offset < hole.offset);
        let before = before.map_or(note.base_sequence, |kept| kept.last.0);
        let after = kept_in.iter().find(|kept| kept.offset > hole.offset);
        let after = after.map_or(segment.last_sequence + 1, |kept| kept.first.0);
        let place = Place { segment: note.ordinal, offset: hole.offset, bytes: hole.bytes };
        Lost { place, commits: hole.commits, messages: replay.may_be_owed(before + 1..after) }
    });
    lost.collect()
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
