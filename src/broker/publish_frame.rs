//! PUBLISH packets encoded once for many receivers.
//!
//! The driver patches the packet identifier and DUP while it writes; everything else is the same for all who get
//! the message in the same version, with the same QoS, retain flag and subscription identifiers. Never decides
//! who gets what.

use std::num::NonZeroU32;

use bytes::{BufMut, Bytes, BytesMut};
use smallvec::SmallVec;

use crate::durable::{Boots, Message, MessageBody};
use crate::mqtt::{ProtocolVersion, PublishProperties, QoS};

use super::Renderer;

/// Identifiers of the subscriptions that a message matched.
pub(super) type Identifiers = SmallVec<[NonZeroU32; 1]>;

/// A PUBLISH encoded once, to be sent to many: only flags and packet identifier differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishFrame {
    /// The whole packet, with DUP 0 and, at QoS 1 and 2, a packet identifier of 0.
    pub bytes: Bytes,
    /// Where in `bytes` the two bytes of the packet identifier stand; `None` at QoS 0.
    pub packet_identifier_at: Option<usize>,
    /// Where the four bytes of the message expiry interval stand, if there is one (5.0).
    pub message_expiry_at: Option<usize>,
}

/// What a PUBLISH says, apart from what is patched into it.
#[derive(Debug, Clone, Copy)]
pub struct PublishParts<'a> {
    /// The standard of the receiver.
    pub version: ProtocolVersion,
    /// Where it was published.
    pub topic: &'a str,
    /// The application's bytes.
    pub payload: &'a [u8],
    /// Properties of 5.0; not written to the others. Their message expiry is not used.
    pub properties: Option<&'a PublishProperties>,
    /// Seconds that the message still has (5.0).
    pub message_expiry_seconds: Option<u32>,
    /// As it is sent.
    pub qos: QoS,
    /// As it is sent.
    pub retain: bool,
    /// Of the subscriptions that matched (5.0).
    pub subscription_identifiers: &'a [NonZeroU32],
}

impl PublishFrame {
    /// Encodes a PUBLISH (section 3.3).
    ///
    /// # Panics
    /// When the packet is larger than the standard can express: what is passed on was accepted with a bound.
    #[must_use]
    pub fn encode(parts: &PublishParts<'_>) -> PublishFrame {
        let is_v5 = parts.version == ProtocolVersion::V5;
        let properties_length = if is_v5 { properties_length(parts) } else { 0 };
        let identifier_length = if parts.qos == QoS::AtMostOnce { 0 } else { 2 };
        let before_payload = 2
            + parts.topic.len()
            + identifier_length
            + if is_v5 { variable_length(properties_length) + properties_length } else { 0 };
        let remaining = before_payload + parts.payload.len();

        let mut bytes = BytesMut::with_capacity(1 + variable_length(remaining) + remaining);
        bytes.put_u8(0x30 | parts.qos.as_u8() << 1 | u8::from(parts.retain));
        put_variable(&mut bytes, remaining);
        put_text(&mut bytes, parts.topic);
        let packet_identifier_at = (parts.qos != QoS::AtMostOnce).then_some(bytes.len());
        if packet_identifier_at.is_some() {
            bytes.put_u16(0);
        }
        let mut message_expiry_at = None;
        if is_v5 {
            put_variable(&mut bytes, properties_length);
            message_expiry_at = put_properties(&mut bytes, parts);
        }
        bytes.put_slice(parts.payload);
        PublishFrame { bytes: bytes.freeze(), packet_identifier_at, message_expiry_at }
    }

    /// The same frame with another message expiry interval; the same when it has none.
    #[must_use]
    pub fn with_message_expiry(&self, seconds: u32) -> PublishFrame {
        let Some(at) = self.message_expiry_at else {
            return self.clone();
        };
        let mut bytes = BytesMut::from(&*self.bytes);
        if let Some(place) = bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&seconds.to_be_bytes());
        }
        PublishFrame { bytes: bytes.freeze(), ..self.clone() }
    }
}

const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
const CONTENT_TYPE: u8 = 0x03;
const RESPONSE_TOPIC: u8 = 0x08;
const CORRELATION_DATA: u8 = 0x09;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
const USER_PROPERTY: u8 = 0x26;

fn properties_length(parts: &PublishParts<'_>) -> usize {
    let mut length = if parts.message_expiry_seconds.is_some() { 5 } else { 0 };
    for identifier in parts.subscription_identifiers {
        length += 1 + variable_length(usize::try_from(identifier.get()).unwrap_or(usize::MAX));
    }
    let Some(properties) = parts.properties else {
        return length;
    };
    length += if properties.payload_format_indicator.is_some() { 2 } else { 0 };
    length += properties.content_type.as_ref().map_or(0, |text| 3 + text.len());
    length += properties.response_topic.as_ref().map_or(0, |topic| 3 + topic.as_str().len());
    length += properties.correlation_data.as_ref().map_or(0, |data| 3 + data.len());
    length +=
        properties.user_properties.iter().map(|(key, value)| 5 + key.len() + value.len()).sum::<usize>();
    length
}

