//! CONNECT (section 3.1): how a client introduces itself. Decides nothing about who is welcome.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use bytestring::ByteString;

use super::property::{Property, PropertySink, add_user_property, identifier as id, once, read_properties};
use super::reader::Reader;
use super::writer::{Section, Sink};
use super::{DecodeError, EncodeError, ProtocolVersion, QoS, ReasonCode, UserProperties, Will};

/// CONNECT (section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The standard that the client speaks.
    pub version: ProtocolVersion,
    /// Clean Start of 5.0, Clean Session of 3.1.1.
    pub clean_start: bool,
    /// Seconds; 0 turns the keep-alive off.
    pub keep_alive_seconds: u16,
    /// Empty: the server assigns one.
    pub client_id: ByteString,
    /// What to publish when the connection ends without DISCONNECT.
    pub will: Option<Box<Will>>,
    /// User name, if sent.
    pub username: Option<ByteString>,
    /// Password, if sent.
    pub password: Option<Bytes>,
    /// Properties of 5.0; default for the others.
    pub properties: ConnectProperties,
}

/// Properties of CONNECT (section 3.1.2.11 of 5.0).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub struct ConnectProperties {
    pub session_expiry_interval_seconds: Option<u32>,
    pub receive_maximum: Option<NonZeroU16>,
    pub maximum_packet_size: Option<NonZeroU32>,
    pub topic_alias_maximum: Option<u16>,
    pub request_response_information: Option<bool>,
    pub request_problem_information: Option<bool>,
    pub user_properties: UserProperties,
    pub authentication_method: Option<ByteString>,
    pub authentication_data: Option<Bytes>,
}

/// The bits of the Connect Flags (section 3.1.2.3).
mod flag {
    pub(super) const RESERVED: u8 = 0b0000_0001;
    pub(super) const CLEAN_START: u8 = 0b0000_0010;
    pub(super) const WILL: u8 = 0b0000_0100;
    pub(super) const WILL_QOS_SHIFT: u32 = 3;
    pub(super) const WILL_RETAIN: u8 = 0b0010_0000;
    pub(super) const PASSWORD: u8 = 0b0100_0000;
    pub(super) const USERNAME: u8 = 0b1000_0000;
}

/// What the first fields of a CONNECT say of its version.
pub(super) enum Protocol {
    /// We speak it.
    Known(ProtocolVersion),
    /// We do not; an answer is understood in this version.
    Unknown { level: u8, answer_in: ProtocolVersion },
}

/// Reads protocol name and level.
pub(super) fn read_protocol(reader: &mut Reader) -> Result<Protocol, DecodeError> {
    let name = reader.binary()?;
    let is_name_of = |version: ProtocolVersion| *name == *version.protocol_name().as_bytes();
    if !is_name_of(ProtocolVersion::V3_1) && !is_name_of(ProtocolVersion::V5) {
        // [MQTT-3.1.2-1]: not MQTT at all, so that no answer would be understood.
        return Err(DecodeError::new(
            ReasonCode::UnsupportedProtocolVersion,
            "the protocol name is not MQTT",
        ));
    }
    let level = reader.u8()?;
    Ok(match ProtocolVersion::from_level(level) {
        Some(version) if is_name_of(version) => Protocol::Known(version),
        // Mosquitto's bridges set the highest bit to say that they are bridges, and try again without it when
        // they are refused in the way of 3.1.1.
        _ if level & 0x7F <= 5 => Protocol::Unknown { level, answer_in: ProtocolVersion::V3_1_1 },
        _ => Protocol::Unknown { level, answer_in: ProtocolVersion::V5 },
    })
}

impl Connect {
    /// Reads what follows the protocol level. The fields of the payload stand in this order
    /// `[MQTT-3.1.3-1]`.
    pub(super) fn read(mut reader: Reader, version: ProtocolVersion) -> Result<Connect, DecodeError> {
        let flags = reader.u8()?;
        check_flags(flags, version)?;
        let keep_alive_seconds = reader.u16()?;
        let properties = if version.is_v5() {
            ConnectProperties::read(&mut reader)?
        } else {
            ConnectProperties::default()
        };
        // [MQTT-3.1.3-3] [MQTT-3.1.3-4]
        let client_id = reader.text()?;
        let will = if flags & flag::WILL == 0 {
            None
        } else {
            // [MQTT-3.1.2-9]
            let qos = will_qos(flags)?;
            let retain = flags & flag::WILL_RETAIN != 0;
            Some(Box::new(Will::read(&mut reader, version, qos, retain)?))
        };
        let (username, password) = read_credentials(&mut reader, flags, version)?;
        reader.finish()?;
        Ok(Connect {
            version,
            clean_start: flags & flag::CLEAN_START != 0,
            keep_alive_seconds,
            client_id,
            will,
            username,
            password,
            properties,
        })
    }

    pub(super) fn write(&self, sink: &mut impl Sink) {
        sink.binary(self.version.protocol_name().as_bytes());
        sink.u8(self.version.level());
        sink.u8(self.flags());
        sink.u16(self.keep_alive_seconds);
        if self.version.is_v5() {
            sink.properties(&self.properties);
        }
        sink.binary(self.client_id.as_bytes());
        if let Some(will) = &self.will {
            will.write(self.version, sink);
        }
        if let Some(username) = &self.username {
            sink.binary(username.as_bytes());
        }
        if let Some(password) = &self.password {
            sink.binary(password);
        }
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_start {
            flags |= flag::CLEAN_START;
        }
        if let Some(will) = &self.will {
            flags |= flag::WILL | will.qos.as_u8() << flag::WILL_QOS_SHIFT;
            if will.retain {
                flags |= flag::WILL_RETAIN;
            }
        }
        if self.username.is_some() {
            flags |= flag::USERNAME;
        }
        if self.password.is_some() {
            flags |= flag::PASSWORD;
        }
        flags
    }

