//! A journal on a disk that crashes, beside a plain list of everything that was appended.
//!
//! The list knows which of it was committed. After every crash the journal must hold a prefix of the list that
//! contains everything committed, and owe exactly what that prefix owes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use tidegate::durable::{
    ConsumerId, Delivery, Message, MessageBody, Record, Sequence, State, Ticket, Urgency,
};
use tidegate::journal::{Event, Journal, Load, Options, Quota, Recovery, Report, Writer};
use tidegate::mqtt::{PacketIdentifier, QoS, TopicName};
use tidegate::time::{BootId, Instant, Moment, TimeQuality};

use crate::crash_disk::{CrashDisk, Rng, Tear};

/// A record as it was appended.
pub(crate) struct Appended {
    pub(crate) ticket: Ticket,
    pub(crate) record: Record,
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) disk: CrashDisk,
    pub(crate) options: Options,
    pub(crate) journal: Option<Journal<CrashDisk>>,
    pub(crate) now: Moment,
    pub(crate) list: Vec<Appended>,
    /// The highest ticket that was said to be committed.
    pub(crate) committed: Ticket,
    /// The highest ticket that was read back: it counts as committed when this run has committed anything.
    pub(crate) recovered: Ticket,
    pub(crate) next_ticket: Ticket,
    pub(crate) next_sequence: Sequence,
    /// What was settled, whether the record of it survived or not: a checkpoint may know of it earlier.
    pub(crate) facts: BTreeSet<(ConsumerId, Sequence)>,
    /// Messages that were never written, because everybody had them before. Nothing may speak of them.
    pub(crate) spared: BTreeSet<Sequence>,
    /// What was settled by who is eager: that may come to disk long after.
    pub(crate) patient: BTreeSet<(ConsumerId, Sequence)>,
    /// Who is given what is not yet on disk.
    pub(crate) eager: Vec<ConsumerId>,
    pub(crate) quotas: Vec<Quota>,
    /// What the journal said that it gave up.
    pub(crate) dropped: BTreeMap<ConsumerId, u64>,
    pub(crate) events: Vec<Event>,
}

pub(crate) const CONSUMERS: u32 = 4;

pub(crate) fn options(seed: u64) -> Options {
    // Now and then no places are kept, so that older segments are read again and again.
    let places_max = [usize::MAX, 0, 20][usize::try_from(seed % 3).unwrap()];
    Options { segment_bytes: 64 * 1024, places_max, ..Options::new(64 * 1024 * 64, seed) }
}

impl World {
    pub(crate) fn new(seed: u64, options: Options) -> World {
        let mut world = World {
            rng: Rng::new(seed),
            disk: CrashDisk::new(seed),
            options,
            journal: None,
            now: Moment {
                boot: BootId(1),
                monotonic: Instant::from_millis(1),
                unix_ms: 1_700_000_000_000,
                quality: TimeQuality::Synced,
            },
            list: Vec::new(),
            committed: Ticket(0),
            recovered: Ticket(0),
            next_ticket: Ticket(1),
            next_sequence: Sequence(1),
            facts: BTreeSet::new(),
            spared: BTreeSet::new(),
            patient: BTreeSet::new(),
            eager: Vec::new(),
            quotas: Vec::new(),
            dropped: BTreeMap::new(),
            events: Vec::new(),
        };
        world.open();
        for consumer in 1..=CONSUMERS {
            let name = ByteString::from(format!("uplink-{consumer}"));
            world.append(
                Urgency::Awaited,
                vec![Record::UplinkOpened { consumer: ConsumerId(consumer), name }],
            );
        }
        world.commit();
        world
    }

    pub(crate) fn journal(&mut self) -> &mut Journal<CrashDisk> {
        self.journal.as_mut().expect("the journal is open")
    }

    pub(crate) fn open(&mut self) -> Recovery {
        let options = Options { seed: self.rng.next(), ..self.options.clone() };
        let (mut journal, recovery) =
            Journal::open(self.disk.clone(), options, self.now).expect("a journal always opens");
        self.quotas.iter().for_each(|quota| journal.set_quota(quota.clone()));
        self.journal = Some(journal);
        recovery
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now.monotonic = self.now.monotonic + time;
        self.now.unix_ms += i64::try_from(time.as_millis()).unwrap();
    }

    /// Appends records under one ticket.
    pub(crate) fn append(&mut self, urgency: Urgency, records: Vec<Record>) {
        let ticket = self.next_ticket;
        self.next_ticket = ticket.next();
        for record in records {
            if let Some(settled) = settled(&record).filter(|(consumer, _)| self.eager.contains(consumer)) {
                self.patient.insert(settled);
            }
            self.list.push(Appended { ticket, record: record.clone() });
            let (now, spared) = (self.now, self.journal().sizes().spared);
            self.journal().append(now, Writer::BROKER, ticket, urgency, record.clone());
            if self.journal().sizes().spared > spared {
                let sequence = about(&record).expect("it was settled");
                self.list.retain(|appended| about(&appended.record) != Some(sequence));
                self.spared.insert(sequence);
            }
        }
        let news = self.journal().news();
        self.hear(news);
    }

