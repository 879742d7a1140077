//! Numbers as devices write them: bytes of either order, and decimals rounded to the digits that were meant.

use std::ops::Range;

/// Which byte of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ByteOrder {
    /// The most significant.
    #[default]
    Big,
    /// The least significant.
    Little,
}

impl ByteOrder {
    /// The unsigned value of up to eight bytes.
    pub(super) fn read(self, bytes: &[u8]) -> u64 {
        let join = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
        match self {
            ByteOrder::Big => bytes.iter().fold(0, join),
            ByteOrder::Little => bytes.iter().rev().fold(0, join),
        }
    }
}

/// A place in a frame: counted from its first byte, or from behind its last one when negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(pub(super) i32);

impl Position {
    /// Where this is in a frame of `length` bytes; its end is a place too.
    pub(super) fn within(self, length: usize) -> Option<usize> {
        let from_start = usize::try_from(self.0.unsigned_abs()).ok()?;
        let place = if self.0 < 0 { length.checked_sub(from_start)? } else { from_start };
        (place <= length).then_some(place)
    }
}

/// A part of a frame, `from..to`, the latter not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The first byte.
    pub(super) from: Position,
    /// Behind the last byte; `None`: to the end of the frame.
    pub(super) to: Option<Position>,
}

impl Span {
    /// Reads `2..8`, `1..-4` or `4..`.
    pub(super) fn parse(text: &str) -> Option<Span> {
        let (from, to) = text.split_once("..")?;
        let from = Position(from.trim().parse().ok()?);
        let to = match to.trim() {
            "" => None,
            to => Some(Position(to.parse().ok()?)),
        };
        Some(Span { from, to })
    }

    /// The bytes of this part.
    pub(super) fn of(self, frame: &[u8]) -> Option<&[u8]> {
        let to = self.to.map_or(Some(frame.len()), |to| to.within(frame.len()))?;
        frame.get(Range { start: self.from.within(frame.len())?, end: to })
    }
}

/// How the bytes of a number are laid out: `u8`, `i16le`, `u24be`, `f32be`...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberType {
    class: Class,
    /// How many bytes it takes.
    pub(super) bytes: usize,
    order: ByteOrder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Unsigned,
    Signed,
    Float,
}

impl NumberType {
    /// Reads a type's name: `u` (unsigned), `i` (two's complement) or `f` (IEEE 754), the number of bits, and
    /// `be` or `le` where there is more than one byte.
    pub(super) fn parse(text: &str) -> Option<NumberType> {
        let (class, rest) = match text.split_at_checked(1)? {
            ("u", rest) => (Class::Unsigned, rest),
            ("i", rest) => (Class::Signed, rest),
            ("f", rest) => (Class::Float, rest),
            _ => return None,
        };
        let (bits, order) = match (rest.strip_suffix("be"), rest.strip_suffix("le")) {
            (Some(bits), _) => (bits, ByteOrder::Big),
            (_, Some(bits)) => (bits, ByteOrder::Little),
            (None, None) if rest == "8" => (rest, ByteOrder::Big),
            (None, None) => return None,
        };
        let bits: usize = bits.parse().ok()?;
        let good = match class {
            Class::Float => matches!(bits, 32 | 64),
            Class::Unsigned | Class::Signed => bits.is_multiple_of(8) && (8..=64).contains(&bits),
        };
        good.then_some(NumberType { class, bytes: bits / 8, order })
    }

    /// Whether it is a whole number, so that bits can be taken from it.
    pub(super) fn is_integer(self) -> bool {
        self.class != Class::Float
    }

    /// The unsigned value of `bytes`, as many as the type has.
    pub(super) fn unsigned(self, bytes: &[u8]) -> u64 {
        self.order.read(bytes)
    }

    /// The value of `bytes`, as many as the type has; `None` for what is no number (NaN, infinity).
    pub(super) fn value(self, bytes: &[u8]) -> Option<f64> {
        let raw = self.order.read(bytes);
        let value = match (self.class, self.bytes) {
            (Class::Unsigned, _) => from_u64(raw),
            (Class::Signed, count) => from_i64(extend_sign(raw, count)),
            (Class::Float, 4) => shortest(f32::from_bits(u32::try_from(raw).ok()?)),
            (Class::Float, _) => f64::from_bits(raw),
        };
        value.is_finite().then_some(value)
    }
}

