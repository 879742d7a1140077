//! The gateway under test: the real broker, journal and forwarder, with the channels and threads between them
//! played in virtual time.
//!
//! Decides nothing that the product decides. Its times are those of the gateway's own boot.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use tidegate::bridge::{self, Forwarder};
use tidegate::broker::{self, Broker, ConnectionId, ForwardRule, PublishFrame, UplinkRules};
use tidegate::durable::{Boots, ConsumerId, DropReason, JournalHealth, Record, Ticket, Urgency};
use tidegate::journal::{Event as JournalEvent, Journal, Load, Options, Writer};
use tidegate::limits::UNCOMMITTED_BYTES;
use tidegate::mqtt::{Decoder, Packet, PacketIdentifier, ProtocolVersion, QoS, TopicFilter};
use tidegate::reading::{Reading, Render, Value};
use tidegate::time::{Instant, Moment};

use crate::agenda::{Agenda, earlier};
use crate::disk::PlantedDisk;
use crate::plan::{Plan, PlantedBug};
use crate::random::Random;
use crate::share::Ledger;
use crate::truth::{MessageId, named, payload};
use crate::wire::delay;

/// What the gateway does to the world.
#[derive(Debug)]
pub enum Effect {
    Send(ConnectionId, Packet),
    SendFrame(ConnectionId, Bytes),
    Close(ConnectionId),
    OpenUplink,
    SendUpstream(Packet),
    CloseUplink,
    Accepted {
        token: u64,
        outcome: Result<(), DropReason>,
    },
    Dropped {
        count: u64,
        reason: DropReason,
    },
    /// What came over this connection is not accepted, for want of room.
    Refused {
        connection: ConnectionId,
        message: MessageId,
    },
    Health(JournalHealth),
}

/// What travels between the gateway's tasks and threads.
#[derive(Debug)]
enum Internal {
    Broker(broker::Input),
    Uplink(bridge::Input),
    Journal(Request),
}

#[derive(Debug)]
enum Request {
    Append(Writer, Vec<(Ticket, Urgency, Record)>),
    Load(Load, Destination),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Destination {
    Broker,
    Uplink,
    Journal,
}

/// A running gateway.
pub struct Gateway {
    broker: Broker,
    uplink: Option<Uplink>,
    journal: Journal<PlantedDisk>,
    disk: PlantedDisk,
    channels: Agenda<Internal>,
    /// When the last entry of each channel arrives: they keep their order.
    last: [Instant; 3],
    journal_inbox: VecDeque<Request>,
    journal_is_busy_until: Instant,
    next_tend: Instant,
    random: Random,
    bug: Option<PlantedBug>,
    disk_may_fail: bool,
    slowest_commit: Duration,
    /// Where the uplink has a share of the journal, and the disk is well.
    share: Option<Ledger>,
}

struct Uplink {
    forwarder: Forwarder,
    consumer: ConsumerId,
    version: ProtocolVersion,
    is_eager: bool,
}

impl Gateway {
    /// Starts on what the disk holds.
    pub fn start(
        plan: &Plan,
        disk: &PlantedDisk,
        now: Moment,
        random: Random,
        largest_commit: u64,
        out: &mut Vec<Effect>,
    ) -> Option<Gateway> {
        let mut random = random;
        let options = Options {
            commit_interval: plan.commit_interval,
            segment_bytes: plan.segment_bytes,
            places_max: plan.places_max,
            when_full: plan.when_full,
            max_age: plan.max_age,
            ..Options::new(plan.journal_bytes, random.number())
        };
        let opened = Journal::open(disk.clone(), options, now);
        if disk.is_off() {
            return None;
        }
        let (mut journal, recovery) = match opened {
            // Not on this disk; it is tried again.
            Err(_) if plan.disk_is_bad => return None,
            opened => opened.expect("a journal always opens"),
        };
        assert!(recovery.report.is_sound(), "nothing was damaged, but {:?}", recovery.report);
        if random.chance(100) {
            let report = journal.examine_all();
            assert!(report.is_sound(), "nothing was damaged, but {report:?}");
        }
        let mut broker =
            Broker::new(plan.limits.clone(), Arc::new(PayloadNamesMessage { padding: plan.padding }));
        broker.restore(&recovery.state, &recovery.queued, now);
        for (consumer, owed) in &recovery.backlogs {
            broker.restore_owed(*consumer, owed.messages, owed.bytes);
        }
        let mut gateway = Gateway {
            broker,
            uplink: None,
            journal,
            disk: disk.clone(),
            channels: Agenda::default(),
            last: [Instant::ZERO; 3],
            journal_inbox: VecDeque::new(),
            journal_is_busy_until: now.monotonic,
            next_tend: now.monotonic,
            random,
            bug: plan.bug,
            disk_may_fail: plan.disk_is_bad || plan.padding > 0,
            slowest_commit: plan.slowest_commit,
            share: None,
        };
        if !plan.forward.is_empty() {
            gateway.open_uplink(plan, &recovery, now, out);
            gateway.open_share(plan, &recovery, largest_commit);
        }
        Some(gateway)
    }

