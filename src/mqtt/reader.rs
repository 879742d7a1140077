//! Reads the data types of section 1.5 from the bytes of one packet. Slices, never copies.

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use super::{DecodeError, PacketIdentifier, TopicName};

/// What is left of a packet, or of one part of it.
#[derive(Debug)]
pub(super) struct Reader {
    rest: Bytes,
}

/// The result of looking for a Variable Byte Integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Varint {
    /// It goes on behind the end of the bytes.
    Incomplete,
    /// A fourth byte says that a fifth follows.
    TooLong,
    /// It is all there.
    Complete {
        value: u32,
        /// Its bytes, 1 to 4.
        length: usize,
        /// Whether it could not have been shorter.
        minimal: bool,
    },
}

/// Reads the Variable Byte Integer at the start of `bytes` (section 1.5.5).
#[inline]
pub(super) fn parse_varint(bytes: &[u8]) -> Varint {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return Varint::Complete { value, length: index + 1, minimal: byte != 0 || index == 0 };
        }
    }
    if bytes.len() < 4 { Varint::Incomplete } else { Varint::TooLong }
}

impl Reader {
    pub(super) const fn new(rest: Bytes) -> Reader {
        Reader { rest }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes left.
    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.rest.try_get_u8().map_err(|_| too_short())
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.rest.try_get_u16().map_err(|_| too_short())
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.rest.try_get_u32().map_err(|_| too_short())
    }

    /// A Variable Byte Integer in the body of a packet of 5.0.
    pub(super) fn varint(&mut self) -> Result<u32, DecodeError> {
        match parse_varint(&self.rest) {
            Varint::Complete { value, length, minimal: true } => {
                self.rest.advance(length);
                Ok(value)
            }
            Varint::Complete { .. } => Err(DecodeError::malformed(
                "a variable byte integer uses more bytes than needed [MQTT-1.5.5-1]",
            )),
            Varint::TooLong => {
                Err(DecodeError::malformed("a variable byte integer has more than four bytes"))
            }
            Varint::Incomplete => Err(too_short()),
        }
    }

    /// The next `length` bytes.
    fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.rest.len() {
            return Err(too_short());
        }
        Ok(self.rest.split_to(length))
    }

    /// Binary Data: two bytes of length, then the bytes.
    pub(super) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let length = usize::from(self.u16()?);
        self.take(length)
    }

    /// A UTF-8 Encoded String `[MQTT-1.5.4-1]` `[MQTT-1.5.4-2]`; in 3.1.1 `[MQTT-1.5.3-1]` `[MQTT-1.5.3-2]`.
    /// A byte order mark stays where it is `[MQTT-1.5.4-3]`.
    pub(super) fn text(&mut self) -> Result<ByteString, DecodeError> {
        let text = self.utf8()?;
        if text.as_bytes().contains(&0) {
            return Err(DecodeError::malformed("a string contains the null character [MQTT-1.5.4-2]"));
        }
        Ok(text)
    }

    /// A topic name: a string without wildcards `[MQTT-3.3.2-2]`, at least one character long `[MQTT-4.7.3-1]`.
    pub(super) fn topic_name(&mut self) -> Result<TopicName, DecodeError> {
        Ok(TopicName::parse(self.utf8()?)?)
    }

    /// A string that may contain the null character.
    pub(super) fn utf8(&mut self) -> Result<ByteString, DecodeError> {
        // Rust's UTF-8 excludes surrogates and overlong forms, as the standard does.
        ByteString::try_from(self.binary()?)
            .map_err(|_| DecodeError::malformed("a string is not UTF-8 [MQTT-1.5.4-1]"))
    }

    /// A packet identifier, never zero `[MQTT-2.2.1-3]`; in 3.1.1 `[MQTT-2.3.1-1]`.
    pub(super) fn packet_identifier(&mut self) -> Result<PacketIdentifier, DecodeError> {
        PacketIdentifier::new(self.u16()?)
            .ok_or_else(|| DecodeError::malformed("packet identifier 0 [MQTT-2.2.1-3]"))
    }

    /// All that is left.
    pub(super) fn into_rest(self) -> Bytes {
        self.rest
    }

    /// Checks that nothing is left.
    pub(super) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(DecodeError::malformed("bytes are left over at the end"))
    }
}

fn too_short() -> DecodeError {
    DecodeError::malformed("a field reaches behind the end")
}