/// Two's complement of `count` bytes.
fn extend_sign(raw: u64, count: usize) -> i64 {
    let unused = u32::try_from(64_usize.saturating_sub(count * 8)).unwrap_or(0);
    (raw << unused).cast_signed() >> unused
}

/// The decimal number that a 32-bit float was made from: 230.2, not 230.1999969482422.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::NAN)
}

/// The nearest `f64`; exact up to 53 bits.
pub(super) fn from_u64(value: u64) -> f64 {
    let low = u32::try_from(value & 0xFFFF_FFFF).unwrap_or(0);
    let high = u32::try_from(value >> 32).unwrap_or(0);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// The nearest `f64`; exact up to 53 bits.
pub(super) fn from_i64(value: i64) -> f64 {
    let magnitude = from_u64(value.unsigned_abs());
    if value < 0 { -magnitude } else { magnitude }
}

/// Digits behind the point that `value` is written with.
pub(super) fn decimals_of(value: f64) -> u8 {
    let text = value.to_string();
    let digits = text.split_once('.').map_or(0, |(_, digits)| digits.len());
    u8::try_from(digits).unwrap_or(u8::MAX)
}

/// The `f64` nearest to `value` written with `decimals` digits behind the point.
///
/// A division of two exact numbers rounds once, so 1236 tenths give 123.6 and not 123.60000000000001.
pub(super) fn round(value: f64, decimals: u8) -> f64 {
    if decimals > 15 {
        return value;
    }
    let power = 10_f64.powi(i32::from(decimals));
    let scaled = value * power;
    if scaled.abs() >= 9_007_199_254_740_992.0 {
        return value;
    }
    // No negative zero: nobody means one.
    scaled.round() / power + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_both_orders_and_signs() {
        let read = |name: &str, bytes: &[u8]| NumberType::parse(name).unwrap().value(bytes);
        assert_eq!(read("u8", &[0xFF]), Some(255.0));
        assert_eq!(read("i8", &[0xFF]), Some(-1.0));
        assert_eq!(read("u16be", &[1, 2]), Some(258.0));
        assert_eq!(read("u16le", &[1, 2]), Some(513.0));
        assert_eq!(read("i24be", &[0xFF, 0xFF, 0xFE]), Some(-2.0));
        assert_eq!(read("i64le", &[0xFE, 255, 255, 255, 255, 255, 255, 255]), Some(-2.0));
        assert_eq!(read("u64be", &[255; 8]), Some(18_446_744_073_709_551_615.0));
        assert_eq!(read("f32be", &[0x43, 0x66, 0x33, 0x33]), Some(230.2));
        assert_eq!(read("f32be", &[0x7F, 0xC0, 0, 0]), None, "NaN is no number");
        for bad in ["", "u", "u16", "u7be", "u72le", "f16be", "x8", "i0be", "ü8"] {
            assert_eq!(NumberType::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_have_the_digits_that_were_meant() {
        assert_eq!(round(1236.0 * 0.1, 1), 123.6);
        assert_eq!(round(64.0 * 0.0254, decimals_of(0.0254)), 1.6256);
        assert_eq!(round(-0.000_4, 2).to_string(), "0");
        assert_eq!((decimals_of(0.1), decimals_of(10.0), decimals_of(0.125)), (1, 0, 3));
    }

    #[test]
    fn positions_count_from_either_end() {
        let frame = [0, 1, 2, 3, 4, 5];
        assert_eq!(Span::parse("2..4").unwrap().of(&frame), Some(&frame[2..4]));
        assert_eq!(Span::parse("1..-2").unwrap().of(&frame), Some(&frame[1..4]));
        assert_eq!(Span::parse("-2..").unwrap().of(&frame), Some(&frame[4..6]));
        assert_eq!(Span::parse("4..2").unwrap().of(&frame), None);
        assert_eq!(Span::parse("-7..").unwrap().of(&frame), None);
        assert_eq!(Span::parse("2"), None);
    }
}
