//! Sending to one client within its window and socket: what waits in memory, what waits in the journal, what was
//! open when it came back.
//!
//! QoS 0 goes at once or is dropped when the socket is slow; QoS 1 and 2 wait. Never decides who gets a message.

use crate::durable::{Delivery, DropReason, Message, MessageBody, Record, Sequence, Urgency};
use crate::flow::{Phase, Resend};
use crate::mqtt::{PacketIdentifier, QoS, ReasonCode};
use crate::time::Moment;

use super::aliases::Naming;
use super::ledger::Waiting;
use super::publish_frame::{Variant, encode_once};
use super::sessions::{Link, Session, SessionKey};
use super::{Broker, ConnectionId, Output, PublishFrame, Turn};

/// A delivery that is open towards a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct InFlight {
    /// The message, if the journal owes it; otherwise it ends with the connection.
    pub(super) sequence: Option<Sequence>,
    /// Whether its PUBLISH was sent on this connection.
    pub(super) sent_here: bool,
    /// Whether its PUBLISH may have been sent on any.
    pub(super) sent_before: bool,
}

impl InFlight {
    /// A delivery that is not sent yet.
    pub(super) const fn new(sequence: Option<Sequence>) -> InFlight {
        InFlight { sequence, sent_here: false, sent_before: false }
    }

    /// A delivery of memory whose PUBLISH is sent in this moment, again or by the caller.
    pub(super) const fn repeated() -> InFlight {
        InFlight { sequence: None, sent_here: true, sent_before: true }
    }

    /// Its PUBLISH is sent now; whether that may not be the first time.
    fn sent(&mut self) -> bool {
        self.sent_here = true;
        std::mem::replace(&mut self.sent_before, true)
    }
}

/// Whether a PUBLISH can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    Now,
    /// Window, socket or CONNACK come first.
    Later,
    Never(DropReason),
}

impl Session {
    /// Whether a PUBLISH of this size can be sent.
    pub(super) fn readiness(&self, bytes: usize, qos: QoS) -> Readiness {
        let Some(connection) = self.connection() else {
            return Readiness::Later;
        };
        // [MQTT-3.1.2-24]
        if bytes > connection.maximum_packet_size() {
            return Readiness::Never(DropReason::PacketTooLarge);
        }
        let has_room = connection.outbox_bytes <= self.limits.max_outbox_bytes;
        match qos {
            _ if !connection.greeted => Readiness::Later,
            QoS::AtMostOnce if has_room => Readiness::Now,
            QoS::AtMostOnce => Readiness::Never(DropReason::SlowSubscriber),
            _ if has_room && connection.window() > 0 && self.outbound.free() > 0 => Readiness::Now,
            _ => Readiness::Later,
        }
    }

    /// Sends a PUBLISH for the first time; it is ready, and its identifier needs not be on disk before. Gives back
    /// the identifier of QoS 1 and 2.
    pub(super) fn send(
        &mut self,
        turn: &mut Turn<'_>,
        frame: PublishFrame,
        qos: QoS,
        sequence: Option<Sequence>,
    ) -> Option<PacketIdentifier> {
        let identifier = (qos != QoS::AtMostOnce).then(|| {
            let mut in_flight = InFlight::new(sequence);
            in_flight.sent();
            let identifier = self.outbound.assign(qos, in_flight);
            self.outbound.assigned_committed(identifier);
            identifier
        });
        self.transmit(turn, frame, identifier, false);
        identifier
    }

    pub(super) fn transmit(
        &mut self,
        turn: &mut Turn<'_>,
        frame: PublishFrame,
        packet_identifier: Option<PacketIdentifier>,
        dup: bool,
    ) {
        let Link::Online(connection) = &mut self.link else {
            unreachable!("nothing is ready without a connection");
        };
        connection.outbox_bytes += frame.bytes.len();
        if packet_identifier.is_some() {
            connection.sent_open = connection.sent_open.saturating_add(1);
        }
        turn.out.push(Output::SendPublish { connection: connection.id, frame, packet_identifier, dup });
    }

