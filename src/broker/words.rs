//! Reason strings: what a 5.0 client is told in words beside a code, if it wants words and they fit.
//!
//! For people who read logs; nothing depends on them. Never says anything that the code does not say already.

use bytestring::ByteString;

use crate::mqtt::{
    Acknowledgement, AcknowledgementProperties, ConnAck, Disconnect, Packet, ProtocolVersion, ReasonCode,
    encoded_len,
};

use super::connection::Connection;

/// What we mean by a code that refuses something.
const fn meaning(reason: ReasonCode) -> &'static str {
    match reason {
        ReasonCode::MalformedPacket => "the bytes are not an MQTT packet",
        ReasonCode::ProtocolError => "the packet is not allowed here, or contradicts itself",
        ReasonCode::ClientIdentifierNotValid => "the client identifier is not accepted",
        ReasonCode::NotAuthorized => "this user may not do that",
        ReasonCode::ServerUnavailable => "the disk takes no writes, and this session would need it",
        ReasonCode::ServerBusy => "there is no room for another client now, try again later",
        ReasonCode::BadAuthenticationMethod => "only user name and password are understood",
        ReasonCode::KeepAliveTimeout => "nothing was heard for one and a half times the keep-alive",
        ReasonCode::SessionTakenOver => "another connection uses the same client identifier",
        ReasonCode::TopicFilterInvalid => {
            "the filter has misplaced wildcards, too many levels, too much or no text"
        }
        ReasonCode::TopicNameInvalid => "the topic has too many levels, or is too long",
        ReasonCode::PacketIdentifierNotFound => "no exchange with this packet identifier is open",
        ReasonCode::ReceiveMaximumExceeded => "more publishes are open than the receive maximum allows",
        ReasonCode::TopicAliasInvalid => "the topic alias is 0 or above the maximum",
        ReasonCode::PacketTooLarge => "the packet is larger than the other side takes",
        ReasonCode::QuotaExceeded => "a limit is reached",
        _ => "",
    }
}

fn words(reason: ReasonCode) -> Option<ByteString> {
    let words = meaning(reason);
    (reason.is_error() && !words.is_empty()).then(|| ByteString::from_static(words))
}

/// Whether a packet is no larger than a 5.0 client takes `[MQTT-3.1.2-24]`.
pub(super) fn fits(packet: &Packet, maximum_packet_size: usize) -> bool {
    encoded_len(ProtocolVersion::V5, packet).is_ok_and(|bytes| bytes <= maximum_packet_size)
}

impl Connection {
    /// A DISCONNECT, in words if they are wanted `[MQTT-3.14.2-3]`.
    pub(super) fn disconnect(&self, reason: ReasonCode) -> Packet {
        let packet = |reason_string| {
            Packet::Disconnect(Box::new(Disconnect { reason_string, ..Disconnect::new(reason) }))
        };
        let in_words = packet(words(reason).filter(|_| self.wants_words));
        if fits(&in_words, self.maximum_packet_size()) { in_words } else { packet(None) }
    }

    /// Adds words to an answer that says no `[MQTT-3.1.2-29]` `[MQTT-3.4.2-2]` `[MQTT-3.5.2-2]` `[MQTT-3.7.2-2]`
    /// `[MQTT-3.9.2-1]` `[MQTT-3.11.2-1]`.
    pub(super) fn in_words(&self, mut packet: Packet) -> Packet {
        let refusal = match &packet {
            Packet::PubAck(answer) | Packet::PubRec(answer) | Packet::PubComp(answer) => Some(answer.reason),
            Packet::SubAck(answer) => answer.reasons.iter().copied().find(|reason| reason.is_error()),
            Packet::UnsubAck(answer) => answer.reasons.iter().copied().find(|reason| reason.is_error()),
            _ => None,
        };
        let wanted = refusal.filter(|_| self.wants_words && self.is_v5());
        let Some(reason_string) = wanted.and_then(words) else { return packet };
        *properties_of(&mut packet) = Some(Box::new(AcknowledgementProperties {
            reason_string: Some(reason_string),
            ..AcknowledgementProperties::default()
        }));
        if !fits(&packet, self.maximum_packet_size()) {
            *properties_of(&mut packet) = None;
        }
        packet
    }
}

fn properties_of(packet: &mut Packet) -> &mut Option<Box<AcknowledgementProperties>> {
    match packet {
        Packet::PubAck(Acknowledgement { properties, .. })
        | Packet::PubRec(Acknowledgement { properties, .. })
        | Packet::PubComp(Acknowledgement { properties, .. }) => properties,
        Packet::SubAck(answer) => &mut answer.properties,
        Packet::UnsubAck(answer) => &mut answer.properties,
        other => unreachable!("{other:?} is no answer"),
    }
}

/// A CONNACK that says no, in words if they fit `[MQTT-3.2.2-19]`; `None` when not even the code fits.
pub(super) fn refusal(reason: ReasonCode, wants_words: bool, maximum_packet_size: usize) -> Option<Packet> {
    let packet = |words| {
        let mut packet = ConnAck { session_present: false, reason, properties: Default::default() };
        packet.properties.reason_string = words;
        Packet::ConnAck(Box::new(packet))
    };
    let packets = [packet(words(reason).filter(|_| wants_words)), packet(None)];
    packets.into_iter().find(|packet| fits(packet, maximum_packet_size))
}
