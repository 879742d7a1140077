//! Reading back what is owed: from disk, or from what waits to be written.

use super::chunk::Location;
use super::codec::{Malformed, entry_length, kept_body, read_kept, read_kept_head};
use super::disk::{Disk, read_stubbornly};
use super::frame::SEGMENT_HEADER_BYTES;
use super::journal::Journal;
use super::types::{Alarm, Event, Load, Loaded};
use crate::durable::{ConsumerId, DropReason, LoadedDelivery, Record, Sequence};
use crate::time::Moment;

/// Bytes read at once: a few dozen readings.
const BLOCK_BYTES: usize = 16 * 1024;

/// Why a message cannot be read back.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// The disk does not answer: perhaps later.
    Disk,
    /// What stands there is not what was written.
    Damaged(String),
}

/// The last bytes that were read, so that neighbours are read once.
#[derive(Debug, Default)]
pub(super) struct Block {
    segment: u64,
    offset: u64,
    bytes: Vec<u8>,
}

impl<D: Disk> Journal<D> {
    /// Fetches what is owed to a consumer. Look at [`Journal::can_read`] afterwards: when the disk does not answer, an
    /// answer without deliveries says nothing.
    pub fn load(&mut self, request: &Load) -> Loaded {
        self.can_read = true;
        let waits_for_disk = self.pending.awaited && self.eager.contains(&request.consumer);
        let committed_only = request.committed_only || waits_for_disk;
        let mut loaded =
            Loaded { consumer: request.consumer, deliveries: Vec::new(), through: self.state.last_sequence };
        let cut = self.load_from_disk(request, &mut loaded) || {
            !committed_only && self.load_from_memory(request, &mut loaded)
        };
        if !cut && !committed_only {
            loaded.through = self.last_appended;
        }
        let last = loaded.deliveries.last().map(|last| last.sequence);
        if cut {
            loaded.through = last.unwrap_or(request.after);
        }
        if let (Some(queue), Some(last)) = (self.index.queue_mut(request.consumer), last) {
            queue.loaded_through = queue.loaded_through.max(last);
        }
        loaded
    }

    /// Whether the last [`Journal::load`] was answered by the disk.
    #[must_use]
    pub fn can_read(&self) -> bool {
        self.can_read
    }

    /// Whether the request's bounds, or the disk, cut it short.
    fn load_from_disk(&mut self, request: &Load, loaded: &mut Loaded) -> bool {
        let mut block = Block::default();
        let mut bytes = 0;
        let mut after = request.after;
        while let Some((key, last)) = self.index.next_chunk(request.consumer, after) {
            if self.open_chunk(key).is_err() {
                self.can_read = !loaded.deliveries.is_empty();
                return true;
            }
            if self.load_from_chunk(request, key, after, (loaded, &mut bytes), &mut block) {
                return true;
            }
            after = last;
        }
        false
    }

    fn load_from_chunk(
        &mut self,
        request: &Load,
        key: Sequence,
        after: Sequence,
        (loaded, bytes): (&mut Loaded, &mut usize),
        block: &mut Block,
    ) -> bool {
        let max_messages = request.max_messages.max(1);
        // One more than may be given, to know whether there is more.
        let wanted = max_messages.saturating_add(1).saturating_sub(loaded.deliveries.len());
        let owed = self.index.owed_after(request.consumer, key, after).take(wanted);
        let owed: Vec<(Sequence, Location)> = owed.collect();
        for (sequence, location) in owed {
            if loaded.deliveries.len() >= max_messages {
                return true;
            }
            match self.read_delivery(request.consumer, sequence, location, block) {
                Ok((delivery, entry_bytes)) => {
                    *bytes += entry_bytes;
                    if *bytes > request.max_bytes && !loaded.deliveries.is_empty() {
                        return true;
                    }
                    loaded.deliveries.push(delivery);
                }
                Err(Unreadable::Disk) => {
                    self.can_read = !loaded.deliveries.is_empty();
                    return true;
                }
                Err(Unreadable::Damaged(error)) => {
                    self.give_up_damaged(request.consumer, sequence, location, error);
                }
            }
        }
        false
    }

    pub(super) fn give_up_damaged(
        &mut self,
        consumer: ConsumerId,
        sequence: Sequence,
        location: Location,
        error: String,
    ) {
        let segment = location.segment;
        self.events.push(Event::Alarm(Alarm::Unreadable { sequence, segment, error }));
        self.give_up(consumer, &[sequence], DropReason::Damaged);
    }

