//! The properties of MQTT 5.0 (section 2.2.2): one at a time, typed and in range.
//!
//! Knows every property by itself; which packet may carry which is said where the packet is.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use super::reader::Reader;
use super::writer::Sink;
use super::{DecodeError, QoS, ReasonCode, TopicName, UserProperties};
use crate::limits;

/// The identifiers of table 2-4.
pub(super) mod identifier {
    #![allow(missing_docs, reason = "the names are the standard's own")]
    pub(crate) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
    pub(crate) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
    pub(crate) const CONTENT_TYPE: u8 = 0x03;
    pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
    pub(crate) const CORRELATION_DATA: u8 = 0x09;
    pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
    pub(crate) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
    pub(crate) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
    pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
    pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
    pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
    pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
    pub(crate) const WILL_DELAY_INTERVAL: u8 = 0x18;
    pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
    pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
    pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
    pub(crate) const REASON_STRING: u8 = 0x1F;
    pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
    pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
    pub(crate) const TOPIC_ALIAS: u8 = 0x23;
    pub(crate) const MAXIMUM_QOS: u8 = 0x24;
    pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
    pub(crate) const USER_PROPERTY: u8 = 0x26;
    pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
    pub(crate) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
    pub(crate) const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
    pub(crate) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;
}
use identifier as id;

/// One property as it was read.
#[derive(Debug)]
pub(super) enum Property {
    PayloadFormatIndicator(bool),
    MessageExpiryInterval(u32),
    ContentType(ByteString),
    ResponseTopic(TopicName),
    CorrelationData(Bytes),
    SubscriptionIdentifier(NonZeroU32),
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(ByteString),
    ServerKeepAlive(u16),
    AuthenticationMethod(ByteString),
    AuthenticationData(Bytes),
    RequestProblemInformation(bool),
    WillDelayInterval(u32),
    RequestResponseInformation(bool),
    ResponseInformation(ByteString),
    ServerReference(ByteString),
    ReasonString(ByteString),
    ReceiveMaximum(NonZeroU16),
    TopicAliasMaximum(u16),
    TopicAlias(NonZeroU16),
    MaximumQoS(QoS),
    RetainAvailable(bool),
    User(ByteString, ByteString),
    MaximumPacketSize(NonZeroU32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdentifiersAvailable(bool),
    SharedSubscriptionAvailable(bool),
}

impl Property {
    // Not as a value of its own but within the match of the packet that reads it: a third faster.
    #[inline(always)]
    fn read(reader: &mut Reader) -> Result<Property, DecodeError> {
        // The identifier is a Variable Byte Integer, but none that exists needs a second byte.
        Ok(match reader.u8()? {
            id::PAYLOAD_FORMAT_INDICATOR => Property::PayloadFormatIndicator(flag(reader)?),
            id::MESSAGE_EXPIRY_INTERVAL => Property::MessageExpiryInterval(reader.u32()?),
            id::CONTENT_TYPE => Property::ContentType(reader.text()?),
            id::RESPONSE_TOPIC => Property::ResponseTopic(reader.topic_name()?),
            id::CORRELATION_DATA => Property::CorrelationData(reader.binary()?),
            id::SUBSCRIPTION_IDENTIFIER => Property::SubscriptionIdentifier(subscription_identifier(reader)?),
            id::SESSION_EXPIRY_INTERVAL => Property::SessionExpiryInterval(reader.u32()?),
            id::ASSIGNED_CLIENT_IDENTIFIER => Property::AssignedClientIdentifier(reader.text()?),
            id::SERVER_KEEP_ALIVE => Property::ServerKeepAlive(reader.u16()?),
            id::AUTHENTICATION_METHOD => Property::AuthenticationMethod(reader.text()?),
            id::AUTHENTICATION_DATA => Property::AuthenticationData(reader.binary()?),
            id::REQUEST_PROBLEM_INFORMATION => Property::RequestProblemInformation(flag(reader)?),
            id::WILL_DELAY_INTERVAL => Property::WillDelayInterval(reader.u32()?),
            id::REQUEST_RESPONSE_INFORMATION => Property::RequestResponseInformation(flag(reader)?),
            id::RESPONSE_INFORMATION => Property::ResponseInformation(reader.text()?),
            id::SERVER_REFERENCE => Property::ServerReference(reader.text()?),
            id::REASON_STRING => Property::ReasonString(reader.text()?),
            id::RECEIVE_MAXIMUM => Property::ReceiveMaximum(receive_maximum(reader)?),
            id::TOPIC_ALIAS_MAXIMUM => Property::TopicAliasMaximum(reader.u16()?),
            id::TOPIC_ALIAS => Property::TopicAlias(topic_alias(reader)?),
            id::MAXIMUM_QOS => Property::MaximumQoS(maximum_qos(reader)?),
            id::RETAIN_AVAILABLE => Property::RetainAvailable(flag(reader)?),
            // [MQTT-1.5.7-1]
            id::USER_PROPERTY => Property::User(reader.text()?, reader.text()?),
            id::MAXIMUM_PACKET_SIZE => Property::MaximumPacketSize(maximum_packet_size(reader)?),
            id::WILDCARD_SUBSCRIPTION_AVAILABLE => Property::WildcardSubscriptionAvailable(flag(reader)?),
            id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE => {
                Property::SubscriptionIdentifiersAvailable(flag(reader)?)
            }
            id::SHARED_SUBSCRIPTION_AVAILABLE => Property::SharedSubscriptionAvailable(flag(reader)?),
            unknown => return Err(DecodeError::malformed(format!("unknown property 0x{unknown:02X}"))),
        })
    }

