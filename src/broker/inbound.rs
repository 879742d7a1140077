//! From a publisher: PUBLISH at QoS 0, 1 and 2, PUBREL, and the order of their answers.
//!
//! QoS 2 is the standard's "method B": the message is accepted when it first comes, the identifier is remembered
//! until PUBREL. Who gets a message is decided in `routing`.

use std::num::NonZeroU16;

use crate::durable::{DropReason, JournalHealth, Message, MessageBody, Record, Ticket, Urgency};
use crate::flow::Publication;
use crate::limits::{Limits, TOPIC_LEVELS};
use crate::mqtt::{
    Acknowledgement, Packet, PacketIdentifier, Publish, PublishProperties, PublishQoS, ReasonCode, TopicName,
};

use super::connection::Connection;
use super::ledger::Waiting;
use super::rights::refuse;
use super::routing::{Accepted, Origin, Publisher};
use super::sessions::SessionKey;
use super::words::fits;
use super::{Broker, Denial, Output, Turn};

/// How a PUBLISH that is not accepted is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// With this code; 3.x has none, there the message is taken and dropped.
    Code(ReasonCode),
    /// Not at all: the client repeats it later.
    Withheld,
}

impl Broker {
    /// PUBLISH.
    pub(super) fn publish_in(&mut self, turn: &mut Turn<'_>, key: SessionKey, mut publish: Publish) {
        let session = self.sessions.at(key);
        let alias_maximum = session.limits.topic_alias_maximum;
        let receive_maximum = session.limits.receive_maximum;
        let Some(connection) = session.connection_mut() else { return };
        let topic = match topic_of(connection, publish.topic.take(), publish.topic_alias, alias_maximum) {
            Ok(topic) => topic,
            Err(reason) => return self.break_off(turn, key, reason),
        };
        let is_v5 = connection.is_v5();
        let identifiers = publish.properties.as_ref().map(|properties| &properties.subscription_identifiers);
        if identifiers.is_some_and(|identifiers| !identifiers.is_empty()) {
            // [MQTT-3.3.4-6]
            return self.break_off(turn, key, ReasonCode::ProtocolError);
        }
        let qos = publish.qos;
        let is_repeated =
            matches!(qos, PublishQoS::ExactlyOnce(identifier) if session.inbound.is_open(identifier));
        if qos != PublishQoS::AtMostOnce && !is_repeated {
            let Some(connection) = session.connection_mut() else { return };
            if is_v5 && connection.received_open >= receive_maximum {
                // [MQTT-3.3.4-7]
                return self.break_off(turn, key, ReasonCode::ReceiveMaximumExceeded);
            }
            connection.received_open = connection.received_open.saturating_add(1);
        }
        let mut refusal = refuse_topic(&topic, &session.limits);
        if refusal.is_none() && has_too_many_properties(publish.properties.as_deref(), &session.limits) {
            refusal = Some(ReasonCode::QuotaExceeded);
        }
        if let Some(reason) = refusal {
            refuse(turn, &session.client_id, Denial::Publish, reason, topic.as_byte_string());
        }
        if refusal.is_none() && self.denies_publish(turn, key, &topic, qos.qos()) {
            if qos == PublishQoS::AtMostOnce {
                return;
            }
            refusal = Some(ReasonCode::NotAuthorized);
        }
        let message = Message {
            topic,
            qos: qos.qos(),
            retain: publish.retain,
            accepted_at: turn.now,
            body: MessageBody::Publish { payload: publish.payload, properties: publish.properties },
        };
        match (qos, refusal) {
            (PublishQoS::AtMostOnce, Some(reason)) => {
                if is_v5 {
                    self.break_off(turn, key, reason);
                }
            }
            (PublishQoS::AtMostOnce, None) => {
                let origin = Origin::new(Publisher::Client(key), Urgency::Lingers);
                // Nobody waits: what the journal does not take is counted where it is dropped.
                let _ = self.publish(turn, message, origin);
            }
            (PublishQoS::AtLeastOnce(identifier), refusal) => {
                self.publish_qos1(turn, key, identifier, message, refusal);
            }
            (PublishQoS::ExactlyOnce(identifier), refusal) => {
                self.publish_qos2(turn, key, identifier, message, refusal);
            }
        }
    }

