//! What a subscriber answers: PUBACK, PUBREC, PUBCOMP, and the end of each delivery.
//!
//! Never sends a PUBLISH; after every answer it asks `sending` to go on.

use crate::durable::{DropReason, Record, Sequence, Urgency};
use crate::flow::Received;
use crate::mqtt::{Acknowledgement, Packet, PacketIdentifier, ReasonCode};

use super::ledger::Waiting;
use super::sending::InFlight;
use super::sessions::SessionKey;
use super::shared::OpenShared;
use super::{Broker, Output, Turn};

impl Broker {
    /// A delivery that the journal owes will never happen.
    pub(super) fn drop_owed(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        sequence: Sequence,
        reason: DropReason,
    ) {
        let Some(backlog) = &mut self.sessions.at(key).backlog else { return };
        backlog.settle(1);
        let record = Record::Dropped { consumer: backlog.consumer, sequence, reason };
        self.ledger.append(turn, Urgency::Lingers, record);
        turn.dropped(1, reason);
    }

    /// A delivery ended well.
    fn done(&mut self, turn: &mut Turn<'_>, key: SessionKey, in_flight: InFlight) {
        if let (Some(sequence), Some(backlog)) = (in_flight.sequence, &mut self.sessions.at(key).backlog) {
            backlog.settle(1);
            let record = Record::Done { consumer: backlog.consumer, sequence };
            self.ledger.append(turn, Urgency::Lingers, record);
        }
    }

    /// The client does not want a delivery.
    fn refused(&mut self, turn: &mut Turn<'_>, key: SessionKey, in_flight: InFlight) {
        match in_flight.sequence {
            Some(sequence) => self.drop_owed(turn, key, sequence, DropReason::Refused),
            None => turn.dropped(1, DropReason::Refused),
        }
    }

    /// PUBACK.
    pub(super) fn puback(&mut self, turn: &mut Turn<'_>, key: SessionKey, packet: &Acknowledgement) {
        let session = self.sessions.at(key);
        let Some(in_flight) = session.outbound.acknowledged(packet.packet_identifier) else { return };
        session.window_opens();
        if let Some(OpenShared { group, held }) = session.take_lent(packet.packet_identifier) {
            if packet.reason.is_error() {
                self.drop_shared(turn, group, &held, DropReason::Refused);
            } else {
                self.shared_done(turn, group, &held);
            }
        } else if packet.reason.is_error() {
            self.refused(turn, key, in_flight);
        } else {
            self.done(turn, key, in_flight);
        }
        self.send_on(turn, key);
    }

    /// PUBREC.
    pub(super) fn pubrec(&mut self, turn: &mut Turn<'_>, key: SessionKey, packet: &Acknowledgement) {
        let identifier = packet.packet_identifier;
        let session = self.sessions.at(key);
        if packet.reason.is_error() {
            if let Some(in_flight) = session.outbound.refused(identifier) {
                session.window_opens();
                self.refused(turn, key, in_flight);
                self.send_on(turn, key);
            }
            return;
        }
        match session.outbound.received(identifier) {
            Received::Release => {
                let durable = session.outbound.find(identifier).and_then(|(_, open)| open.sequence);
                match session.consumer().filter(|_| durable.is_some()) {
                    None => {
                        session.outbound.release_committed(identifier);
                        self.pubrel_out(turn, key, identifier, ReasonCode::Success);
                    }
                    Some(consumer) => {
                        let record = Record::Released { consumer, packet_identifier: identifier };
                        let ticket = self.ledger.append(turn, Urgency::Awaited, record);
                        let released = Waiting::Released { consumer, packet_identifier: identifier };
                        self.ledger.wait(ticket, released);
                    }
                }
            }
            Received::Waiting => {}
            Received::Repeat => self.pubrel_out(turn, key, identifier, ReasonCode::Success),
            Received::Unknown => {
                self.pubrel_out(turn, key, identifier, ReasonCode::PacketIdentifierNotFound);
            }
        }
    }

    /// The release of a QoS 2 delivery is on disk: PUBREL is sent `[MQTT-4.3.3-4]`.
    pub(super) fn released(&mut self, turn: &mut Turn<'_>, key: SessionKey, identifier: PacketIdentifier) {
        let session = self.sessions.at(key);
        let greeted = session.connection().is_some_and(|connection| connection.greeted);
        if session.outbound.release_committed(identifier) && greeted {
            self.pubrel_out(turn, key, identifier, ReasonCode::Success);
        }
    }

    pub(super) fn pubrel_out(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        identifier: PacketIdentifier,
        reason: ReasonCode,
    ) {
        let Some(connection) = self.sessions.at(key).connection() else { return };
        let packet = Packet::PubRel(Acknowledgement::new(identifier, reason));
        turn.out.push(Output::Send { connection: connection.id, packet });
    }

    /// PUBCOMP.
    pub(super) fn pubcomp(&mut self, turn: &mut Turn<'_>, key: SessionKey, packet: &Acknowledgement) {
        let session = self.sessions.at(key);
        let Some(in_flight) = session.outbound.completed(packet.packet_identifier) else { return };
        session.window_opens();
        self.done(turn, key, in_flight);
        self.send_on(turn, key);
    }
}
