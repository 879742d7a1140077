//! Why bytes are not a packet, and why a packet cannot be written. Never closes anything: it says what to answer.

use std::borrow::Cow;

use super::{PacketType, ReasonCode, TopicError};

/// The bytes that were read are not an acceptable packet: the connection has to be closed `[MQTT-4.13.1-1]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", Prefix(*packet_type))]
pub struct DecodeError {
    /// What to say in a DISCONNECT or CONNACK of 5.0.
    pub reason: ReasonCode,
    /// In which packet, as far as its first byte was read.
    pub packet_type: Option<PacketType>,
    /// What is wrong, for people.
    pub message: Cow<'static, str>,
}

struct Prefix(Option<PacketType>);

impl std::fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(packet_type) => write!(formatter, "{packet_type}: "),
            None => Ok(()),
        }
    }
}

impl DecodeError {
    /// The packet cannot be parsed (section 1.2 of 5.0, "Malformed Packet").
    pub(super) fn malformed(message: impl Into<Cow<'static, str>>) -> DecodeError {
        DecodeError::new(ReasonCode::MalformedPacket, message)
    }

    /// The packet was parsed and says what it must not (section 1.2 of 5.0, "Protocol Error").
    pub(super) fn protocol(message: impl Into<Cow<'static, str>>) -> DecodeError {
        DecodeError::new(ReasonCode::ProtocolError, message)
    }

    /// Another reason.
    pub(super) fn new(reason: ReasonCode, message: impl Into<Cow<'static, str>>) -> DecodeError {
        DecodeError { reason, packet_type: None, message: message.into() }
    }

    /// Names the packet in which it was found.
    pub(super) fn within(mut self, packet_type: PacketType) -> DecodeError {
        self.packet_type.get_or_insert(packet_type);
        self
    }
}

impl From<TopicError> for DecodeError {
    fn from(error: TopicError) -> DecodeError {
        DecodeError::malformed(error.to_string())
    }
}

/// A packet cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string or binary field has more than 65,535 bytes, or the packet more than 268,435,455.
    #[error("too long for an MQTT packet")]
    TooLong,
    /// The version of the connection has no way to say it.
    #[error("{0} cannot be expressed in this version of MQTT")]
    NotInThisVersion(&'static str),
}