    /// Whether its version can say it.
    pub(super) fn check_expressible(&self) -> Result<(), EncodeError> {
        // [MQTT-3.1.2-22] of 3.1.1; 5.0 allows it.
        if !self.version.is_v5() && self.password.is_some() && self.username.is_none() {
            return Err(EncodeError::NotInThisVersion("a password without a user name"));
        }
        Ok(())
    }
}

fn check_flags(flags: u8, version: ProtocolVersion) -> Result<(), DecodeError> {
    if version == ProtocolVersion::V3_1 {
        // 3.1 leaves these bits undefined, but knows no password without a user name.
        return check_password_flag(flags);
    }
    if flags & flag::RESERVED != 0 {
        return Err(DecodeError::malformed("the reserved flag is not 0 [MQTT-3.1.2-3]"));
    }
    if flags & flag::WILL == 0 {
        if flags >> flag::WILL_QOS_SHIFT & 0b11 != 0 {
            return Err(DecodeError::malformed("Will QoS without a will [MQTT-3.1.2-11]"));
        }
        if flags & flag::WILL_RETAIN != 0 {
            return Err(DecodeError::malformed("Will Retain without a will [MQTT-3.1.2-13]"));
        }
    }
    if version.is_v5() { Ok(()) } else { check_password_flag(flags) }
}

/// `[MQTT-3.1.2-22]` of 3.1.1.
fn check_password_flag(flags: u8) -> Result<(), DecodeError> {
    if flags & flag::PASSWORD != 0 && flags & flag::USERNAME == 0 {
        return Err(DecodeError::malformed("a password without a user name [MQTT-3.1.2-22]"));
    }
    Ok(())
}

fn will_qos(flags: u8) -> Result<QoS, DecodeError> {
    QoS::from_u8(flags >> flag::WILL_QOS_SHIFT & 0b11)
        .ok_or_else(|| DecodeError::malformed("Will QoS 3 [MQTT-3.1.2-12]"))
}

/// Reads user name and password, each present exactly when its flag says so
/// `[MQTT-3.1.2-16]` `[MQTT-3.1.2-17]` `[MQTT-3.1.2-18]` `[MQTT-3.1.2-19]`.
fn read_credentials(
    reader: &mut Reader,
    flags: u8,
    version: ProtocolVersion,
) -> Result<(Option<ByteString>, Option<Bytes>), DecodeError> {
    // 3.1 wants clients of its predecessor let in, whose flags may promise what then does not come.
    let present = |reader: &Reader, flag: u8| {
        flags & flag != 0 && !(version == ProtocolVersion::V3_1 && reader.is_empty())
    };
    // [MQTT-3.1.3-12]
    let username = if present(reader, flag::USERNAME) { Some(reader.text()?) } else { None };
    let password = if present(reader, flag::PASSWORD) { Some(reader.binary()?) } else { None };
    Ok((username, password))
}

impl ConnectProperties {
    fn read(reader: &mut Reader) -> Result<ConnectProperties, DecodeError> {
        let mut all = ConnectProperties::default();
        read_properties(reader, |property| match property {
            Property::SessionExpiryInterval(value) => once(&mut all.session_expiry_interval_seconds, value),
            Property::ReceiveMaximum(value) => once(&mut all.receive_maximum, value),
            Property::MaximumPacketSize(value) => once(&mut all.maximum_packet_size, value),
            Property::TopicAliasMaximum(value) => once(&mut all.topic_alias_maximum, value),
            Property::RequestResponseInformation(value) => once(&mut all.request_response_information, value),
            Property::RequestProblemInformation(value) => once(&mut all.request_problem_information, value),
            Property::User(name, value) => add_user_property(&mut all.user_properties, name, value),
            Property::AuthenticationMethod(value) => once(&mut all.authentication_method, value),
            Property::AuthenticationData(value) => once(&mut all.authentication_data, value),
            other => Err(other.misplaced()),
        })?;
        if all.authentication_data.is_some() && all.authentication_method.is_none() {
            return Err(DecodeError::protocol("Authentication Data without Authentication Method"));
        }
        Ok(all)
    }
}

impl Section for ConnectProperties {
    fn write(&self, sink: &mut impl Sink) {
        sink.u32_property(id::SESSION_EXPIRY_INTERVAL, self.session_expiry_interval_seconds);
        sink.u16_property(id::RECEIVE_MAXIMUM, self.receive_maximum.map(NonZeroU16::get));
        sink.u32_property(id::MAXIMUM_PACKET_SIZE, self.maximum_packet_size.map(NonZeroU32::get));
        sink.u16_property(id::TOPIC_ALIAS_MAXIMUM, self.topic_alias_maximum);
        sink.flag_property(id::REQUEST_RESPONSE_INFORMATION, self.request_response_information);
        sink.flag_property(id::REQUEST_PROBLEM_INFORMATION, self.request_problem_information);
        sink.user_properties(&self.user_properties);
        sink.text_property(id::AUTHENTICATION_METHOD, self.authentication_method.as_ref());
        sink.binary_property(id::AUTHENTICATION_DATA, self.authentication_data.as_deref());
    }
}
