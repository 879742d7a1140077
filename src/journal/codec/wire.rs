//! The smallest parts: numbers, texts, byte strings.

use bytes::Bytes;
use bytestring::ByteString;

/// These bytes were not written by this encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub(in crate::journal) struct Malformed(pub(in crate::journal) &'static str);

type Result<T> = std::result::Result<T, Malformed>;

/// Writing at the end of a buffer.
pub(in crate::journal) trait Put {
    fn put_u8(&mut self, value: u8);
    fn put_u32_le(&mut self, value: u32);
    fn put_u64_le(&mut self, value: u64);
    fn put_varint(&mut self, value: u64);
    fn put_signed(&mut self, value: i64);
    fn put_bytes(&mut self, value: &[u8]);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u32_le(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64_le(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            let [low, ..] = value.to_le_bytes();
            self.push(low | 0x80);
            value >>= 7;
        }
        let [low, ..] = value.to_le_bytes();
        self.push(low);
    }

    fn put_signed(&mut self, value: i64) {
        self.put_varint(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    fn put_bytes(&mut self, value: &[u8]) {
        self.put_varint(u64::try_from(value.len()).unwrap_or(u64::MAX));
        self.extend_from_slice(value);
    }
}

/// Reading from the front of a slice.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(in crate::journal) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(in crate::journal) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(in crate::journal) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(in crate::journal) fn finish(&self, what: &'static str) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(Malformed(what)) }
    }

    pub(in crate::journal) fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const LENGTH: usize>(&mut self, what: &'static str) -> Result<[u8; LENGTH]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(in crate::journal) fn u8(&mut self, what: &'static str) -> Result<u8> {
        self.array(what).map(|[byte]| byte)
    }

    pub(in crate::journal) fn u32_le(&mut self, what: &'static str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(in crate::journal) fn u64_le(&mut self, what: &'static str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    pub(in crate::journal) fn varint(&mut self, what: &'static str) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed(what))
    }

    /// A varint that must fit a smaller type.
    pub(in crate::journal) fn number<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T> {
        T::try_from(self.varint(what)?).map_err(|_| Malformed(what))
    }

    pub(in crate::journal) fn signed(&mut self, what: &'static str) -> Result<i64> {
        let value = self.varint(what)?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// A flag byte; nothing but 0 and 1.
    pub(in crate::journal) fn flag(&mut self, what: &'static str) -> Result<bool> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed(what)),
        }
    }

    pub(in crate::journal) fn slice(&mut self, what: &'static str) -> Result<&'a [u8]> {
        let length = self.number(what)?;
        self.take(length, what)
    }

    /// Copied: a slice of what was read would hold a whole block of the file in memory.
    pub(in crate::journal) fn bytes(&mut self, what: &'static str) -> Result<Bytes> {
        self.slice(what).map(Bytes::copy_from_slice)
    }

    pub(in crate::journal) fn str(&mut self, what: &'static str) -> Result<&'a str> {
        std::str::from_utf8(self.slice(what)?).map_err(|_| Malformed(what))
    }

    pub(in crate::journal) fn text(&mut self, what: &'static str) -> Result<ByteString> {
        self.str(what).map(ByteString::from)
    }
}
