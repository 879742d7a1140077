//! One write and one sync for everything that waits; and what is done when the disk refuses.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use super::chunk::Location;
use super::codec::Entry;
use super::disk::Disk;
use super::files::read_header;
use super::frame::{
    FRAME_HEADER_BYTES, HeaderFound, SEGMENT_HEADER_BYTES, SegmentHeader, begin_frame, padded, seal_frame,
};
use super::journal::Journal;
use super::options::PAGE_BYTES;
use super::pending::{From, Item, What};
use super::segments::{Segment, Slot};
use super::types::{Alarm, Event, Writer};
use crate::durable::{ConsumerId, DropReason, JournalHealth, MessageBody, Record, Sequence, Ticket};
use crate::time::{Instant, Moment};

/// So many segments in a row that cannot be begun, and the disk counts as dead.
const REFUSALS: u32 = 2;
/// After a commit that failed everywhere.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// So much is written to the very first segment.
const FIRST_SEGMENT_BYTES: u64 = 64 * 1024;
/// How long nobody asks again for room that was not there.
const ROOM_INTERVAL: Duration = Duration::from_secs(5);

/// What commits have brought about, to be told when they are done.
#[derive(Debug, Default)]
struct News {
    committed: BTreeMap<Writer, Ticket>,
    available: BTreeMap<ConsumerId, Sequence>,
}

impl News {
    fn committed(&mut self, writer: Writer, ticket: Ticket) {
        let highest = self.committed.entry(writer).or_default();
        *highest = ticket.max(*highest);
    }
}

/// The disk made no file for another segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused {
    /// Until then nobody asks again.
    pub(super) until: Instant,
    /// Whether for lack of room; otherwise giving up what is old would help nobody.
    pub(super) is_full: bool,
}

/// Why nothing could be committed.
enum Refusal {
    NoRoom,
    Disk(io::Error),
}

impl<D: Disk> Journal<D> {
    /// Writes all that waits and makes it durable. What could not be written goes on waiting.
    pub fn commit(&mut self, now: Moment) -> Vec<Event> {
        let mut news = News::default();
        let mut refusals = 0;
        self.pending.reap(|writer, ticket| news.committed(writer, ticket));
        self.pending.prepare();
        while !self.pending.is_empty() && refusals < REFUSALS {
            match self.commit_once(now, &mut news) {
                Ok(()) => self.retry_at = None,
                Err(refusal) => {
                    refusals += 1;
                    if refusals == REFUSALS {
                        self.refuse(now, refusal);
                    }
                }
            }
        }
        if self.pending.is_empty() {
            self.ahead.clear();
            if self.health == JournalHealth::Dead {
                self.set_health(JournalHealth::Accepting);
            }
        }
        self.make_room(now);
        let committed = news.committed.into_iter();
        let committed = committed.map(|(writer, ticket)| Event::Committed { writer, ticket });
        let available = news.available.into_iter();
        let available = available.map(|(consumer, through)| Event::Available { consumer, through });
        committed.chain(available).chain(std::mem::take(&mut self.events)).collect()
    }

    fn refuse(&mut self, now: Moment, refusal: Refusal) {
        self.retry_at = Some(now.monotonic + RETRY_INTERVAL);
        let already = self.health == JournalHealth::Dead;
        self.set_health(JournalHealth::Dead);
        if let (Refusal::Disk(error), false) = (refusal, already) {
            let error = error.to_string();
            self.events.push(Event::Alarm(Alarm::CommitFailed { error }));
        }
    }

    /// One commit, of as much as fits: to the active segment, or to a new one when that is full or failed.
    fn commit_once(&mut self, now: Moment, news: &mut News) -> Result<(), Refusal> {
        let room = usize::try_from(self.room_in_active()).unwrap_or(0);
        let (items, bytes) = self.pending.fitting(room.saturating_sub(FRAME_HEADER_BYTES));
        if bytes > 0 {
            let Err(error) = self.write_to_active(bytes) else {
                self.came_to_disk(items, bytes, FRAME_HEADER_BYTES, news);
                return Ok(());
            };
            // A second sync of the same file would prove nothing: what it failed to write may be forgotten by then.
            let alarm =
                Alarm::CommitMoved { segment: self.segments.active.unwrap_or(0), error: error.to_string() };
            self.events.push(Event::Alarm(alarm));
        }
        self.segments.active = None;
        self.commit_to_new_segment(now, news)
    }

    /// The first segment of all is left early: until a second checkpoint is on disk, damage to the only one would
    /// orphan everything.
    fn room_in_active(&self) -> u64 {
        let leave = self.segments.pinned_from() == 0;
        let active = self.segments.active();
        active.filter(|active| !leave || active.end < FIRST_SEGMENT_BYTES).map_or(0, Segment::room)
    }

