//! What can be sent or loaded now: after every input, as much as the window, the disk and the server allow.

use super::Output;
use super::forwarder::Forwarder;
use super::link::Server;
use super::publication::{has_expired, publish, with_identifier};
use super::window::{Parcel, Step};
use crate::durable::{DropReason, LoadedDelivery, MessageBody, Record, Sequence, Urgency};
use crate::limits::UPLINK_QOS_2_WINDOW_3_1_1;
use crate::mqtt::{
    Acknowledgement, Packet, PacketIdentifier, ProtocolVersion, PublishQoS, QoS, ReasonCode, encoded_len,
};
use crate::time::Moment;

impl Forwarder {
    pub(super) fn pump(&mut self, now: Moment, out: &mut Vec<Output>) {
        if let Some(server) = self.server() {
            self.flush(now, server, out);
            self.tell_presence(now, server, out);
            self.refill(now, server, out);
            self.flush(now, server, out);
        }
        let restoring = self.restoration.is_some();
        if (self.is_up() || restoring)
            && let Some(request) = self.backlog.load(restoring)
        {
            out.push(Output::Load {
                consumer: self.consumer,
                after: request.after,
                max_messages: request.max_messages,
                max_bytes: request.max_bytes,
            });
        }
    }

    /// Sends what the window has ready.
    fn flush(&mut self, now: Moment, server: Server, out: &mut Vec<Output>) {
        while let Some((identifier, step)) = self.window.next() {
            match step {
                Step::PubRel => {
                    self.waiting.sent(now.monotonic, identifier);
                    let release = Acknowledgement::new(identifier, ReasonCode::Success);
                    self.send(now, Packet::PubRel(release), out);
                }
                Step::Publish { dup } => self.send_open(now, server, identifier, dup, out),
            }
        }
    }

    fn send_open(
        &mut self,
        now: Moment,
        server: Server,
        identifier: PacketIdentifier,
        dup: bool,
        out: &mut Vec<Output>,
    ) {
        let Some((qos, parcel)) = self.window.get(identifier) else { return };
        let qos = with_identifier(qos, identifier);
        let Some(publish) = self.publish(parcel, server, qos, dup, &now) else { return };
        if self.is_too_large(&publish, server) {
            // The server takes less than it did when this was opened.
            let parcel = match qos.qos() {
                QoS::ExactlyOnce => self.window.refused(identifier),
                _ => self.window.acknowledged(identifier),
            };
            if let Some(sequence) = parcel.and_then(|parcel| parcel.sequence()) {
                self.drop_delivery(sequence, DropReason::PacketTooLarge, out);
            }
            return;
        }
        if dup && qos.qos() == QoS::AtLeastOnce && parcel.sequence().is_some() {
            self.status.possible_duplicates += 1;
        }
        self.waiting.sent(now.monotonic, identifier);
        self.send(now, publish, out);
    }

    /// Presence goes ahead of the backlog.
    fn tell_presence(&mut self, now: Moment, server: Server, out: &mut Vec<Output>) {
        while self.window.has_room() {
            let Some((topic, payload)) = self.presence.next() else { return };
            let Some(topic) = self.renamed(&topic) else { continue };
            // A link that flaps would fill the window with repetitions of one state.
            if self.window.last_presence(&topic) == Some(&payload) {
                continue;
            }
            let parcel = Parcel::Presence { topic, payload };
            if server.maximum_qos == QoS::AtMostOnce {
                if let Some(publish) = self.publish(&parcel, server, PublishQoS::AtMostOnce, false, &now) {
                    self.send(now, publish, out);
                }
            } else {
                self.window.open(QoS::AtLeastOnce, parcel);
            }
        }
    }

