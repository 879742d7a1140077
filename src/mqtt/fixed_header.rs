//! The first two to five bytes of every packet (section 2.1 of 5.0): type, flags, Remaining Length.
//!
//! Refuses what can be refused before the body arrives; never looks at the body.

use std::fmt;

use super::reader::{Varint, parse_varint};
use super::{DecodeError, ProtocolVersion, ReasonCode};

/// Which side wrote a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
}

macro_rules! packet_types {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// The type of a control packet (section 2.1.2).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "the names are the standard's own")]
        pub enum PacketType { $($name = $number,)* }

        impl PacketType {
            /// The type with this number; 0 is reserved.
            pub(super) const fn from_u8(number: u8) -> Option<PacketType> {
                match number { $($number => Some(PacketType::$name),)* _ => None }
            }

            /// The number on the wire.
            pub(super) const fn as_u8(self) -> u8 {
                match self { $(PacketType::$name => $number,)* }
            }
        }

        impl fmt::Display for PacketType {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(match self { $(PacketType::$name => $text,)* })
            }
        }
    };
}

packet_types! {
    Connect = 1, "CONNECT";
    ConnAck = 2, "CONNACK";
    Publish = 3, "PUBLISH";
    PubAck = 4, "PUBACK";
    PubRec = 5, "PUBREC";
    PubRel = 6, "PUBREL";
    PubComp = 7, "PUBCOMP";
    Subscribe = 8, "SUBSCRIBE";
    SubAck = 9, "SUBACK";
    Unsubscribe = 10, "UNSUBSCRIBE";
    UnsubAck = 11, "UNSUBACK";
    PingReq = 12, "PINGREQ";
    PingResp = 13, "PINGRESP";
    Disconnect = 14, "DISCONNECT";
    Auth = 15, "AUTH";
}

impl PacketType {
    /// The flags that a packet of this type must carry; `None` for PUBLISH, whose flags speak
    /// `[MQTT-2.1.3-1]` `[MQTT-3.6.1-1]` `[MQTT-3.8.1-1]` `[MQTT-3.10.1-1]` `[MQTT-3.14.1-1]` `[MQTT-3.15.1-1]`, in
    /// 3.1.1 `[MQTT-2.2.2-1]` `[MQTT-2.2.2-2]`.
    pub(super) const fn required_flags(self) -> Option<u8> {
        match self {
            PacketType::Publish => None,
            PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => Some(0b0010),
            _ => Some(0),
        }
    }

    /// Whether that side may send it in this version (table 2-1).
    fn may_come_from(self, sender: Sender, version: ProtocolVersion) -> bool {
        use PacketType as T;
        match self {
            T::Publish | T::PubAck | T::PubRec | T::PubRel | T::PubComp | T::Auth => true,
            T::Connect | T::Subscribe | T::Unsubscribe | T::PingReq => sender == Sender::Client,
            T::ConnAck | T::SubAck | T::UnsubAck | T::PingResp => sender == Sender::Server,
            T::Disconnect => sender == Sender::Client || version.is_v5(),
        }
    }
}

/// The fixed header of a packet whose body may still be on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct FixedHeader {
    pub(super) packet_type: PacketType,
    /// The lower four bits of the first byte.
    pub(super) flags: u8,
    /// Bytes of the fixed header itself.
    pub(super) length: usize,
    /// Bytes of the whole packet.
    pub(super) packet_length: usize,
    /// Whether Remaining Length used no byte too many.
    minimal: bool,
}

impl FixedHeader {
    /// Reads the header at the start of `bytes`; `Ok(None)` when more bytes are needed.
    ///
    /// `version` is `None` before CONNECT was read.
    // Its only caller takes the result apart at once: passed through memory it would cost more than it does.
    #[inline(always)]
    pub(super) fn read(
        bytes: &[u8],
        sender: Sender,
        version: Option<ProtocolVersion>,
    ) -> Result<Option<FixedHeader>, DecodeError> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let Some(packet_type) = PacketType::from_u8(first >> 4) else {
            return Err(DecodeError::malformed("packet type 0 is reserved"));
        };
        let flags = first & 0x0F;
        check_first_byte(packet_type, flags, sender, version).map_err(|error| error.within(packet_type))?;
        let (remaining, length, minimal) = match parse_varint(rest) {
            Varint::Incomplete => return Ok(None),
            Varint::TooLong => {
                return Err(
                    DecodeError::malformed("Remaining Length has more than four bytes").within(packet_type)
                );
            }
            Varint::Complete { value, length, minimal } => (value, 1 + length, minimal),
        };
        let packet_length = usize::try_from(remaining).unwrap_or(usize::MAX).saturating_add(length);
        let header = FixedHeader { packet_type, flags, length, packet_length, minimal };
        if let Some(version) = version {
            header.check_minimal(version)?;
        }
        Ok(Some(header))
    }

    /// 5.0 demands the shortest form of Remaining Length; 3.x does not say.
    pub(super) fn check_minimal(&self, version: ProtocolVersion) -> Result<(), DecodeError> {
        if version.is_v5() && !self.minimal {
            return Err(DecodeError::malformed(
                "Remaining Length uses more bytes than needed [MQTT-1.5.5-1]",
            )
            .within(self.packet_type));
        }
        Ok(())
    }

    /// Refuses a packet larger than what the reader has said it takes.
    pub(super) fn check_size(&self, max_packet_bytes: usize) -> Result<(), DecodeError> {
        if self.packet_length <= max_packet_bytes {
            return Ok(());
        }
        let message = format!("{} bytes, but at most {max_packet_bytes} are accepted", self.packet_length);
        Err(DecodeError::new(ReasonCode::PacketTooLarge, message).within(self.packet_type))
    }
}

/// What is known to be wrong from the first byte alone.
fn check_first_byte(
    packet_type: PacketType,
    flags: u8,
    sender: Sender,
    version: Option<ProtocolVersion>,
) -> Result<(), DecodeError> {
    let Some(version) = version else {
        // 3.1 has nothing to say about the reserved flags of CONNECT, and no client is known to set them.
        return match (packet_type, flags) {
            (PacketType::Connect, 0) => Ok(()),
            (PacketType::Connect, _) => Err(reserved_flags()),
            _ => Err(DecodeError::protocol("the first packet must be CONNECT [MQTT-3.1.0-1]")),
        };
    };
    if packet_type == PacketType::Connect && sender == Sender::Client {
        return Err(DecodeError::protocol("a second CONNECT [MQTT-3.1.0-2]"));
    }
    if packet_type == PacketType::Auth && !version.is_v5() {
        return Err(DecodeError::malformed("packet type 15 is reserved before 5.0"));
    }
    if !packet_type.may_come_from(sender, version) {
        return Err(DecodeError::protocol(match sender {
            Sender::Client => "only a server sends this packet",
            Sender::Server => "only a client sends this packet",
        }));
    }
    // 3.1 sets DUP and QoS in the repetition of these packets and leaves other flags undefined.
    let strict = version != ProtocolVersion::V3_1;
    match packet_type.required_flags() {
        Some(required) if strict && flags != required => Err(reserved_flags()),
        _ => Ok(()),
    }
}

fn reserved_flags() -> DecodeError {
    DecodeError::malformed("reserved flags are set wrongly [MQTT-2.1.3-1]")
}