    fn write_to_active(&mut self, bytes: usize) -> io::Result<()> {
        let Some(active) = self.segments.active() else { return Err(io::ErrorKind::NotFound.into()) };
        let (offset, generation, name) = (active.end, active.header.generation, active.slot.name.clone());
        let mut frame = Vec::new();
        begin_frame(&mut frame);
        frame.extend_from_slice(self.pending.encoded(bytes));
        seal_frame(&mut frame, generation, offset, self.next_commit, false);
        self.written_bytes += u64::try_from(frame.len()).unwrap_or(0);
        self.disk.write_at(&name, offset, &frame)?;
        self.disk.sync_data(&name)
    }

    fn commit_to_new_segment(&mut self, now: Moment, news: &mut News) -> Result<(), Refusal> {
        let checkpoint = if self.wants_checkpoint() { self.checkpoint() } else { Vec::new() };
        let prefix = FRAME_HEADER_BYTES + checkpoint.len();
        let least = padded(prefix + self.pending.first_bytes());
        let file_bytes = u64::try_from(least).unwrap_or(u64::MAX).saturating_add(2 * PAGE_BYTES);
        let slot = self.take_slot(now, file_bytes.max(self.options.segment_bytes))?;
        let room = usize::try_from(slot.bytes.saturating_sub(2 * PAGE_BYTES)).unwrap_or(usize::MAX);
        let (items, bytes) = self.pending.fitting(room.saturating_sub(prefix));
        let ordinal = self.segments.next_ordinal;
        self.segments.next_ordinal += 1;
        let header = SegmentHeader {
            ordinal,
            generation: generation(self.options.seed, ordinal, self.next_commit),
            first_commit: self.next_commit,
            base_sequence: self.state.last_sequence.max(self.last_recovered).0,
            bytes: slot.bytes,
        };
        if let Err(error) = self.write_segment_start(&slot, &header, &checkpoint, bytes) {
            self.leave_behind(slot, ordinal);
            return Err(Refusal::Disk(error));
        }
        if !checkpoint.is_empty() {
            self.checkpoint_bytes = u64::try_from(checkpoint.len()).unwrap_or(u64::MAX);
            self.written_since_checkpoint = 0;
        }
        let mut segment = Segment::begun(slot, header);
        segment.has_checkpoint = !checkpoint.is_empty();
        self.segments.needed.insert(ordinal, segment);
        self.segments.active = Some(ordinal);
        if let Some(mark) = self.segments.mark.take() {
            let _ = self.disk.remove(&mark.name);
        }
        self.came_to_disk(items, bytes, prefix, news);
        Ok(())
    }

    /// A segment could not be begun. Its file is not used again, for nobody knows what it holds; nor may its ordinal be
    /// given again by a later run. Of such files the last one stays, to tell.
    fn leave_behind(&mut self, slot: Slot, ordinal: u64) {
        let found = read_header(&mut self.disk, &slot);
        let tells = matches!(found, HeaderFound::Segment(header) if header.ordinal == ordinal);
        let old =
            if tells || self.segments.mark.is_none() { self.segments.mark.replace(slot) } else { Some(slot) };
        if let Some(old) = old {
            let _ = self.disk.remove(&old.name);
        }
    }

    /// Header, first commit and the header's copy, made durable together.
    fn write_segment_start(
        &mut self,
        slot: &Slot,
        header: &SegmentHeader,
        checkpoint: &[u8],
        bytes: usize,
    ) -> io::Result<()> {
        let mut frame = Vec::new();
        begin_frame(&mut frame);
        frame.extend_from_slice(checkpoint);
        frame.extend_from_slice(self.pending.encoded(bytes));
        seal_frame(&mut frame, header.generation, PAGE_BYTES, header.first_commit, !checkpoint.is_empty());
        let mut page = header.encode();
        debug_assert_eq!(page.len(), SEGMENT_HEADER_BYTES, "the header's layout is fixed");
        page.resize(padded(page.len()), 0);
        self.written_bytes += u64::try_from(frame.len() + 2 * page.len()).unwrap_or(0);
        self.disk.write_at(&slot.name, SegmentHeader::tail_offset(slot.bytes), &page)?;
        page.append(&mut frame);
        self.disk.write_at(&slot.name, 0, &page)?;
        self.disk.sync_data(&slot.name)
    }

    /// A file for the next segment: a spare one, or a new one if there is none.
    fn take_slot(&mut self, now: Moment, bytes: u64) -> Result<Slot, Refusal> {
        if let Some(slot) = self.segments.take_free(bytes) {
            return Ok(slot);
        }
        self.create_slot(now, bytes).map_err(|error| match is_full(&error) {
            true => Refusal::NoRoom,
            false => Refusal::Disk(error),
        })
    }

    pub(super) fn create_slot(&mut self, now: Moment, bytes: u64) -> io::Result<Slot> {
        let name = self.segments.fresh_name();
        match self.disk.create(&name, bytes) {
            Ok(()) => {
                self.written_bytes += bytes;
                self.refused = None;
                Ok(Slot { name, bytes })
            }
            Err(error) => {
                let _ = self.disk.remove(&name);
                let is_full = is_full(&error);
                if is_full && !self.refused.is_some_and(|refused| refused.is_full) {
                    self.events.push(Event::Alarm(Alarm::NoRoom { bytes }));
                }
                self.refused = Some(Refused { until: now.monotonic + ROOM_INTERVAL, is_full });
                Err(error)
            }
        }
    }