    /// A QoS 1 or 2 PUBLISH is answered for good: the client takes one more.
    pub(super) fn window_opens(&mut self) {
        if let Some(connection) = self.connection_mut() {
            connection.sent_open = connection.sent_open.saturating_sub(1);
        }
    }
}

/// How many seconds are left of a message's expiry interval: `Ok(None)` when it has none, `Err` when it is over
/// `[MQTT-3.3.2-5]`. What the clocks cannot tell does not expire.
pub(super) fn expiry_left(message: &Message, now: &Moment) -> Result<Option<u32>, DropReason> {
    let MessageBody::Publish { properties: Some(properties), .. } = &message.body else {
        return Ok(None);
    };
    let Some(interval) = properties.message_expiry_interval_seconds else {
        return Ok(None);
    };
    let waited = now.since(&message.accepted_at).unwrap_or_default();
    if waited.as_secs() >= u64::from(interval) && !waited.is_zero() {
        return Err(DropReason::Expired);
    }
    let waited = u32::try_from(waited.as_secs()).unwrap_or(u32::MAX);
    Ok(Some(interval.saturating_sub(waited)))
}

impl Broker {
    /// Sends what waits for this client, as far as it takes it, and then what waits for anybody of its groups.
    pub(super) fn send_on(&mut self, turn: &mut Turn<'_>, key: SessionKey) {
        self.send_own(turn, key);
        if self.sessions.get(key).membership.is_some() {
            for group in self.sessions.get(key).groups() {
                self.spread(turn, group);
            }
        }
    }

    /// Sends what waits for this client alone.
    pub(super) fn send_own(&mut self, turn: &mut Turn<'_>, key: SessionKey) {
        let session = self.sessions.at(key);
        if !session.connection().is_some_and(|connection| connection.greeted) {
            return;
        }
        session.send_queued(turn);
        while self.send_next_owed(turn, key) {}
        let session = self.sessions.at(key);
        let window = session.connection().map_or(0, |connection| connection.receive_maximum);
        if let Some(backlog) = &mut session.backlog {
            backlog.read_on(turn, window);
        }
    }

    /// Sends the next message that was read from the journal; `false` when there is none or it has to wait.
    fn send_next_owed(&mut self, turn: &mut Turn<'_>, key: SessionKey) -> bool {
        let session = self.sessions.at(key);
        let max_outbox_bytes = session.limits.max_outbox_bytes;
        let Some(backlog) = &mut session.backlog else { return false };
        let Some(next) = backlog.next_read() else { return false };
        let (sequence, qos) = (next.sequence, next.delivery.qos);
        // An inbound QoS 2 message goes nowhere before it is on disk: see the ledger.
        if self.ledger.is_held(sequence) {
            return false;
        }
        let reopened = backlog.reopened(sequence);
        let to_repeat = match reopened.and_then(|identifier| session.outbound.find(identifier)) {
            // Its identifier is on its way to the disk: it goes in its turn, and what follows behind it.
            Some((Phase::Assigned, _)) => return false,
            Some((Phase::Published, in_flight)) => !in_flight.sent_here,
            _ => false,
        };
        let Some(connection) = session.connection() else { return false };
        let has_room = connection.outbox_bytes <= max_outbox_bytes && connection.window() > 0;
        if to_repeat && !has_room {
            return false;
        }
        if reopened.is_none() && session.readiness(0, qos) != Readiness::Now {
            return false;
        }
        let Some(owed) = session.backlog.as_mut().and_then(|backlog| backlog.take_next_read()) else {
            unreachable!("the next one was seen a moment ago");
        };
        match reopened {
            Some(identifier) if to_repeat => {
                self.send_identified(turn, key, identifier, &owed.delivery, &owed.message)
            }
            Some(_) => {}
            None => self.send_owed(turn, key, sequence, owed.delivery, owed.message),
        }
        true
    }

