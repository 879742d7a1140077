//! Writes the data types of section 1.5. What writes a packet into a [`Sink`] also measures it: a body is
//! described once, and read twice, first by [`Measure`], then by a buffer.

use bytes::{BufMut, BytesMut};

use super::EncodeError;

/// The longest Remaining Length, and the largest value of a Variable Byte Integer.
pub(super) const VARINT_MAX: usize = 268_435_455;

/// Where a packet is written to.
pub(super) trait Sink {
    fn bytes(&mut self, bytes: &[u8]);

    /// Binary Data or a UTF-8 string: its length in two bytes, then itself.
    fn binary(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.bytes(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// A Variable Byte Integer in its shortest form `[MQTT-1.5.5-1]`.
    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.u8(low_seven_bits(value) | 0x80);
            value >>= 7;
        }
        self.u8(low_seven_bits(value));
    }

    /// The properties of a packet with their length; a lone zero when there is none `[MQTT-2.2.2-1]`.
    fn properties(&mut self, section: &impl Section)
    where
        Self: Sized,
    {
        self.varint(section.length());
        section.write(self);
    }
}

/// The properties of a packet.
pub(super) trait Section {
    /// Writes them one after the other, without their length.
    fn write(&self, sink: &mut impl Sink);

    /// Their length in bytes.
    fn length(&self) -> usize {
        let mut measure = Measure::default();
        self.write(&mut measure);
        measure.bytes
    }
}

/// A sink that only counts.
#[derive(Debug, Default)]
pub(super) struct Measure {
    /// Bytes so far.
    pub(super) bytes: usize,
    overlong: bool,
}

impl Measure {
    /// The length, if every field and the whole can be expressed.
    pub(super) fn expressible(self) -> Result<usize, EncodeError> {
        if self.overlong || self.bytes > VARINT_MAX {
            return Err(EncodeError::TooLong);
        }
        Ok(self.bytes)
    }
}

impl Sink for Measure {
    fn bytes(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
    }

    fn binary(&mut self, bytes: &[u8]) {
        self.overlong |= bytes.len() > usize::from(u16::MAX);
        self.bytes += 2 + bytes.len();
    }

    fn varint(&mut self, value: usize) {
        self.overlong |= value > VARINT_MAX;
        self.bytes += varint_length(value);
    }
}

impl Sink for BytesMut {
    fn bytes(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }

    fn binary(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        assert_eq!(usize::from(length), bytes.len(), "measured before it is written");
        self.put_u16(length);
        self.put_slice(bytes);
    }
}

/// Bytes that a Variable Byte Integer takes.
pub(super) const fn varint_length(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

fn low_seven_bits(value: usize) -> u8 {
    u8::try_from(value & 0x7F).unwrap_or(0)
}
