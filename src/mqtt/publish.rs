//! PUBLISH (section 3.3), read, written, and encoded once for many receivers.
//!
//! Never resolves a topic alias and never looks into the payload.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use super::fixed_header::Sender;
use super::property::{Property, PropertySink, add_user_property, identifier as id, once, read_properties};
use super::reader::Reader;
use super::writer::{Measure, Section, Sink, varint_length};
use super::{
    DecodeError, EncodeError, PacketIdentifier, PacketType, ProtocolVersion, QoS, TopicName, UserProperties,
};

/// PUBLISH (section 3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Whether it may have been sent before.
    pub dup: bool,
    /// Its quality of service, with the identifier that QoS 1 and 2 carry.
    pub qos: PublishQoS,
    /// Whether it is to be retained, or came from the retained store.
    pub retain: bool,
    /// The topic. `None` only in 5.0 and only with a topic alias.
    pub topic: Option<TopicName>,
    /// Alias of the topic on this connection (5.0).
    pub topic_alias: Option<NonZeroU16>,
    /// The application's bytes.
    pub payload: Bytes,
    /// Properties of 5.0; `None` when there is none of them.
    pub properties: Option<Box<PublishProperties>>,
}

/// A quality of service together with the packet identifier that it needs `[MQTT-2.2.1-2]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishQoS {
    /// QoS 0.
    AtMostOnce,
    /// QoS 1.
    AtLeastOnce(PacketIdentifier),
    /// QoS 2.
    ExactlyOnce(PacketIdentifier),
}

impl PublishQoS {
    /// The quality of service alone.
    #[must_use]
    pub const fn qos(self) -> QoS {
        match self {
            PublishQoS::AtMostOnce => QoS::AtMostOnce,
            PublishQoS::AtLeastOnce(_) => QoS::AtLeastOnce,
            PublishQoS::ExactlyOnce(_) => QoS::ExactlyOnce,
        }
    }

    /// The identifier of QoS 1 and 2.
    #[must_use]
    pub const fn packet_identifier(self) -> Option<PacketIdentifier> {
        match self {
            PublishQoS::AtMostOnce => None,
            PublishQoS::AtLeastOnce(identifier) | PublishQoS::ExactlyOnce(identifier) => Some(identifier),
        }
    }
}

/// Properties of a message, as a publisher gives them (section 3.3.2.3 of 5.0, without the topic alias).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub struct PublishProperties {
    pub payload_format_indicator: Option<bool>,
    pub message_expiry_interval_seconds: Option<u32>,
    pub response_topic: Option<TopicName>,
    pub correlation_data: Option<Bytes>,
    pub user_properties: UserProperties,
    /// Server to client only: 1 to 268,435,455 each.
    pub subscription_identifiers: Vec<NonZeroU32>,
    pub content_type: Option<ByteString>,
}

/// The flags of the first byte (section 3.3.1).
mod flag {
    pub(super) const RETAIN: u8 = 0b0001;
    pub(super) const QOS_SHIFT: u32 = 1;
    pub(super) const DUP: u8 = 0b1000;
}

impl Publish {
    #[inline]
    pub(super) fn read(
        mut reader: Reader,
        flags: u8,
        version: ProtocolVersion,
        sender: Sender,
    ) -> Result<Publish, DecodeError> {
        let number = flags >> flag::QOS_SHIFT & 0b11;
        let qos = QoS::from_u8(number).ok_or_else(|| DecodeError::malformed("QoS 3 [MQTT-3.3.1-4]"))?;
        let mut dup = flags & flag::DUP != 0;
        if dup && qos == QoS::AtMostOnce {
            if version != ProtocolVersion::V3_1 {
                return Err(DecodeError::malformed("DUP at QoS 0 [MQTT-3.3.1-2]"));
            }
            dup = false;
        }
        // [MQTT-3.3.2-1]
        let topic = read_topic(&mut reader, version)?;
        // [MQTT-2.2.1-2], in 3.1.1 [MQTT-2.3.1-5]
        let qos = match qos {
            QoS::AtMostOnce => PublishQoS::AtMostOnce,
            QoS::AtLeastOnce => PublishQoS::AtLeastOnce(reader.packet_identifier()?),
            QoS::ExactlyOnce => PublishQoS::ExactlyOnce(reader.packet_identifier()?),
        };
        let (topic_alias, properties) =
            if version.is_v5() { read_publish_properties(&mut reader, sender)? } else { (None, None) };
        if topic.is_none() && topic_alias.is_none() {
            return Err(DecodeError::protocol("neither a topic nor a topic alias"));
        }
        let retain = flags & flag::RETAIN != 0;
        Ok(Publish { dup, qos, retain, topic, topic_alias, payload: reader.into_rest(), properties })
    }

    /// The flags of its first byte.
    pub(super) fn flags(&self) -> u8 {
        // [MQTT-3.3.1-2]
        let dup = self.dup && self.qos != PublishQoS::AtMostOnce;
        self.outgoing().flags() | if dup { flag::DUP } else { 0 }
    }

    pub(super) fn write(&self, version: ProtocolVersion, sink: &mut impl Sink) {
        self.outgoing().write(version, self.qos.packet_identifier().map_or(0, PacketIdentifier::get), sink);
    }