    /// Opens deliveries of the backlog, as soon as there is one place: a server that saves packets (Nagle) holds back
    /// its next acknowledgements until it hears from us. Those from the first of QoS 2 on wait, as one batch, for
    /// their identifiers to be on disk.
    fn refill(&mut self, now: Moment, server: Server, out: &mut Vec<Output>) {
        if self.window.waits_for_batch() {
            return;
        }
        let mut batch = Vec::new();
        let mut batch_ticket = None;
        while self.window.has_room() {
            let Some(next) = self.backlog.peek() else { break };
            let qos = next.loaded.delivery.qos.min(server.maximum_qos);
            let full = qos == QoS::ExactlyOnce
                && self.options.version != ProtocolVersion::V5
                && self.window.len() >= UPLINK_QOS_2_WINDOW_3_1_1;
            if full || (qos == QoS::AtMostOnce && batch_ticket.is_some()) {
                break;
            }
            let Some(owed) = self.backlog.take() else { break };
            let sequence = owed.loaded.sequence;
            let parcel = match self.admit(owed.loaded, qos, server, &now) {
                Ok(parcel) => parcel,
                Err(reason) => {
                    self.drop_delivery(sequence, reason, out);
                    continue;
                }
            };
            self.count_possible_duplicate(sequence, qos, owed.sent_before);
            match qos {
                QoS::AtMostOnce => {
                    self.flush(now, server, out);
                    if let Some(publish) = self.publish(&parcel, server, PublishQoS::AtMostOnce, false, &now)
                    {
                        self.send(now, publish, out);
                    }
                    self.done(sequence, out);
                }
                QoS::AtLeastOnce if batch_ticket.is_none() => self.window.open(qos, parcel),
                QoS::AtLeastOnce => batch.push(self.window.assign(qos, parcel)),
                QoS::ExactlyOnce => {
                    let frozen_payload = frozen_payload(&parcel);
                    let packet_identifier = self.window.assign(qos, parcel);
                    let consumer = self.consumer;
                    let record =
                        Record::Assigned { consumer, packet_identifier, sequence, qos, frozen_payload };
                    batch_ticket = Some(self.append(Urgency::Awaited, record, out));
                    batch.push(packet_identifier);
                }
            }
        }
        if let Some(ticket) = batch_ticket {
            self.window.hold(ticket, batch);
        }
    }

    /// Makes a delivery ready to be sent, or says why it never will be.
    fn admit(
        &self,
        loaded: LoadedDelivery,
        qos: QoS,
        server: Server,
        now: &Moment,
    ) -> Result<Parcel, DropReason> {
        let message = &loaded.message;
        if has_expired(&message.body, &message.accepted_at, now) {
            return Err(DropReason::Expired);
        }
        let topic = self.renamed(&message.topic).ok_or(DropReason::Refused)?;
        let payload = self.payload(&message.body);
        let parcel = Parcel::Delivery { loaded, qos, topic, payload };
        let example = with_identifier(qos, PacketIdentifier::FIRST);
        match self.publish(&parcel, server, example, false, now) {
            Some(publish) if self.is_too_large(&publish, server) => Err(DropReason::PacketTooLarge),
            _ => Ok(parcel),
        }
    }

    fn publish(
        &self,
        parcel: &Parcel,
        server: Server,
        qos: PublishQoS,
        dup: bool,
        now: &Moment,
    ) -> Option<Packet> {
        publish(parcel, self.options.version, qos, dup, server.retain_available, now).map(Packet::Publish)
    }

    /// `[MQTT-3.2.2-15]`
    fn is_too_large(&self, publish: &Packet, server: Server) -> bool {
        encoded_len(self.options.version, publish).map_or(true, |bytes| bytes > server.max_packet_bytes)
    }

    /// A killed run may have sent the first deliveries that were queued when it ended, up to a window of them;
    /// nobody knows.
    fn count_possible_duplicate(&mut self, sequence: Sequence, qos: QoS, sent_before: bool) {
        if qos == QoS::AtMostOnce {
            return;
        }
        let perhaps = self.perhaps_sent > 0 && sequence <= self.queued_before && qos == QoS::AtLeastOnce;
        if perhaps {
            self.perhaps_sent -= 1;
        }
        if sent_before || perhaps {
            self.status.possible_duplicates += 1;
        }
    }
}

/// A reading is rendered anew whenever it is asked for; at QoS 2 a repetition must not differ.
fn frozen_payload(parcel: &Parcel) -> Option<bytes::Bytes> {
    match parcel {
        Parcel::Delivery { loaded, payload, .. }
            if matches!(loaded.message.body, MessageBody::Reading(_)) =>
        {
            Some(payload.clone())
        }
        _ => None,
    }
}
