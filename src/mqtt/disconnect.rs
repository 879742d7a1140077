//! DISCONNECT (section 3.14): the last packet of a connection.

use bytestring::ByteString;

use super::fixed_header::Sender;
use super::property::{Property, PropertySink, add_user_property, identifier as id, once, read_properties};
use super::reader::Reader;
use super::writer::{Section, Sink};
use super::{DecodeError, PacketType, ProtocolVersion, ReasonCode, UserProperties};

/// DISCONNECT (section 3.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnect {
    /// Why (5.0; `Success` in 3.x).
    pub reason: ReasonCode,
    /// Client to server only: seconds that the session outlives the connection (5.0).
    pub session_expiry_interval_seconds: Option<u32>,
    /// For a person to read (5.0).
    pub reason_string: Option<ByteString>,
    /// Carried, in order (5.0).
    pub user_properties: UserProperties,
    /// Server to client only (5.0).
    pub server_reference: Option<ByteString>,
}

impl Disconnect {
    /// A DISCONNECT without properties.
    #[must_use]
    pub const fn new(reason: ReasonCode) -> Disconnect {
        Disconnect {
            reason,
            session_expiry_interval_seconds: None,
            reason_string: None,
            user_properties: Vec::new(),
            server_reference: None,
        }
    }
}

impl Disconnect {
    pub(super) fn read(
        mut reader: Reader,
        version: ProtocolVersion,
        sender: Sender,
    ) -> Result<Disconnect, DecodeError> {
        let mut all = Disconnect::new(ReasonCode::Success);
        if version.is_v5() && !reader.is_empty() {
            all.reason = ReasonCode::read(reader.u8()?, PacketType::Disconnect, sender)?;
            if !reader.is_empty() {
                read_properties(&mut reader, |property| all.add(property, sender))?;
            }
        }
        reader.finish()?;
        Ok(all)
    }

    fn add(&mut self, property: Property, sender: Sender) -> Result<(), DecodeError> {
        match property {
            Property::SessionExpiryInterval(_) if sender == Sender::Server => {
                Err(DecodeError::protocol("a server sends a Session Expiry Interval [MQTT-3.14.2-2]"))
            }
            Property::SessionExpiryInterval(value) => once(&mut self.session_expiry_interval_seconds, value),
            Property::ReasonString(value) => once(&mut self.reason_string, value),
            Property::User(name, value) => add_user_property(&mut self.user_properties, name, value),
            Property::ServerReference(value) => once(&mut self.server_reference, value),
            other => Err(other.misplaced()),
        }
    }

    /// Writes nothing when it says nothing; else its reason and the length of its properties, even of none: the
    /// form without that length is allowed, but some clients (rumqttc 0.25) wait for the byte that is not there.
    pub(super) fn write(&self, version: ProtocolVersion, sink: &mut impl Sink) {
        if version.is_v5() && (self.reason != ReasonCode::Success || self.length() > 0) {
            sink.u8(self.reason.as_u8());
            sink.properties(self);
        }
    }
}

impl Section for Disconnect {
    fn write(&self, sink: &mut impl Sink) {
        sink.u32_property(id::SESSION_EXPIRY_INTERVAL, self.session_expiry_interval_seconds);
        sink.text_property(id::REASON_STRING, self.reason_string.as_ref());
        sink.user_properties(&self.user_properties);
        sink.text_property(id::SERVER_REFERENCE, self.server_reference.as_ref());
    }
}