    /// The most messages for the uplink that one commit held, where it has a share.
    pub fn largest_commit(&self) -> u64 {
        self.share.as_ref().map_or(0, Ledger::largest_commit)
    }

    /// How many messages were never written, because everybody had them before.
    pub fn spared(&self) -> u64 {
        self.journal.sizes().spared
    }

    /// When it has something to do by itself.
    pub fn wakes_at(&self) -> Option<Instant> {
        let uplink = self.uplink.as_ref().and_then(|uplink| uplink.forwarder.next_timeout());
        let timeouts = earlier(self.broker.next_timeout(), uplink);
        earlier(earlier(timeouts, self.channels.next_at()), self.journal_wakes_at())
    }

    /// Something from the network or a sensor is given to the broker; it waits in the inbox for its turn.
    pub fn give_broker(&mut self, now: Instant, input: broker::Input) {
        self.send(now, Destination::Broker, Internal::Broker(input));
    }

    /// Something from the cloud's network is given to the uplink.
    pub fn give_uplink(&mut self, now: Instant, input: bridge::Input) {
        self.send(now, Destination::Uplink, Internal::Uplink(input));
    }

    /// Does everything that is due. Whether it lives: the disk decides when the process dies.
    pub fn run(&mut self, now: Moment, out: &mut Vec<Effect>) -> bool {
        while let Some(internal) = self.channels.due(now.monotonic) {
            match internal {
                Internal::Broker(input) => self.broker_takes(now, input, out),
                Internal::Uplink(input) => self.uplink_takes(now, input, out),
                Internal::Journal(request) => self.journal_inbox.push_back(request),
            }
        }
        if self.broker.next_timeout().is_some_and(|at| at <= now.monotonic) {
            self.broker_takes(now, broker::Input::Timeout, out);
        }
        let uplink = self.uplink.as_ref().and_then(|uplink| uplink.forwarder.next_timeout());
        if uplink.is_some_and(|at| at <= now.monotonic) {
            self.uplink_takes(now, bridge::Input::Timeout, out);
        }
        if self.journal_wakes_at().is_some_and(|at| at <= now.monotonic) {
            self.journal_works(now, out);
        }
        let uncommitted = self.broker.uncommitted_bytes();
        assert!(uncommitted <= UNCOMMITTED_BYTES, "{uncommitted} bytes wait for the disk");
        !self.disk.is_off()
    }

