//! How a parcel looks as a PUBLISH: its properties, its remaining life, its size on the wire.

use super::identity::{self, MessageId};
use super::options::Options;
use super::window::Parcel;
use crate::durable::MessageBody;
use crate::mqtt::{OutgoingPublish, PublishProperties, QoS};
use crate::time::Moment;

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

/// The PUBLISH of a parcel; `None` for one of which only the release is owed. Its name is put into `name`.
pub(super) fn publish<'a>(
    parcel: &'a Parcel,
    options: &Options,
    qos: QoS,
    retain_available: bool,
    now: &Moment,
    name: &'a mut String,
) -> Option<OutgoingPublish<'a>> {
    let (topic, payload) = parcel.words()?;
    let mut publish = OutgoingPublish {
        qos,
        retain: retain_available,
        topic: Some(topic),
        topic_alias: None,
        payload,
        properties: None,
        added_user_property: None,
        message_expiry_interval_seconds: None,
        subscription_identifiers: &[],
    };
    let Parcel::Delivery { loaded, retain, .. } = parcel else { return Some(publish) };
    publish.retain &= *retain;
    if options.version.is_v5() {
        if let MessageBody::Publish { properties: Some(properties), .. } = &loaded.message.body {
            publish.properties = Some(properties);
            publish.message_expiry_interval_seconds = left(properties, &loaded.message.accepted_at, now);
        }
        // One that has a name, given by another gateway, keeps it.
        if options.message_id != MessageId::Off && publish.properties.and_then(identity::named).is_none() {
            identity::write_name(&options.gateway, loaded, name);
            publish.added_user_property = Some((identity::MESSAGE_ID, name));
        }
    }
    Some(publish)
}

/// Bytes that the PUBLISH of this takes at most, beside those of its properties: without building it.
const FRAME_BYTES: usize = 512;

/// Whether it is so small that it need not be measured.
pub(super) fn is_small(parcel: &Parcel, options: &Options, max_packet_bytes: usize) -> bool {
    if let Parcel::Delivery { loaded, .. } = parcel
        && let MessageBody::Publish { properties: Some(_), .. } = &loaded.message.body
    {
        return false;
    }
    let own = FRAME_BYTES + options.gateway.len();
    parcel
        .words()
        .is_none_or(|(topic, payload)| topic.as_str().len() + payload.len() + own <= max_packet_bytes)
}

/// `[MQTT-3.2.2-15]`
pub(super) fn is_too_large(
    publish: &OutgoingPublish<'_>,
    options: &Options,
    max_packet_bytes: usize,
) -> bool {
    publish.encoded_len(options.version).map_or(true, |bytes| bytes > max_packet_bytes)
}

/// What is left of a message's expiry: less by the time spent here `[MQTT-3.3.2-6]`.
fn left(properties: &PublishProperties, accepted_at: &Moment, now: &Moment) -> Option<u32> {
    let seconds = properties.message_expiry_interval_seconds?;
    let waited = now.since(accepted_at).map_or(0, |waited| waited.as_secs());
    let left = u64::from(seconds).saturating_sub(waited).max(1);
    Some(u32::try_from(left).unwrap_or(u32::MAX))
}
