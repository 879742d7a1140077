//! SUBSCRIBE (section 3.8). Never parses a filter: a bad one is refused by its own reason code.

use std::num::NonZeroU32;

use bytestring::ByteString;

use super::property::{Property, PropertySink, add_user_property, once, read_properties};
use super::reader::Reader;
use super::writer::{Section, Sink};
use super::{DecodeError, PacketIdentifier, ProtocolVersion, QoS, ReasonCode, UserProperties};
use crate::limits;

/// SUBSCRIBE (section 3.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Names this packet until its SUBACK.
    pub packet_identifier: PacketIdentifier,
    /// 1 to 268,435,455 (5.0).
    pub subscription_identifier: Option<NonZeroU32>,
    /// Carried, in order (5.0).
    pub user_properties: UserProperties,
    /// At least one `[MQTT-3.8.3-2]`. Each filter is UTF-8 but unparsed: 5.0 refuses a bad one by its own code.
    pub requests: Vec<(ByteString, SubscriptionOptions)>,
}

/// Options of one subscription (section 3.8.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    /// The highest quality of service wanted.
    pub maximum_qos: QoS,
    /// Whether own messages are left out (5.0).
    pub no_local: bool,
    /// Whether the retain flag is passed on as it was published (5.0).
    pub retain_as_published: bool,
    /// Which retained messages are sent at once (5.0).
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// The options of a 3.x subscription.
    #[must_use]
    pub const fn new(maximum_qos: QoS) -> SubscriptionOptions {
        SubscriptionOptions {
            maximum_qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }
    }
}

/// Whether a new subscription is sent the retained messages (section 3.8.3.1 of 5.0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum RetainHandling {
    /// Always.
    #[default]
    Send = 0,
    /// Only when the subscription did not exist before.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl Subscribe {
    pub(super) fn read(mut reader: Reader, version: ProtocolVersion) -> Result<Subscribe, DecodeError> {
        let packet_identifier = reader.packet_identifier()?;
        let mut subscription_identifier = None;
        let mut user_properties = UserProperties::new();
        if version.is_v5() {
            read_properties(&mut reader, |property| match property {
                Property::SubscriptionIdentifier(value) => once(&mut subscription_identifier, value),
                Property::User(name, value) => add_user_property(&mut user_properties, name, value),
                other => Err(other.misplaced()),
            })?;
        }
        if reader.is_empty() {
            // In 3.1.1 [MQTT-3.8.3-3].
            return Err(DecodeError::protocol("no topic filter [MQTT-3.8.3-2]"));
        }
        let mut requests = Vec::new();
        while !reader.is_empty() {
            check_filters(requests.len())?;
            requests.push(read_request(&mut reader, version)?);
        }
        Ok(Subscribe { packet_identifier, subscription_identifier, user_properties, requests })
    }

    pub(super) fn write(&self, version: ProtocolVersion, sink: &mut impl Sink) {
        sink.u16(self.packet_identifier.get());
        if version.is_v5() {
            sink.properties(self);
        }
        for (filter, options) in &self.requests {
            sink.binary(filter.as_bytes());
            sink.u8(options.bits(version));
        }
    }
}

/// Refuses another filter when there are thousands in the packet already.
pub(super) fn check_filters(read: usize) -> Result<(), DecodeError> {
    if read >= limits::PACKET_FILTERS {
        return Err(DecodeError::new(ReasonCode::QuotaExceeded, "too many topic filters"));
    }
    Ok(())
}

fn read_request(
    reader: &mut Reader,
    version: ProtocolVersion,
) -> Result<(ByteString, SubscriptionOptions), DecodeError> {
    // [MQTT-3.8.3-1]
    let filter = reader.text()?;
    let options = SubscriptionOptions::from_bits(reader.u8()?, version)?;
    if options.no_local && filter.starts_with("$share/") {
        return Err(DecodeError::protocol("No Local on a shared subscription [MQTT-3.8.3-4]"));
    }
    Ok((filter, options))
}

impl Section for Subscribe {
    fn write(&self, sink: &mut impl Sink) {
        if let Some(identifier) = self.subscription_identifier {
            sink.subscription_identifier(identifier);
        }
        sink.user_properties(&self.user_properties);
    }
}

/// The bits of the Subscription Options.
mod bit {
    pub(super) const MAXIMUM_QOS: u8 = 0b0000_0011;
    pub(super) const NO_LOCAL: u8 = 0b0000_0100;
    pub(super) const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;
    pub(super) const RETAIN_HANDLING_SHIFT: u32 = 4;
    pub(super) const RESERVED_IN_V5: u8 = 0b1100_0000;
    pub(super) const RESERVED_IN_V3: u8 = 0b1111_1100;
}

impl SubscriptionOptions {
    fn from_bits(bits: u8, version: ProtocolVersion) -> Result<SubscriptionOptions, DecodeError> {
        // In 3.1.1 [MQTT-3-8.3-4].
        let reserved = if version.is_v5() { bit::RESERVED_IN_V5 } else { bit::RESERVED_IN_V3 };
        if bits & reserved != 0 {
            return Err(DecodeError::malformed("reserved bits of the options are set [MQTT-3.8.3-5]"));
        }
        let maximum_qos = QoS::from_u8(bits & bit::MAXIMUM_QOS)
            .ok_or_else(|| DecodeError::protocol("QoS 3 is requested"))?;
        Ok(SubscriptionOptions {
            maximum_qos,
            no_local: bits & bit::NO_LOCAL != 0,
            retain_as_published: bits & bit::RETAIN_AS_PUBLISHED != 0,
            retain_handling: RetainHandling::from_bits(bits >> bit::RETAIN_HANDLING_SHIFT & 0b11)?,
        })
    }

    fn bits(self, version: ProtocolVersion) -> u8 {
        let qos = self.maximum_qos.as_u8();
        if !version.is_v5() {
            return qos;
        }
        let no_local = if self.no_local { bit::NO_LOCAL } else { 0 };
        let retain_as_published = if self.retain_as_published { bit::RETAIN_AS_PUBLISHED } else { 0 };
        qos | no_local | retain_as_published | self.retain_handling.bits() << bit::RETAIN_HANDLING_SHIFT
    }
}

impl RetainHandling {
    fn from_bits(bits: u8) -> Result<RetainHandling, DecodeError> {
        match bits {
            0 => Ok(RetainHandling::Send),
            1 => Ok(RetainHandling::SendIfNew),
            2 => Ok(RetainHandling::DoNotSend),
            _ => Err(DecodeError::protocol("Retain Handling 3")),
        }
    }

    const fn bits(self) -> u8 {
        match self {
            RetainHandling::Send => 0,
            RetainHandling::SendIfNew => 1,
            RetainHandling::DoNotSend => 2,
        }
    }
}
