//! A small world around the broker: clients, a clock that is turned by hand, a journal that commits when told.
//!
//! Clients speak in packets; what they hear is written as short lines, `publish a/b q1 #1 hello`, so that a test
//! reads like a conversation.

mod journal;
mod packets;

pub(super) use journal::Journal;
pub(super) use packets::*;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::broker::{
    Broker, CloseReason, ConnectionId, Event, Input, Output, Peer, PublishFrame, Relay, Renderer, SourceId,
    UplinkRules,
};
use crate::durable::{
    Boots, ConsumerId, DropReason, JournalHealth, Message, MessageBody, State, Ticket, Urgency,
};
use crate::limits::Limits;
use crate::mqtt::{
    Acknowledgement, Decoder, Disconnect, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS, ReasonCode,
};
use crate::reading::{Reading, Render};
use crate::time::{BootId, Instant, Moment, TimeQuality};

/// Everything around one broker.
pub(super) struct World {
    pub(super) broker: Broker,
    pub(super) now: Moment,
    pub(super) journal: Journal,
    /// Whether every append is committed at once.
    pub(super) commits: bool,
    /// Whether everything handed out is written to its socket at once.
    pub(super) writes: bool,
    pub(super) events: Vec<Event>,
    pub(super) accepted: Vec<(u64, Result<(), DropReason>)>,
    limits: Limits,
    clients: BTreeMap<ConnectionId, Client>,
    inputs: VecDeque<Input>,
    next_connection: u64,
}

struct Client {
    version: ProtocolVersion,
    heard: Vec<Heard>,
    unwritten: usize,
}

/// What a client notices.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    Packet(Packet),
    Closed(CloseReason),
}

/// Renders a reading as its sensor's name.
struct Name;

impl Render for Name {
    fn render(&self, reading: &Reading, _: &Boots) -> Bytes {
        Bytes::copy_from_slice(reading.sensor.as_str().as_bytes())
    }
}

impl World {
    pub(super) fn new() -> World {
        World::with(Limits::default())
    }

    pub(super) fn with(limits: Limits) -> World {
        let renderer: Renderer = Arc::new(Name);
        World {
            broker: Broker::new(limits.clone(), renderer),
            now: Moment {
                boot: BootId(1),
                monotonic: Instant::from_millis(1000),
                unix_ms: 1_700_000_000_000,
                quality: TimeQuality::Synced,
            },
            journal: Journal::default(),
            commits: true,
            writes: true,
            events: Vec::new(),
            accepted: Vec::new(),
            limits,
            clients: BTreeMap::new(),
            inputs: VecDeque::new(),
            next_connection: 0,
        }
    }

    /// The gateway is killed and starts again: what was not committed is gone, and so are all connections.
    pub(super) fn crash(self) -> World {
        self.crash_for(Duration::from_secs(10), TimeQuality::Synced)
    }

    /// The same with a pause, and with a clock that may not know how long it was.
    pub(super) fn crash_for(self, pause: Duration, quality: TimeQuality) -> World {
        let mut world = World::with(self.limits);
        world.commits = self.commits;
        world.now = Moment {
            boot: BootId(self.now.boot.0 + 1),
            monotonic: Instant::from_millis(500),
            unix_ms: self.now.unix_ms + i64::try_from(pause.as_millis()).unwrap(),
            quality,
        };
        world.next_connection = self.next_connection;
        let mut state = State::default();
        for (ticket, urgency, record) in self.journal.records {
            if ticket <= self.journal.committed {
                state.apply(&record);
                world.journal.take(Ticket::default(), urgency, record);
            }
        }
        let owed = &world.journal.owed;
        let queued = owed.iter().filter_map(|(id, owed)| Some((*id, *owed.last_key_value()?.0))).collect();
        world.broker.restore(&state, &queued, world.now);
        for (consumer, owed) in &world.journal.owed {
            let bytes = owed.values().map(|(_, message)| crate::broker::ledger::message_bytes(message));
            let (messages, bytes) =
                (u64::try_from(owed.len()).unwrap(), u64::try_from(bytes.sum::<usize>()).unwrap());
            world.broker.restore_owed(*consumer, messages, bytes);
        }
        world.journal.of_earlier_runs = world.journal.records.len();
        world
    }

