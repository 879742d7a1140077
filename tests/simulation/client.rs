//! A model client: keeps the client's half of a session and holds the broker to the standard.
//!
//! Written from the standard, not from `src/flow`: two independent readings must agree. It panics on whatever a
//! server must not do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU16;

use bytes::Bytes;
use bytestring::ByteString;
use tidegate::broker::ConnectionId;
use tidegate::mqtt::{
    Acknowledgement, ConnAck, Connect, ConnectProperties, Disconnect, Packet, PacketIdentifier,
    ProtocolVersion, Publish, PublishQoS, QoS, ReasonCode, Subscribe, SubscriptionOptions, TopicName,
    Unsubscribe,
};

use crate::plan::Character;
use crate::random::Random;
use crate::subscriber::Arrival;
use crate::truth::{Fate, MessageId, Truth};

/// Unacknowledged publishes that a client has open at most.
const OPEN_PUBLISHES: usize = 10;

/// How the client stands to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Offline,
    /// CONNECT is sent.
    Connecting(ConnectionId),
    Online(ConnectionId),
}

/// What the client may expect of `session_present`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// There is surely no session.
    Nothing,
    /// A CONNECT was sent whose answer never came.
    Unclear,
    /// CONNACK promised a session that outlives the connection.
    Session,
}

#[derive(Debug)]
struct Open {
    identifier: PacketIdentifier,
    message: MessageId,
    topic: String,
    payload: String,
    retain: bool,
    qos: QoS,
    released: bool,
}

#[derive(Debug)]
enum Asked {
    Subscribe { filters: Vec<(String, QoS)>, step: u64 },
    Unsubscribe,
}

/// One client and its session state, which outlives its connections.
#[derive(Debug)]
pub struct Client {
    pub index: usize,
    pub character: Character,
    pub link: Link,
    known: Known,
    /// This connection asked for a session that outlives it.
    keeps_session: bool,
    clean_start: bool,
    wants_anew: bool,
    waiting_to_be_acked: VecDeque<Open>,
    /// Inbound QoS 2 identifiers that are not released yet.
    taken: BTreeSet<PacketIdentifier>,
    asked: BTreeMap<PacketIdentifier, Asked>,
    /// Acknowledgements that a slow client has not sent yet, in order.
    held_back: Vec<Packet>,
    unacknowledged: BTreeSet<PacketIdentifier>,
    next_identifier: PacketIdentifier,
    reuses_identifiers: bool,
}

impl Client {
    pub fn new(index: usize, character: Character, reuses_identifiers: bool) -> Client {
        Client {
            index,
            character,
            link: Link::Offline,
            known: Known::Nothing,
            keeps_session: false,
            clean_start: false,
            wants_anew: false,
            waiting_to_be_acked: VecDeque::new(),
            taken: BTreeSet::new(),
            asked: BTreeMap::new(),
            held_back: Vec::new(),
            unacknowledged: BTreeSet::new(),
            next_identifier: PacketIdentifier::FIRST,
            reuses_identifiers,
        }
    }

    /// A client that comes at the end and asks for everything that is retained.
    pub fn auditor(index: usize) -> Client {
        let character = Character {
            version: ProtocolVersion::V5,
            persistent: false,
            publishes: false,
            is_slow: false,
            receive_maximum: NonZeroU16::MAX,
            keep_alive_seconds: 0,
            filters: Vec::new(),
        };
        Client::new(index, character, false)
    }

    pub fn connection(&self) -> Option<ConnectionId> {
        match self.link {
            Link::Offline => None,
            Link::Connecting(connection) | Link::Online(connection) => Some(connection),
        }
    }

    pub fn has_open_publishes(&self) -> bool {
        !self.waiting_to_be_acked.is_empty()
    }