    fn load_from_memory(&self, request: &Load, loaded: &mut Loaded) -> bool {
        let mut bytes = 0;
        for (delivery, entry_bytes) in self.pending.owed_after(request.consumer, request.after) {
            bytes += entry_bytes;
            let is_full = bytes > request.max_bytes && !loaded.deliveries.is_empty();
            if is_full || loaded.deliveries.len() >= request.max_messages.max(1) {
                return true;
            }
            loaded.deliveries.push(delivery);
        }
        false
    }

    fn read_delivery(
        &mut self,
        consumer: ConsumerId,
        sequence: Sequence,
        location: Location,
        block: &mut Block,
    ) -> Result<(LoadedDelivery, usize), Unreadable> {
        let body = self.read_body(location, block)?;
        let entry_bytes = body.len();
        let Record::Kept { sequence: found, message, deliveries } = read_kept(body)? else {
            return Err(Malformed("kind").into());
        };
        let delivery = deliveries.into_iter().find(|delivery| delivery.consumer == consumer);
        match delivery.filter(|_| found == sequence) {
            Some(delivery) => Ok((LoadedDelivery { sequence, delivery, message }, entry_bytes)),
            None => Err(Unreadable::Damaged(format!("message {found} stands there"))),
        }
    }

    /// The body of the message at `location`, proved by its checksum.
    pub(super) fn read_body<'a>(
        &mut self,
        location: Location,
        block: &'a mut Block,
    ) -> Result<&'a [u8], Unreadable> {
        if !block.has_entry(location) {
            self.fill(block, location, BLOCK_BYTES)?;
            let length = entry_length(block.at(location))?;
            if length > block.bytes.len() {
                self.fill(block, location, length)?;
            }
        }
        Ok(kept_body(block.at(location))?)
    }

    fn fill(&mut self, block: &mut Block, location: Location, wanted: usize) -> Result<(), Unreadable> {
        let Some(segment) = self.segments.needed.get(&location.segment) else {
            return Err(Unreadable::Damaged("its segment is gone".into()));
        };
        let offset = u64::from(location.offset);
        let rest = usize::try_from(segment.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        block.bytes.resize(wanted.min(rest), 0);
        let read = read_stubbornly(&mut self.disk, &segment.slot.name, offset, &mut block.bytes);
        block.bytes.truncate(read.as_ref().copied().unwrap_or(0));
        (block.segment, block.offset) = (location.segment, offset);
        let Err(error) = read else { return Ok(()) };
        // A bad sector, or the whole disk? Its first bytes may tell.
        let mut header = [0; SEGMENT_HEADER_BYTES];
        match read_stubbornly(&mut self.disk, &segment.slot.name, 0, &mut header) {
            Ok(_) => Err(Unreadable::Damaged(error.to_string())),
            Err(_) => Err(Unreadable::Disk),
        }
    }

    /// When the oldest message that a consumer is owed was accepted.
    pub(super) fn oldest(&mut self, consumer: ConsumerId) -> Option<Moment> {
        let (key, run) = self.index.queue(consumer)?.runs.first_key_value()?;
        let key = *key;
        if let (Some(oldest), None) = (run.oldest, &run.places) {
            return Some(oldest);
        }
        self.open_chunk(key).ok()?;
        let (_, location) = self.index.owed_after(consumer, key, Sequence::ZERO).next()?;
        self.accepted_at(location, &mut Block::default())
    }

    pub(super) fn accepted_at(&mut self, location: Location, block: &mut Block) -> Option<Moment> {
        let head = read_kept_head(self.read_body(location, block).ok()?).ok()?;
        Some(head.accepted_at)
    }
}

impl From<Malformed> for Unreadable {
    fn from(malformed: Malformed) -> Unreadable {
        Unreadable::Damaged(malformed.to_string())
    }
}

impl Block {
    /// What is there from `location` on.
    fn at(&self, location: Location) -> &[u8] {
        let start = u64::from(location.offset).checked_sub(self.offset);
        let start = start.filter(|_| self.segment == location.segment);
        let start = start.and_then(|start| usize::try_from(start).ok());
        start.and_then(|start| self.bytes.get(start..)).unwrap_or_default()
    }

    /// Whether the entry that begins at `location` is all there.
    fn has_entry(&self, location: Location) -> bool {
        let there = self.at(location);
        entry_length(there).is_ok_and(|length| length <= there.len())
    }
}
