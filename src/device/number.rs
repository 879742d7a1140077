//! Numbers as devices write them: bytes of either order, and decimals rounded to the digits that were meant.

use std::ops::Range;

use smallvec::SmallVec;

use super::expression::Number;

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

/// How the bytes of a number are laid out: `u8`, `i16le`, `u24be`, `f32cdab`, `bcd32le`, `digits4`...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberType {
    class: Class,
    /// How many bytes it takes.
    pub(super) bytes: usize,
    order: Order,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Unsigned,
    Signed,
    SignMagnitude,
    Float,
    /// Two decimal digits in each byte.
    Bcd,
    /// A number as text, blanks around it.
    Digits,
}

/// In which order bytes come. A register of Modbus is a word of two bytes; who wrote the device decides which of two
/// words comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The most significant first.
    Big,
    /// The least significant first.
    Little,
    /// The least significant word first, the more significant byte of each first.
    WordsSwapped,
    /// The most significant word first, the less significant byte of each first.
    BytesSwapped,
}

impl NumberType {
    /// Reads a type's name: a letter for its class, the number of bits, and the byte order where there is more than
    /// one byte. `u` is unsigned, `i` two's complement, `s` sign and magnitude, `f` IEEE 754, `bcd` two decimal
    /// digits in a byte; `digits` and a number of bytes is a number written as text.
    pub(super) fn parse(text: &str) -> Option<NumberType> {
        if let Some(count) = text.strip_prefix("digits") {
            let bytes = count.parse().ok().filter(|count| (1..=20).contains(count))?;
            return Some(NumberType { class: Class::Digits, bytes, order: Order::Big });
        }
        let (class, rest) = match text.strip_prefix("bcd") {
            Some(rest) => (Class::Bcd, rest),
            None => match text.split_at_checked(1)? {
                ("u", rest) => (Class::Unsigned, rest),
                ("i", rest) => (Class::Signed, rest),
                ("s", rest) => (Class::SignMagnitude, rest),
                ("f", rest) => (Class::Float, rest),
                _ => return None,
            },
        };
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (bits, order) = rest.split_at_checked(digits)?;
        let bits: usize = bits.parse().ok()?;
        let order = match order {
            "be" => Order::Big,
            "le" => Order::Little,
            "cdab" if bits >= 32 && bits.is_multiple_of(16) => Order::WordsSwapped,
            "badc" if bits >= 32 && bits.is_multiple_of(16) => Order::BytesSwapped,
            "" if bits == 8 => Order::Big,
            _ => return None,
        };
        let good = match class {
            Class::Float => matches!(bits, 32 | 64),
            _ => bits.is_multiple_of(8) && (8..=64).contains(&bits),
        };
        good.then_some(NumberType { class, bytes: bits / 8, order })
    }

    /// Whether it is a whole number, so that bits can be taken from it.
    pub(super) fn is_integer(self) -> bool {
        !matches!(self.class, Class::Float | Class::Digits)
    }

    /// The unsigned value of `bytes`, as many as the type has.
    pub(super) fn unsigned(self, bytes: &[u8]) -> u64 {
        match self.order {
            Order::Big => ByteOrder::Big.read(bytes),
            Order::Little => ByteOrder::Little.read(bytes),
            Order::WordsSwapped => ByteOrder::Big.read(&reversed_words(bytes)),
            Order::BytesSwapped => {
                let mut little = reversed_words(bytes);
                little.reverse();
                ByteOrder::Big.read(&little)
            }
        }
    }

