//! A PUBLISH put together from borrowed parts, and encoded once for many receivers. Knows no receiver: identifier and
//! DUP are filled in where it is sent.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{BufMut, Bytes, BytesMut};

use super::property::{PropertySink, identifier as id};
use super::publish::flag;
use super::writer::{Measure, Section, Sink, varint_length};
use super::{EncodeError, PacketIdentifier, PacketType, ProtocolVersion, PublishProperties, QoS, TopicName};

/// A message about to be sent, put together from borrowed parts.
#[derive(Debug, Clone, Copy)]
pub struct OutgoingPublish<'a> {
    /// With which quality of service.
    pub qos: QoS,
    /// The retain flag, as this receiver is to see it.
    pub retain: bool,
    /// The topic; `None` only in 5.0 and only with an alias.
    pub topic: Option<&'a TopicName>,
    /// An alias for the topic (5.0).
    pub topic_alias: Option<NonZeroU16>,
    /// The application's bytes.
    pub payload: &'a [u8],
    /// The properties that the publisher gave (5.0). Expiry and subscription identifiers in them are not used.
    pub properties: Option<&'a PublishProperties>,
    /// A user property behind those (5.0).
    pub added_user_property: Option<(&'a str, &'a str)>,
    /// What is left of the message's life (5.0).
    pub message_expiry_interval_seconds: Option<u32>,
    /// Of the subscriptions of this receiver that match (5.0).
    pub subscription_identifiers: &'a [NonZeroU32],
}

/// A PUBLISH encoded once for many receivers: DUP is 0, and so is the packet identifier until it is filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedPublish {
    /// The whole packet.
    pub bytes: Bytes,
    /// Where in `bytes` the two bytes of the packet identifier stand; `None` at QoS 0.
    pub packet_identifier_at: Option<usize>,
    /// Where in `bytes` the four bytes of the message expiry interval stand, if it has one (5.0).
    pub message_expiry_at: Option<usize>,
}

impl EncodedPublish {
    /// The bit of the first byte that says that a packet may have been sent before.
    pub const DUP: u8 = flag::DUP;

    /// The topic, read back from the packet; `None` when it is empty, because an alias stands for it.
    #[must_use]
    pub fn topic(&self) -> Option<TopicName> {
        let (_flags, rest) = self.bytes.split_first()?;
        // The remaining length ends with the first byte whose highest bit is not set (section 1.5.5).
        let length_bytes = rest.iter().position(|byte| byte & 0x80 == 0)? + 1;
        let (length, rest) = rest.get(length_bytes..)?.split_first_chunk::<2>()?;
        let text = std::str::from_utf8(rest.get(..usize::from(u16::from_be_bytes(*length)))?).ok()?;
        TopicName::parse(text.to_owned()).ok()
    }
}

impl OutgoingPublish<'_> {
    /// Encodes it for all receivers of a version.
    ///
    /// # Errors
    /// When it is too long for a packet, or has no topic and the version knows no alias.
    pub fn encode(&self, version: ProtocolVersion) -> Result<EncodedPublish, EncodeError> {
        let length = self.body_length(version)?;
        let mut bytes = BytesMut::with_capacity(1 + varint_length(length) + length);
        bytes.put_u8(PacketType::Publish.as_u8() << 4 | self.flags());
        bytes.varint(length);
        let topic_at = bytes.len();
        self.write(version, 0, &mut bytes);
        let topic_end = topic_at + 2 + self.topic_bytes().len();
        let packet_identifier_at = (self.qos != QoS::AtMostOnce).then_some(topic_end);
        let properties_at = topic_end + if packet_identifier_at.is_some() { 2 } else { 0 };
        let message_expiry_at = self
            .message_expiry_interval_seconds
            .filter(|_| version.is_v5())
            .map(|_| properties_at + self.properties_before_expiry());
        Ok(EncodedPublish { bytes: bytes.freeze(), packet_identifier_at, message_expiry_at })
    }

    /// Appends it for one receiver; gives the bytes it takes. No identifier: QoS 0.
    ///
    /// # Errors
    /// As [`OutgoingPublish::encode`]; nothing was appended then.
    pub fn append_to(
        &self,
        version: ProtocolVersion,
        packet_identifier: Option<PacketIdentifier>,
        dup: bool,
        buffer: &mut BytesMut,
    ) -> Result<usize, EncodeError> {
        let length = self.body_length(version)?;
        let all = 1 + varint_length(length) + length;
        buffer.reserve(all);
        buffer.put_u8(PacketType::Publish.as_u8() << 4 | self.flags_with(dup));
        buffer.varint(length);
        self.write(version, packet_identifier.map_or(0, PacketIdentifier::get), buffer);
        Ok(all)
    }

    /// Bytes from the length of the properties up to the value of the message expiry interval.
    fn properties_before_expiry(&self) -> usize {
        let alias = if self.topic_alias.is_some() { 3 } else { 0 };
        let format = self.properties.and_then(|all| all.payload_format_indicator).map_or(0, |_| 2);
        varint_length(self.length()) + alias + format + 1
    }

    /// Bytes that the packet takes on the wire.
    ///
    /// # Errors
    /// As [`OutgoingPublish::encode`].
    pub fn encoded_len(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        let length = self.body_length(version)?;
        Ok(1 + varint_length(length) + length)
    }

    fn body_length(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        self.check_expressible(version)?;
        let mut measure = Measure::default();
        self.write(version, 0, &mut measure);
        measure.expressible()
    }

    pub(super) fn check_expressible(&self, version: ProtocolVersion) -> Result<(), EncodeError> {
        if self.topic.is_none() && (!version.is_v5() || self.topic_alias.is_none()) {
            return Err(EncodeError::NotInThisVersion("a PUBLISH without a topic"));
        }
        Ok(())
    }

    fn flags(&self) -> u8 {
        self.qos.as_u8() << flag::QOS_SHIFT | if self.retain { flag::RETAIN } else { 0 }
    }

    /// The flags, and DUP unless it is QoS 0 `[MQTT-3.3.1-2]`.
    pub(super) fn flags_with(&self, dup: bool) -> u8 {
        let dup = dup && self.qos != QoS::AtMostOnce;
        self.flags() | if dup { flag::DUP } else { 0 }
    }

    fn topic_bytes(&self) -> &[u8] {
        self.topic.map_or(&[], |topic| topic.as_str().as_bytes())
    }

    pub(super) fn write(&self, version: ProtocolVersion, packet_identifier: u16, sink: &mut impl Sink) {
        sink.binary(self.topic_bytes());
        if self.qos != QoS::AtMostOnce {
            sink.u16(packet_identifier);
        }
        if version.is_v5() {
            sink.properties(self);
        }
        sink.bytes(self.payload);
    }
}

impl Section for OutgoingPublish<'_> {
    fn write(&self, sink: &mut impl Sink) {
        sink.u16_property(id::TOPIC_ALIAS, self.topic_alias.map(NonZeroU16::get));
        match self.properties {
            Some(all) => all.write_published(self.message_expiry_interval_seconds, sink),
            None => sink.u32_property(id::MESSAGE_EXPIRY_INTERVAL, self.message_expiry_interval_seconds),
        }
        if let Some((name, value)) = self.added_user_property {
            sink.user_property(name, value);
        }
        for identifier in self.subscription_identifiers {
            sink.subscription_identifier(*identifier);
        }
    }
}