    /// One input, and all that follows from it by itself.
    pub(super) fn feed(&mut self, input: Input) {
        self.inputs.push_back(input);
        let mut out = Vec::new();
        while let Some(input) = self.inputs.pop_front() {
            self.broker.handle(self.now, input, &mut out);
            self.carry_out(&mut out);
        }
    }

    fn carry_out(&mut self, out: &mut Vec<Output>) {
        for output in out.drain(..) {
            match output {
                Output::Send { connection, packet } => {
                    self.client(connection).heard.push(Heard::Packet(packet));
                }
                Output::SendPublish { connection, frame, packet_identifier, dup } => {
                    self.deliver(connection, &frame, packet_identifier, dup);
                }
                Output::Close { connection, reason } => {
                    self.client(connection).heard.push(Heard::Closed(reason));
                    self.inputs.push_back(Input::Closed { connection });
                }
                Output::Append { ticket, urgency, record } => {
                    self.journal.take(ticket, urgency, *record);
                    if self.commits {
                        self.journal.committed = ticket;
                        self.inputs.push_back(Input::Committed { ticket });
                    }
                }
                Output::Load { consumer, after, max_messages, .. } => {
                    self.journal.waiting.push((consumer, after, max_messages));
                }
                Output::Accepted { token, outcome, .. } => self.accepted.push((token, outcome)),
                Output::Inside(_) => {}
                Output::Event(event) => self.events.push(event),
            }
        }
        if !self.journal.slow {
            self.queue_loads();
        }
    }

    fn deliver(
        &mut self,
        connection: ConnectionId,
        frame: &PublishFrame,
        packet_identifier: Option<PacketIdentifier>,
        dup: bool,
    ) {
        let mut bytes = BytesMut::from(&*frame.bytes);
        assert_eq!(packet_identifier.is_some(), frame.packet_identifier_at.is_some());
        if let (Some(at), Some(identifier)) = (frame.packet_identifier_at, packet_identifier) {
            bytes[at..at + 2].copy_from_slice(&identifier.get().to_be_bytes());
        }
        bytes[0] |= u8::from(dup) << 3;
        let client = self.client(connection);
        let mut decoder = Decoder::of_server(client.version, usize::MAX);
        let (packet, _) = decoder.decode(&mut bytes).expect("well-formed").expect("whole");
        client.heard.push(Heard::Packet(packet));
        client.unwritten += frame.bytes.len();
        if self.writes {
            self.write(connection);
        }
    }

    /// What waits for a client's socket is written.
    pub(super) fn write(&mut self, connection: ConnectionId) {
        let bytes = std::mem::take(&mut self.client(connection).unwritten);
        self.inputs.push_back(Input::Written { connection, bytes });
    }

    fn queue_loads(&mut self) {
        for (consumer, after, max_messages) in std::mem::take(&mut self.journal.waiting) {
            let (deliveries, through) = self.journal.load(consumer, after, max_messages);
            self.inputs.push_back(Input::Loaded { consumer, deliveries, through });
        }
    }

    /// The slow journal answers what it was asked.
    pub(super) fn answer_loads(&mut self) {
        self.queue_loads();
        self.settle();
    }

    /// Everything appended so far is on disk.
    pub(super) fn commit(&mut self) {
        if let Some((ticket, ..)) =
            self.journal.records.get(self.journal.of_earlier_runs..).and_then(<[_]>::last)
        {
            let ticket = *ticket;
            self.journal.committed = ticket;
            self.feed(Input::Committed { ticket });
        }
    }

    pub(super) fn settle(&mut self) {
        if let Some(input) = self.inputs.pop_front() {
            self.feed_first(input);
        }
    }

