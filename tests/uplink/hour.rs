//! The link is down for an hour in which a million messages are accepted, and the power fails in the middle of it; then
//! everything drains, in order, once. In virtual time: the real journal on a disk that forgets, the real forwarder.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use smallvec::smallvec;
use tidegate::bridge::{Forwarder, Input, Options, Output, Restored};
use tidegate::durable::{
    Boots, ConsumerId, Delivery, Message, MessageBody, Record, Sequence, Ticket, Urgency,
};
use tidegate::journal::{self, Event, Journal, Load, Recovery, Writer};
use tidegate::limits::UPLINK_LOAD_MESSAGES;
use tidegate::mqtt::{
    Acknowledgement, ConnAck, ConnAckProperties, Decoder, Packet, ProtocolVersion, PublishQoS, QoS,
    ReasonCode, TopicName,
};
use tidegate::reading::{Reading, Render};
use tidegate::time::{Instant, Moment};

use crate::crash_disk::{CrashDisk, Tear};

const CONSUMER: ConsumerId = ConsumerId(1);
const OUTAGE: Duration = Duration::from_secs(3600);
const AT_ONCE: u64 = 100;
/// There and back.
const WAY: Duration = Duration::from_millis(40);
/// Deliveries in memory: the window, and what was read ahead of it.
const IN_MEMORY: u64 = 2000 + 2 * UPLINK_LOAD_MESSAGES as u64;

struct NoReadings;

impl Render for NoReadings {
    fn render(&self, _: &Reading, _: &Boots) -> Bytes {
        unreachable!("there are no readings")
    }
}

struct World {
    disk: CrashDisk,
    journal: Journal<CrashDisk>,
    forwarder: Forwarder,
    now: Moment,
    next_tend: Instant,
    /// What is on its way to the forwarder, in order.
    coming: VecDeque<(Instant, Input)>,
    network: bool,
    attempts: u64,
    /// The last message that was accepted.
    accepted: u64,
    /// The last message that has arrived: the others came before it, in order.
    arrived: u64,
    loaded: u64,
    most_in_memory: u64,
}

impl World {
    fn new() -> World {
        let disk = CrashDisk::new(7);
        let now = Moment { monotonic: Instant::from_millis(1), ..Moment::default() };
        let (mut journal, recovery) = open(&disk, now);
        let opened = Record::UplinkOpened { consumer: CONSUMER, name: "cloud".into() };
        journal.append(now, Writer::BROKER, Ticket(1), Urgency::Awaited, opened);
        let forwarder = forwarder(now, &recovery);
        World {
            disk,
            journal,
            forwarder,
            now,
            next_tend: now.monotonic,
            coming: VecDeque::new(),
            network: false,
            attempts: 0,
            accepted: 0,
            arrived: 0,
            loaded: 0,
            most_in_memory: 0,
        }
    }

    /// The power goes and comes back: what was not synced is gone.
    fn power_cut(&mut self) {
        self.coming.clear();
        self.disk.crash(Tear::LoseAll);
        let (journal, recovery) = open(&self.disk, self.now);
        assert!(recovery.report.is_sound(), "{:?}", recovery.report);
        self.forwarder = forwarder(self.now, &recovery);
        self.journal = journal;
    }

    /// Accepts some more: they are on disk.
    fn accept(&mut self, count: u64, qos: QoS) {
        for _ in 0..count {
            self.accepted += 1;
            let sequence = Sequence(self.accepted);
            let message = Message {
                topic: TopicName::parse("tidegate/greenhouse/air/state").unwrap(),
                qos,
                retain: false,
                accepted_at: self.now,
                body: MessageBody::Publish {
                    payload: Bytes::from(format!("{:064}", self.accepted)),
                    properties: None,
                },
            };
            let delivery =
                Delivery { consumer: CONSUMER, qos, retain: false, subscription_identifiers: smallvec![] };
            let record = Record::Kept { sequence, message, deliveries: smallvec![delivery] };
            let ticket = Ticket(self.accepted + 1);
            self.journal.append(self.now, Writer::BROKER, ticket, Urgency::Awaited, record);
        }
        self.commit();
    }

