//! AUTH (section 3.15 of 5.0): extended authentication. Knows no method of it.

use bytes::Bytes;
use bytestring::ByteString;

use super::fixed_header::Sender;
use super::property::{Property, PropertySink, add_user_property, identifier as id, once, read_properties};
use super::reader::Reader;
use super::writer::{Section, Sink};
use super::{DecodeError, PacketType, ReasonCode, UserProperties};

/// AUTH (section 3.15 of 5.0).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the standard's own")]
pub struct Auth {
    pub reason: ReasonCode,
    pub authentication_method: Option<ByteString>,
    pub authentication_data: Option<Bytes>,
    pub reason_string: Option<ByteString>,
    pub user_properties: UserProperties,
}

impl Auth {
    pub(super) fn read(mut reader: Reader, sender: Sender) -> Result<Auth, DecodeError> {
        let code = if reader.is_empty() { ReasonCode::Success.as_u8() } else { reader.u8()? };
        let mut all = Auth {
            reason: ReasonCode::read(code, PacketType::Auth, sender)?,
            authentication_method: None,
            authentication_data: None,
            reason_string: None,
            user_properties: UserProperties::new(),
        };
        if reader.is_empty() {
            // Only a Success without properties may be this short (section 3.15.2.1).
            return if all.reason == ReasonCode::Success { Ok(all) } else { Err(without_method()) };
        }
        read_properties(&mut reader, |property| all.add(property))?;
        if all.authentication_method.is_none() {
            return Err(without_method());
        }
        reader.finish()?;
        Ok(all)
    }

    fn add(&mut self, property: Property) -> Result<(), DecodeError> {
        match property {
            Property::AuthenticationMethod(value) => once(&mut self.authentication_method, value),
            Property::AuthenticationData(value) => once(&mut self.authentication_data, value),
            Property::ReasonString(value) => once(&mut self.reason_string, value),
            Property::User(name, value) => add_user_property(&mut self.user_properties, name, value),
            other => Err(other.misplaced()),
        }
    }

    /// Writes it in its shortest form.
    pub(super) fn write(&self, sink: &mut impl Sink) {
        if self.reason != ReasonCode::Success || self.length() > 0 {
            sink.u8(self.reason.as_u8());
            sink.properties(self);
        }
    }
}

fn without_method() -> DecodeError {
    DecodeError::protocol("no Authentication Method")
}

impl Section for Auth {
    fn write(&self, sink: &mut impl Sink) {
        sink.text_property(id::AUTHENTICATION_METHOD, self.authentication_method.as_ref());
        sink.binary_property(id::AUTHENTICATION_DATA, self.authentication_data.as_deref());
        sink.text_property(id::REASON_STRING, self.reason_string.as_ref());
        sink.user_properties(&self.user_properties);
    }
}