    fn open_uplink(
        &mut self,
        plan: &Plan,
        recovery: &tidegate::journal::Recovery,
        now: Moment,
        out: &mut Vec<Effect>,
    ) {
        let rule = |(filter, qos): &(String, QoS)| ForwardRule {
            filter: TopicFilter::parse(filter.as_str()).expect("a filter"),
            maximum_qos: *qos,
            queue: ByteString::new(),
        };
        let forward = plan.forward.iter().map(rule).collect();
        let rules = UplinkRules { name: ByteString::from_static("cloud"), forward };
        let mut outputs = Vec::new();
        let consumer = self.broker.add_uplink(now, &rules, &mut outputs);
        self.carry_out_broker(now, outputs, out);
        let known = recovery.state.uplinks.get(&consumer);
        let restored = bridge::Restored {
            assigned: known.map(|known| known.assigned.clone()).unwrap_or_default(),
            queued: recovery.queued.get(&consumer).copied().unwrap_or_default(),
            new: known.is_none(),
        };
        let options = bridge::Options {
            version: plan.uplink_version,
            window: plan.uplink_window,
            backoff_max: Duration::from_secs(5),
            seed: self.random.number(),
            ..bridge::Options::new("gateway")
        };
        let boots: Boots = recovery.state.boots.clone();
        let forwarder = Forwarder::new(
            now,
            consumer,
            options,
            Arc::new(PayloadNamesMessage { padding: plan.padding }),
            boots,
            restored,
        );
        let is_eager = plan.uplink_is_eager;
        self.journal.set_eager(consumer, is_eager);
        self.uplink = Some(Uplink { forwarder, consumer, version: plan.uplink_version, is_eager });
    }

    fn open_share(&mut self, plan: &Plan, recovery: &tidegate::journal::Recovery, largest_commit: u64) {
        let Some((share, uplink)) = plan.share.zip(self.uplink.as_ref()) else { return };
        let known = recovery.state.uplinks.get(&uplink.consumer);
        let assigned = known.into_iter().flat_map(|known| known.assigned.values());
        let assigned = assigned.map(|assigned| assigned.sequence).collect();
        let ledger = Ledger::new(share, uplink.consumer, plan.padding, assigned, largest_commit);
        if self.bug != Some(PlantedBug::ForgetsShare) {
            self.journal.set_quota(ledger.quota());
        }
        // A disk that fails keeps what is to go, too.
        self.share = (!plan.disk_is_bad).then_some(ledger);
    }

    fn broker_takes(&mut self, now: Moment, input: broker::Input, out: &mut Vec<Effect>) {
        let published = published(&input);
        let mut outputs = Vec::new();
        self.broker.handle(now, input, &mut outputs);
        if let Some((connection, message)) = published
            && outputs.iter().any(is_refusal)
        {
            out.push(Effect::Refused { connection, message });
        }
        self.carry_out_broker(now, outputs, out);
    }

    fn carry_out_broker(&mut self, now: Moment, outputs: Vec<broker::Output>, out: &mut Vec<Effect>) {
        let mut records = Vec::new();
        for output in outputs {
            match output {
                broker::Output::Send { connection, packet } => out.push(Effect::Send(connection, packet)),
                broker::Output::SendPublish { connection, frame, packet_identifier, dup } => {
                    out.push(Effect::SendFrame(connection, patched(&frame, packet_identifier, dup)));
                }
                broker::Output::Close { connection, .. } => out.push(Effect::Close(connection)),
                broker::Output::Append { ticket, urgency, record } => {
                    records.push((ticket, urgency, *record))
                }
                broker::Output::Load { consumer, after, max_messages, max_bytes } => {
                    let load = Load { consumer, after, max_messages, max_bytes, committed_only: false };
                    self.append(now, Writer::BROKER, &mut records);
                    self.ask_journal(now, Request::Load(load, Destination::Broker));
                }
                broker::Output::Accepted { token, outcome, .. } => {
                    out.push(Effect::Accepted { token, outcome })
                }
                broker::Output::Event(broker::Event::Dropped { count, reason }) => {
                    out.push(Effect::Dropped { count, reason });
                }
                broker::Output::Inside(_) | broker::Output::Event(_) => {}
            }
        }
        self.append(now, Writer::BROKER, &mut records);
    }

