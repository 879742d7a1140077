//! Checksums that serial devices close their frames with.
//!
//! The CRCs are those of the RevEng catalogue, named as there where a device's maker has no common name for them;
//! each is tested against its catalogue check value.

use super::number::{ByteOrder, Position, Span};
use super::problem::{Problem, ProblemKind};

/// How a checksum is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChecksumKind {
    /// The sum of the bytes, modulo 256.
    Sum8,
    /// What makes the sum of the bytes 0 modulo 256.
    NegatedSum8,
    /// All bits of the sum inverted.
    InvertedSum8,
    /// All bytes combined by exclusive or.
    Xor8,
    /// The sum of the bytes, modulo 65536.
    Sum16,
    /// A cyclic redundancy check of 8 or 16 bits.
    Crc(&'static Crc),
}

/// Parameters of a CRC in the notation of the RevEng catalogue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crc {
    name: &'static str,
    sixteen: bool,
    polynomial: u16,
    start: u16,
    reflected: bool,
    xor_out: u16,
}

const fn crc(
    name: &'static str,
    sixteen: bool,
    polynomial: u16,
    start: u16,
    reflected: bool,
    xor_out: u16,
) -> Crc {
    Crc { name, sixteen, polynomial, start, reflected, xor_out }
}

/// The polynomials of reflected CRCs are given reflected: bits come lowest first.
static CRCS: [Crc; 10] = [
    crc("crc8-smbus", false, 0x07, 0x00, false, 0x00),
    crc("crc8-maxim", false, 0x8C, 0x00, true, 0x00),
    crc("crc8-nrsc5", false, 0x31, 0xFF, false, 0x00),
    crc("crc16-modbus", true, 0xA001, 0xFFFF, true, 0x0000),
    crc("crc16-arc", true, 0xA001, 0x0000, true, 0x0000),
    crc("crc16-x25", true, 0x8408, 0xFFFF, true, 0xFFFF),
    crc("crc16-kermit", true, 0x8408, 0x0000, true, 0x0000),
    crc("crc16-mcrf4xx", true, 0x8408, 0xFFFF, true, 0x0000),
    crc("crc16-xmodem", true, 0x1021, 0x0000, false, 0x0000),
    crc("crc16-ccitt-false", true, 0x1021, 0xFFFF, false, 0x0000),
];

impl Crc {
    fn of(&self, bytes: &[u8]) -> u16 {
        let (width, top) = if self.sixteen { (16_u32, 0x8000_u16) } else { (8, 0x80) };
        let mask = if self.sixteen { u16::MAX } else { 0xFF };
        let mut register = self.start;
        for byte in bytes {
            if self.reflected {
                register ^= u16::from(*byte);
                for _ in 0..8 {
                    let carry = register & 1 == 1;
                    register >>= 1;
                    register ^= if carry { self.polynomial } else { 0 };
                }
            } else {
                register ^= u16::from(*byte) << (width - 8);
                for _ in 0..8 {
                    let carry = register & top != 0;
                    register <<= 1;
                    register ^= if carry { self.polynomial } else { 0 };
                }
            }
        }
        (register & mask) ^ self.xor_out
    }
}

impl ChecksumKind {
    /// The names a profile may use.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        ["sum8", "negated-sum8", "inverted-sum8", "xor8", "sum16"]
            .into_iter()
            .chain(CRCS.iter().map(|crc| crc.name))
    }

    /// The kind of that name.
    pub(super) fn parse(name: &str) -> Option<ChecksumKind> {
        Some(match name {
            "sum8" => ChecksumKind::Sum8,
            "negated-sum8" => ChecksumKind::NegatedSum8,
            "inverted-sum8" => ChecksumKind::InvertedSum8,
            "xor8" => ChecksumKind::Xor8,
            "sum16" => ChecksumKind::Sum16,
            name => ChecksumKind::Crc(CRCS.iter().find(|crc| crc.name == name)?),
        })
    }

    /// How many bytes it has.
    pub(super) const fn width(self) -> usize {
        match self {
            ChecksumKind::Sum16 | ChecksumKind::Crc(Crc { sixteen: true, .. }) => 2,
            _ => 1,
        }
    }

    /// The checksum of `bytes`.
    pub(super) fn of(self, bytes: &[u8]) -> u16 {
        let sum = || bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        match self {
            ChecksumKind::Sum8 => sum().into(),
            ChecksumKind::NegatedSum8 => sum().wrapping_neg().into(),
            ChecksumKind::InvertedSum8 => (!sum()).into(),
            ChecksumKind::Xor8 => bytes.iter().fold(0_u8, |xor, byte| xor ^ byte).into(),
            ChecksumKind::Sum16 => bytes.iter().fold(0_u16, |sum, byte| sum.wrapping_add(u16::from(*byte))),
            ChecksumKind::Crc(crc) => crc.of(bytes),
        }
    }
}