/// Writes the properties; says where the message expiry interval stands.
fn put_properties(bytes: &mut BytesMut, parts: &PublishParts<'_>) -> Option<usize> {
    let mut message_expiry_at = None;
    if let Some(seconds) = parts.message_expiry_seconds {
        bytes.put_u8(MESSAGE_EXPIRY_INTERVAL);
        message_expiry_at = Some(bytes.len());
        bytes.put_u32(seconds);
    }
    for identifier in parts.subscription_identifiers {
        bytes.put_u8(SUBSCRIPTION_IDENTIFIER);
        put_variable(bytes, usize::try_from(identifier.get()).unwrap_or(usize::MAX));
    }
    let Some(properties) = parts.properties else {
        return message_expiry_at;
    };
    if let Some(is_text) = properties.payload_format_indicator {
        bytes.put_u8(PAYLOAD_FORMAT_INDICATOR);
        bytes.put_u8(u8::from(is_text));
    }
    if let Some(content_type) = &properties.content_type {
        bytes.put_u8(CONTENT_TYPE);
        put_text(bytes, content_type);
    }
    if let Some(topic) = &properties.response_topic {
        bytes.put_u8(RESPONSE_TOPIC);
        put_text(bytes, topic.as_str());
    }
    if let Some(data) = &properties.correlation_data {
        bytes.put_u8(CORRELATION_DATA);
        put_data(bytes, data);
    }
    for (key, value) in &properties.user_properties {
        bytes.put_u8(USER_PROPERTY);
        put_text(bytes, key);
        put_text(bytes, value);
    }
    message_expiry_at
}

fn put_text(bytes: &mut BytesMut, text: &str) {
    put_data(bytes, text.as_bytes());
}

fn put_data(bytes: &mut BytesMut, data: &[u8]) {
    let Ok(length) = u16::try_from(data.len()) else {
        unreachable!("strings were read with a length of two bytes");
    };
    bytes.put_u16(length);
    bytes.put_slice(data);
}

/// How many bytes a variable byte integer takes (section 2.2.3 of 3.1.1, 1.5.5 of 5.0).
const fn variable_length(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

fn put_variable(bytes: &mut BytesMut, value: usize) {
    assert!(value <= crate::limits::PACKET_BYTES_MAX, "a packet has at most 268,435,455 bytes");
    let mut rest = value;
    loop {
        let Ok(low) = u8::try_from(rest & 0x7F) else { unreachable!("seven bits fit a byte") };
        rest >>= 7;
        if rest == 0 {
            bytes.put_u8(low);
            return;
        }
        bytes.put_u8(low | 0x80);
    }
}

/// Which of the encodings of one message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variant<'a> {
    pub(super) version: ProtocolVersion,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) subscription_identifiers: &'a [NonZeroU32],
}

/// The encodings made so far of the message that is being handed out.
#[derive(Debug, Default)]
pub(super) struct Frames {
    made: Vec<Made>,
    rendered: Option<Bytes>,
    message_expiry_seconds: Option<u32>,
}

#[derive(Debug)]
struct Made {
    is_v5: bool,
    qos: QoS,
    retain: bool,
    subscription_identifiers: Identifiers,
    frame: PublishFrame,
}

impl Frames {
    /// Begins with another message, which has so many seconds left.
    pub(super) fn begin(&mut self, message_expiry_seconds: Option<u32>) {
        self.made.clear();
        self.rendered = None;
        self.message_expiry_seconds = message_expiry_seconds;
    }

    /// The frame of this variant of `message`, which is the one begun with.
    pub(super) fn frame(
        &mut self,
        renderer: &Renderer,
        boots: &Boots,
        message: &Message,
        variant: Variant<'_>,
    ) -> PublishFrame {
        let is_v5 = variant.version == ProtocolVersion::V5;
        let identifiers = if is_v5 { variant.subscription_identifiers } else { &[] };
        let same = |made: &&Made| {
            made.is_v5 == is_v5
                && made.qos == variant.qos
                && made.retain == variant.retain
                && *made.subscription_identifiers == *identifiers
        };
        if let Some(made) = self.made.iter().find(same) {
            return made.frame.clone();
        }
        let (payload, properties) = match &message.body {
            MessageBody::Publish { payload, properties } => (payload, properties.as_deref()),
            MessageBody::Reading(reading) => {
                (&*self.rendered.get_or_insert_with(|| renderer.render(reading, boots)), None)
            }
        };
        let frame = PublishFrame::encode(&PublishParts {
            version: variant.version,
            topic: message.topic.as_str(),
            payload,
            properties,
            message_expiry_seconds: self.message_expiry_seconds,
            qos: variant.qos,
            retain: variant.retain,
            subscription_identifiers: identifiers,
        });
        self.made.push(Made {
            is_v5,
            qos: variant.qos,
            retain: variant.retain,
            subscription_identifiers: identifiers.into(),
            frame: frame.clone(),
        });
        frame
    }
}
