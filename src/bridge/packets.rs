//! What the server says: acknowledgements of ours, messages of its own.
//!
//! The server is not trusted: acknowledgements of what is not open are counted and change nothing; packets that
//! only a client sends end the connection.

use super::dead_letter::{Unsendable, is_temporary};
use super::downlink::Arrival;
use super::fault::{Fault, plain};
use super::forwarder::Forwarder;
use super::link::Link;
use super::mapping::Receive;
use super::window::Parcel;
use super::{Event, Output, identity};
use crate::durable::{DropReason, Message, MessageBody, Record, Urgency};
use crate::flow::Received;
use crate::limits::UPLINK_SUBSCRIBE_FILTERS;
use crate::mqtt::{
    Acknowledgement, Packet, PacketIdentifier, ProtocolVersion, Publish, QoS, ReasonCode, RetainHandling,
    SubAck, Subscribe, SubscriptionOptions,
};
use crate::time::Moment;

impl Forwarder {
    /// Packets came in. Those behind one that ends the connection are ignored.
    pub(super) fn heard(&mut self, now: Moment, packets: Vec<Packet>, out: &mut Vec<Output>) {
        if let Link::Up(up) = &mut self.link {
            up.heard(now.monotonic);
        }
        packets.iter().for_each(|packet| self.meter(&now, packet));
        for packet in packets {
            match (&self.link, packet) {
                (Link::Greeting { .. }, Packet::ConnAck(connack)) => self.greeted(now, &connack, out),
                (Link::Greeting { .. }, _) => {
                    let fault = Fault::Protocol("its first packet is not CONNACK");
                    self.break_off(now, fault, out);
                }
                (Link::Up(_), packet) => self.packet(now, packet, out),
                _ => return,
            }
        }
    }

    fn packet(&mut self, now: Moment, packet: Packet, out: &mut Vec<Output>) {
        match packet {
            Packet::PubAck(ack) => self.pub_ack(now, &ack, out),
            Packet::PubRec(ack) => self.pub_rec(now, &ack, out),
            Packet::PubComp(ack) => self.pub_comp(now, &ack, out),
            Packet::Publish(publish) => self.incoming(now, publish, out),
            Packet::PubRel(ack) => {
                let answer = self.downlink.released(ack.packet_identifier);
                self.send(now, answer, out);
            }
            Packet::SubAck(ack) => self.sub_ack(now, &ack, out),
            Packet::PingResp => self.poison.answered(),
            Packet::Disconnect(disconnect) => {
                self.break_off(now, Fault::Disconnected(disconnect.reason), out);
            }
            Packet::ConnAck(_) => self.break_off(now, Fault::Protocol("it sent CONNACK twice"), out),
            Packet::UnsubAck(_) | Packet::Auth(_) => {
                self.break_off(now, Fault::Protocol("it answers what was not asked"), out);
            }
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::PingReq => {
                self.break_off(now, Fault::Protocol("it sent a packet that only a client sends"), out);
            }
        }
    }

    fn pub_ack(&mut self, now: Moment, ack: &Acknowledgement, out: &mut Vec<Output>) {
        if is_temporary(ack.reason) {
            return self.postpone(now, ack.packet_identifier);
        }
        let Some(parcel) = self.window.acknowledged(ack.packet_identifier) else {
            self.status.unexpected_acknowledgements += 1;
            return;
        };
        self.waiting.answered(now.monotonic, ack.packet_identifier);
        self.settle(now, &parcel, ack.reason, out);
    }

    fn pub_rec(&mut self, now: Moment, ack: &Acknowledgement, out: &mut Vec<Output>) {
        let identifier = ack.packet_identifier;
        if is_temporary(ack.reason) {
            return self.postpone(now, identifier);
        }
        if ack.reason.is_error() {
            let Some(parcel) = self.window.refused(identifier) else {
                self.status.unexpected_acknowledgements += 1;
                return;
            };
            self.waiting.answered(now.monotonic, identifier);
            self.settle(now, &parcel, ack.reason, out);
            return;
        }
        match self.window.received(identifier) {
            Received::Release => {
                self.was_of_use();
                self.waiting.answered(now.monotonic, identifier);
                let owed = self.window.get(identifier).and_then(|(_, parcel)| parcel.owed().next());
                let consumer = owed.map_or_else(|| self.consumer(), |(consumer, _)| consumer);
                let record = Record::Released { consumer, packet_identifier: identifier };
                let ticket = self.append(Urgency::Awaited, record, out);
                self.window.hold_release(ticket, identifier);
            }
            Received::Waiting | Received::Repeat => self.status.unexpected_acknowledgements += 1,
            Received::Unknown => {
                self.status.unexpected_acknowledgements += 1;
                // The server waits for a release of something: let it go on.
                let reason = match self.options.version {
                    ProtocolVersion::V5 => ReasonCode::PacketIdentifierNotFound,
                    _ => ReasonCode::Success,
                };
                self.send(now, Packet::PubRel(Acknowledgement::new(identifier, reason)), out);
            }
        }
    }