    /// Sends a PUBLISH on a new connection with its old identifier `[MQTT-4.4.0-1]`, with DUP unless it is certain
    /// that it was never sent `[MQTT-3.3.1-1]`.
    fn send_identified(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        identifier: PacketIdentifier,
        delivery: &Delivery,
        message: &Message,
    ) {
        if !self.may_get(key, message) && self.withdraw(turn, key, identifier) {
            return;
        }
        let expiry = expiry_left(message, &turn.now).unwrap_or(Some(0));
        let Some(frame) = self.encode_owed(key, delivery, message, expiry) else { return };
        let session = self.sessions.at(key);
        let dup = session.outbound.find(identifier).is_some_and(|(_, in_flight)| in_flight.sent());
        session.transmit(turn, frame, Some(identifier), dup);
    }

    /// Gives up a delivery that has its identifier and may not be made any more; `false` when its PUBLISH may have
    /// been sent already: then it is repeated, for the client could take another one with this identifier for it.
    fn withdraw(&mut self, turn: &mut Turn<'_>, key: SessionKey, identifier: PacketIdentifier) -> bool {
        let outbound = &mut self.sessions.at(key).outbound;
        if outbound.find(identifier).is_none_or(|(_, in_flight)| in_flight.sent_before) {
            return false;
        }
        if let Some(InFlight { sequence: Some(sequence), .. }) = outbound.abandon(identifier) {
            self.drop_owed(turn, key, sequence, DropReason::NotAuthorized);
        }
        true
    }

    /// Sends for the first time what was read from the journal. QoS 2 waits until its identifier is on disk.
    fn send_owed(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        sequence: Sequence,
        delivery: Delivery,
        message: Message,
    ) {
        // Rights may have changed since it was matched.
        if !self.may_get(key, &message) {
            return self.drop_owed(turn, key, sequence, DropReason::NotAuthorized);
        }
        let expiry = match expiry_left(&message, &turn.now) {
            Ok(expiry) => expiry,
            Err(reason) => return self.drop_owed(turn, key, sequence, reason),
        };
        let consumer = delivery.consumer;
        let qos = delivery.qos;
        let Some(frame) = self.encode_owed(key, &delivery, &message, expiry) else {
            return self.drop_owed(turn, key, sequence, DropReason::PacketTooLarge);
        };
        let session = self.sessions.at(key);
        if let Readiness::Never(reason) = session.readiness(frame.bytes.len(), qos) {
            return self.drop_owed(turn, key, sequence, reason);
        }
        if qos == QoS::ExactlyOnce {
            let packet_identifier = session.outbound.assign(qos, InFlight::new(Some(sequence)));
            let record =
                Record::Assigned { consumer, packet_identifier, sequence, qos, frozen_payload: None };
            let ticket = self.ledger.append(turn, Urgency::Awaited, record);
            let owed = Box::new((delivery, message));
            self.ledger.wait(ticket, Waiting::Assigned { consumer, packet_identifier, owed });
            return;
        }
        self.send_assigned(turn, key, frame, sequence);
    }

    /// Sends at QoS 1 what the journal owes; that its identifier is on disk is good to have, nobody waits for it.
    pub(super) fn send_assigned(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        frame: PublishFrame,
        sequence: Sequence,
    ) {
        let qos = QoS::AtLeastOnce;
        let session = self.sessions.at(key);
        let consumer = session.consumer();
        let packet_identifier = session.send(turn, frame, qos, Some(sequence));
        if let (Some(consumer), Some(packet_identifier)) = (consumer, packet_identifier) {
            let record =
                Record::Assigned { consumer, packet_identifier, sequence, qos, frozen_payload: None };
            self.ledger.append(turn, Urgency::Lingers, record);
        }
    }

