//! CONNACK (section 3.2): the server's answer to CONNECT.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use super::fixed_header::Sender;
use super::property::{Property, PropertySink, add_user_property, identifier as id, once, read_properties};
use super::reader::Reader;
use super::writer::{Section, Sink};
use super::{DecodeError, PacketType, ProtocolVersion, QoS, ReasonCode, UserProperties};

/// CONNACK (section 3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server kept state of an earlier connection.
    pub session_present: bool,
    /// The answer. Towards 3.x clients the codec writes the return code that stands for it.
    pub reason: ReasonCode,
    /// Properties of 5.0.
    pub properties: ConnAckProperties,
}

/// Properties of CONNACK (section 3.2.2.3 of 5.0).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub struct ConnAckProperties {
    pub session_expiry_interval_seconds: Option<u32>,
    pub receive_maximum: Option<NonZeroU16>,
    pub maximum_qos: Option<QoS>,
    pub retain_available: Option<bool>,
    pub maximum_packet_size: Option<NonZeroU32>,
    pub assigned_client_identifier: Option<ByteString>,
    pub topic_alias_maximum: Option<u16>,
    pub reason_string: Option<ByteString>,
    pub user_properties: UserProperties,
    pub wildcard_subscription_available: Option<bool>,
    pub subscription_identifiers_available: Option<bool>,
    pub shared_subscription_available: Option<bool>,
    pub server_keep_alive_seconds: Option<u16>,
    pub response_information: Option<ByteString>,
    pub server_reference: Option<ByteString>,
    pub authentication_method: Option<ByteString>,
    pub authentication_data: Option<Bytes>,
}

impl ConnAck {
    pub(super) fn read(mut reader: Reader, version: ProtocolVersion) -> Result<ConnAck, DecodeError> {
        let flags = reader.u8()?;
        let code = reader.u8()?;
        // [MQTT-3.2.2-1]; 3.1 has no flags here, and says nothing of what stands in their place.
        if flags > 1 && version != ProtocolVersion::V3_1 {
            return Err(DecodeError::malformed("reserved acknowledge flags are set [MQTT-3.2.2-1]"));
        }
        let reason = if version.is_v5() {
            ReasonCode::read(code, PacketType::ConnAck, Sender::Server)?
        } else {
            ReasonCode::from_connect_return_code(code)
                .ok_or_else(|| DecodeError::protocol(format!("unknown return code {code}")))?
        };
        let properties = if version.is_v5() {
            ConnAckProperties::read(&mut reader)?
        } else {
            ConnAckProperties::default()
        };
        reader.finish()?;
        // A refusal that claims a session is still a refusal: its reason is worth more than the contradiction.
        let session_present = flags == 1 && !reason.is_error() && version != ProtocolVersion::V3_1;
        Ok(ConnAck { session_present, reason, properties })
    }

    pub(super) fn write(&self, version: ProtocolVersion, sink: &mut impl Sink) {
        // [MQTT-3.2.2-6], in 3.1.1 [MQTT-3.2.2-4]
        let session_present =
            self.session_present && !self.reason.is_error() && version != ProtocolVersion::V3_1;
        sink.u8(u8::from(session_present));
        if version.is_v5() {
            sink.u8(self.reason.as_u8());
            sink.properties(&self.properties);
        } else {
            sink.u8(self.reason.as_connect_return_code());
        }
    }
}

impl ConnAckProperties {
    fn read(reader: &mut Reader) -> Result<ConnAckProperties, DecodeError> {
        let mut all = ConnAckProperties::default();
        read_properties(reader, |property| all.add(property))?;
        if all.authentication_data.is_some() && all.authentication_method.is_none() {
            return Err(DecodeError::protocol("Authentication Data without Authentication Method"));
        }
        Ok(all)
    }

    fn add(&mut self, property: Property) -> Result<(), DecodeError> {
        match property {
            Property::SessionExpiryInterval(value) => once(&mut self.session_expiry_interval_seconds, value),
            Property::ReceiveMaximum(value) => once(&mut self.receive_maximum, value),
            Property::MaximumQoS(value) => once(&mut self.maximum_qos, value),
            Property::RetainAvailable(value) => once(&mut self.retain_available, value),
            Property::MaximumPacketSize(value) => once(&mut self.maximum_packet_size, value),
            Property::AssignedClientIdentifier(value) => once(&mut self.assigned_client_identifier, value),
            Property::TopicAliasMaximum(value) => once(&mut self.topic_alias_maximum, value),
            Property::ReasonString(value) => once(&mut self.reason_string, value),
            Property::User(name, value) => add_user_property(&mut self.user_properties, name, value),
            Property::WildcardSubscriptionAvailable(value) => {
                once(&mut self.wildcard_subscription_available, value)
            }
            Property::SubscriptionIdentifiersAvailable(value) => {
                once(&mut self.subscription_identifiers_available, value)
            }
            Property::SharedSubscriptionAvailable(value) => {
                once(&mut self.shared_subscription_available, value)
            }
            Property::ServerKeepAlive(value) => once(&mut self.server_keep_alive_seconds, value),
            Property::ResponseInformation(value) => once(&mut self.response_information, value),
            Property::ServerReference(value) => once(&mut self.server_reference, value),
            Property::AuthenticationMethod(value) => once(&mut self.authentication_method, value),
            Property::AuthenticationData(value) => once(&mut self.authentication_data, value),
            other => Err(other.misplaced()),
        }
    }
}

impl Section for ConnAckProperties {
    fn write(&self, sink: &mut impl Sink) {
        sink.u32_property(id::SESSION_EXPIRY_INTERVAL, self.session_expiry_interval_seconds);
        sink.u16_property(id::RECEIVE_MAXIMUM, self.receive_maximum.map(NonZeroU16::get));
        // Only 0 and 1 can be said; 2 is what its absence means.
        let maximum_qos = self.maximum_qos.filter(|qos| *qos != QoS::ExactlyOnce);
        sink.flag_property(id::MAXIMUM_QOS, maximum_qos.map(|qos| qos == QoS::AtLeastOnce));
        sink.flag_property(id::RETAIN_AVAILABLE, self.retain_available);
        sink.u32_property(id::MAXIMUM_PACKET_SIZE, self.maximum_packet_size.map(NonZeroU32::get));
        sink.text_property(id::ASSIGNED_CLIENT_IDENTIFIER, self.assigned_client_identifier.as_ref());
        sink.u16_property(id::TOPIC_ALIAS_MAXIMUM, self.topic_alias_maximum);
        sink.text_property(id::REASON_STRING, self.reason_string.as_ref());
        sink.user_properties(&self.user_properties);
        sink.flag_property(id::WILDCARD_SUBSCRIPTION_AVAILABLE, self.wildcard_subscription_available);
        sink.flag_property(id::SUBSCRIPTION_IDENTIFIERS_AVAILABLE, self.subscription_identifiers_available);
        sink.flag_property(id::SHARED_SUBSCRIPTION_AVAILABLE, self.shared_subscription_available);
        sink.u16_property(id::SERVER_KEEP_ALIVE, self.server_keep_alive_seconds);
        sink.text_property(id::RESPONSE_INFORMATION, self.response_information.as_ref());
        sink.text_property(id::SERVER_REFERENCE, self.server_reference.as_ref());
        sink.text_property(id::AUTHENTICATION_METHOD, self.authentication_method.as_ref());
        sink.binary_property(id::AUTHENTICATION_DATA, self.authentication_data.as_deref());
    }
}
