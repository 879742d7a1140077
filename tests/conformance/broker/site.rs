//! A site around one broker: connections that carry bytes, a clock that is turned by hand, a journal in memory.
//!
//! What a client says goes through the codec byte by byte, as the network driver does it; what it hears is read back
//! from bytes and written as short lines, so that a test reads like a conversation. Nothing here knows a rule.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tidegate::broker::{Broker, ConnectionId, Denial, Event, Input, Output, Peer, Renderer};
use tidegate::durable::{
    Boots, ConsumerId, Delivery, DropReason, LoadedDelivery, Message, Record, Sequence, State, Ticket,
};
use tidegate::limits::Limits;
use tidegate::mqtt::{
    ConnAck, ConnAckProperties, DecodeError, Decoder, Packet, ProtocolVersion, ReasonCode, encode,
};
use tidegate::reading::{Reading, Render};
use tidegate::time::{BootId, Instant, Moment, TimeQuality};

use super::lines::said;

/// Everything around one broker.
pub struct Site {
    broker: Broker,
    limits: Limits,
    now: Moment,
    journal: Journal,
    connections: BTreeMap<ConnectionId, Connection>,
    inputs: VecDeque<Input>,
    next_connection: u64,
    pub dropped: BTreeMap<DropReason, u64>,
    pub denied: Vec<(Denial, ReasonCode)>,
}

/// One connection, with the driver's part of it.
struct Connection {
    decoder: Decoder,
    version: ProtocolVersion,
    incoming: BytesMut,
    outgoing: BytesMut,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Open,
    Closed,
}

/// What was appended and is owed because of it; committed at once.
#[derive(Default)]
struct Journal {
    state: State,
    owed: BTreeMap<ConsumerId, BTreeMap<Sequence, (Delivery, Message)>>,
}

struct Nothing;

impl Render for Nothing {
    fn render(&self, _: &Reading, _: &Boots) -> Bytes {
        Bytes::new()
    }
}

impl Site {
    pub fn new() -> Site {
        Site::with(Limits::default())
    }

    pub fn with(limits: Limits) -> Site {
        let renderer: Renderer = Arc::new(Nothing);
        Site {
            broker: Broker::new(limits.clone(), renderer),
            limits,
            now: Moment {
                boot: BootId(1),
                monotonic: Instant::from_millis(1000),
                unix_ms: 1_700_000_000_000,
                quality: TimeQuality::Synced,
            },
            journal: Journal::default(),
            connections: BTreeMap::new(),
            inputs: VecDeque::new(),
            next_connection: 0,
            dropped: BTreeMap::new(),
            denied: Vec::new(),
        }
    }

    /// The gateway dies and starts again with what its journal has.
    pub fn restart(self) -> Site {
        let mut site = Site::with(self.limits);
        site.now = Moment { boot: BootId(self.now.boot.0 + 1), ..self.now };
        site.next_connection = self.next_connection;
        site.journal = self.journal;
        let owed = &site.journal.owed;
        let queued = owed.iter().filter_map(|(id, owed)| Some((*id, *owed.last_key_value()?.0))).collect();
        site.broker.restore(&site.journal.state, &queued, site.now);
        site
    }

    /// A connection that has said nothing yet.
    pub fn open(&mut self) -> ConnectionId {
        self.next_connection += 1;
        let connection = Connection {
            decoder: Decoder::of_client(self.limits.max_connect_packet_bytes),
            version: ProtocolVersion::V3_1_1,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            phase: Phase::New,
        };
        self.connections.insert(ConnectionId(self.next_connection), connection);
        ConnectionId(self.next_connection)
    }

    /// A connection and its CONNECT; what it heard is kept.
    pub fn connect(&mut self, connect: impl Into<Packet>) -> ConnectionId {
        let connection = self.open();
        let packet = connect.into();
        let Packet::Connect(connect) = &packet else { panic!("{packet:?} is no CONNECT") };
        self.connection(connection).version = connect.version;
        self.send(connection, packet);
        connection
    }

