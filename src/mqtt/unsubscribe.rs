//! UNSUBSCRIBE (section 3.10). Never parses a filter.

use bytestring::ByteString;

use super::property::{Property, PropertySink, add_user_property, read_properties};
use super::reader::Reader;
use super::subscribe::check_filters;
use super::writer::{Section, Sink};
use super::{DecodeError, PacketIdentifier, ProtocolVersion, UserProperties};

/// UNSUBSCRIBE (section 3.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Names this packet until its UNSUBACK.
    pub packet_identifier: PacketIdentifier,
    /// Carried, in order (5.0).
    pub user_properties: UserProperties,
    /// At least one `[MQTT-3.10.3-2]`; UTF-8 but unparsed.
    pub filters: Vec<ByteString>,
}

impl Unsubscribe {
    pub(super) fn read(mut reader: Reader, version: ProtocolVersion) -> Result<Unsubscribe, DecodeError> {
        let packet_identifier = reader.packet_identifier()?;
        let mut user_properties = UserProperties::new();
        if version.is_v5() {
            read_properties(&mut reader, |property| match property {
                Property::User(name, value) => add_user_property(&mut user_properties, name, value),
                other => Err(other.misplaced()),
            })?;
        }
        if reader.is_empty() {
            return Err(DecodeError::protocol("no topic filter [MQTT-3.10.3-2]"));
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            check_filters(filters.len())?;
            // [MQTT-3.10.3-1]
            filters.push(reader.text()?);
        }
        Ok(Unsubscribe { packet_identifier, user_properties, filters })
    }

    pub(super) fn write(&self, version: ProtocolVersion, sink: &mut impl Sink) {
        sink.u16(self.packet_identifier.get());
        if version.is_v5() {
            sink.properties(self);
        }
        for filter in &self.filters {
            sink.binary(filter.as_bytes());
        }
    }
}

impl Section for Unsubscribe {
    fn write(&self, sink: &mut impl Sink) {
        sink.user_properties(&self.user_properties);
    }
}