    /// A QoS 2 delivery has its identifier on disk: PUBLISH is sent.
    pub(super) fn assigned(
        &mut self,
        turn: &mut Turn<'_>,
        key: SessionKey,
        identifier: PacketIdentifier,
        owed: &(Delivery, Message),
    ) {
        let session = self.sessions.at(key);
        let Some(InFlight { sequence, .. }) = session.outbound.assigned_committed(identifier).copied() else {
            return;
        };
        // Without a connection it is sent when the client comes back.
        if !session.connection().is_some_and(|connection| connection.greeted) {
            return;
        }
        // The client came back meanwhile: it goes in its turn among what was open.
        let is_reopened = session
            .backlog
            .as_ref()
            .zip(sequence)
            .is_some_and(|(backlog, sequence)| backlog.reopened(sequence).is_some());
        if is_reopened {
            return self.send_on(turn, key);
        }
        self.send_identified(turn, key, identifier, &owed.0, &owed.1);
    }

    fn encode_owed(
        &self,
        key: SessionKey,
        delivery: &Delivery,
        message: &Message,
        expiry: Option<u32>,
    ) -> Option<PublishFrame> {
        let variant = Variant {
            version: self.sessions.get(key).version,
            qos: delivery.qos,
            retain: delivery.retain,
            subscription_identifiers: &delivery.subscription_identifiers,
            naming: Naming::Topic,
        };
        encode_once(&self.renderer, &self.boots, message, variant, expiry)
    }

    /// The session goes on over a new connection: what was open is sent again, in order `[MQTT-4.4.0-1]`,
    /// in 3.1.1 `[MQTT-4.6.0-1]`, then what waits.
    pub(super) fn resume(&mut self, turn: &mut Turn<'_>, key: SessionKey) {
        let session = self.sessions.at(key);
        let to_release: Vec<PacketIdentifier> = session
            .outbound
            .resend()
            .filter(|(_, resend, ..)| *resend == Resend::PubRel)
            .map(|(identifier, ..)| identifier)
            .collect();
        if let Some(backlog) = &mut session.backlog {
            let open = session.outbound.iter();
            backlog.reopen(open.filter_map(|(identifier, _, open)| Some((open.sequence?, identifier))));
        }
        for identifier in to_release {
            self.pubrel_out(turn, key, identifier, ReasonCode::Success);
        }
        self.resume_shared(turn, key);
        self.send_on(turn, key);
    }

    /// Bytes that were handed out reached the socket.
    pub(super) fn written(&mut self, turn: &mut Turn<'_>, connection: ConnectionId, bytes: usize) {
        let Some(key) = self.session_of(connection) else { return };
        let session = self.sessions.at(key);
        let Some(connection) = session.connection_mut() else { return };
        connection.outbox_bytes = connection.outbox_bytes.saturating_sub(bytes);
        if session.is_waiting() {
            self.send_on(turn, key);
        }
    }
}

impl Session {
    /// Whether anything waits that a little more room could let go.
    fn is_waiting(&self) -> bool {
        !self.waiting_to_be_sent.is_empty()
            || self.membership.is_some()
            || self.backlog.as_ref().is_some_and(|backlog| !backlog.is_caught_up())
    }

    /// Sends what waits in memory, as far as window and socket take it.
    fn send_queued(&mut self, turn: &mut Turn<'_>) {
        while let Some(first) = self.waiting_to_be_sent.first() {
            let (bytes, qos) = (first.frame.bytes.len(), first.qos);
            let readiness = self.readiness(bytes, qos);
            if matches!(readiness, Readiness::Later | Readiness::Never(DropReason::SlowSubscriber)) {
                return;
            }
            let Some(queued) = self.waiting_to_be_sent.pop() else { return };
            if let Readiness::Never(reason) = readiness {
                turn.dropped(1, reason);
                continue;
            }
            match queued.into_frame(turn.now.monotonic) {
                None => turn.dropped(1, DropReason::Expired),
                Some(frame) => {
                    self.send(turn, frame, qos, None);
                }
            }
        }
    }
}