    /// From now on these are given what is not yet on disk.
    pub(crate) fn let_ahead(&mut self, eager: &[ConsumerId]) {
        self.eager = eager.to_vec();
        for consumer in eager {
            self.journal().set_eager(*consumer, true);
        }
    }

    /// Of every two histories, one has consumers that are given what is not yet on disk.
    pub(crate) fn let_some_ahead(&mut self) {
        if self.rng.per_mille(500) {
            self.let_ahead(&[ConsumerId(1), ConsumerId(2)]);
        }
    }

    /// A message of a random size for random consumers.
    pub(crate) fn random_message(&mut self, bytes: u64) -> Record {
        let owed: Vec<u32> = (1..=CONSUMERS).filter(|_| self.rng.per_mille(500)).collect();
        let length = self.rng.below(bytes) as usize;
        self.message(owed, length)
    }

    pub(crate) fn message_for_all(&mut self, bytes: usize) -> Record {
        self.message((1..=CONSUMERS).collect(), bytes)
    }

    pub(crate) fn message(&mut self, owed: Vec<u32>, length: usize) -> Record {
        let sequence = self.next_sequence;
        self.next_sequence = sequence.next();
        let byte = self.rng.next() as u8;
        let message = Message {
            topic: TopicName::parse(format!("t/{}", sequence.0 % 7)).unwrap(),
            qos: QoS::AtLeastOnce,
            retain: false,
            accepted_at: self.now,
            body: MessageBody::Publish { payload: Bytes::from(vec![byte; length]), properties: None },
        };
        let deliver = |consumer| Delivery {
            consumer: ConsumerId(consumer),
            qos: QoS::AtLeastOnce,
            retain: false,
            subscription_identifiers: Default::default(),
        };
        Record::Kept { sequence, message, deliveries: owed.into_iter().map(deliver).collect() }
    }

    pub(crate) fn commit(&mut self) {
        let now = self.now;
        let events = self.journal().commit(now);
        if self.journal().status().commits > 0 {
            self.committed = self.committed.max(self.recovered);
        }
        self.hear(events);
    }

    pub(crate) fn tend(&mut self) {
        let now = self.now;
        let events = self.journal().tend(now);
        self.hear(events);
    }

    fn hear(&mut self, events: Vec<Event>) {
        for event in &events {
            match event {
                Event::Committed { writer, ticket } => {
                    assert_eq!(*writer, Writer::BROKER);
                    assert!(*ticket > self.committed, "a ticket was committed twice");
                    self.committed = *ticket;
                }
                Event::Dropped { consumer, count, .. } => {
                    *self.dropped.entry(*consumer).or_default() += count
                }
                _ => {}
            }
        }
        self.events.extend(events);
    }

    /// Everything that is owed to a consumer, loaded in small steps.
    pub(crate) fn load_all(
        &mut self,
        consumer: ConsumerId,
        committed_only: bool,
    ) -> Vec<(Sequence, Message)> {
        let mut after = Sequence::ZERO;
        let mut all = Vec::new();
        loop {
            let load = Load {
                consumer,
                after,
                max_messages: 1 + self.rng.below(40) as usize,
                max_bytes: 1 + self.rng.below(20_000) as usize,
                committed_only,
            };
            let loaded = self.journal().load(&load);
            let sequences = || loaded.deliveries.iter().map(|loaded| loaded.sequence);
            assert!(loaded.through >= after, "a load goes forward");
            assert!(
                sequences().all(|sequence| sequence > after && sequence <= loaded.through),
                "it says how far"
            );
            all.extend(loaded.deliveries.iter().map(|loaded| (loaded.sequence, loaded.message.clone())));
            let last = loaded.deliveries.last().map(|last| last.sequence);
            if last.is_none_or(|last| loaded.through > last) {
                return all;
            }
            after = loaded.through;
        }
    }

    /// Crashes, opens again, and compares with the list.
    pub(crate) fn crash(&mut self, tear: Tear) -> Report {
        self.journal = None;
        self.disk.crash(tear);
        let recovery = self.open();
        self.compare(&recovery);
        recovery.report
    }

    /// Only the process dies: what was written and not synced is still seen, and may still be lost.
    pub(crate) fn kill(&mut self) -> Report {
        self.journal = None;
        self.disk.kill();
        let recovery = self.open();
        self.compare(&recovery);
        recovery.report
    }