    fn publish_qos1(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        identifier: PacketIdentifier,
        message: Message,
        refusal: Option<ReasonCode>,
    ) {
        let accepted = match refusal {
            Some(reason) => Err(Refusal::Code(reason)),
            None => {
                let origin = Origin::new(Publisher::Client(key), Urgency::Awaited);
                self.publish_strictly(turn, key, message, origin)
            }
        };
        // [MQTT-4.3.2-4]
        let (reason, after) = match accepted {
            Ok(accepted) => (self.success(key, accepted), accepted.after),
            Err(Refusal::Code(reason)) => (reason, None),
            Err(Refusal::Withheld) => return,
        };
        self.answer(turn, key, Packet::PubAck(Acknowledgement::new(identifier, reason)), after);
    }

    fn publish_qos2(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        identifier: PacketIdentifier,
        message: Message,
        refusal: Option<ReasonCode>,
    ) {
        let session = self.sessions.at(key);
        let consumer = session.consumer();
        match session.inbound.published(identifier) {
            Publication::New => {}
            Publication::Repeated => {
                // [MQTT-4.3.3-10]; if the first one is not on disk yet, neither may this answer go.
                let after = self.ledger.awaited();
                let packet = Packet::PubRec(Acknowledgement::new(identifier, ReasonCode::Success));
                return self.answer(turn, key, packet, after);
            }
            Publication::TooMany => return self.break_off(turn, key, ReasonCode::ReceiveMaximumExceeded),
        }
        let accepted = match refusal {
            Some(reason) => Err(Refusal::Code(reason)),
            None => {
                let origin = Origin {
                    received: consumer.map(|consumer| (consumer, identifier)),
                    ..Origin::new(Publisher::Client(key), Urgency::Awaited)
                };
                self.publish_strictly(turn, key, message, origin)
            }
        };
        let (reason, after) = match accepted {
            Ok(accepted) => (self.success(key, accepted), accepted.after),
            Err(refusal) => {
                self.sessions.at(key).inbound.refused(identifier);
                match refusal {
                    Refusal::Code(reason) => (reason, None),
                    Refusal::Withheld => return,
                }
            }
        };
        self.answer(turn, key, Packet::PubRec(Acknowledgement::new(identifier, reason)), after);
    }

    /// Publishes what will be acknowledged: it is kept for everybody durable, or not accepted.
    fn publish_strictly(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        message: Message,
        origin: Origin,
    ) -> Result<Accepted, Refusal> {
        if self.sessions.get(key).connection().is_some_and(|connection| connection.withheld) {
            return Err(Refusal::Withheld);
        }
        self.publish(turn, message, origin).map_err(|reason| {
            let Some(connection) = self.sessions.at(key).connection_mut() else {
                return Refusal::Withheld;
            };
            if reason == DropReason::JournalFullNewest {
                turn.dropped(1, reason);
                if connection.is_v5() {
                    return Refusal::Code(ReasonCode::QuotaExceeded);
                }
            }
            connection.withheld = true;
            Refusal::Withheld
        })
    }

    /// PUBREL.
    pub(super) fn pubrel(&mut self, turn: &mut Turn<'_>, key: SessionKey, packet: &Acknowledgement) {
        let identifier = packet.packet_identifier;
        let session = self.sessions.at(key);
        let consumer = session.consumer();
        let known = session.inbound.released(identifier);
        let (reason, after) = match consumer {
            Some(consumer) if known => {
                let record = Record::ReceivedReleased { consumer, packet_identifier: identifier };
                (ReasonCode::Success, Some(self.ledger.append(turn, Urgency::Awaited, record)))
            }
            _ if known => (ReasonCode::Success, None),
            // The release may have come before, over an earlier connection, and not be on disk yet.
            _ => (ReasonCode::PacketIdentifierNotFound, self.ledger.awaited()),
        };
        // [MQTT-4.3.3-11]
        self.answer(turn, key, Packet::PubComp(Acknowledgement::new(identifier, reason)), after);
    }