    /// The same for a client that is let in; the greeting is forgotten.
    #[track_caller]
    pub fn join(&mut self, connect: impl Into<Packet>) -> ConnectionId {
        let connection = self.connect(connect);
        let heard = self.heard(connection);
        assert!(heard.first().is_some_and(|line| line.starts_with("connack 00")), "{heard:?}");
        connection
    }

    /// Says a packet, in the version of the connection.
    pub fn send(&mut self, connection: ConnectionId, packet: impl Into<Packet>) {
        let mut bytes = BytesMut::new();
        encode(self.connection(connection).version, &packet.into(), &mut bytes).expect("it can be said");
        self.send_bytes(connection, &bytes);
    }

    /// Says these bytes; they arrive one by one.
    pub fn send_bytes(&mut self, connection: ConnectionId, bytes: &[u8]) {
        for piece in bytes.chunks(if bytes.len() > 2048 { 1024 } else { 1 }) {
            self.connection(connection).incoming.extend_from_slice(piece);
            while self.read_one(connection) {}
        }
    }

    /// Reads a packet as the network driver does; whether there may be more.
    fn read_one(&mut self, id: ConnectionId) -> bool {
        let max_packet_bytes = self.limits.max_packet_bytes;
        let connection = self.connection(id);
        if connection.phase == Phase::Closed {
            connection.incoming.clear();
            return false;
        }
        match (connection.decoder.decode(&mut connection.incoming), connection.phase) {
            (Ok(None), _) => return false,
            (Ok(Some((Packet::Connect(connect), _))), Phase::New) => {
                connection.phase = Phase::Open;
                connection.version = connect.version;
                connection.decoder.set_max_packet_bytes(max_packet_bytes);
                self.feed(Input::Connect { connection: id, connect, peer: Peer::default() });
            }
            (Ok(Some((packet, _))), Phase::Open) => self.feed(Input::Packet { connection: id, packet }),
            (Err(error), Phase::Open) => {
                self.feed(Input::Malformed { connection: id, reason: error.reason });
            }
            (Err(error), _) => connection.refuse(&error),
            (Ok(Some(_)), _) => connection.phase = Phase::Closed,
        }
        true
    }

    /// The connection breaks.
    pub fn lose(&mut self, connection: ConnectionId) {
        self.connection(connection).phase = Phase::Closed;
        self.feed(Input::Closed { connection });
    }

    /// Time passes, and every deadline in it comes at its time.
    pub fn wait(&mut self, seconds: u64) {
        let end = self.now.monotonic + Duration::from_secs(seconds);
        while let Some(at) = self.broker.next_timeout().filter(|at| *at <= end) {
            self.move_clock(at.max(self.now.monotonic));
            self.feed(Input::Timeout);
        }
        self.move_clock(end);
    }

    fn move_clock(&mut self, to: Instant) {
        let passed = to.since(self.now.monotonic);
        self.now.unix_ms += i64::try_from(passed.as_millis()).expect("not that long");
        self.now.monotonic = to;
    }

    /// What a client heard since it was asked last, in lines.
    pub fn heard(&mut self, connection: ConnectionId) -> Vec<String> {
        let (packets, is_closed) = self.take(connection);
        let mut lines: Vec<String> = packets.iter().map(said).collect();
        lines.extend(is_closed.then(|| "closed".to_owned()));
        lines
    }

    /// The packets that a client heard, and whether it was cut off behind them.
    pub fn take(&mut self, connection: ConnectionId) -> (Vec<Packet>, bool) {
        let connection = self.connection(connection);
        let mut bytes = std::mem::take(&mut connection.outgoing);
        let mut decoder = Decoder::of_server(connection.version, usize::MAX);
        let mut packets = Vec::new();
        while let Some((packet, _)) = decoder.decode(&mut bytes).expect("a server says sound packets") {
            packets.push(packet);
        }
        assert!(bytes.is_empty(), "whole packets");
        (packets, connection.phase == Phase::Closed)
    }

    /// The bytes that a client heard since it was asked last.
    pub fn take_bytes(&mut self, connection: ConnectionId) -> BytesMut {
        std::mem::take(&mut self.connection(connection).outgoing)
    }

    #[track_caller]
    pub fn hears<const N: usize>(&mut self, connection: ConnectionId, lines: [&str; N]) {
        assert_eq!(self.heard(connection), lines);
    }