    /// The value of `bytes`, as many as the type has; `None` for what is no number (NaN, infinity, a digit of BCD
    /// above 9).
    pub(super) fn number(self, bytes: &[u8]) -> Option<Number> {
        let raw = || self.unsigned(bytes);
        let whole =
            |value: u64| i64::try_from(value).map_or_else(|_| Number::Real(from_u64(value)), Number::Whole);
        Some(match self.class {
            Class::Unsigned => whole(raw()),
            Class::Signed => Number::Whole(extend_sign(raw(), self.bytes)),
            Class::SignMagnitude => {
                let sign = 1_u64.checked_shl(u32::try_from(self.bytes * 8).ok()?.checked_sub(1)?)?;
                let magnitude = i64::try_from(raw() & (sign - 1)).ok()?;
                Number::Whole(if raw() & sign == 0 { magnitude } else { -magnitude })
            }
            Class::Float => {
                let value = match self.bytes {
                    4 => shortest(f32::from_bits(u32::try_from(raw()).ok()?)),
                    _ => f64::from_bits(raw()),
                };
                Number::Real(value).filter_finite()?
            }
            Class::Bcd => whole(bcd(raw())?),
            Class::Digits => {
                let text = std::str::from_utf8(bytes).ok()?.trim();
                match text.parse() {
                    Ok(whole) => Number::Whole(whole),
                    Err(_) => Number::Real(text.parse().ok()?).filter_finite()?,
                }
            }
        })
    }
}

impl NumberType {
    /// `value` as it is written; `None` where it does not fit.
    pub(super) fn bytes_of(self, value: f64) -> Option<Vec<u8>> {
        let bits = u32::try_from(self.bytes * 8).ok()?;
        let whole = || to_i64(value);
        let fits = |limit: u32| whole().filter(|whole| limit >= 63 || *whole < 1_i64 << limit);
        let raw = match self.class {
            Class::Unsigned => fits(bits)?.try_into().ok()?,
            Class::Signed => {
                let whole = fits(bits - 1)?;
                (bits >= 63 || whole >= -(1_i64 << (bits - 1))).then_some(whole.cast_unsigned())?
            }
            Class::SignMagnitude => {
                let magnitude = whole()?.unsigned_abs();
                let sign = if value < 0.0 { 1_u64 << (bits - 1) } else { 0 };
                (magnitude < 1_u64 << (bits - 1)).then_some(magnitude | sign)?
            }
            Class::Float if self.bytes == 4 => value.to_string().parse::<f32>().ok()?.to_bits().into(),
            Class::Float => value.to_bits(),
            Class::Bcd => {
                let digits = u64::try_from(whole()?).ok()?.to_string();
                (digits.len() <= self.bytes * 2).then(|| u64::from_str_radix(&digits, 16).ok())??
            }
            Class::Digits => {
                let text = format!("{value:0width$}", width = self.bytes);
                return (text.len() == self.bytes).then(|| text.into_bytes());
            }
        };
        let big = raw.to_be_bytes();
        let mut bytes = big.get(8 - self.bytes..)?.to_vec();
        match self.order {
            Order::Big => {}
            Order::Little => bytes.reverse(),
            Order::WordsSwapped => bytes = reversed_words(&bytes).to_vec(),
            Order::BytesSwapped => {
                bytes = reversed_words(&bytes).to_vec();
                bytes.reverse();
            }
        }
        Some(bytes)
    }

    /// The value of the lowest `count` bits, which were taken from a number of this type.
    pub(super) fn of_bits(self, value: u64, count: u32) -> Option<Number> {
        let unused = 64_u32.checked_sub(count)?;
        match self.class {
            Class::Signed => Some(Number::Whole((value << unused).cast_signed() >> unused)),
            Class::Bcd => bcd(value).map(|value| Number::of(from_u64(value))),
            _ => Some(Number::of(from_u64(value))),
        }
    }
}

impl Number {
    fn filter_finite(self) -> Option<Number> {
        self.as_f64().is_finite().then_some(self)
    }
}

/// The words of two bytes in the opposite order.
fn reversed_words(bytes: &[u8]) -> SmallVec<[u8; 8]> {
    bytes.rchunks(2).flatten().copied().collect()
}

