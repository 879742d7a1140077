//! PUBLISH (section 3.3). Never resolves a topic alias and never looks into the payload.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use super::fixed_header::Sender;
use super::property::{Property, PropertySink, add_user_property, identifier as id, once, read_properties};
use super::reader::Reader;
use super::writer::Sink;
use super::{
    DecodeError, EncodeError, OutgoingPublish, PacketIdentifier, ProtocolVersion, QoS, TopicName,
    UserProperties,
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
pub(super) mod flag {
    pub(crate) const RETAIN: u8 = 0b0001;
    pub(crate) const QOS_SHIFT: u32 = 1;
    pub(crate) const DUP: u8 = 0b1000;
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
        self.outgoing().flags_with(self.dup)
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
            added_user_property: None,
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