    fn feed_first(&mut self, input: Input) {
        self.inputs.push_front(input);
        let next = self.inputs.pop_front().expect("just put there");
        self.feed(next);
    }

    /// Time passes, and every deadline in it comes at its time.
    pub(super) fn wait(&mut self, duration: Duration) {
        let end = self.now.monotonic + duration;
        while let Some(at) = self.broker.next_timeout().filter(|at| *at <= end) {
            self.move_clock(at.max(self.now.monotonic));
            self.feed(Input::Timeout);
        }
        self.move_clock(end);
    }

    fn move_clock(&mut self, to: Instant) {
        let passed = to.since(self.now.monotonic);
        self.now.unix_ms += i64::try_from(passed.as_millis()).unwrap();
        self.now.monotonic = to;
    }

    fn client(&mut self, connection: ConnectionId) -> &mut Client {
        self.clients.get_mut(&connection).expect("a connection that was opened")
    }

    /// A new connection, and its CONNECT.
    pub(super) fn connect(&mut self, login: Login) -> ConnectionId {
        let connection = self.unannounced();
        self.client(connection).version = login.connect.version;
        self.connect_again(connection, login);
        connection
    }

    /// A connection that says nothing yet.
    pub(super) fn unannounced(&mut self) -> ConnectionId {
        self.next_connection += 1;
        let connection = ConnectionId(self.next_connection);
        let client = Client { version: ProtocolVersion::V5, heard: Vec::new(), unwritten: 0 };
        self.clients.insert(connection, client);
        connection
    }

    /// Another CONNECT on a connection that had one.
    pub(super) fn connect_again(&mut self, connection: ConnectionId, login: Login) {
        let limits = login.limits.map(Arc::new);
        let peer = Peer { user: login.user, address: String::new(), limits };
        self.feed(Input::Connect { connection, connect: Box::new(login.connect), peer });
    }

    /// The driver cannot read what a client sends.
    pub(super) fn malformed(&mut self, connection: ConnectionId) {
        self.feed(Input::Malformed { connection, reason: ReasonCode::MalformedPacket });
    }

    /// A new connection that is let in; what it heard is forgotten.
    pub(super) fn join(&mut self, login: Login) -> ConnectionId {
        let connection = self.connect(login);
        let heard = self.heard(connection);
        assert!(heard.first().is_some_and(|line| line.starts_with("connack 00")), "{heard:?}");
        connection
    }

    pub(super) fn send(&mut self, connection: ConnectionId, packet: Packet) {
        self.feed(Input::Packet { connection, packet });
    }

    /// The connection breaks.
    pub(super) fn lose(&mut self, connection: ConnectionId) {
        self.feed(Input::Closed { connection });
    }

    pub(super) fn leave(&mut self, connection: ConnectionId) {
        self.send(connection, Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success))));
        self.heard(connection);
    }

    /// Subscribes, and forgets what was heard about it.
    pub(super) fn subscribe(&mut self, connection: ConnectionId, filter: &str, qos: u8) {
        self.send(connection, subscribe(1, &[(filter, options(qos))]));
        let heard = self.heard(connection);
        assert!(heard.contains(&format!("suback #1 {qos:02x}")), "{heard:?}");
    }

    /// What a client heard since it was asked last.
    pub(super) fn heard(&mut self, connection: ConnectionId) -> Vec<String> {
        let heard = self.take_heard(connection);
        let line = |heard: Heard| match heard {
            Heard::Packet(packet) => said(&packet),
            Heard::Closed(reason) => format!("closed {reason:?}"),
        };
        heard.into_iter().map(line).collect()
    }

    /// The same as it came.
    pub(super) fn take_heard(&mut self, connection: ConnectionId) -> Vec<Heard> {
        std::mem::take(&mut self.client(connection).heard)
    }

    #[track_caller]
    pub(super) fn hears<const N: usize>(&mut self, connection: ConnectionId, lines: [&str; N]) {
        assert_eq!(self.heard(connection), lines);
    }

    pub(super) fn add_uplink(&mut self, rules: &UplinkRules) -> ConsumerId {
        let mut out = Vec::new();
        let consumer = self.broker.add_uplink(self.now, rules, &mut out);
        self.carry_out(&mut out);
        self.settle();
        consumer
    }

    pub(super) fn ingest(&mut self, token: u64, message: Message, relay: Relay) {
        let source = SourceId(1);
        self.feed(Input::Ingest { source, token, message, relay, urgency: Urgency::Lingers });
    }

    pub(super) fn health(&mut self, health: JournalHealth) {
        self.feed(Input::Health(health));
    }

    /// How many messages were dropped for a reason.
    pub(super) fn dropped(&self, wanted: DropReason) -> u64 {
        let count = |event: &Event| match event {
            Event::Dropped { count, reason } if *reason == wanted => *count,
            _ => 0,
        };
        self.events.iter().map(count).sum()
    }
}