/// What the decimal digits of `raw` mean, four bits each.
pub(super) fn bcd(raw: u64) -> Option<u64> {
    (0..16).rev().try_fold(0_u64, |value, digit| {
        let digit = raw >> (digit * 4) & 0xF;
        (digit < 10).then_some(value.checked_mul(10)?.checked_add(digit)?)
    })
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

/// The whole number that `value` is, if it is one and exact.
pub(super) fn to_i64(value: f64) -> Option<i64> {
    if value.fract() != 0.0 || value.abs() >= 9_007_199_254_740_992.0 {
        return None;
    }
    let magnitude = value.abs();
    let high = (magnitude / 4_294_967_296.0).floor();
    let low = magnitude - high * 4_294_967_296.0;
    let part = |part: f64| (0..32).rev().fold((0_i64, part), take_bit).0;
    let whole = (part(high) << 32) + part(low);
    Some(if value < 0.0 { -whole } else { whole })
}

/// Moves the bit of weight 2^`bit` from the number to the whole one.
fn take_bit((whole, rest): (i64, f64), bit: u32) -> (i64, f64) {
    let weight = f64::from(1_u32 << bit);
    if rest >= weight { (whole | 1 << bit, rest - weight) } else { (whole, rest) }
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
        let read =
            |name: &str, bytes: &[u8]| NumberType::parse(name).unwrap().number(bytes).map(Number::as_f64);
        assert_eq!(read("u8", &[0xFF]), Some(255.0));
        assert_eq!(read("i8", &[0xFF]), Some(-1.0));
        assert_eq!(read("u16be", &[1, 2]), Some(258.0));
        assert_eq!(read("u16le", &[1, 2]), Some(513.0));
        assert_eq!(read("i24be", &[0xFF, 0xFF, 0xFE]), Some(-2.0));
        assert_eq!(read("i64le", &[0xFE, 255, 255, 255, 255, 255, 255, 255]), Some(-2.0));
        assert_eq!(read("u64be", &[255; 8]), Some(18_446_744_073_709_551_615.0));
        assert_eq!(read("f32be", &[0x43, 0x66, 0x33, 0x33]), Some(230.2));
        assert_eq!(read("f32be", &[0x7F, 0xC0, 0, 0]), None, "NaN is no number");
        assert_eq!(read("u32cdab", &[0x26, 0x94, 0x00, 0x01]), Some(75_412.0));
        assert_eq!(read("f32cdab", &[0x33, 0x33, 0x43, 0x66]), Some(230.2));
        assert_eq!(read("u32badc", &[0x01, 0x00, 0x94, 0x26]), Some(75_412.0));
        assert_eq!(read("s16be", &[0x80, 0x05]), Some(-5.0));
        assert_eq!(read("s16le", &[0x05, 0x00]), Some(5.0));
        assert_eq!(read("bcd32le", &[0x95, 0x08, 0x12, 0x11]), Some(11_120_895.0));
        assert_eq!(read("bcd8", &[0x1A]), None, "A is no decimal digit");
        assert_eq!(read("digits5", b" 12.5"), Some(12.5));
        assert_eq!(read("digits4", b"12x4"), None);
        for bad in
            ["", "u", "u16", "u7be", "u72le", "f16be", "x8", "i0be", "ü8", "u16cdab", "bcd", "digits0", "u8x"]
        {
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
    fn what_is_written_is_read_again() {
        for (name, value) in [
            ("u8", 255.0),
            ("i16le", -32_768.0),
            ("u32cdab", 75_412.0),
            ("u32badc", 75_412.0),
            ("f32be", 230.2),
            ("f64le", -1.5),
            ("s16be", -5.0),
            ("bcd32le", 11_120_895.0),
            ("digits4", 42.0),
            ("i64be", -3.0),
        ] {
            let number = NumberType::parse(name).unwrap();
            let bytes = number.bytes_of(value).unwrap();
            assert_eq!(number.number(&bytes).map(Number::as_f64), Some(value), "{name}");
        }
        for (name, value) in [
            ("u8", 256.0),
            ("u8", -1.0),
            ("i8", 128.0),
            ("i8", -129.0),
            ("u16be", 0.5),
            ("bcd8", 100.0),
            ("s8", 128.0),
        ] {
            assert_eq!(NumberType::parse(name).unwrap().bytes_of(value), None, "{name} {value}");
        }
    }

    #[test]
    fn whole_numbers_are_told_from_others() {
        for value in [0.0, -1.0, 4_294_967_296.0, 9_007_199_254_740_991.0, -123_456_789_012.0] {
            assert_eq!(to_i64(value).map(from_i64), Some(value));
        }
        assert_eq!((to_i64(0.5), to_i64(1e300), to_i64(f64::NAN)), (None, None, None));
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
