//! What is appended and not yet on disk.
//!
//! Most of it is written in the next commit. What may be spared is not, when everybody to whom it is owed has it before:
//! a message whose entry nobody needs any more goes, and so does everything that was said about it, because its
//! sequence may be given again after a crash. What is left of them is that they were appended: their tickets count as
//! committed when everything before them is.
//!
//! What somebody eager (see [`super::Journal::set_eager`]) says of what is on disk may wait longest.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use smallvec::SmallVec;

use super::codec::{Entry, put_moved, put_note, put_record_entry};
use super::types::Writer;
use crate::durable::{ConsumerId, Delivery, LoadedDelivery, Message, Record, Sequence, Ticket, Urgency};
use crate::time::Instant;

/// So many acknowledgements of who is eager may wait for another reason to commit.
const PATIENT_MAX: usize = 64;
/// And for so long.
const PATIENT_FOR: Duration = Duration::from_secs(30);
/// Bytes of what was spared that may stay in memory until the next commit.
const SPARED_BYTES: usize = 64 * 1024;

/// An entry that came to disk.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) from: From,
    pub(super) what: What,
    /// Where its entry stood in the bytes that waited.
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
    /// It never came there, and need not.
    Spared,
}

/// One entry that waits. Small: acknowledgements are many.
#[derive(Debug)]
struct Waiting {
    from: From,
    what: Small,
    /// When it was appended.
    at: Instant,
    /// Where its entry stands in the bytes that wait.
    bytes: Range<usize>,
}

#[derive(Debug)]
enum Small {
    /// The first of `kept` that did not come to disk.
    Kept,
    Done(ConsumerId, Sequence),
    Record(Box<Record>),
    Moved(Sequence),
    Note(Box<Entry>),
    Spared,
}

/// A message that waits.
#[derive(Debug)]
struct Kept {
    sequence: Sequence,
    /// The number of its entry.
    number: u64,
    message: Message,
    deliveries: SmallVec<[Delivery; 2]>,
    /// To how many it is still owed.
    owed: usize,
    may_be_spared: bool,
    /// The numbers of entries about it, where it may be spared.
    about: SmallVec<[u64; 2]>,
}

#[derive(Debug)]
struct Patient {
    consumer: ConsumerId,
    sequence: Sequence,
    at: Instant,
}