    /// Begins a connection; an older one is left alone, for the broker to end.
    pub fn connect(&mut self, connection: ConnectionId, anew: bool, truth: &mut Truth) -> Packet {
        self.lost(truth);
        let is_v5 = self.character.version == ProtocolVersion::V5;
        // Until the server has confirmed it, nobody knows whether the old session is gone.
        self.wants_anew |= anew;
        let anew = self.wants_anew;
        self.clean_start = anew || !self.character.persistent;
        // In 3.1.1 a clean session ends with its connection.
        self.keeps_session = self.character.persistent && (is_v5 || !anew);
        if self.clean_start {
            self.begin_anew(truth);
        }
        self.link = Link::Connecting(connection);
        let expiry = self.keeps_session.then_some(u32::MAX);
        let properties = ConnectProperties {
            session_expiry_interval_seconds: expiry.filter(|_| is_v5),
            receive_maximum: is_v5.then_some(self.character.receive_maximum),
            ..ConnectProperties::default()
        };
        let connect = Connect {
            version: self.character.version,
            clean_start: self.clean_start,
            keep_alive_seconds: self.character.keep_alive_seconds,
            client_id: ByteString::from(format!("c{}", self.index)),
            will: None,
            username: None,
            password: None,
            properties,
        };
        if self.clean_start || self.known == Known::Nothing {
            self.known = Known::Unclear;
        }
        Packet::Connect(Box::new(connect))
    }

    /// The connection is gone, or given up.
    pub fn lost(&mut self, truth: &mut Truth) {
        if self.link == Link::Offline {
            return;
        }
        self.link = Link::Offline;
        self.asked.clear();
        self.held_back.clear();
        self.unacknowledged.clear();
        if !self.keeps_session {
            self.begin_anew(truth);
            self.known = Known::Nothing;
        }
    }

