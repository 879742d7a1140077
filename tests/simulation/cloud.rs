//! A model of the cloud's broker: one session, and every way in which clouds fail their gateways.
//!
//! Loses acknowledgements, forgets the session, goes silent, refuses. What it has taken in is told to the truth.

use std::collections::BTreeSet;

use tidegate::mqtt::{
    Acknowledgement, ConnAck, ConnAckProperties, Connect, Packet, PacketIdentifier, ProtocolVersion,
    PublishQoS, ReasonCode, SubAck,
};

use crate::random::Random;
use crate::subscriber::Arrival;
use crate::truth::Truth;

/// How the cloud behaves for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Answers everything.
    Well,
    /// Connections are accepted and nothing is ever read: a black hole.
    Silent,
    /// Connections are refused.
    Away,
    /// Takes what is sent, then breaks the connection now and then before it answers.
    LosesAcknowledgements,
}

/// What the cloud does upon a packet.
#[derive(Debug)]
pub enum Reaction {
    Answer(Packet),
    Break,
}

/// The cloud's side of the uplink's session.
#[derive(Debug)]
pub struct Cloud {
    pub mood: Mood,
    version: ProtocolVersion,
    /// Inbound QoS 2 identifiers of the session; `None` without a session.
    session: Option<BTreeSet<PacketIdentifier>>,
    greeted: bool,
}

impl Cloud {
    pub fn new(version: ProtocolVersion) -> Cloud {
        Cloud { mood: Mood::Well, version, session: None, greeted: false }
    }

    /// A new network connection.
    pub fn opened(&mut self) {
        self.greeted = false;
    }

    /// Loses everything that it knew of the session: an upgrade, an expiry, another server of the same name.
    pub fn forget(&mut self, truth: &mut Truth) {
        if self.session.take().is_some() {
            truth.upstream.forgets_what_it_saw();
        }
    }

    pub fn take(&mut self, packet: Packet, random: &mut Random, truth: &mut Truth) -> Vec<Reaction> {
        if self.mood == Mood::LosesAcknowledgements && self.greeted && random.chance(200) {
            // It has taken the packet all the same, if it was a message.
            self.answers(packet, truth);
            return vec![Reaction::Break];
        }
        self.answers(packet, truth).into_iter().map(Reaction::Answer).collect()
    }

    fn answers(&mut self, packet: Packet, truth: &mut Truth) -> Vec<Packet> {
        if let Packet::Connect(connect) = packet {
            return vec![self.greet(&connect, truth)];
        }
        assert!(self.greeted, "{packet:?} before CONNACK");
        let taken = self.session.as_mut().expect("a greeted client has a session");
        match packet {
            Packet::Publish(publish) => {
                let topic = publish.topic.as_ref().expect("no alias was allowed").as_str().to_owned();
                let payload = publish.payload.clone();
                let arrival = Arrival { topic, payload, qos: publish.qos.qos(), from_retained: false };
                match publish.qos {
                    PublishQoS::AtMostOnce => {
                        truth.arrived_upstream(&arrival);
                        Vec::new()
                    }
                    PublishQoS::AtLeastOnce(identifier) => {
                        truth.arrived_upstream(&arrival);
                        vec![Packet::PubAck(Acknowledgement::new(identifier, ReasonCode::Success))]
                    }
                    PublishQoS::ExactlyOnce(identifier) => {
                        if taken.insert(identifier) {
                            truth.arrived_upstream(&arrival);
                        } else {
                            assert!(publish.dup, "{identifier} used again before its release, upstream");
                        }
                        vec![Packet::PubRec(Acknowledgement::new(identifier, ReasonCode::Success))]
                    }
                }
            }
            Packet::PubRel(ack) => {
                taken.remove(&ack.packet_identifier);
                vec![Packet::PubComp(Acknowledgement::new(ack.packet_identifier, ReasonCode::Success))]
            }
            Packet::Subscribe(subscribe) => {
                let granted = subscribe.requests.iter().map(|(_, options)| options.maximum_qos.as_u8());
                let reasons = granted.map(|qos| ReasonCode::from_u8(qos).expect("a granted QoS")).collect();
                let packet_identifier = subscribe.packet_identifier;
                vec![Packet::SubAck(Box::new(SubAck { packet_identifier, properties: None, reasons }))]
            }
            Packet::PingReq => vec![Packet::PingResp],
            Packet::Disconnect(_) | Packet::PubAck(_) | Packet::PubRec(_) | Packet::PubComp(_) => Vec::new(),
            other => panic!("the uplink never sends {other:?}"),
        }
    }

    fn greet(&mut self, connect: &Connect, truth: &mut Truth) -> Packet {
        assert!(!self.greeted, "a second CONNECT [MQTT-3.1.0-2]");
        assert_eq!(connect.version, self.version);
        if connect.clean_start {
            self.forget(truth);
        }
        self.greeted = true;
        let session_present = self.session.is_some();
        self.session.get_or_insert_default();
        let properties = ConnAckProperties::default();
        Packet::ConnAck(Box::new(ConnAck { session_present, reason: ReasonCode::Success, properties }))
    }
}
