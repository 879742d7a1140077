//! Whether a message can be sent at all, and what it says when it is.

use bytes::Bytes;

use super::dead_letter::Unsendable;
use super::forwarder::Forwarder;
use super::identity::{self, MessageId};
use super::link::Server;
use super::mapping;
use super::publication::{has_expired, is_small, is_too_large, publish};
use super::window::Parcel;
use crate::durable::{DropReason, LoadedDelivery, MessageBody};
use crate::limits::UPLINK_LIVE_FOR;
use crate::mqtt::QoS;
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
        let renamed = line.map_or(Ok(None), |line| line.renames(&message.topic));
        let allowed = renamed.map_err(|error| error.to_string()).and_then(|renamed| {
            self.options.takes.topic(renamed.as_ref().unwrap_or(&message.topic)).map(|()| renamed)
        });
        let renamed = match allowed {
            Ok(renamed) => renamed,
            Err(detail) => return refusal(loaded, more, DropReason::TopicNotAllowed, detail),
        };
        let retain = line.map_or(loaded.delivery.retain, |line| line.retains(loaded.delivery.retain));
        let said =
            if more.is_empty() { self.said_of(&loaded) } else { Some(self.said_of_all(&loaded, &more)) };
        let parcel = Parcel::Delivery { loaded, more, qos, renamed, said, retain };
        let fits = self.fits(&parcel, qos, server, now);
        match parcel {
            Parcel::Delivery { loaded, more, .. } if !fits => {
                let why = too_large(server);
                refusal(loaded, more, why.reason, why.detail)
            }
            parcel => Ok(parcel),
        }
    }

    /// Whether the server takes a PUBLISH as large as this.
    pub(super) fn fits(&self, parcel: &Parcel, qos: QoS, server: Server, now: &Moment) -> bool {
        let most = self.options.takes.payload_bytes.unwrap_or(usize::MAX);
        if parcel.words().is_some_and(|(_, payload)| payload.len() > most) {
            return false;
        }
        if is_small(parcel, &self.options, server.max_packet_bytes) {
            return true;
        }
        let mut name = String::new();
        let publish = publish(parcel, &self.options, qos, server.retain_available, now, &mut name);
        publish.is_none_or(|publish| !is_too_large(&publish, &self.options, server.max_packet_bytes))
    }

    /// What a message says, with its name where that belongs into the payload; `None` when it is its own bytes.
    pub(super) fn said_of(&self, loaded: &LoadedDelivery) -> Option<Bytes> {
        let is_reading = matches!(loaded.message.body, MessageBody::Reading(_));
        match self.options.message_id {
            MessageId::Field if !is_reading || self.renderer.takes_fields() => {
                let name = identity::name_of(&self.options.gateway, loaded);
                Some(identity::with_field(self.payload(&loaded.message.body), &name))
            }
            MessageId::Off | MessageId::Property | MessageId::Field => {
                is_reading.then(|| self.payload(&loaded.message.body))
            }
        }
    }

    /// What several readings say together.
    fn said_of_all(&self, first: &LoadedDelivery, more: &[LoadedDelivery]) -> Bytes {
        let all = std::iter::once(first).chain(more);
        let each =
            all.map(|loaded| self.said_of(loaded).unwrap_or_else(|| self.payload(&loaded.message.body)));
        self.renderer.join(&each.collect::<Vec<Bytes>>())
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
        Parcel::Delivery { loaded, said, .. } if matches!(loaded.message.body, MessageBody::Reading(_)) => {
            said.clone()
        }
        _ => None,
    }
}
