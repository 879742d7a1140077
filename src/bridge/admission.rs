//! Whether a message can be sent at all, and what it says when it is.

use bytes::Bytes;

use super::dead_letter::Unsendable;
use super::forwarder::Forwarder;
use super::identity::{self, MessageId};
use super::link::Server;
use super::mapping;
use super::publication::{has_expired, is_small, with_identifier};
use super::window::Parcel;
use crate::durable::{DropReason, LoadedDelivery, MessageBody};
use crate::limits::UPLINK_LIVE_FOR;
use crate::mqtt::{PacketIdentifier, QoS};
use crate::time::Moment;

/// Messages that cannot be sent, and why.
type Refusal = (Vec<LoadedDelivery>, Unsendable);

impl Forwarder {
    /// Makes a delivery ready to be sent, with those that travel with it, or says why it never will be.
    pub(super) fn admit(
        &self,
        loaded: LoadedDelivery,
        more: Vec<LoadedDelivery>,
        qos: QoS,
        server: Server,
        now: &Moment,
    ) -> Result<Parcel, Refusal> {
        let refusal = |loaded, more: Vec<_>, reason, detail: String| {
            let all = std::iter::once(loaded).chain(more).collect();
            Err((all, Unsendable { reason, detail }))
        };
        let message = &loaded.message;
        if has_expired(&message.body, &message.accepted_at, now) {
            return refusal(loaded, more, DropReason::Expired, "it has expired".to_owned());
        }
        let waited = now.since(&message.accepted_at);
        if qos == QoS::AtMostOnce && waited.is_none_or(|waited| waited > UPLINK_LIVE_FOR) {
            return refusal(loaded, more, DropReason::LinkDown, "the link was down".to_owned());
        }
        let line = mapping::find(&self.options.forward, &message.topic);
        let renamed = match line {
            Some(line) => line.to.apply(&line.filter, &message.topic),
            None => Ok(message.topic.clone()),
        };
        let allowed = renamed
            .map_err(|error| error.to_string())
            .and_then(|topic| self.options.takes.topic(&topic).map(|()| topic));
        let topic = match allowed {
            Ok(topic) => topic,
            Err(detail) => return refusal(loaded, more, DropReason::TopicNotAllowed, detail),
        };
        let retain = line.map_or(loaded.delivery.retain, |line| line.retains(loaded.delivery.retain));
        let payload =
            if more.is_empty() { self.payload_of(&loaded) } else { self.payload_of_all(&loaded, &more) };
        let parcel = Parcel::Delivery { loaded, more, qos, topic, payload, retain };
        let fits = self.fits(&parcel, qos, server, now);
        match parcel {
            Parcel::Delivery { loaded, more, .. } if !fits => {
                let why = too_large(server);
                refusal(loaded, more, why.reason, why.detail)
            }
            parcel => Ok(parcel),
        }
    }

    fn fits(&self, parcel: &Parcel, qos: QoS, server: Server, now: &Moment) -> bool {
        if let Parcel::Delivery { payload, .. } = parcel
            && self.options.takes.payload_bytes.is_some_and(|most| payload.len() > most)
        {
            return false;
        }
        if is_small(parcel, &self.options, server.max_packet_bytes) {
            return true;
        }
        let example = with_identifier(qos, PacketIdentifier::FIRST);
        let publish = self.publish(parcel, server, example, false, now);
        publish.is_none_or(|publish| !self.is_too_large(&publish, server))
    }

    /// What a message says, with its name where that belongs into the payload.
    pub(super) fn payload_of(&self, loaded: &LoadedDelivery) -> Bytes {
        let payload = self.payload(&loaded.message.body);
        let is_reading = matches!(loaded.message.body, MessageBody::Reading(_));
        match self.options.message_id {
            MessageId::Field if !is_reading || self.renderer.takes_fields() => {
                identity::with_field(payload, &identity::name_of(&self.options.gateway, loaded))
            }
            MessageId::Off | MessageId::Property | MessageId::Field => payload,
        }
    }

    /// What several readings say together.
    fn payload_of_all(&self, first: &LoadedDelivery, more: &[LoadedDelivery]) -> Bytes {
        let all = std::iter::once(first).chain(more);
        let each: Vec<Bytes> = all.map(|loaded| self.payload_of(loaded)).collect();
        self.renderer.join(&each)
    }
}

/// Why a message that is too large cannot be sent.
pub(super) fn too_large(server: Server) -> Unsendable {
    let detail = format!("it is larger than the server takes ({} bytes)", server.max_packet_bytes);
    Unsendable { reason: DropReason::PacketTooLarge, detail }
}

/// A reading is rendered anew whenever it is asked for; at QoS 2 a repetition must not differ.
pub(super) fn frozen_payload(parcel: &Parcel) -> Option<Bytes> {
    match parcel {
        Parcel::Delivery { loaded, payload, .. }
            if matches!(loaded.message.body, MessageBody::Reading(_)) =>
        {
            Some(payload.clone())
        }
        _ => None,
    }
}
