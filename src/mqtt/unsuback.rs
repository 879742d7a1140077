//! UNSUBACK (section 3.11): in 5.0 one answer for each filter of an UNSUBSCRIBE, before that only an identifier.

use super::fixed_header::Sender;
use super::reader::Reader;
use super::writer::Sink;
use super::{
    AcknowledgementProperties, DecodeError, PacketIdentifier, PacketType, ProtocolVersion, ReasonCode,
};

/// UNSUBACK (section 3.11).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubAck {
    /// Of the UNSUBSCRIBE.
    pub packet_identifier: PacketIdentifier,
    /// Properties of 5.0, when there are any.
    pub properties: Option<Box<AcknowledgementProperties>>,
    /// One per filter, in order; not written to 3.x.
    pub reasons: Vec<ReasonCode>,
}

impl UnsubAck {
    pub(super) fn read(mut reader: Reader, version: ProtocolVersion) -> Result<UnsubAck, DecodeError> {
        let packet_identifier = reader.packet_identifier()?;
        if !version.is_v5() {
            reader.finish()?;
            return Ok(UnsubAck { packet_identifier, properties: None, reasons: Vec::new() });
        }
        let properties = AcknowledgementProperties::read(&mut reader)?;
        if reader.is_empty() {
            return Err(DecodeError::malformed("no reason code"));
        }
        let read_reason = |code: &u8| ReasonCode::read(*code, PacketType::UnsubAck, Sender::Server);
        let reasons = reader.into_rest().iter().map(read_reason).collect::<Result<_, _>>()?;
        Ok(UnsubAck { packet_identifier, properties, reasons })
    }

    pub(super) fn write(&self, version: ProtocolVersion, sink: &mut impl Sink) {
        sink.u16(self.packet_identifier.get());
        if version.is_v5() {
            sink.properties(&self.properties);
            for reason in &self.reasons {
                sink.u8(reason.as_u8());
            }
        }
    }
}
