//! The world of these tests: a journal that can crash, a server that can forget, and a link that can break.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use smallvec::smallvec;

use super::super::{
    Batch, DeadLetter, Event, Forwarder, Input, Options, Output, Priority, Queue, Rate, Restored,
};
use crate::durable::{
    Boots, ConsumerId, Delivery, LoadedDelivery, Message, MessageBody, OutboundPhase, Record, Sequence,
    State, Ticket, Urgency,
};
use crate::mqtt::{
    Acknowledgement, ConnAck, ConnAckProperties, Decoder, Packet, PacketIdentifier, ProtocolVersion, Publish,
    PublishQoS, QoS, ReasonCode, SubAck, TopicName,
};
use crate::reading::{Reading, Render};
use crate::time::{Instant, Moment};

pub(super) const CONSUMER: ConsumerId = ConsumerId(7);
/// A queue of alarms, filled by topics that begin so; and the others likewise, in worlds that have them.
const ALARM: ConsumerId = ConsumerId(8);
const BULK: ConsumerId = ConsumerId(9);
const SLOW: ConsumerId = ConsumerId(10);
const MANY: ConsumerId = ConsumerId(11);
const QUEUES: [(&str, ConsumerId); 4] = [("alarm", ALARM), ("bulk", BULK), ("slow", SLOW), ("many", MANY)];

/// Renders a number that differs each time: whoever renders twice is seen.
#[derive(Default)]
pub(super) struct CountingRenderer(std::sync::atomic::AtomicU64);

impl Render for CountingRenderer {
    fn render(&self, reading: &Reading, _: &Boots) -> Bytes {
        let count = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Bytes::from(format!("{}-{count}", reading.sensor))
    }
}

/// A journal that remembers what was committed, and only that after a crash.
#[derive(Default)]
pub(super) struct FakeJournal {
    /// What is on disk.
    pub(super) state: State,
    owed: BTreeMap<Sequence, LoadedDelivery>,
    /// What is not.
    pending: Vec<(Option<Ticket>, Record)>,
    /// Everything that the forwarder appended.
    pub(super) appended: Vec<Record>,
    last: Sequence,
    /// How many messages there ever were.
    messages: u64,
    /// What a power cut leaves: more was written by a run that was killed, and nothing was committed since.
    left_by_power_cut: Option<(State, BTreeMap<Sequence, LoadedDelivery>)>,
    /// It commits nothing.
    pub(super) is_dead: bool,
}

impl FakeJournal {
    fn new() -> FakeJournal {
        let mut journal = FakeJournal::default();
        for consumer in std::iter::once(CONSUMER).chain(QUEUES.map(|(_, consumer)| consumer)) {
            journal.state.apply(&Record::UplinkOpened { consumer, name: format!("{}", consumer.0).into() });
        }
        journal
    }

    fn keep(&mut self, message: Message, qos: QoS, consumer: ConsumerId) -> Sequence {
        self.last = self.last.next();
        self.messages += 1;
        let delivery = Delivery { consumer, qos, retain: false, subscription_identifiers: smallvec![] };
        let record = Record::Kept { sequence: self.last, message, deliveries: smallvec![delivery] };
        self.pending.push((None, record));
        self.last
    }

    fn append(&mut self, ticket: Ticket, record: Record) {
        self.appended.push(record.clone());
        self.pending.push((Some(ticket), record));
    }

    /// Puts all that waits on disk: the last ticket of the forwarder, and up to where something is available.
    fn commit(&mut self) -> (Option<Ticket>, BTreeMap<ConsumerId, Sequence>) {
        if self.is_dead {
            return (None, BTreeMap::new());
        }
        self.left_by_power_cut = None;
        self.write()
    }

    fn write(&mut self) -> (Option<Ticket>, BTreeMap<ConsumerId, Sequence>) {
        let mut ticket = None;
        let mut through = BTreeMap::new();
        for (of, record) in self.pending.drain(..) {
            ticket = of.or(ticket);
            self.state.apply(&record);
            match record {
                Record::Kept { sequence, message, deliveries } => {
                    let delivery = deliveries[0].clone();
                    self.owed.insert(sequence, LoadedDelivery { sequence, delivery, message });
                    through.insert(deliveries[0].consumer, sequence);
                }
                Record::Done { sequence, .. } | Record::Dropped { sequence, .. } => {
                    self.owed.remove(&sequence);
                }
                _ => {}
            }
        }
        (ticket, through)
    }