/// A message from inside the gateway, at QoS 1.
pub(super) fn message(world: &World, topic: &str, payload: &str) -> Message {
    Message {
        topic: name(topic),
        qos: QoS::AtLeastOnce,
        retain: false,
        accepted_at: world.now,
        body: MessageBody::Publish { payload: Bytes::copy_from_slice(payload.as_bytes()), properties: None },
    }
}

/// A packet as a short line.
fn said(packet: &Packet) -> String {
    let ack = |name: &str, ack: &Acknowledgement| {
        let mut line = format!("{name} #{}", ack.packet_identifier);
        if ack.reason != ReasonCode::Success {
            let _ = write!(line, " {:02x}", ack.reason.as_u8());
        }
        line
    };
    let codes = |name: &str, identifier: PacketIdentifier, reasons: &[ReasonCode]| {
        let mut line = format!("{name} #{identifier}");
        for reason in reasons {
            let _ = write!(line, " {:02x}", reason.as_u8());
        }
        line
    };
    match packet {
        Packet::ConnAck(packet) => {
            let mut line = format!("connack {:02x}", packet.reason.as_u8());
            if packet.session_present {
                line.push_str(" present");
            }
            if let Some(id) = &packet.properties.assigned_client_identifier {
                let _ = write!(line, " id={id}");
            }
            if let Some(seconds) = packet.properties.server_keep_alive_seconds {
                let _ = write!(line, " keep-alive={seconds}");
            }
            if let Some(seconds) = packet.properties.session_expiry_interval_seconds {
                let _ = write!(line, " expiry={seconds}");
            }
            line
        }
        Packet::Publish(publish) => said_publish(publish),
        Packet::PubAck(packet) => ack("puback", packet),
        Packet::PubRec(packet) => ack("pubrec", packet),
        Packet::PubRel(packet) => ack("pubrel", packet),
        Packet::PubComp(packet) => ack("pubcomp", packet),
        Packet::SubAck(packet) => codes("suback", packet.packet_identifier, &packet.reasons),
        Packet::UnsubAck(packet) => codes("unsuback", packet.packet_identifier, &packet.reasons),
        Packet::PingResp => "pingresp".to_owned(),
        Packet::Disconnect(packet) => format!("disconnect {:02x}", packet.reason.as_u8()),
        other => panic!("a server does not send {other:?}"),
    }
}

fn said_publish(publish: &Publish) -> String {
    let mut line = format!("publish {} q{}", publish.topic.as_ref().unwrap(), publish.qos.qos().as_u8());
    if let Some(identifier) = publish.qos.packet_identifier() {
        let _ = write!(line, " #{identifier}");
    }
    if publish.dup {
        line.push_str(" dup");
    }
    if publish.retain {
        line.push_str(" retain");
    }
    if let Some(properties) = &publish.properties {
        for identifier in &properties.subscription_identifiers {
            let _ = write!(line, " sub={identifier}");
        }
        if let Some(seconds) = properties.message_expiry_interval_seconds {
            let _ = write!(line, " expiry={seconds}");
        }
    }
    let _ = write!(line, " {}", String::from_utf8_lossy(&publish.payload));
    line
}