    fn connection(&mut self, connection: ConnectionId) -> &mut Connection {
        self.connections.get_mut(&connection).expect("a connection that was opened")
    }

    fn feed(&mut self, input: Input) {
        self.inputs.push_back(input);
        let mut out = Vec::new();
        while let Some(input) = self.inputs.pop_front() {
            self.broker.handle(self.now, input, &mut out);
            for output in out.drain(..) {
                self.carry_out(output);
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send { connection, packet } => {
                let connection = self.connection(connection);
                encode(connection.version, &packet, &mut connection.outgoing).expect("it can be said");
            }
            Output::SendPublish { connection: id, frame, packet_identifier, dup } => {
                let mut bytes = BytesMut::from(&*frame.bytes);
                if let Some((at, identifier)) = frame.packet_identifier_at.zip(packet_identifier) {
                    bytes[at..at + 2].copy_from_slice(&identifier.get().to_be_bytes());
                }
                bytes[0] |= u8::from(dup) << 3;
                self.connection(id).outgoing.extend_from_slice(&bytes);
                self.inputs.push_back(Input::Written { connection: id, bytes: frame.bytes.len() });
            }
            Output::Close { connection, .. } => {
                self.connection(connection).phase = Phase::Closed;
                self.inputs.push_back(Input::Closed { connection });
            }
            Output::Append { ticket, record, .. } => {
                self.journal.take(*record);
                self.commit(ticket);
            }
            Output::Load { consumer, after, max_messages, .. } => {
                let (deliveries, through) = self.journal.load(consumer, after, max_messages);
                self.inputs.push_back(Input::Loaded { consumer, deliveries, through });
            }
            Output::Event(Event::Dropped { count, reason }) => {
                *self.dropped.entry(reason).or_default() += count;
            }
            Output::Event(Event::Denied { what, reason, .. }) => self.denied.push((what, reason)),
            Output::Accepted { .. } | Output::Inside(_) | Output::Event(_) => {}
        }
    }

    fn commit(&mut self, ticket: Ticket) {
        self.inputs.push_back(Input::Committed { ticket });
    }
}

impl Connection {
    /// The first packet is no CONNECT that we take: an answer if one is understood, then the end.
    fn refuse(&mut self, error: &DecodeError) {
        if let Some(version) = self.decoder.version()
            && (version == ProtocolVersion::V5 || error.reason == ReasonCode::UnsupportedProtocolVersion)
        {
            self.version = version;
            let properties = ConnAckProperties::default();
            let answer = ConnAck { session_present: false, reason: error.reason, properties };
            encode(version, &Packet::ConnAck(Box::new(answer)), &mut self.outgoing).expect("it can be said");
        }
        self.phase = Phase::Closed;
    }
}

impl Journal {
    fn take(&mut self, record: Record) {
        self.state.apply(&record);
        match record {
            Record::Kept { sequence, message, deliveries } => {
                for delivery in deliveries {
                    let owed = self.owed.entry(delivery.consumer).or_default();
                    owed.insert(sequence, (delivery, message.clone()));
                }
            }
            Record::Done { consumer, sequence } | Record::Dropped { consumer, sequence, .. } => {
                let gone = self.owed.get_mut(&consumer).and_then(|owed| owed.remove(&sequence));
                assert!(gone.is_some(), "{sequence} is not owed to {consumer:?}");
            }
            Record::ConsumerClosed { consumer } => {
                self.owed.remove(&consumer);
            }
            _ => {}
        }
    }

    fn load(&self, consumer: ConsumerId, after: Sequence, max: usize) -> (Vec<LoadedDelivery>, Sequence) {
        let owed = self.owed.get(&consumer).into_iter().flat_map(|owed| owed.range(after.next()..));
        let mut all: Vec<LoadedDelivery> = owed
            .map(|(sequence, (delivery, message))| LoadedDelivery {
                sequence: *sequence,
                delivery: delivery.clone(),
                message: message.clone(),
            })
            .collect();
        let is_cut = all.len() > max;
        all.truncate(max);
        let through = all.last().filter(|_| is_cut).map_or(self.state.last_sequence, |last| last.sequence);
        (all, through)
    }
}