    /// The process dies after it wrote what waited, before that is on disk.
    fn kill(&mut self) {
        if self.left_by_power_cut.is_none() {
            self.left_by_power_cut = Some((self.state.clone(), self.owed.clone()));
        }
        self.write();
    }

    /// What is not on disk is gone.
    fn cut_power(&mut self) {
        self.pending.clear();
        if let Some((state, owed)) = self.left_by_power_cut.take() {
            (self.state, self.owed) = (state, owed);
        }
        self.last = self.state.last_sequence;
    }

    fn load(
        &self,
        consumer: ConsumerId,
        after: Sequence,
        max_messages: usize,
    ) -> (Vec<LoadedDelivery>, Sequence) {
        // What is said to be done is not given any more, be it on disk or not.
        let gone: BTreeSet<Sequence> = self.pending.iter().filter_map(|(_, record)| ended(record)).collect();
        let rest = || {
            let rest = self.owed.range(after.next()..).map(|(_, delivery)| delivery);
            rest.filter(|owed| owed.delivery.consumer == consumer && !gone.contains(&owed.sequence))
        };
        let deliveries: Vec<_> = rest().take(max_messages).cloned().collect();
        let complete = rest().count() == deliveries.len();
        let through = match deliveries.last() {
            Some(last) if !complete => last.sequence,
            _ => self.state.last_sequence,
        };
        (deliveries, through)
    }

    /// The message is gone; its identifier is not.
    pub(super) fn lose(&mut self, sequence: u64) {
        self.owed.remove(&Sequence(sequence));
    }

    fn restored(&self, consumer: ConsumerId) -> Restored {
        let owed = self.owed.values().filter(|owed| owed.delivery.consumer == consumer);
        Restored {
            assigned: self.state.uplinks[&consumer].assigned.clone(),
            queued: owed.map(|owed| owed.sequence).last().unwrap_or_default(),
            new: false,
        }
    }

    pub(super) fn phases(&self) -> Vec<(u64, OutboundPhase)> {
        let assigned = self.state.uplinks.values().flat_map(|uplink| uplink.assigned.values());
        assigned.map(|entry| (entry.sequence.0, entry.phase)).collect()
    }

    /// Messages that are still owed on disk.
    pub(super) fn owed(&self) -> Vec<u64> {
        self.owed.keys().map(|sequence| sequence.0).collect()
    }
}

/// The delivery that ends with this.
fn ended(record: &Record) -> Option<Sequence> {
    match record {
        Record::Done { sequence, .. } | Record::Dropped { sequence, .. } => Some(*sequence),
        _ => None,
    }
}

/// A server that obeys the standard, and remembers its session as long as it is told to.
#[derive(Default)]
pub(super) struct Cloud {
    pub(super) has_session: bool,
    received: BTreeSet<PacketIdentifier>,
    pub(super) arrived: Vec<(TopicName, Bytes)>,
    pub(super) connack: ConnAckProperties,
    /// Open publishes of this connection, to check our respect for Receive Maximum.
    open: BTreeSet<PacketIdentifier>,
    pub(super) most_open: usize,
    pub(super) subscribed: Vec<ByteString>,
    /// At these it breaks off the connection.
    pub(super) poison: BTreeSet<Bytes>,
    /// Publishes that are refused, with this, before one is taken.
    pub(super) refuses: VecDeque<ReasonCode>,
}

impl Cloud {
    pub(super) fn forget(&mut self) {
        self.has_session = false;
        self.received.clear();
    }