    fn uplink_takes(&mut self, now: Moment, input: bridge::Input, out: &mut Vec<Effect>) {
        let Some(uplink) = &mut self.uplink else { return };
        let (version, writer) = (uplink.version, Writer::uplink(uplink.consumer));
        let committed_only = !uplink.is_eager;
        let mut outputs = Vec::new();
        uplink.forwarder.handle(now, input, &mut outputs);
        let mut records = Vec::new();
        for output in outputs {
            match output {
                bridge::Output::Open => out.push(Effect::OpenUplink),
                bridge::Output::Send(packet) => self.send_upstream(now, packet, out),
                bridge::Output::Publish(packets) => {
                    let mut packets = BytesMut::from(packets);
                    let mut decoder = Decoder::of_server(version, usize::MAX);
                    while let Some((packet, _)) = decoder.decode(&mut packets).expect("well-formed packets") {
                        self.send_upstream(now, packet, out);
                    }
                    assert!(packets.is_empty(), "whole packets");
                }
                bridge::Output::Close => out.push(Effect::CloseUplink),
                bridge::Output::Load { consumer, after, max_messages, max_bytes } => {
                    let load = Load { consumer, after, max_messages, max_bytes, committed_only };
                    self.append(now, writer, &mut records);
                    self.ask_journal(now, Request::Load(load, Destination::Uplink));
                }
                bridge::Output::Append { ticket, urgency, record } => {
                    records.push((ticket, urgency, *record))
                }
                bridge::Output::Done { ticket, consumer, sequence } => {
                    records.push((ticket, Urgency::Lingers, Record::Done { consumer, sequence }));
                }
                bridge::Output::Ingest { .. } => panic!("nothing was asked of the cloud"),
                bridge::Output::Event(bridge::Event::Dropped { count, reason }) => {
                    out.push(Effect::Dropped { count, reason });
                }
                bridge::Output::Event(_) | bridge::Output::DeadLetter(_) => {}
            }
        }
        self.append(now, writer, &mut records);
    }

    fn send_upstream(&mut self, now: Moment, packet: Packet, out: &mut Vec<Effect>) {
        if self.bug == Some(PlantedBug::DoneWhenSent)
            && let Packet::Publish(publish) = &packet
            && let tidegate::mqtt::PublishQoS::AtLeastOnce(identifier) = publish.qos
        {
            let reason = tidegate::mqtt::ReasonCode::Success;
            let forged = Packet::PubAck(tidegate::mqtt::Acknowledgement::new(identifier, reason));
            self.give_uplink(now.monotonic, bridge::Input::Packets(vec![forged]));
        }
        out.push(Effect::SendUpstream(packet));
    }

    /// Records of one step go together: they are on disk together or not at all.
    fn append(&mut self, now: Moment, writer: Writer, records: &mut Vec<(Ticket, Urgency, Record)>) {
        let records = std::mem::take(records);
        let Some(ticket) = records.last().map(|(ticket, ..)| *ticket) else { return };
        self.ask_journal(now, Request::Append(writer, records));
        if self.bug == Some(PlantedBug::AcknowledgesBeforeCommit) && writer == Writer::BROKER {
            self.give_broker(now.monotonic, broker::Input::Committed { ticket });
        }
    }

    fn ask_journal(&mut self, now: Moment, request: Request) {
        self.send(now.monotonic, Destination::Journal, Internal::Journal(request));
    }

    fn send(&mut self, now: Instant, to: Destination, what: Internal) {
        let last = &mut self.last[to as usize];
        *last = (*last).max(now + delay(Duration::from_micros(300), &mut self.random));
        self.channels.enter(*last, what);
    }

    fn journal_wakes_at(&self) -> Option<Instant> {
        let requests = (!self.journal_inbox.is_empty()).then_some(self.journal_is_busy_until);
        let wants = earlier(requests, earlier(self.journal.next_commit(), Some(self.next_tend)));
        wants.map(|at| at.max(self.journal_is_busy_until))
    }