    fn commit(&mut self) {
        let events = self.journal.commit(self.now);
        self.tell(events);
    }

    fn tell(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Committed { writer, ticket } if writer == Writer::uplink(CONSUMER) => {
                    self.handle(Input::Committed { ticket });
                }
                Event::Available { consumer, through } => self.handle(Input::Available { consumer, through }),
                Event::Committed { .. } | Event::Health(_) => {}
                bad => panic!("{bad:?}"),
            }
        }
    }

    fn handle(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut outputs = Vec::new();
            self.forwarder.handle(self.now, input, &mut outputs);
            let mut answers = Vec::new();
            for output in outputs {
                match output {
                    Output::Open => self.dialled(),
                    Output::Close => self.coming.clear(),
                    Output::Send(packet) => answers.extend(self.cloud(packet)),
                    Output::Publish(packets) => {
                        let mut packets = BytesMut::from(packets);
                        let mut decoder = Decoder::of_server(ProtocolVersion::V5, usize::MAX);
                        while let Some((packet, _)) = decoder.decode(&mut packets).unwrap() {
                            answers.extend(self.cloud(packet));
                        }
                        assert!(packets.is_empty(), "whole packets");
                    }
                    Output::Append { ticket, urgency, record } => {
                        let writer = Writer::uplink(CONSUMER);
                        self.journal.append(self.now, writer, ticket, urgency, *record);
                    }
                    Output::Done { ticket, consumer, sequence } => {
                        let (writer, done) = (Writer::uplink(CONSUMER), Record::Done { consumer, sequence });
                        self.journal.append(self.now, writer, ticket, Urgency::Lingers, done);
                    }
                    Output::Load { consumer, after, max_messages, max_bytes } => {
                        let load = Load { consumer, after, max_messages, max_bytes, committed_only: true };
                        let loaded = self.journal.load(&load);
                        self.loaded += u64::try_from(loaded.deliveries.len()).unwrap();
                        self.most_in_memory =
                            self.most_in_memory.max(self.loaded.saturating_sub(self.arrived));
                        inputs.push_back(Input::Loaded {
                            deliveries: loaded.deliveries,
                            through: loaded.through,
                        });
                    }
                    Output::Event(_) => {}
                    Output::Ingest { .. } | Output::DeadLetter(_) => panic!("{output:?}"),
                }
            }
            if !answers.is_empty() {
                self.coming.push_back((self.now.monotonic + WAY, Input::Packets(answers)));
            }
        }
    }

    fn dialled(&mut self) {
        self.attempts += 1;
        let answer =
            if self.network { Input::Opened } else { Input::Closed("network is unreachable".to_owned()) };
        self.coming.push_back((self.now.monotonic + WAY, answer));
    }

    /// What the server answers; it judges order and completeness.
    fn cloud(&mut self, packet: Packet) -> Option<Packet> {
        match packet {
            Packet::Connect(_) => {
                let (reason, properties) = (ReasonCode::Success, ConnAckProperties::default());
                Some(Packet::ConnAck(Box::new(ConnAck { session_present: false, reason, properties })))
            }
            Packet::Publish(publish) => {
                let number: u64 = std::str::from_utf8(&publish.payload).unwrap().parse().unwrap();
                assert_eq!(number, self.arrived + 1, "the next in order");
                assert!(!publish.dup);
                self.arrived = number;
                match publish.qos {
                    PublishQoS::AtMostOnce => panic!("nothing goes at QoS 0"),
                    PublishQoS::AtLeastOnce(identifier) => {
                        Some(Packet::PubAck(Acknowledgement::new(identifier, ReasonCode::Success)))
                    }
                    PublishQoS::ExactlyOnce(identifier) => {
                        Some(Packet::PubRec(Acknowledgement::new(identifier, ReasonCode::Success)))
                    }
                }
            }
            Packet::PubRel(ack) => {
                Some(Packet::PubComp(Acknowledgement::new(ack.packet_identifier, ReasonCode::Success)))
            }
            Packet::PingReq => Some(Packet::PingResp),
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass, from one thing that is due to the next, up to `end`.
    fn pass(&mut self, end: Instant) {
        loop {
            let coming = self.coming.front().map(|(at, _)| *at);
            let wakes =
                [coming, self.forwarder.next_timeout(), self.journal.next_commit(), Some(self.next_tend)];
            let next = wakes.into_iter().flatten().min().unwrap_or(end).max(self.now.monotonic);
            if next > end {
                self.now.monotonic = end;
                return;
            }
            self.now.monotonic = next;
            if self.journal.next_commit().is_some_and(|at| at <= next) {
                self.commit();
            }
            if self.next_tend <= next {
                self.next_tend = next + Duration::from_secs(1);
                let events = self.journal.tend(self.now);
                self.tell(events);
            }
            if let Some((_, input)) = self.coming.pop_front_if(|(at, _)| *at <= next) {
                self.handle(input);
            }
            if self.forwarder.next_timeout().is_some_and(|at| at <= next) {
                self.handle(Input::Timeout);
            }
        }
    }
}

fn open(disk: &CrashDisk, now: Moment) -> (Journal<CrashDisk>, Recovery) {
    let options = journal::Options::new(2 << 30, disk.operations() + 1);
    Journal::open(disk.clone(), options, now).unwrap()
}

fn forwarder(now: Moment, recovery: &Recovery) -> Forwarder {
    let known = recovery.state.uplinks.get(&CONSUMER);
    let restored = Restored {
        assigned: known.map(|known| known.assigned.clone()).unwrap_or_default(),
        queued: recovery.queued.get(&CONSUMER).copied().unwrap_or_default(),
        new: known.is_none(),
    };
    let boots = recovery.state.boots.clone();
    Forwarder::new(now, CONSUMER, Options::new("greenhouse"), Arc::new(NoReadings), boots, restored)
}

fn hour(messages: u64, qos: QoS) {
    let mut world = World::new();
    let begin = world.now.monotonic;
    let batches = messages / AT_ONCE;
    for batch in 1..=batches {
        let share = OUTAGE.as_nanos() * u128::from(batch) / u128::from(batches);
        world.pass(begin + Duration::from_nanos(u64::try_from(share).unwrap()));
        world.accept(AT_ONCE, qos);
        if batch == batches / 2 {
            world.power_cut();
        }
    }
    assert_eq!((world.accepted, world.arrived), (batches * AT_ONCE, 0));
    let attempts = world.attempts;
    // The pauses grow to 20 s at most, 10 s on average, and are never none.
    assert!((180..1000).contains(&attempts), "{attempts} attempts in an hour");
    world.network = true;
    let returns = world.now.monotonic;
    while world.arrived < world.accepted || world.forwarder.status().in_flight > 0 {
        let next = world.now.monotonic + Duration::from_secs(1);
        world.pass(next);
        assert!(next.since(returns) < OUTAGE, "stuck at {}: {:?}", world.arrived, world.forwarder);
    }
    let took = world.now.monotonic.since(returns);
    // What was acknowledged lingers for a moment, then nothing is owed any more.
    world.pass(world.now.monotonic + Duration::from_secs(5));
    let backlogs = world.journal.status().backlogs;
    assert_eq!(backlogs.values().map(|backlog| backlog.messages).sum::<u64>(), 0);
    assert_eq!(world.forwarder.status().acknowledged, world.accepted);
    assert!(world.most_in_memory <= IN_MEMORY, "{} were in memory", world.most_in_memory);
    println!(
        "{qos:?}: {messages} messages in an hour without a link, {attempts} attempts; drained in order in {:.0} s \
         of a link with {} ms there and back, {} in memory at most",
        took.as_secs_f64(),
        WAY.as_millis(),
        world.most_in_memory
    );
}

/// The short form, of every ordinary run.
#[test]
fn what_was_accepted_in_an_hour_without_a_link_drains_in_order_and_completely() {
    hour(100_000, QoS::AtLeastOnce);
    hour(10_000, QoS::ExactlyOnce);
}

#[test]
#[ignore = "takes a minute: cargo test --test uplink million -- --ignored --nocapture"]
fn a_million_messages_of_an_hour_without_a_link_drain_in_order_and_completely() {
    hour(1_000_000, QoS::AtLeastOnce);
    hour(1_000_000, QoS::ExactlyOnce);
}