    /// The error of a property that does not belong in this packet (section 2.2.2.2).
    pub(super) fn misplaced(&self) -> DecodeError {
        let text = format!("{self:?}");
        let name = text.split('(').next().unwrap_or_default();
        DecodeError::malformed(format!("the property {name} does not belong here"))
    }
}

/// Reads the properties of a packet and gives each to `visit`.
pub(super) fn read_properties(
    reader: &mut Reader,
    mut visit: impl FnMut(Property) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let length = reader.varint()?;
    let behind = reader.len().checked_sub(usize::try_from(length).unwrap_or(usize::MAX));
    let behind = behind.ok_or_else(|| DecodeError::malformed("the properties reach behind the end"))?;
    while reader.len() > behind {
        visit(Property::read(reader)?)?;
    }
    if reader.len() < behind {
        return Err(DecodeError::malformed("a property reaches behind the end of the properties"));
    }
    Ok(())
}

/// Fills the place of a property that may stand only once.
pub(super) fn once<T>(place: &mut Option<T>, value: T) -> Result<(), DecodeError> {
    if place.is_some() {
        return Err(DecodeError::protocol("a property stands twice that may stand once"));
    }
    *place = Some(value);
    Ok(())
}

/// Adds a user property, of which there may be several, but not thousands.
pub(super) fn add_user_property(
    properties: &mut UserProperties,
    name: ByteString,
    value: ByteString,
) -> Result<(), DecodeError> {
    if properties.len() >= limits::USER_PROPERTIES {
        return Err(DecodeError::new(ReasonCode::QuotaExceeded, "too many user properties"));
    }
    properties.push((name, value));
    Ok(())
}

fn flag(reader: &mut Reader) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::protocol("a property that is 0 or 1 has another value")),
    }
}

fn maximum_qos(reader: &mut Reader) -> Result<QoS, DecodeError> {
    Ok(if flag(reader)? { QoS::AtLeastOnce } else { QoS::AtMostOnce })
}

fn subscription_identifier(reader: &mut Reader) -> Result<NonZeroU32, DecodeError> {
    NonZeroU32::new(reader.varint()?).ok_or_else(|| DecodeError::protocol("Subscription Identifier 0"))
}

fn receive_maximum(reader: &mut Reader) -> Result<NonZeroU16, DecodeError> {
    NonZeroU16::new(reader.u16()?).ok_or_else(|| DecodeError::protocol("Receive Maximum 0"))
}

fn maximum_packet_size(reader: &mut Reader) -> Result<NonZeroU32, DecodeError> {
    NonZeroU32::new(reader.u32()?).ok_or_else(|| DecodeError::protocol("Maximum Packet Size 0"))
}

fn topic_alias(reader: &mut Reader) -> Result<NonZeroU16, DecodeError> {
    NonZeroU16::new(reader.u16()?)
        .ok_or_else(|| DecodeError::new(ReasonCode::TopicAliasInvalid, "Topic Alias 0 [MQTT-3.3.2-8]"))
}

/// Writes properties that are present, each by its type.
pub(super) trait PropertySink: Sink {
    fn flag_property(&mut self, identifier: u8, value: Option<bool>) {
        if let Some(value) = value {
            self.bytes(&[identifier, u8::from(value)]);
        }
    }

    fn u16_property(&mut self, identifier: u8, value: Option<u16>) {
        if let Some(value) = value {
            self.u8(identifier);
            self.u16(value);
        }
    }

    fn u32_property(&mut self, identifier: u8, value: Option<u32>) {
        if let Some(value) = value {
            self.u8(identifier);
            self.u32(value);
        }
    }

    fn text_property(&mut self, identifier: u8, value: Option<&ByteString>) {
        self.binary_property(identifier, value.map(|text| text.as_bytes().as_ref()));
    }

    fn binary_property(&mut self, identifier: u8, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.u8(identifier);
            self.binary(value);
        }
    }

    fn subscription_identifier(&mut self, value: NonZeroU32) {
        self.u8(id::SUBSCRIPTION_IDENTIFIER);
        self.varint(usize::try_from(value.get()).unwrap_or(usize::MAX));
    }

    fn user_properties(&mut self, properties: &UserProperties) {
        for (name, value) in properties {
            self.user_property(name, value);
        }
    }

    fn user_property(&mut self, name: &str, value: &str) {
        self.u8(id::USER_PROPERTY);
        self.binary(name.as_bytes());
        self.binary(value.as_bytes());
    }
}

impl<S: Sink> PropertySink for S {}