    /// Takes a packet and says what it answers.
    pub(super) fn answer(&mut self, packet: Packet) -> Option<Packet> {
        let ok = |identifier| Acknowledgement::new(identifier, ReasonCode::Success);
        Some(match packet {
            Packet::Connect(connect) => {
                if connect.clean_start {
                    self.forget();
                }
                self.open.clear();
                let session_present = std::mem::replace(&mut self.has_session, true);
                let (reason, properties) = (ReasonCode::Success, self.connack.clone());
                Packet::ConnAck(Box::new(ConnAck { session_present, reason, properties }))
            }
            Packet::Publish(publish) => {
                let identifier = publish.qos.packet_identifier();
                if let Some(identifier) = identifier {
                    self.open.insert(identifier);
                    self.most_open = self.most_open.max(self.open.len());
                }
                if let Some(reason) = identifier.is_some().then(|| self.refuses.pop_front()).flatten() {
                    let identifier = identifier.unwrap();
                    self.open.remove(&identifier);
                    let answer = Acknowledgement::new(identifier, reason);
                    return Some(match publish.qos {
                        PublishQoS::ExactlyOnce(_) => Packet::PubRec(answer),
                        _ => Packet::PubAck(answer),
                    });
                }
                let new = match publish.qos {
                    PublishQoS::ExactlyOnce(identifier) => self.received.insert(identifier),
                    _ => true,
                };
                if new {
                    self.arrived.push((publish.topic.unwrap(), publish.payload));
                }
                match publish.qos {
                    PublishQoS::AtMostOnce => return None,
                    PublishQoS::AtLeastOnce(identifier) => {
                        self.open.remove(&identifier);
                        Packet::PubAck(ok(identifier))
                    }
                    PublishQoS::ExactlyOnce(identifier) => Packet::PubRec(ok(identifier)),
                }
            }
            Packet::PubRel(release) => {
                self.received.remove(&release.packet_identifier);
                self.open.remove(&release.packet_identifier);
                Packet::PubComp(ok(release.packet_identifier))
            }
            Packet::Subscribe(subscribe) => {
                self.subscribed.extend(subscribe.requests.iter().map(|(filter, _)| filter.clone()));
                Packet::SubAck(Box::new(SubAck {
                    packet_identifier: subscribe.packet_identifier,
                    properties: None,
                    reasons: vec![ReasonCode::GrantedQoS1; subscribe.requests.len()],
                }))
            }
            Packet::PingReq => Packet::PingResp,
            _ => return None,
        })
    }

    /// The numbers of the messages that arrived, presence left out.
    pub(super) fn numbers(&self) -> Vec<u64> {
        let payloads = self.arrived.iter().filter_map(|(_, payload)| std::str::from_utf8(payload).ok());
        payloads.filter_map(|text| text.parse().ok()).collect()
    }
}

pub(super) struct World {
    pub(super) now: Moment,
    pub(super) options: Options,
    renderer: Arc<CountingRenderer>,
    pub(super) forwarder: Forwarder,
    pub(super) journal: FakeJournal,
    pub(super) cloud: Cloud,
    /// Whether the network carries connections.
    pub(super) network: bool,
    pub(super) opening: bool,
    pub(super) connected: bool,
    pub(super) to_cloud: VecDeque<Packet>,
    pub(super) to_gateway: VecDeque<Packet>,
    loads: VecDeque<(ConsumerId, Sequence, usize)>,
    queues: Vec<(ConsumerId, Priority, Option<Rate>, Option<Batch>)>,
    pub(super) events: Vec<Event>,
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) ingested: Vec<(u64, Message)>,
    /// Everything that was sent.
    pub(super) sent: Vec<Packet>,
}