    fn journal_works(&mut self, now: Moment, out: &mut Vec<Effect>) {
        for request in std::mem::take(&mut self.journal_inbox) {
            match request {
                Request::Append(writer, records) => {
                    for (ticket, urgency, record) in records {
                        self.share.iter_mut().for_each(|share| share.appends(&record));
                        self.journal.append(now, writer, ticket, urgency, record);
                    }
                }
                Request::Load(load, destination) => self.load(now, load, destination),
            }
        }
        // Told before the disk is asked, whatever becomes of the commit.
        let news = self.journal.news();
        news.into_iter().for_each(|event| self.journal_says(now.monotonic, event, out));
        let mut events = Vec::new();
        let mut done = now.monotonic;
        if self.journal.next_commit().is_some_and(|at| at <= now.monotonic) {
            events = self.journal.commit(now);
            if let Some(share) = self.share.as_mut().filter(|_| !self.disk.is_off()) {
                share.committed(&mut self.journal);
            }
            let slowest = u64::try_from(self.slowest_commit.as_micros()).expect("short");
            done = done + Duration::from_micros(self.random.between(100, slowest));
        }
        if self.next_tend <= now.monotonic {
            self.next_tend = now.monotonic + Duration::from_millis(500);
            events.extend(self.journal.tend(now));
        }
        events.extend(self.journal.news());
        self.journal_is_busy_until = done;
        if !self.disk.is_off() {
            events.into_iter().for_each(|event| self.journal_says(done, event, out));
        }
    }

    fn load(&mut self, now: Moment, load: Load, destination: Destination) {
        let loaded = self.journal.load(&load);
        let (deliveries, through) = (loaded.deliveries, loaded.through);
        if destination == Destination::Uplink {
            self.share.iter_mut().for_each(|share| share.hands_out(&deliveries));
            return self.give_uplink(now.monotonic, bridge::Input::Loaded { deliveries, through });
        }
        self.give_broker(
            now.monotonic,
            broker::Input::Loaded { consumer: load.consumer, deliveries, through },
        );
    }

    fn journal_says(&mut self, done: Instant, event: JournalEvent, out: &mut Vec<Effect>) {
        match event {
            JournalEvent::Committed { writer: Writer::BROKER, ticket } => {
                self.give_broker(done, broker::Input::Committed { ticket });
            }
            JournalEvent::Committed { ticket, .. } => {
                self.give_uplink(done, bridge::Input::Committed { ticket })
            }
            JournalEvent::Available { consumer, through } => {
                if self.uplink.as_ref().is_some_and(|uplink| uplink.consumer == consumer) {
                    self.give_uplink(done, bridge::Input::Available { consumer, through });
                }
            }
            JournalEvent::Dropped { consumer, count, reason } => {
                if self.bug != Some(PlantedBug::DropsUncounted) {
                    out.push(Effect::Dropped { count, reason });
                }
                self.give_broker(done, broker::Input::Dropped { consumer, count });
            }
            JournalEvent::Health(health) => {
                out.push(Effect::Health(health));
                self.give_broker(done, broker::Input::Health(health));
            }
            JournalEvent::Alarm(alarm) => assert!(self.disk_may_fail, "{alarm}"),
        }
    }
}

/// The message that a client wants acknowledged.
fn published(input: &broker::Input) -> Option<(ConnectionId, MessageId)> {
    let broker::Input::Packet { connection, packet: Packet::Publish(publish) } = input else { return None };
    publish.qos.packet_identifier()?;
    Some((*connection, named(&publish.payload)?))
}

fn is_refusal(output: &broker::Output) -> bool {
    let reason = DropReason::JournalFullNewest;
    matches!(output, broker::Output::Event(broker::Event::Dropped { reason: why, .. }) if *why == reason)
}

/// The frame as it goes over the wire.
fn patched(frame: &PublishFrame, identifier: Option<PacketIdentifier>, dup: bool) -> Bytes {
    assert_eq!(frame.packet_identifier_at.is_some(), identifier.is_some());
    let mut bytes = frame.bytes.to_vec();
    if let (Some(at), Some(identifier)) = (frame.packet_identifier_at, identifier) {
        bytes[at..at + 2].copy_from_slice(&identifier.get().to_be_bytes());
    }
    bytes[0] |= u8::from(dup) << 3;
    Bytes::from(bytes)
}

/// Renders a simulated reading: its payload names the message, as everybody's does.
struct PayloadNamesMessage {
    padding: usize,
}

impl Render for PayloadNamesMessage {
    fn render(&self, reading: &Reading, _: &Boots) -> Bytes {
        match reading.measurements[0].value {
            Value::Number(id) => Bytes::from(payload(id as usize, self.padding)),
            _ => panic!("a simulated reading has one number"),
        }
    }
}