    /// The journal holds a prefix of the list, with everything committed in it; the rest of the list is forgotten.
    pub(crate) fn compare(&mut self, recovery: &Recovery) {
        self.facts.extend(self.list.iter().filter_map(|appended| settled(&appended.record)));
        self.facts.retain(|(_, sequence)| *sequence <= recovery.state.last_sequence);
        self.spared.retain(|sequence| *sequence <= recovery.state.last_sequence);
        self.patient.retain(|(_, sequence)| *sequence <= recovery.state.last_sequence);
        let held = self.load_everything(recovery);
        let least = self.list.iter().take_while(|appended| appended.ticket <= self.committed).count();
        let mut state = State::default();
        let mut owed = Owed::new();
        let mut found = None;
        let mut complaint = format!("its state is that of no prefix with all {least} that are committed");
        for length in 0..=self.list.len() {
            let next = self.list.get(length);
            let is_whole = length == 0 || next.is_none_or(|next| next.ticket != self.list[length - 1].ticket);
            if length >= least && is_whole && self.is_same(&state, &recovery.state) {
                match self.explain(&owed, &held) {
                    Ok(()) => found = Some(length),
                    Err(problem) => complaint = format!("as a prefix of {length} records: {problem}"),
                }
            }
            if let Some(next) = next {
                state.apply(&next.record);
                apply(&mut owed, &next.record);
            }
        }
        let length = found.unwrap_or_else(|| panic!("of {} records: {complaint}", self.list.len()));
        self.list.truncate(length);
        self.next_sequence = recovery.state.last_sequence.next();
        self.recovered = self.list.last().map_or(Ticket(0), |last| last.ticket);
        self.next_ticket = self.recovered.next();
        // Who is eager would not be given what the run before committed last and this one has not.
        let eager = std::mem::take(&mut self.eager);
        self.let_ahead(&eager);
    }

    fn load_everything(&mut self, recovery: &Recovery) -> Owed {
        let mut held = Owed::new();
        for consumer in (1..=CONSUMERS).map(ConsumerId) {
            // The last commit of the run before waits to be written again.
            let all = self.load_all(consumer, false);
            assert!(all.is_sorted_by(|a, b| a.0 < b.0), "in order, each once");
            let last = all.last().map(|(sequence, _)| sequence);
            // What was settled behind a checkpoint may have been the last, or all.
            let queued = recovery.queued.get(&consumer);
            assert!(queued >= last, "{queued:?} for {consumer:?}, the last is {last:?}");
            held.extend(all.into_iter().map(|(sequence, message)| ((consumer, sequence), message)));
        }
        held
    }

    /// Identifiers of settled deliveries may be forgotten early: that they ended is a fact whenever it was said. Those of
    /// who is eager may be forgotten late.
    fn is_same(&self, expected: &State, found: &State) -> bool {
        if expected.last_sequence != found.last_sequence || expected.uplinks.len() != found.uplinks.len() {
            return false;
        }
        let (mut expected, mut found) = (expected.clone(), found.clone());
        for (consumer, uplink) in &mut expected.uplinks {
            let Some(found) = found.uplinks.get_mut(consumer) else { return false };
            found.assigned.retain(|_, assigned| !self.patient.contains(&(*consumer, assigned.sequence)));
            uplink.assigned.retain(|identifier, _| found.assigned.contains_key(identifier));
        }
        expected == found
    }

    /// Whether what is held is what should be owed, but for what was settled or said to be dropped.
    fn explain(&self, owed: &Owed, held: &Owed) -> Result<(), String> {
        for (key, message) in held {
            let comes_again = self.patient.contains(key);
            if owed.get(key) != Some(message) && !comes_again {
                return Err(format!("{key:?} is not owed, or not like this"));
            }
        }
        let mut missing: BTreeMap<ConsumerId, u64> = BTreeMap::new();
        for key in owed.keys().filter(|key| !held.contains_key(key) && !self.facts.contains(key)) {
            *missing.entry(key.0).or_default() += 1;
        }
        for (consumer, missing) in missing {
            let dropped = self.dropped.get(&consumer).copied().unwrap_or(0);
            if missing > dropped {
                return Err(format!(
                    "{missing} are missing for {consumer:?}, {dropped} were said to be dropped"
                ));
            }
        }
        Ok(())
    }
}

/// What is owed to whom.
type Owed = BTreeMap<(ConsumerId, Sequence), Message>;

/// The message that a record keeps, or speaks of.
fn about(record: &Record) -> Option<Sequence> {
    match record {
        Record::Kept { sequence, .. }
        | Record::Done { sequence, .. }
        | Record::Dropped { sequence, .. }
        | Record::Assigned { sequence, .. } => Some(*sequence),
        _ => None,
    }
}

fn settled(record: &Record) -> Option<(ConsumerId, Sequence)> {
    match record {
        Record::Done { consumer, sequence } | Record::Dropped { consumer, sequence, .. } => {
            Some((*consumer, *sequence))
        }
        _ => None,
    }
}

fn apply(owed: &mut Owed, record: &Record) {
    if let Record::Kept { sequence, message, deliveries } = record {
        for delivery in deliveries {
            owed.insert((delivery.consumer, *sequence), message.clone());
        }
    }
    if let Some(key) = settled(record) {
        owed.remove(&key);
    }
}

pub(crate) fn assigned(consumer: ConsumerId, number: u16, sequence: Sequence) -> Record {
    Record::Assigned {
        consumer,
        packet_identifier: PacketIdentifier::new(number).unwrap(),
        sequence,
        qos: QoS::ExactlyOnce,
        frozen_payload: None,
    }
}