impl World {
    pub(super) fn new() -> World {
        World::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Options)) -> World {
        let mut options = Options::new("gateway");
        options.window = 10;
        change(&mut options);
        let journal = FakeJournal::new();
        let now = Moment { monotonic: Instant::from_millis(1000), ..Moment::default() };
        let renderer = Arc::new(CountingRenderer::default());
        let queues = vec![(CONSUMER, Priority::Normal, None, None)];
        let forwarder = start(now, &options, &journal, renderer.clone(), &queues);
        World {
            queues,
            dead_letters: Vec::new(),
            now,
            options,
            renderer,
            forwarder,
            journal,
            cloud: Cloud::default(),
            network: true,
            opening: false,
            connected: false,
            to_cloud: VecDeque::new(),
            to_gateway: VecDeque::new(),
            loads: VecDeque::new(),
            events: Vec::new(),
            ingested: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// A world with a queue for topics that begin with "alarm", "bulk", "slow" (10 messages a second) and "many"
    /// (five readings in one publish).
    pub(super) fn with_queues(change: impl FnOnce(&mut Options)) -> World {
        let mut world = World::with(change);
        let rate = Rate { messages: 10, per: Duration::from_secs(1) };
        let batch = Batch { messages: 5, bytes: 10_000, linger: Duration::from_secs(30) };
        world.queues.extend([
            (ALARM, Priority::Alarm, None, None),
            (BULK, Priority::Bulk, None, None),
            (SLOW, Priority::Normal, Some(rate), None),
            (MANY, Priority::Normal, None, Some(batch)),
        ]);
        world.forwarder =
            start(world.now, &world.options, &world.journal, world.renderer.clone(), &world.queues);
        world
    }

    pub(super) fn input(&mut self, input: Input) {
        let mut outputs = Vec::new();
        self.forwarder.handle(self.now, input, &mut outputs);
        for output in outputs {
            match output {
                Output::Open => self.opening = true,
                Output::Send(packet) => {
                    self.sent.push(packet.clone());
                    self.to_cloud.push_back(packet);
                }
                Output::Publish(packets) => {
                    let mut packets = BytesMut::from(packets);
                    let mut decoder = Decoder::of_server(self.options.version, usize::MAX);
                    while let Some((packet, _)) = decoder.decode(&mut packets).unwrap() {
                        self.sent.push(packet.clone());
                        self.to_cloud.push_back(packet);
                    }
                    assert!(packets.is_empty(), "whole packets");
                }
                Output::Close => {
                    (self.opening, self.connected) = (false, false);
                    self.to_cloud.clear();
                    self.to_gateway.clear();
                }
                Output::Load { consumer, after, max_messages, max_bytes } => {
                    assert!(max_messages > 0 && max_bytes > 0);
                    assert!(self.loads.is_empty(), "one load at a time");
                    self.loads.push_back((consumer, after, max_messages));
                }
                Output::Append { ticket, urgency, record } => {
                    let awaited = matches!(*record, Record::Assigned { .. } | Record::Released { .. });
                    assert_eq!(awaited, urgency == Urgency::Awaited, "{record:?}");
                    self.journal.append(ticket, *record);
                }
                Output::Done { ticket, consumer, sequence } => {
                    self.journal.append(ticket, Record::Done { consumer, sequence });
                }
                Output::Ingest { token, message, .. } => self.ingested.push((token, *message)),
                Output::Event(event) => self.events.push(event),
                Output::DeadLetter(letter) => self.dead_letters.push(*letter),
            }
        }
    }

    /// A message whose payload is its number: 1 for the first of all. On disk only after [`World::commit`].
    pub(super) fn keep_on(&mut self, topic: &str, qos: QoS) -> u64 {
        let number = self.journal.messages + 1;
        let body = MessageBody::Publish { payload: Bytes::from(number.to_string()), properties: None };
        self.keep_message(topic, qos, body);
        number
    }

    pub(super) fn keep_message(&mut self, topic: &str, qos: QoS, body: MessageBody) -> u64 {
        let topic = TopicName::parse(topic.to_owned()).unwrap();
        let message = Message { topic, qos, retain: false, accepted_at: self.now, body };
        let queue = QUEUES.iter().find(|(begins, consumer)| {
            message.topic.as_str().starts_with(begins)
                && self.queues.iter().any(|(known, ..)| known == consumer)
        });
        self.journal.keep(message, qos, queue.map_or(CONSUMER, |(_, consumer)| *consumer)).0
    }

    pub(super) fn keep(&mut self, count: usize, qos: QoS) {
        for _ in 0..count {
            self.keep_on("t", qos);
        }
        self.commit();
    }

    pub(super) fn commit(&mut self) {
        let (ticket, through) = self.journal.commit();
        if let Some(ticket) = ticket {
            self.input(Input::Committed { ticket });
        }
        for (consumer, through) in through {
            self.input(Input::Available { consumer, through });
        }
    }

    pub(super) fn answer_load(&mut self) -> bool {
        let Some((consumer, after, max_messages)) = self.loads.pop_front() else { return false };
        let (deliveries, through) = self.journal.load(consumer, after, max_messages);
        self.input(Input::Loaded { deliveries, through });
        true
    }

    /// Opens the connection that was asked for, or lets it fail.
    pub(super) fn answer_open(&mut self) -> bool {
        if !std::mem::take(&mut self.opening) {
            return false;
        }
        self.connected = self.network;
        self.input(if self.network { Input::Opened } else { Input::Closed("no route".into()) });
        true
    }

    /// The server takes one packet; its answer is on the way.
    pub(super) fn step_cloud(&mut self) -> bool {
        let Some(packet) = self.to_cloud.pop_front() else { return false };
        if matches!(&packet, Packet::Publish(publish) if self.cloud.poison.contains(&publish.payload)) {
            self.break_link();
            return true;
        }
        let answer = self.cloud.answer(packet);
        self.to_gateway.extend(answer);
        true
    }

    pub(super) fn step_gateway(&mut self) -> bool {
        let Some(packet) = self.to_gateway.pop_front() else { return false };
        self.input(Input::Packets(vec![packet]));
        true
    }

    pub(super) fn break_link(&mut self) {
        if std::mem::take(&mut self.connected) {
            self.to_cloud.clear();
            self.to_gateway.clear();
            self.input(Input::Closed("reset".into()));
        }
    }

    /// Time goes on to the next deadline.
    pub(super) fn wait(&mut self) -> bool {
        let Some(at) = self.forwarder.next_timeout() else { return false };
        self.now.monotonic = self.now.monotonic.max(at);
        self.input(Input::Timeout);
        true
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now.monotonic = self.now.monotonic + by;
        while self.forwarder.next_timeout().is_some_and(|at| at <= self.now.monotonic) {
            self.input(Input::Timeout);
        }
    }

    /// Everything that can happen without time passing, happens; the disk at the end of each round.
    pub(super) fn settle(&mut self) {
        loop {
            let mut moved = self.answer_open();
            moved |= self.answer_load();
            while self.step_cloud() || self.step_gateway() {
                moved = true;
            }
            moved |= !self.journal.pending.is_empty() && !self.journal.is_dead;
            self.commit();
            if self.forwarder.next_timeout().is_some_and(|at| at <= self.now.monotonic) {
                self.input(Input::Timeout);
                moved = true;
            }
            if !moved {
                return;
            }
        }
    }

    /// As [`World::settle`], with pauses between attempts passing, until the server is connected.
    pub(super) fn connect(&mut self) {
        for _ in 0..100 {
            self.settle();
            if self.forwarder.status().connected_since.is_some() {
                return;
            }
            self.wait();
        }
        panic!("never connected: {:?}", self.forwarder);
    }

    /// A power cut and a new start: what was not committed is gone.
    pub(super) fn crash(&mut self) {
        self.journal.cut_power();
        self.start_anew();
    }

    /// Kill -9 and a new start: what was written is there, whether it is on disk or not.
    pub(super) fn kill(&mut self) {
        self.journal.kill();
        self.start_anew();
    }

    fn start_anew(&mut self) {
        (self.opening, self.connected) = (false, false);
        self.to_cloud.clear();
        self.to_gateway.clear();
        self.loads.clear();
        self.forwarder = start(self.now, &self.options, &self.journal, self.renderer.clone(), &self.queues);
    }

    /// A new start with a new journal, which has never seen the server.
    pub(super) fn renew(&mut self) {
        let restored = Restored { new: true, ..Restored::default() };
        let options = self.options.clone();
        self.forwarder =
            Forwarder::new(self.now, CONSUMER, options, self.renderer.clone(), Boots::default(), restored);
    }

    pub(super) fn take_sent(&mut self) -> Vec<Packet> {
        std::mem::take(&mut self.sent)
    }

    /// What was sent since the last call, in short: `P1` publish, `P1d` with DUP, `R1` release, identifiers behind.
    pub(super) fn sent_briefly(&mut self) -> String {
        let words = self.take_sent().into_iter().filter_map(|packet| match packet {
            Packet::Publish(Publish { qos, dup, .. }) => {
                let identifier = qos.packet_identifier().map_or(0, PacketIdentifier::get);
                Some(format!("P{identifier}{}", if dup { "d" } else { "" }))
            }
            Packet::PubRel(release) => Some(format!("R{}", release.packet_identifier)),
            _ => None,
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

fn start(
    now: Moment,
    options: &Options,
    journal: &FakeJournal,
    renderer: Arc<CountingRenderer>,
    queues: &[(ConsumerId, Priority, Option<Rate>, Option<Batch>)],
) -> Forwarder {
    let queue = |(consumer, priority, rate, batch): &(ConsumerId, _, _, _)| Queue {
        consumer: *consumer,
        priority: *priority,
        rate: *rate,
        batch: *batch,
        restored: journal.restored(*consumer),
    };
    let queues: Vec<Queue> = queues.iter().map(queue).collect();
    Forwarder::with_queues(now, &queues, options.clone(), renderer, Boots::default())
}

pub(super) fn identifier(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).unwrap()
}

pub(super) fn ack(number: u16, reason: ReasonCode) -> Acknowledgement {
    Acknowledgement::new(identifier(number), reason)
}

pub(super) fn version_3(options: &mut Options) {
    options.version = ProtocolVersion::V3_1_1;
}
