//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): four packets of one shape.

use bytestring::ByteString;

use super::fixed_header::Sender;
use super::property::{Property, PropertySink, add_user_property, identifier as id, once, read_properties};
use super::reader::Reader;
use super::writer::{Section, Sink};
use super::{DecodeError, PacketIdentifier, PacketType, ProtocolVersion, ReasonCode, UserProperties};

/// PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): all four have one shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Which PUBLISH.
    pub packet_identifier: PacketIdentifier,
    /// How it went (5.0; `Success` in 3.x).
    pub reason: ReasonCode,
    /// Properties of 5.0, when there are any.
    pub properties: Option<Box<AcknowledgementProperties>>,
}

impl Acknowledgement {
    /// An acknowledgement without properties.
    #[must_use]
    pub const fn new(packet_identifier: PacketIdentifier, reason: ReasonCode) -> Acknowledgement {
        Acknowledgement { packet_identifier, reason, properties: None }
    }
}

/// Properties of the acknowledgements, SUBACK and UNSUBACK among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub struct AcknowledgementProperties {
    pub reason_string: Option<ByteString>,
    pub user_properties: UserProperties,
}

impl Acknowledgement {
    pub(super) fn read(
        mut reader: Reader,
        packet_type: PacketType,
        version: ProtocolVersion,
        sender: Sender,
    ) -> Result<Acknowledgement, DecodeError> {
        let mut all = Acknowledgement::new(reader.packet_identifier()?, ReasonCode::Success);
        if !version.is_v5() || reader.is_empty() {
            reader.finish()?;
            return Ok(all);
        }
        all.reason = ReasonCode::read(reader.u8()?, packet_type, sender)?;
        if !reader.is_empty() {
            all.properties = AcknowledgementProperties::read(&mut reader)?;
        }
        reader.finish()?;
        Ok(all)
    }

    /// Writes it in its shortest form: Success goes without saying, and so does the lack of properties.
    pub(super) fn write(&self, version: ProtocolVersion, sink: &mut impl Sink) {
        sink.u16(self.packet_identifier.get());
        if !version.is_v5() {
            return;
        }
        if self.properties.length() > 0 {
            sink.u8(self.reason.as_u8());
            sink.properties(&self.properties);
        } else if self.reason != ReasonCode::Success {
            sink.u8(self.reason.as_u8());
        }
    }
}

impl AcknowledgementProperties {
    /// Reads them; `None` when there is none.
    pub(super) fn read(reader: &mut Reader) -> Result<Option<Box<AcknowledgementProperties>>, DecodeError> {
        let mut all: Option<Box<AcknowledgementProperties>> = None;
        read_properties(reader, |property| {
            let all = all.get_or_insert_default();
            match property {
                Property::ReasonString(value) => once(&mut all.reason_string, value),
                Property::User(name, value) => add_user_property(&mut all.user_properties, name, value),
                other => Err(other.misplaced()),
            }
        })?;
        Ok(all)
    }
}

impl Section for AcknowledgementProperties {
    fn write(&self, sink: &mut impl Sink) {
        sink.text_property(id::REASON_STRING, self.reason_string.as_ref());
        sink.user_properties(&self.user_properties);
    }
}

impl Section for Option<Box<AcknowledgementProperties>> {
    fn write(&self, sink: &mut impl Sink) {
        if let Some(all) = self {
            all.as_ref().write(sink);
        }
    }
}