    /// Publishes something, if there is room for it.
    pub fn publish(&mut self, random: &mut Random, truth: &mut Truth) -> Option<Packet> {
        let qos = *random.pick(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
        if qos != QoS::AtMostOnce && self.waiting_to_be_acked.len() >= OPEN_PUBLISHES {
            return None;
        }
        let topic = format!("p{}/{}", self.index, random.below(3));
        let retain = random.chance(250);
        let clears = retain && random.chance(200);
        let (message, payload) = truth.sending(&topic, qos, retain, clears);
        let open = Open {
            identifier: self.fresh_identifier(),
            message,
            topic,
            payload,
            retain,
            qos,
            released: false,
        };
        let packet = open.publish(false);
        if qos != QoS::AtMostOnce {
            self.waiting_to_be_acked.push_back(open);
        }
        Some(packet)
    }

    pub fn subscribe(&mut self, filters: Vec<(String, QoS)>, truth: &mut Truth) -> Packet {
        let identifier = self.fresh_identifier();
        let step = truth.step();
        for (filter, qos) in &filters {
            truth.sessions[self.index].subscribing(filter, *qos, step);
        }
        let request =
            |(filter, qos): &(String, QoS)| (filter.as_str().into(), SubscriptionOptions::new(*qos));
        let requests = filters.iter().map(request).collect();
        self.asked.insert(identifier, Asked::Subscribe { filters, step });
        Packet::Subscribe(Box::new(Subscribe {
            packet_identifier: identifier,
            subscription_identifier: None,
            user_properties: Vec::new(),
            requests,
        }))
    }

    pub fn unsubscribe(&mut self, filter: &str, truth: &mut Truth) -> Packet {
        let identifier = self.fresh_identifier();
        let step = truth.step();
        truth.sessions[self.index].unsubscribing(filter, step);
        self.asked.insert(identifier, Asked::Unsubscribe);
        Packet::Unsubscribe(Box::new(Unsubscribe {
            packet_identifier: identifier,
            user_properties: Vec::new(),
            filters: vec![filter.into()],
        }))
    }

    pub fn disconnect(&mut self, truth: &mut Truth) -> Packet {
        self.lost(truth);
        Packet::Disconnect(Box::new(Disconnect::new(ReasonCode::Success)))
    }

    /// What a slow client has not acknowledged until now.
    pub fn catch_up(&mut self) -> Vec<Packet> {
        for packet in &self.held_back {
            if let Packet::PubAck(ack) | Packet::PubComp(ack) = packet {
                self.unacknowledged.remove(&ack.packet_identifier);
            }
        }
        std::mem::take(&mut self.held_back)
    }

    /// A packet came in on the client's own connection: its answers.
    pub fn take(&mut self, packet: Packet, truth: &mut Truth) -> Vec<Packet> {
        let Link::Online(_) = self.link else {
            let Packet::ConnAck(connack) = packet else {
                panic!("client {}: {packet:?} came before CONNACK", self.index);
            };
            return self.connected(&connack, truth);
        };
        match packet {
            Packet::Publish(publish) => self.published(publish, truth),
            Packet::PubAck(ack) => self.acknowledged(&ack, QoS::AtLeastOnce, truth),
            Packet::PubRec(ack) => self.acknowledged(&ack, QoS::ExactlyOnce, truth),
            Packet::PubRel(ack) => {
                self.taken.remove(&ack.packet_identifier);
                let answer = Packet::PubComp(success(ack.packet_identifier));
                self.answer(answer)
            }
            Packet::PubComp(ack) => {
                let at = self.position(ack.packet_identifier, |open| open.released);
                self.waiting_to_be_acked.remove(at);
                Vec::new()
            }
            Packet::SubAck(ack) => self.subscribed(ack.packet_identifier, &ack.reasons, truth),
            Packet::UnsubAck(ack) => {
                let asked = self.asked.remove(&ack.packet_identifier);
                assert!(matches!(asked, Some(Asked::Unsubscribe)), "UNSUBACK that nobody waits for");
                Vec::new()
            }
            Packet::PingResp => Vec::new(),
            Packet::Disconnect(_) => Vec::new(),
            other => panic!("a server never sends {other:?}"),
        }
    }

    fn connected(&mut self, connack: &ConnAck, truth: &mut Truth) -> Vec<Packet> {
        if connack.reason == ReasonCode::ServerUnavailable && truth.disk_may_fail {
            // A session that cannot be kept is not promised.
            self.lost(truth);
            return Vec::new();
        }
        assert_eq!(connack.reason, ReasonCode::Success, "client {} was refused", self.index);
        let Some(connection) = self.connection() else { unreachable!("it is connecting") };
        self.link = Link::Online(connection);
        self.wants_anew = false;
        let present = connack.session_present;
        assert!(!(present && self.clean_start), "session present after a clean start [MQTT-3.2.2-2]");
        match self.known {
            Known::Nothing => assert!(!present, "a session that nobody made"),
            Known::Session => assert!(present, "client {}: its session was forgotten", self.index),
            Known::Unclear => {}
        }
        self.known = if self.keeps_session { Known::Session } else { Known::Nothing };
        if !present && !self.clean_start {
            self.begin_anew(truth);
        }
        let resend = self.waiting_to_be_acked.iter().map(|open| {
            if open.released {
                return Packet::PubRel(success(open.identifier));
            }
            truth.sent[open.message].transmissions += 1;
            open.publish(true)
        });
        resend.collect()
    }

    fn published(&mut self, publish: Publish, truth: &mut Truth) -> Vec<Packet> {
        let topic = publish.topic.as_ref().expect("no alias was allowed").as_str().to_owned();
        let qos = publish.qos.qos();
        let arrival = Arrival { topic, payload: publish.payload, qos, from_retained: publish.retain };
        if let Some(identifier) = publish.qos.packet_identifier() {
            self.unacknowledged.insert(identifier);
            let limit = usize::from(self.character.receive_maximum.get());
            let open = self.unacknowledged.len();
            let is_v5 = self.character.version == ProtocolVersion::V5;
            assert!(!is_v5 || open <= limit, "{open} open of at most {limit} [MQTT-3.3.4-9]");
        }
        match publish.qos {
            PublishQoS::AtMostOnce => {
                assert!(!publish.dup, "DUP with QoS 0 [MQTT-3.3.1-2]");
                truth.received(self.index, &arrival);
                Vec::new()
            }
            PublishQoS::AtLeastOnce(identifier) => {
                truth.received(self.index, &arrival);
                self.answer(Packet::PubAck(success(identifier)))
            }
            PublishQoS::ExactlyOnce(identifier) => {
                if self.taken.insert(identifier) {
                    truth.received(self.index, &arrival);
                } else {
                    assert!(publish.dup, "identifier {identifier} used again before its release");
                }
                self.answer(Packet::PubRec(success(identifier)))
            }
        }
    }

    fn answer(&mut self, packet: Packet) -> Vec<Packet> {
        self.held_back.push(packet);
        if self.character.is_slow { Vec::new() } else { self.catch_up() }
    }

    fn acknowledged(&mut self, ack: &Acknowledgement, qos: QoS, truth: &mut Truth) -> Vec<Packet> {
        let at = self.position(ack.packet_identifier, |open| open.qos == qos);
        let open = &mut self.waiting_to_be_acked[at];
        let message = open.message;
        if ack.reason.is_error() {
            truth.ended(message, Fate::Refused);
            self.waiting_to_be_acked.remove(at);
            return Vec::new();
        }
        if !open.released {
            truth.acknowledged(message);
        }
        if qos == QoS::AtLeastOnce {
            self.waiting_to_be_acked.remove(at);
            return Vec::new();
        }
        open.released = true;
        vec![Packet::PubRel(success(ack.packet_identifier))]
    }

    fn subscribed(
        &mut self,
        identifier: PacketIdentifier,
        reasons: &[ReasonCode],
        truth: &mut Truth,
    ) -> Vec<Packet> {
        let Some(Asked::Subscribe { filters, step }) = self.asked.remove(&identifier) else {
            panic!("SUBACK {identifier} that nobody waits for");
        };
        assert_eq!(filters.len(), reasons.len(), "[MQTT-3.8.4-6]");
        for ((filter, asked), reason) in filters.iter().zip(reasons) {
            if reason.is_error() && truth.disk_may_fail {
                // It cannot be kept now; whether an earlier one for the same filter stands is left open.
                continue;
            }
            let granted = QoS::from_u8(reason.as_u8()).expect("every subscription is allowed here");
            assert!(granted <= *asked, "more was granted than asked for");
            let now = truth.step();
            truth.sessions[self.index].subscribed(filter, granted, step, now);
        }
        Vec::new()
    }

    /// Where the publish is that an answer is for.
    fn position(&self, identifier: PacketIdentifier, is_meant: impl Fn(&Open) -> bool) -> usize {
        let found =
            self.waiting_to_be_acked.iter().position(|open| open.identifier == identifier && is_meant(open));
        found
            .unwrap_or_else(|| panic!("client {}: an answer for {identifier}, which is not open", self.index))
    }

    fn begin_anew(&mut self, truth: &mut Truth) {
        for open in self.waiting_to_be_acked.drain(..) {
            truth.ended(open.message, Fate::Abandoned);
        }
        self.taken.clear();
        truth.sessions[self.index].begins_anew();
    }

    fn fresh_identifier(&mut self) -> PacketIdentifier {
        let in_use = |identifier| {
            self.waiting_to_be_acked.iter().any(|open| open.identifier == identifier)
                || self.asked.contains_key(&identifier)
        };
        // A sane client starts again at 1 whenever it likes; a bug may hide behind one that never does.
        let mut identifier =
            if self.reuses_identifiers { PacketIdentifier::FIRST } else { self.next_identifier };
        while in_use(identifier) {
            identifier = identifier.next();
        }
        self.next_identifier = identifier.next();
        identifier
    }
}

fn success(identifier: PacketIdentifier) -> Acknowledgement {
    Acknowledgement::new(identifier, ReasonCode::Success)
}

impl Open {
    fn publish(&self, again: bool) -> Packet {
        let qos = match self.qos {
            QoS::AtMostOnce => PublishQoS::AtMostOnce,
            QoS::AtLeastOnce => PublishQoS::AtLeastOnce(self.identifier),
            QoS::ExactlyOnce => PublishQoS::ExactlyOnce(self.identifier),
        };
        Packet::Publish(Publish {
            dup: again,
            qos,
            retain: self.retain,
            topic: Some(TopicName::parse(self.topic.as_str()).expect("a topic name")),
            topic_alias: None,
            payload: Bytes::from(self.payload.clone()),
            properties: None,
        })
    }
}
