//! How a parcel looks as a PUBLISH: its properties, its remaining life, its size on the wire.

use super::identity::{self, MessageId};
use super::options::Options;
use super::window::Parcel;
use crate::durable::MessageBody;
use crate::mqtt::{PacketIdentifier, Publish, PublishProperties, PublishQoS, QoS};
use crate::time::Moment;

/// A QoS with the identifier it needs.
pub(super) const fn with_identifier(qos: QoS, identifier: PacketIdentifier) -> PublishQoS {
    match qos {
        QoS::AtMostOnce => PublishQoS::AtMostOnce,
        QoS::AtLeastOnce => PublishQoS::AtLeastOnce(identifier),
        QoS::ExactlyOnce => PublishQoS::ExactlyOnce(identifier),
    }
}

/// Whether a message has outlived its expiry interval `[MQTT-3.3.2-5]`.
pub(super) fn has_expired(body: &MessageBody, accepted_at: &Moment, now: &Moment) -> bool {
    expiry_seconds(body)
        .zip(now.since(accepted_at))
        .is_some_and(|(seconds, waited)| waited.as_secs() >= u64::from(seconds))
}

fn expiry_seconds(body: &MessageBody) -> Option<u32> {
    match body {
        MessageBody::Publish { properties, .. } => properties.as_ref()?.message_expiry_interval_seconds,
        MessageBody::Reading(_) => None,
    }
}

/// The PUBLISH of a parcel; `None` for one of which only the release is owed.
pub(super) fn publish(
    parcel: &Parcel,
    options: &Options,
    qos: PublishQoS,
    dup: bool,
    retain_available: bool,
    now: &Moment,
) -> Option<Publish> {
    let (topic, payload, retain, properties) = match parcel {
        Parcel::Delivery { loaded, topic, payload, retain, .. } => {
            let message = &loaded.message;
            let properties = match &message.body {
                _ if !options.version.is_v5() => None,
                MessageBody::Publish { properties, .. } => {
                    aged(properties.as_deref(), &message.accepted_at, now)
                }
                MessageBody::Reading(_) => None,
            };
            let properties = if options.message_id == MessageId::Off || !options.version.is_v5() {
                properties
            } else {
                identity::with_name(properties, || identity::name_of(&options.gateway, loaded))
            };
            (topic, payload, *retain, properties)
        }
        Parcel::Presence { topic, payload } => (topic, payload, true, None),
        Parcel::Released { .. } => return None,
    };
    Some(Publish {
        dup,
        qos,
        retain: retain && retain_available,
        topic: Some(topic.clone()),
        topic_alias: None,
        payload: payload.clone(),
        properties,
    })
}

/// Bytes that the PUBLISH of this takes at most, beside those of its properties: without building it.
const FRAME_BYTES: usize = 512;

/// Whether it is so small that it need not be measured.
pub(super) fn is_small(parcel: &Parcel, options: &Options, max_packet_bytes: usize) -> bool {
    let (topic, payload) = match parcel {
        Parcel::Delivery { loaded, topic, payload, .. } => match &loaded.message.body {
            MessageBody::Publish { properties: Some(_), .. } => return false,
            _ => (topic, payload),
        },
        Parcel::Presence { topic, payload } => (topic, payload),
        Parcel::Released { .. } => return true,
    };
    let own = FRAME_BYTES + options.gateway.len();
    topic.as_str().len() + payload.len() + own <= max_packet_bytes
}

/// The properties to send: what a publisher gave, with its expiry less the time spent here `[MQTT-3.3.2-6]`.
fn aged(
    properties: Option<&PublishProperties>,
    accepted_at: &Moment,
    now: &Moment,
) -> Option<Box<PublishProperties>> {
    let mut properties = Box::new(properties?.clone());
    if let Some(seconds) = &mut properties.message_expiry_interval_seconds {
        let waited = now.since(accepted_at).map_or(0, |waited| waited.as_secs());
        let left = u64::from(*seconds).saturating_sub(waited).max(1);
        *seconds = u32::try_from(left).unwrap_or(u32::MAX);
    }
    Some(properties)
}
