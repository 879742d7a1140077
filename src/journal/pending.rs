//! What is appended and not yet on disk.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use smallvec::SmallVec;

use super::codec::{Entry, put_moved, put_note, put_record_entry};
use super::types::Writer;
use crate::durable::{ConsumerId, LoadedDelivery, Record, Sequence, Ticket, Urgency};
use crate::time::Instant;

/// One entry that waits.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) from: From,
    pub(super) what: What,
    /// Where its entry stands in the bytes that wait.
    pub(super) bytes: Range<usize>,
}

/// Where an entry comes from. Neighbours that come from the same are on disk together or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Somebody appended it.
    Writer(Writer, Ticket),
    /// It stood in the last commit of an earlier run.
    EarlierRun,
    /// The journal says it itself; it belongs to nothing else.
    Journal,
}

/// What an entry does once it is on disk.
#[derive(Debug)]
pub(super) enum What {
    Record(Record),
    Moved(Sequence),
    Note(Entry),
}

/// What waits, encoded already, in the order in which it was appended.
#[derive(Debug, Default)]
pub(super) struct Pending {
    encoded: Vec<u8>,
    items: VecDeque<Item>,
    /// How many items came before the first that waits.
    passed: u64,
    /// Kept messages that wait, by the number of their item.
    kept: VecDeque<(Sequence, u64)>,
    /// Of those, who is still owed which.
    owed: BTreeMap<ConsumerId, VecDeque<Sequence>>,
    /// When the first record that wants to be on disk some time was appended.
    pub(super) since: Option<Instant>,
    /// Whether somebody waits.
    pub(super) awaited: bool,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.encoded.len()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn append(&mut self, now: Instant, from: From, urgency: Urgency, record: Record) {
        if let Record::Kept { sequence, deliveries, .. } = &record {
            let number = self.passed + u64::try_from(self.items.len()).unwrap_or(u64::MAX);
            self.kept.push_back((*sequence, number));
            for delivery in deliveries {
                self.owed.entry(delivery.consumer).or_default().push_back(*sequence);
            }
        }
        self.since.get_or_insert(now);
        self.awaited |= urgency == Urgency::Awaited;
        let start = self.encoded.len();
        put_record_entry(&mut self.encoded, &record);
        self.push(start, from, What::Record(record));
    }

    /// A note rides with the next commit; it is no reason for one.
    pub(super) fn note(&mut self, note: Entry) {
        let start = self.encoded.len();
        put_note(&mut self.encoded, &note);
        self.push(start, From::Journal, What::Note(note));
    }

    /// A message is copied; `body` as `kept_body` gives it.
    pub(super) fn copy(&mut self, now: Instant, sequence: Sequence, body: &[u8]) {
        self.since.get_or_insert(now);
        let start = self.encoded.len();
        put_moved(&mut self.encoded, body);
        self.push(start, From::Journal, What::Moved(sequence));
    }

    fn push(&mut self, start: usize, from: From, what: What) {
        self.items.push_back(Item { from, what, bytes: start..self.encoded.len() });
    }

    /// A delivery that waits to be written is settled already; whether it was there.
    pub(super) fn settle(&mut self, consumer: ConsumerId, sequence: Sequence) -> bool {
        let Some(owed) = self.owed.get_mut(&consumer) else { return false };
        let found = owed.binary_search(&sequence);
        if let Ok(place) = found {
            owed.remove(place);
        }
        found.is_ok()
    }

    /// The last message that waits and is owed, for each consumer.
    pub(super) fn last_owed(&self) -> impl Iterator<Item = (ConsumerId, Sequence)> + '_ {
        self.owed.iter().filter_map(|(consumer, owed)| Some((*consumer, *owed.back()?)))
    }

    /// What waits and is owed to a consumer after `after`, in order.
    pub(super) fn owed_after(
        &self,
        consumer: ConsumerId,
        after: Sequence,
    ) -> impl Iterator<Item = (LoadedDelivery, usize)> + '_ {
        let owed = self.owed.get(&consumer);
        let start = owed.map_or(0, |owed| owed.partition_point(|sequence| *sequence <= after));
        let owed = owed.into_iter().flat_map(move |owed| owed.range(start..));
        owed.filter_map(move |sequence| {
            let item = self.kept_item(*sequence)?;
            let What::Record(Record::Kept { message, deliveries, .. }) = &item.what else { return None };
            let delivery = deliveries.iter().find(|delivery| delivery.consumer == consumer)?.clone();
            let loaded = LoadedDelivery { sequence: *sequence, delivery, message: message.clone() };
            Some((loaded, item.bytes.len()))
        })
    }

    fn kept_item(&self, sequence: Sequence) -> Option<&Item> {
        let place = self.kept.binary_search_by_key(&sequence, |(sequence, _)| *sequence).ok()?;
        let (_, number) = self.kept.get(place)?;
        self.items.get(usize::try_from(number - self.passed).ok()?)
    }

    /// How many items, and how many bytes, fit `room`: whole tickets only.
    pub(super) fn fitting(&self, room: usize) -> (usize, usize) {
        if self.encoded.len() <= room {
            return (self.items.len(), self.encoded.len());
        }
        let mut best = (0, 0);
        let mut items = self.items.iter().enumerate().peekable();
        while let Some((index, item)) = items.next() {
            if item.bytes.end > room {
                break;
            }
            let ends_here =
                items.peek().is_none_or(|(_, next)| next.from == From::Journal || next.from != item.from);
            if ends_here {
                best = (index + 1, item.bytes.end);
            }
        }
        best
    }

    /// The bytes of the first ticket: the least that a commit must hold.
    pub(super) fn first_bytes(&self) -> usize {
        let Some(first) = self.items.front() else { return 0 };
        let same = |item: &&Item| first.from != From::Journal && item.from == first.from;
        self.items.iter().take_while(same).last().map_or(first.bytes.end, |item| item.bytes.end)
    }

    /// The first `bytes` that wait.
    pub(super) fn encoded(&self, bytes: usize) -> &[u8] {
        self.encoded.get(..bytes).unwrap_or(&self.encoded)
    }

    /// Takes the first item out, after it came to disk, with those of its deliveries that are still owed.
    pub(super) fn pop(&mut self) -> Option<(Item, SmallVec<[ConsumerId; 2]>)> {
        let item = self.items.pop_front()?;
        self.passed += 1;
        let mut owed = SmallVec::new();
        if let What::Record(Record::Kept { sequence, deliveries, .. }) = &item.what {
            self.kept.pop_front();
            let consumers = deliveries.iter().map(|delivery| delivery.consumer);
            owed = consumers.filter(|consumer| self.settle(*consumer, *sequence)).collect();
        }
        Some((item, owed))
    }

    /// Forgets the bytes of items that were taken out.
    pub(super) fn forget_bytes(&mut self, bytes: usize) {
        if self.items.is_empty() {
            self.encoded.clear();
            self.owed.clear();
            self.since = None;
            self.awaited = false;
        } else {
            self.encoded.drain(..bytes);
            self.items
                .iter_mut()
                .for_each(|item| item.bytes = item.bytes.start - bytes..item.bytes.end - bytes);
        }
    }
}