    /// Sends an answer when `after` is committed and every earlier answer is sent.
    pub(super) fn answer(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        packet: Packet,
        after: Option<Ticket>,
    ) {
        let Some(connection) = self.sessions.at(key).connection_mut() else { return };
        let packet = connection.in_words(packet);
        if matches!(packet, Packet::SubAck(_) | Packet::UnsubAck(_))
            && !fits(&packet, connection.maximum_packet_size())
        {
            return self.break_off(turn, key, ReasonCode::PacketTooLarge);
        }
        let after = after.filter(|ticket| !self.ledger.is_committed(*ticket));
        if after.is_none() && connection.answers_waiting == 0 {
            connection.answered(&packet);
            turn.out.push(Output::Send { connection: connection.id, packet });
            return;
        }
        connection.answers_waiting += 1;
        let answer = Waiting::Answer { connection: connection.id, packet };
        self.ledger.wait(after.unwrap_or_default(), answer);
    }

    /// An answer need not wait any more.
    pub(super) fn answer_released(
        &mut self,
        turn: &mut Turn<'_>,
        connection: super::ConnectionId,
        packet: Packet,
    ) {
        let Some(key) = self.session_of(connection) else { return };
        let Some(link) = self.sessions.at(key).connection_mut() else { return };
        link.answers_waiting -= 1;
        link.answered(&packet);
        let greets = matches!(packet, Packet::ConnAck(_));
        turn.out.push(Output::Send { connection, packet });
        if greets {
            self.greeted(turn, key);
        }
    }

    /// The journal's health changed. Who was left without an acknowledgement and could have it now is disconnected:
    /// its client comes back and repeats everything in order.
    pub(super) fn health_changed(&mut self, turn: &mut Turn<'_>, health: JournalHealth) {
        self.ledger.set_health(health);
        if health != JournalHealth::Accepting {
            return;
        }
        let withheld = |session: &&super::sessions::Session| {
            session.connection().is_some_and(|connection| connection.withheld)
        };
        let keys: Vec<SessionKey> =
            self.sessions.iter().filter(|(_, session)| withheld(session)).map(|(key, _)| key).collect();
        for key in keys {
            self.break_off(turn, key, ReasonCode::ServerBusy);
        }
    }

    /// The code that says yes, and to 5.0 clients whether anybody listens.
    fn success(&self, key: SessionKey, accepted: Accepted) -> ReasonCode {
        let is_v5 = self.sessions.get(key).connection().is_some_and(Connection::is_v5);
        if is_v5 && !accepted.matched { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success }
    }
}

impl Connection {
    /// Keeps count of what the client may still send.
    fn answered(&mut self, packet: &Packet) {
        let is_last = match packet {
            Packet::PubAck(_) | Packet::PubComp(_) => true,
            Packet::PubRec(answer) => answer.reason.is_error(),
            _ => false,
        };
        if is_last {
            self.received_open = self.received_open.saturating_sub(1);
        }
    }
}

/// The topic of a PUBLISH, by its alias if it has no name (section 3.3.2.3.4 of 5.0).
fn topic_of(
    connection: &mut Connection,
    topic: Option<TopicName>,
    alias: Option<NonZeroU16>,
    alias_maximum: u16,
) -> Result<TopicName, ReasonCode> {
    let Some(alias) = alias else {
        return topic.ok_or(ReasonCode::ProtocolError);
    };
    // [MQTT-3.3.2-9]
    if alias.get() > alias_maximum {
        return Err(ReasonCode::TopicAliasInvalid);
    }
    match topic {
        Some(topic) => {
            connection.set_alias(alias, &topic);
            Ok(topic)
        }
        None => connection.topic_of(alias).cloned().ok_or(ReasonCode::ProtocolError),
    }
}

/// Whether a message has more user properties than a client's may have.
pub(super) fn has_too_many_properties(properties: Option<&PublishProperties>, limits: &Limits) -> bool {
    properties.is_some_and(|properties| properties.user_properties.len() > limits.max_user_properties)
}

/// Why a topic is not for clients to publish to.
pub(super) fn refuse_topic(topic: &TopicName, limits: &Limits) -> Option<ReasonCode> {
    let text = topic.as_str();
    let levels = limits.max_topic_levels.min(TOPIC_LEVELS);
    let too_deep = text.len() >= levels && text.bytes().filter(|byte| *byte == b'/').count() >= levels;
    if too_deep || text.len() > limits.max_topic_bytes {
        return Some(ReasonCode::TopicNameInvalid);
    }
    // [MQTT-4.7.2-1]: the server's own tree.
    (text == "$SYS" || text.starts_with("$SYS/")).then_some(ReasonCode::NotAuthorized)
}