    /// PUBCOMP ends a delivery whatever its reason: "packet identifier not found" means that it had ended before.
    fn pub_comp(&mut self, now: Moment, ack: &Acknowledgement, out: &mut Vec<Output>) {
        let Some(parcel) = self.window.completed(ack.packet_identifier) else {
            self.status.unexpected_acknowledgements += 1;
            return;
        };
        self.waiting.answered(now.monotonic, ack.packet_identifier);
        self.settle(now, &parcel, ReasonCode::Success, out);
    }

    /// A delivery ended: well, or because the server does not want it.
    fn settle(&mut self, now: Moment, parcel: &Parcel, reason: ReasonCode, out: &mut Vec<Output>) {
        if !reason.is_error() {
            self.hold.reset();
            self.was_of_use();
            for owed in parcel.owed() {
                self.status.acknowledged += 1;
                self.done(owed, out);
            }
        } else if let Parcel::Delivery { loaded, more, .. } = parcel {
            let detail = format!("the server refuses it: {}", plain(reason));
            let why = Unsendable { reason: DropReason::Refused, detail };
            for loaded in std::iter::once(loaded).chain(more) {
                self.give_up(now, loaded, &why, out);
            }
        }
    }

    fn incoming(&mut self, now: Moment, publish: Publish, out: &mut Vec<Output>) {
        let Some(topic) = publish.topic.clone() else {
            return self.break_off(now, Fault::Protocol("it uses a topic alias that it was not given"), out);
        };
        let token = match self.downlink.published(publish.qos) {
            Arrival::Ingest { token } => token,
            Arrival::Answer(packet) => return self.send(now, packet, out),
            Arrival::Pending => return,
            Arrival::TooMany => {
                return self.break_off(now, Fault::Protocol("it has more messages open than it may"), out);
            }
        };
        let line = Receive::find(&self.options.receive, &topic);
        let max_age = line.and_then(|line| line.max_age);
        // A topic that cannot be renamed keeps its name: nothing of the server is lost for a rule's sake.
        let renamed = line.and_then(|line| line.to.apply(&line.filter, &topic).ok());
        let too_old = self.stale.is_too_old(&now, &publish, max_age);
        let own = identity::is_own(&self.options.gateway, publish.properties.as_deref());
        if let Some(reason) = unwanted(own, too_old) {
            self.drop_unkept(reason, out);
            if let Some(answer) = self.downlink.accepted(token, Ok(())) {
                self.send(now, answer, out);
            }
            return;
        }
        let topic = renamed.unwrap_or(topic);
        let properties = publish.properties.map(|mut properties| {
            properties.subscription_identifiers.clear();
            properties
        });
        let qos = publish.qos.qos();
        let message = Message {
            topic,
            qos,
            retain: publish.retain,
            accepted_at: now,
            body: MessageBody::Publish { payload: publish.payload, properties },
        };
        let urgency = if qos == QoS::AtMostOnce { Urgency::Lingers } else { Urgency::Awaited };
        self.status.received += 1;
        out.push(Output::Ingest { token, message: Box::new(message), urgency });
    }

    /// Asks for what the uplink receives; again on every connection, for the server's session may be an old one.
    pub(super) fn subscribe(&mut self, now: Moment, out: &mut Vec<Output>) {
        let version_5 = self.options.version == ProtocolVersion::V5;
        let requests = self.options.receive.iter().map(|line| {
            let mut options = SubscriptionOptions::new(line.maximum_qos.min(self.options.takes.maximum_qos));
            if version_5 {
                options.no_local = line.filter.share_name().is_none();
                options.retain_as_published = true;
                options.retain_handling = RetainHandling::SendIfNew;
            }
            (line.filter.as_byte_string().clone(), options)
        });
        let requests: Vec<_> = requests.collect();
        for some in requests.chunks(UPLINK_SUBSCRIBE_FILTERS) {
            let packet_identifier = self.window.reserve();
            self.subscribing
                .insert(packet_identifier, some.iter().map(|(filter, _)| filter.clone()).collect());
            self.waiting.sent(now.monotonic, packet_identifier);
            let subscribe = Subscribe {
                packet_identifier,
                subscription_identifier: None,
                user_properties: Vec::new(),
                requests: some.to_vec(),
            };
            self.send(now, Packet::Subscribe(Box::new(subscribe)), out);
        }
    }

    fn sub_ack(&mut self, now: Moment, ack: &SubAck, out: &mut Vec<Output>) {
        let identifier: PacketIdentifier = ack.packet_identifier;
        let Some(filters) = self.subscribing.remove(&identifier) else {
            self.status.unexpected_acknowledgements += 1;
            return;
        };
        self.window.unreserve(identifier);
        self.waiting.answered(now.monotonic, identifier);
        if ack.reasons.len() != filters.len() {
            return self.break_off(now, Fault::Protocol("its SUBACK does not fit the SUBSCRIBE"), out);
        }
        for (filter, reason) in filters.into_iter().zip(&ack.reasons) {
            if reason.is_error() {
                out.push(Output::Event(Event::SubscriptionRefused { filter, reason: *reason }));
            }
        }
    }
}

/// Why a message of the server is not passed on, if it is not.
const fn unwanted(own: bool, too_old: bool) -> Option<DropReason> {
    match (own, too_old) {
        (true, _) => Some(DropReason::Looped),
        (_, true) => Some(DropReason::Stale),
        _ => None,
    }
}