    /// The first items that wait are on disk now, in the commit at the end of the active segment: its entries begin
    /// `prefix` bytes into it.
    fn came_to_disk(&mut self, items: usize, bytes: usize, prefix: usize, news: &mut News) {
        let Some(ordinal) = self.segments.active else { return };
        let Some(active) = self.segments.needed.get_mut(&ordinal) else { return };
        let body_offset = active.end + u64::try_from(prefix).unwrap_or(0);
        let frame_bytes = u64::try_from(padded(prefix + bytes)).unwrap_or(0);
        active.end += frame_bytes;
        active.last_commit = self.next_commit;
        self.written_since_checkpoint += frame_bytes;
        self.next_commit += 1;
        self.commits += 1;
        for _ in 0..items {
            let Some((item, owed)) = self.pending.pop() else { break };
            let start = body_offset + u64::try_from(item.bytes.start).unwrap_or(0);
            let offset =
                u32::try_from(start).unwrap_or_else(|_| unreachable!("a segment of more than 4 GiB"));
            self.item_came_to_disk(item, &owed, Location { segment: ordinal, offset }, news);
        }
        self.pending.forget_bytes(bytes);
        let last_sequence = self.state.last_sequence.0;
        if let Some(active) = self.segments.needed.get_mut(&ordinal) {
            active.last_sequence = last_sequence;
        }
        self.finish_compaction();
    }

    fn item_came_to_disk(&mut self, item: Item, owed: &[ConsumerId], location: Location, news: &mut News) {
        let entry_bytes = u64::try_from(item.bytes.len()).unwrap_or(0);
        match item.what {
            What::Record(record) => {
                self.record_came_to_disk(&record, owed, location, entry_bytes, news);
                self.state.apply(&record);
            }
            What::Moved(sequence) => {
                if let Some(compaction) = &mut self.compaction {
                    compaction.moved.push((sequence, location, entry_bytes));
                }
            }
            What::Note(Entry::Retired { ordinal }) => self.retired(ordinal),
            What::Note(_) | What::Spared => {}
        }
        if let From::Writer(writer, ticket) = item.from {
            news.committed(writer, ticket);
        }
    }

    fn record_came_to_disk(
        &mut self,
        record: &Record,
        owed: &[ConsumerId],
        location: Location,
        entry_bytes: u64,
        news: &mut News,
    ) {
        match record {
            Record::Kept { sequence, message, deliveries } => {
                let (key, place) =
                    self.index.place_newest(*sequence, location, entry_bytes, message.accepted_at);
                if let Some(segment) = self.segments.needed.get_mut(&location.segment) {
                    segment.messages += 1;
                }
                self.readings_committed += u64::from(matches!(message.body, MessageBody::Reading(_)));
                let topic = self.keeps_latest().then(|| self.topic_number(&message.topic));
                // `owed` is what is left of the deliveries, in the same order.
                let mut owed = owed.iter().copied().peekable();
                for consumer in deliveries.iter().map(|delivery| delivery.consumer) {
                    if owed.next_if_eq(&consumer).is_none() {
                        self.index.settled_before_queued(consumer, *sequence);
                    } else if self.index.owe(consumer, key, place, message.accepted_at) {
                        if let Some(topic) = topic {
                            self.latest.note(consumer, topic, *sequence);
                        }
                        news.available.insert(consumer, *sequence);
                    } else {
                        let reason = DropReason::SessionEnded;
                        self.events.push(Event::Dropped { consumer, count: 1, reason });
                    }
                }
            }
            Record::SessionOpened { consumer, .. }
            | Record::UplinkOpened { consumer, .. }
            | Record::GroupOpened { consumer, .. } => {
                self.index.open_queue(*consumer);
            }
            Record::ConsumerClosed { consumer } => {
                self.latest.forget(*consumer);
                let count = self.index.close_queue(*consumer);
                if count > 0 {
                    let reason = DropReason::SessionEnded;
                    self.events.push(Event::Dropped { consumer: *consumer, count, reason });
                }
            }
            _ => {}
        }
    }

    /// A small checkpoint begins every segment. A large one (many retained messages) waits until eight times as much
    /// was written, unless room is short: older segments are free only when it comes.
    fn wants_checkpoint(&self) -> bool {
        let is_small = self.checkpoint_bytes <= self.options.segment_bytes / 8;
        let is_due = self.written_since_checkpoint >= self.checkpoint_bytes.saturating_mul(8);
        is_small || is_due || self.segments.used_bytes() > self.options.max_bytes / 2
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Random as far as the seed is, and another for every segment of every run.
fn generation(seed: u64, ordinal: u64, commit: u64) -> u64 {
    let mut z = seed ^ ordinal.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ commit.rotate_left(32);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