/// Which bytes of a frame a checksum guards, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Checksum {
    /// How it is computed.
    pub(super) kind: ChecksumKind,
    /// Over which bytes.
    pub(super) over: Span,
    /// Where its first byte stands.
    pub(super) at: Position,
    /// Which of its bytes comes first.
    pub(super) order: ByteOrder,
    /// Whether it is written in hexadecimal digits.
    pub(super) hex: bool,
}

impl Checksum {
    /// How many bytes of the frame it takes.
    pub(super) fn width(&self) -> usize {
        if self.hex { 2 * self.kind.width() } else { self.kind.width() }
    }

    /// Whether the checksum of a frame holds.
    pub(super) fn verify(&self, frame: &[u8]) -> Result<(), Problem> {
        let said = self.said(frame);
        let computed = self.over.of(frame).map(|guarded| self.kind.of(guarded));
        if said.is_some() && said == computed {
            return Ok(());
        }
        let width = 2 * self.kind.width();
        let detail = match (said, computed) {
            (Some(said), Some(computed)) => {
                format!("the checksum is {computed:0width$X}, the frame says {said:0width$X}")
            }
            (None, Some(_)) => "the frame has no checksum where it must stand".to_owned(),
            (_, None) => "the frame is too short for its checksum".to_owned(),
        };
        Err(Problem::new(ProblemKind::Checksum, detail))
    }

    fn said(&self, frame: &[u8]) -> Option<u16> {
        let at = self.at.within(frame.len())?;
        let bytes = frame.get(at..at.checked_add(self.width())?)?;
        if self.hex {
            let digits = std::str::from_utf8(bytes).ok()?;
            let all_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            return all_digits.then(|| u16::from_str_radix(digits, 16).ok())?;
        }
        u16::try_from(self.order.read(bytes)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check values over "123456789" from the RevEng catalogue of CRC algorithms.
    #[test]
    fn every_crc_gives_its_catalogue_check_value() {
        let known = [
            ("crc8-smbus", 0xF4),
            ("crc8-maxim", 0xA1),
            ("crc8-nrsc5", 0xF7),
            ("crc16-modbus", 0x4B37),
            ("crc16-arc", 0xBB3D),
            ("crc16-x25", 0x906E),
            ("crc16-kermit", 0x2189),
            ("crc16-mcrf4xx", 0x6F91),
            ("crc16-xmodem", 0x31C3),
            ("crc16-ccitt-false", 0x29B1),
        ];
        assert_eq!(known.len(), CRCS.len());
        for (name, check) in known {
            let kind = ChecksumKind::parse(name).unwrap();
            assert_eq!(kind.of(b"123456789"), check, "{name}");
        }
    }

    #[test]
    fn every_name_parses() {
        for name in ChecksumKind::names() {
            assert!(ChecksumKind::parse(name).is_some(), "{name}");
        }
        assert_eq!(ChecksumKind::parse("sum9"), None);
    }

    #[test]
    fn sums_wrap() {
        assert_eq!(ChecksumKind::Sum8.of(&[0xFF, 0x02]), 0x01);
        assert_eq!(ChecksumKind::NegatedSum8.of(&[0x01]), 0xFF);
        assert_eq!(ChecksumKind::InvertedSum8.of(&[0x01]), 0xFE);
        assert_eq!(ChecksumKind::Xor8.of(&[0x0F, 0xFF]), 0xF0);
        assert_eq!(ChecksumKind::Sum16.of(&[0xFF; 300]), 0x2AD4);
    }
}