/// What waits, encoded already, in the order in which it was appended.
#[derive(Debug, Default)]
pub(super) struct Pending {
    encoded: Vec<u8>,
    items: VecDeque<Waiting>,
    /// The number of the first item.
    passed: u64,
    /// Messages that wait, in order.
    kept: VecDeque<Kept>,
    /// Of those, who is still owed which.
    owed: BTreeMap<ConsumerId, VecDeque<Sequence>>,
    /// Of `encoded`: what is not needed.
    spared_bytes: usize,
    /// Acknowledgements of who is eager, of what is on disk. They are no reason for a commit as long as they are few: if
    /// they were, it would take along what is just on its way to who is eager, whose acknowledgement would then be a
    /// reason for the next. When there is one they come first.
    patient: VecDeque<Patient>,
    /// Whether somebody waits.
    pub(super) awaited: bool,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.patient.is_empty()
    }

    /// Bytes that are to be written, patient acknowledgements aside.
    pub(super) fn bytes(&self) -> usize {
        self.encoded.len().saturating_sub(self.spared_bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.items.len() + self.patient.len()
    }

    /// When the first must be on disk, if each may linger so long. A note rides with the next commit; it is no reason for
    /// one.
    pub(super) fn due(&self, linger: Duration) -> Option<Instant> {
        let first = self.items.iter().find(|item| !matches!(item.what, Small::Note(_)));
        let first = first.map(|item| item.at + linger);
        let is_patient = !linger.is_zero() && self.patient.len() < PATIENT_MAX;
        let patient = self
            .patient
            .front()
            .map(|first| first.at + if is_patient { PATIENT_FOR.max(linger) } else { linger });
        first.into_iter().chain(patient).min()
    }

    /// `may_be_spared`: a message need not be written when everybody has it before.
    pub(super) fn append(
        &mut self,
        now: Instant,
        from: From,
        urgency: Urgency,
        record: Record,
        may_be_spared: bool,
    ) {
        let number = self.next_number();
        self.awaited |= urgency == Urgency::Awaited;
        let start = self.encoded.len();
        put_record_entry(&mut self.encoded, &record);
        if let Some(kept) = about(&record).and_then(|sequence| self.kept_mut(sequence))
            && kept.may_be_spared
        {
            kept.about.push(number);
        }
        let what = match record {
            Record::Kept { sequence, message, deliveries } => {
                for delivery in &deliveries {
                    self.owed.entry(delivery.consumer).or_default().push_back(sequence);
                }
                let (owed, about) = (deliveries.len(), SmallVec::new());
                self.kept.push_back(Kept {
                    sequence,
                    number,
                    message,
                    deliveries,
                    owed,
                    may_be_spared,
                    about,
                });
                Small::Kept
            }
            Record::Done { consumer, sequence } => Small::Done(consumer, sequence),
            record => Small::Record(Box::new(record)),
        };
        self.push(now, start, from, what);
    }

    pub(super) fn note(&mut self, note: Entry) {
        self.note_from(From::Journal, note);
    }

    /// A note that belongs to what it comes with.
    pub(super) fn note_from(&mut self, from: From, note: Entry) {
        let start = self.encoded.len();
        put_note(&mut self.encoded, &note);
        self.push(Instant::ZERO, start, from, Small::Note(Box::new(note)));
    }

    /// A note about a message that was appended just now: it comes to disk with it, and where that is spared, it is, too.
    pub(super) fn note_about(&mut self, sequence: Sequence, from: From, note: Entry) {
        let number = self.next_number();
        if let Some(kept) = self.kept_mut(sequence).filter(|kept| kept.may_be_spared) {
            kept.about.push(number);
        }
        self.note_from(from, note);
    }

    fn next_number(&self) -> u64 {
        self.passed.wrapping_add(u64::try_from(self.items.len()).unwrap_or(u64::MAX))
    }

    /// A message is copied; `body` as `kept_body` gives it.
    pub(super) fn copy(&mut self, now: Instant, sequence: Sequence, body: &[u8]) {
        let start = self.encoded.len();
        put_moved(&mut self.encoded, body);
        self.push(now, start, From::Journal, Small::Moved(sequence));
    }

    /// A message that is on disk was acknowledged by who is eager. Nobody waits for that: the ticket is not held up.
    pub(super) fn acknowledge(&mut self, at: Instant, from: From, consumer: ConsumerId, sequence: Sequence) {
        self.patient.push_back(Patient { consumer, sequence, at });
        self.pass(at, from);
    }

    /// Something was appended that needs not be written.
    pub(super) fn pass(&mut self, now: Instant, from: From) {
        if let (Some(last), From::Writer(writer, _)) = (self.items.back_mut(), from)
            && matches!(last.what, Small::Spared)
            && matches!(last.from, From::Writer(other, _) if other == writer)
        {
            last.from = from;
            return;
        }
        self.push(now, self.encoded.len(), from, Small::Spared);
    }

    fn push(&mut self, at: Instant, start: usize, from: From, what: Small) {
        self.items.push_back(Waiting { from, what, at, bytes: start..self.encoded.len() });
    }

    /// A delivery that waits to be written is settled already; whether it was there.
    pub(super) fn settle(&mut self, consumer: ConsumerId, sequence: Sequence) -> bool {
        let was_owed = self.is_not_owed_any_more(consumer, sequence);
        if was_owed && let Some(kept) = self.kept_mut(sequence) {
            kept.owed = kept.owed.saturating_sub(1);
        }
        was_owed
    }

    /// The same for all that wait in a range.
    pub(super) fn settle_range(&mut self, consumer: ConsumerId, first: Sequence, last: Sequence) {
        let owed = self.owed.get(&consumer).into_iter().flatten().copied();
        let these: Vec<Sequence> = owed.filter(|sequence| (first..=last).contains(sequence)).collect();
        for sequence in these {
            self.settle(consumer, sequence);
        }
    }

    fn is_not_owed_any_more(&mut self, consumer: ConsumerId, sequence: Sequence) -> bool {
        let Some(owed) = self.owed.get_mut(&consumer) else { return false };
        let found = owed.binary_search(&sequence);
        if let Ok(place) = found {
            owed.remove(place);
        }
        found.is_ok()
    }

    /// Takes out a message that may be spared and is owed to nobody any more, with everything about it; whether it was
    /// there.
    pub(super) fn spare(&mut self, sequence: Sequence) -> bool {
        let Some(place) = self.place_of(sequence) else { return false };
        if !self.kept.get(place).is_some_and(|kept| kept.may_be_spared && kept.owed == 0) {
            return false;
        }
        let Some(kept) = self.kept.remove(place) else { return false };
        for number in std::iter::once(kept.number).chain(kept.about) {
            let place = usize::try_from(number.wrapping_sub(self.passed)).unwrap_or(usize::MAX);
            if let Some(item) = self.items.get_mut(place) {
                self.spared_bytes += item.bytes.len();
                item.what = Small::Spared;
            }
        }
        true
    }

    /// Forgets what was spared and has nothing before it that waits, and says whose tickets that completes.
    pub(super) fn reap(&mut self, mut complete: impl FnMut(Writer, Ticket)) {
        while let Some(from) = self.items.front().map(|first| first.from) {
            let group = || self.items.iter().take_while(|item| item.from == from);
            if !group().all(|item| matches!(item.what, Small::Spared)) {
                break;
            }
            let count = group().count();
            self.items.drain(..count);
            self.passed = self.passed.wrapping_add(u64::try_from(count).unwrap_or(u64::MAX));
            if let From::Writer(writer, ticket) = from {
                complete(writer, ticket);
            }
        }
        if self.items.is_empty() {
            self.forget_bytes(0);
        } else if self.spared_bytes > SPARED_BYTES {
            self.encode_again();
        }
    }

    /// Makes the bytes ready for a commit: with patient acknowledgements first, without what was spared.
    pub(super) fn prepare(&mut self) {
        if !self.patient.is_empty() || self.spared_bytes > 0 {
            self.encode_again();
        }
    }

    fn encode_again(&mut self) {
        let mut encoded = Vec::with_capacity(self.bytes());
        let patient = std::mem::take(&mut self.patient);
        let mut first: Vec<Waiting> = Vec::with_capacity(patient.len());
        for Patient { consumer, sequence, at } in patient {
            let start = encoded.len();
            put_record_entry(&mut encoded, &Record::Done { consumer, sequence });
            let what = Small::Done(consumer, sequence);
            first.push(Waiting { from: From::Journal, what, at, bytes: start..encoded.len() });
        }
        for item in &mut self.items {
            let start = encoded.len();
            if !matches!(item.what, Small::Spared) {
                encoded.extend_from_slice(self.encoded.get(item.bytes.clone()).unwrap_or_default());
            }
            item.bytes = start..encoded.len();
        }
        for item in first.into_iter().rev() {
            self.items.push_front(item);
            self.passed = self.passed.wrapping_sub(1);
        }
        self.encoded = encoded;
        self.spared_bytes = 0;
    }

    /// The last message that waits and is owed, for each consumer; and how many are.
    pub(super) fn last_owed(&self) -> impl Iterator<Item = (ConsumerId, Sequence, u64)> + '_ {
        let count = |owed: &VecDeque<Sequence>| u64::try_from(owed.len()).unwrap_or(u64::MAX);
        self.owed.iter().filter_map(move |(consumer, owed)| Some((*consumer, *owed.back()?, count(owed))))
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
            let kept = self.kept.get(self.place_of(*sequence)?)?;
            let delivery = kept.deliveries.iter().find(|delivery| delivery.consumer == consumer)?.clone();
            let loaded = LoadedDelivery { sequence: *sequence, delivery, message: kept.message.clone() };
            let item = self.items.get(usize::try_from(kept.number.wrapping_sub(self.passed)).ok()?)?;
            Some((loaded, item.bytes.len()))
        })
    }

    /// Whether what an earlier run committed last waits to be written again: nothing may come before it.
    pub(super) fn has_earlier_run(&self) -> bool {
        let first = self.items.iter().find(|item| item.from != From::Journal);
        first.is_some_and(|first| first.from == From::EarlierRun)
    }

    /// Whether this message waits.
    pub(super) fn has(&self, sequence: Sequence) -> bool {
        self.place_of(sequence).is_some()
    }

    fn place_of(&self, sequence: Sequence) -> Option<usize> {
        self.kept.binary_search_by_key(&sequence, |kept| kept.sequence).ok()
    }

    fn kept_mut(&mut self, sequence: Sequence) -> Option<&mut Kept> {
        self.place_of(sequence).and_then(|place| self.kept.get_mut(place))
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
        let same = |item: &&Waiting| first.from != From::Journal && item.from == first.from;
        self.items.iter().take_while(same).last().map_or(first.bytes.end, |item| item.bytes.end)
    }

    /// The first `bytes` that wait.
    pub(super) fn encoded(&self, bytes: usize) -> &[u8] {
        self.encoded.get(..bytes).unwrap_or(&self.encoded)
    }

    /// Takes the first item out, after it came to disk, with those of its deliveries that are still owed.
    pub(super) fn pop(&mut self) -> Option<(Item, SmallVec<[ConsumerId; 2]>)> {
        let Waiting { from, what, bytes, .. } = self.items.pop_front()?;
        self.passed = self.passed.wrapping_add(1);
        let mut owed = SmallVec::new();
        let what = match what {
            Small::Kept => {
                let Kept { sequence, message, deliveries, .. } = self.kept.pop_front()?;
                let consumers = deliveries.iter().map(|delivery| delivery.consumer);
                owed = consumers.filter(|consumer| self.is_not_owed_any_more(*consumer, sequence)).collect();
                What::Record(Record::Kept { sequence, message, deliveries })
            }
            Small::Done(consumer, sequence) => What::Record(Record::Done { consumer, sequence }),
            Small::Record(record) => What::Record(*record),
            Small::Moved(sequence) => What::Moved(sequence),
            Small::Note(note) => What::Note(*note),
            Small::Spared => What::Spared,
        };
        Some((Item { from, what, bytes }, owed))
    }

    /// Forgets the bytes of items that were taken out.
    pub(super) fn forget_bytes(&mut self, bytes: usize) {
        if self.items.is_empty() {
            self.encoded.clear();
            self.owed.clear();
            self.spared_bytes = 0;
            self.awaited = false;
        } else {
            self.encoded.drain(..bytes);
            self.items
                .iter_mut()
                .for_each(|item| item.bytes = item.bytes.start - bytes..item.bytes.end - bytes);
        }
    }
}

/// The message that a record is about.
pub(super) fn about(record: &Record) -> Option<Sequence> {
    match record {
        Record::Done { sequence, .. }
        | Record::Dropped { sequence, .. }
        | Record::Assigned { sequence, .. } => Some(*sequence),
        _ => None,
    }
}
