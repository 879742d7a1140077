//! SUBACK (section 3.9): one answer for each filter of a SUBSCRIBE.

use super::fixed_header::Sender;
use super::reader::Reader;
use super::writer::Sink;
use super::{
    AcknowledgementProperties, DecodeError, PacketIdentifier, PacketType, ProtocolVersion, ReasonCode,
};

/// SUBACK (section 3.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubAck {
    /// Of the SUBSCRIBE.
    pub packet_identifier: PacketIdentifier,
    /// Properties of 5.0, when there are any.
    pub properties: Option<Box<AcknowledgementProperties>>,
    /// One per request, in order `[MQTT-3.9.3-1]`. Towards 3.x every error is written as 0x80.
    pub reasons: Vec<ReasonCode>,
}

impl SubAck {
    pub(super) fn read(mut reader: Reader, version: ProtocolVersion) -> Result<SubAck, DecodeError> {
        let packet_identifier = reader.packet_identifier()?;
        let properties = if version.is_v5() { AcknowledgementProperties::read(&mut reader)? } else { None };
        if reader.is_empty() {
            return Err(DecodeError::malformed("no reason code"));
        }
        let reasons =
            reader.into_rest().iter().map(|code| read_reason(*code, version)).collect::<Result<_, _>>()?;
        Ok(SubAck { packet_identifier, properties, reasons })
    }

    pub(super) fn write(&self, version: ProtocolVersion, sink: &mut impl Sink) {
        sink.u16(self.packet_identifier.get());
        if version.is_v5() {
            sink.properties(&self.properties);
        }
        for reason in &self.reasons {
            sink.u8(if version.is_v5() { reason.as_u8() } else { reason.as_subscribe_return_code() });
        }
    }
}

fn read_reason(code: u8, version: ProtocolVersion) -> Result<ReasonCode, DecodeError> {
    if version.is_v5() {
        return ReasonCode::read(code, PacketType::SubAck, Sender::Server);
    }
    ReasonCode::from_subscribe_return_code(code)
        .ok_or_else(|| DecodeError::protocol(format!("unknown return code 0x{code:02X} [MQTT-3.9.3-2]")))
}