    /// Whether the version can say it.
    pub(super) fn check_expressible(&self, version: ProtocolVersion) -> Result<(), EncodeError> {
        self.outgoing().check_expressible(version)
    }

    fn outgoing(&self) -> OutgoingPublish<'_> {
        let properties = self.properties.as_deref();
        OutgoingPublish {
            qos: self.qos.qos(),
            retain: self.retain,
            topic: self.topic.as_ref(),
            topic_alias: self.topic_alias,
            payload: &self.payload,
            properties,
            message_expiry_interval_seconds: properties.and_then(|all| all.message_expiry_interval_seconds),
            subscription_identifiers: properties.map_or(&[], |all| &all.subscription_identifiers),
        }
    }
}

/// The topic; `None` when it is empty, which 5.0 allows together with an alias.
#[inline]
fn read_topic(reader: &mut Reader, version: ProtocolVersion) -> Result<Option<TopicName>, DecodeError> {
    let text = reader.utf8()?;
    if text.is_empty() && version.is_v5() {
        return Ok(None);
    }
    Ok(Some(TopicName::parse(text)?))
}

/// Topic alias and the other properties, if there are any.
type ReadProperties = (Option<NonZeroU16>, Option<Box<PublishProperties>>);

fn read_publish_properties(reader: &mut Reader, sender: Sender) -> Result<ReadProperties, DecodeError> {
    let mut alias = None;
    let mut all: Option<Box<PublishProperties>> = None;
    read_properties(reader, |property| match property {
        Property::TopicAlias(value) => once(&mut alias, value),
        Property::SubscriptionIdentifier(_) if sender == Sender::Client => {
            Err(DecodeError::protocol("a client sends a Subscription Identifier [MQTT-3.3.4-6]"))
        }
        other => all.get_or_insert_default().add(other),
    })?;
    Ok((alias, all))
}

impl PublishProperties {
    /// A copy in memory of its own, see [`TopicName::detached`].
    #[must_use]
    pub fn detached(&self) -> PublishProperties {
        let text = |text: &ByteString| ByteString::from(&**text);
        PublishProperties {
            payload_format_indicator: self.payload_format_indicator,
            message_expiry_interval_seconds: self.message_expiry_interval_seconds,
            response_topic: self.response_topic.as_ref().map(TopicName::detached),
            correlation_data: self.correlation_data.as_deref().map(Bytes::copy_from_slice),
            user_properties: self
                .user_properties
                .iter()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            subscription_identifiers: self.subscription_identifiers.clone(),
            content_type: self.content_type.as_ref().map(text),
        }
    }

    /// Takes over a property of a message.
    #[inline]
    pub(super) fn add(&mut self, property: Property) -> Result<(), DecodeError> {
        match property {
            Property::PayloadFormatIndicator(value) => once(&mut self.payload_format_indicator, value),
            Property::MessageExpiryInterval(value) => once(&mut self.message_expiry_interval_seconds, value),
            // [MQTT-3.3.2-13] [MQTT-3.3.2-14]
            Property::ResponseTopic(value) => once(&mut self.response_topic, value),
            Property::CorrelationData(value) => once(&mut self.correlation_data, value),
            Property::User(name, value) => add_user_property(&mut self.user_properties, name, value),
            Property::SubscriptionIdentifier(value) => {
                self.subscription_identifiers.push(value);
                Ok(())
            }
            // [MQTT-3.3.2-19]
            Property::ContentType(value) => once(&mut self.content_type, value),
            other => Err(other.misplaced()),
        }
    }

    /// Writes all but the subscription identifiers, with another expiry: it shrinks while a message waits.
    pub(super) fn write_published(&self, message_expiry_interval_seconds: Option<u32>, sink: &mut impl Sink) {
        sink.flag_property(id::PAYLOAD_FORMAT_INDICATOR, self.payload_format_indicator);
        sink.u32_property(id::MESSAGE_EXPIRY_INTERVAL, message_expiry_interval_seconds);
        let response_topic = self.response_topic.as_ref();
        sink.text_property(id::RESPONSE_TOPIC, response_topic.map(TopicName::as_byte_string));
        sink.binary_property(id::CORRELATION_DATA, self.correlation_data.as_deref());
        sink.user_properties(&self.user_properties);
        sink.text_property(id::CONTENT_TYPE, self.content_type.as_ref());
    }
}

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

    fn check_expressible(&self, version: ProtocolVersion) -> Result<(), EncodeError> {
        if self.topic.is_none() && (!version.is_v5() || self.topic_alias.is_none()) {
            return Err(EncodeError::NotInThisVersion("a PUBLISH without a topic"));
        }
        Ok(())
    }

    fn flags(&self) -> u8 {
        self.qos.as_u8() << flag::QOS_SHIFT | if self.retain { flag::RETAIN } else { 0 }
    }

    fn topic_bytes(&self) -> &[u8] {
        self.topic.map_or(&[], |topic| topic.as_str().as_bytes())
    }

    fn write(&self, version: ProtocolVersion, packet_identifier: u16, sink: &mut impl Sink) {
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
        for identifier in self.subscription_identifiers {
            sink.subscription_identifier(*identifier);
        }
    }
}
