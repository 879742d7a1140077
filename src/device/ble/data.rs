//! Bytes of an advertisement, read at places; a place that is not there is a named problem, never a panic.

use crate::device::problem::{Problem, ProblemKind};

/// Why a format gives no measurements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is another format's.
    Foreign,
    /// It is this format's, and something is wrong with it.
    Bad(Problem),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Refusal {
        Refusal::Bad(problem)
    }
}

/// What came of reading: `Err` also for what is another format's.
pub(super) type Outcome<T = ()> = Result<T, Refusal>;

/// Goes on only if this is the format's.
pub(super) fn ensure(own: bool) -> Outcome {
    if own { Ok(()) } else { Err(Refusal::Foreign) }
}

/// The format is this one and says what it cannot say.
pub(super) fn bad(kind: ProblemKind, detail: &'static str) -> Refusal {
    Refusal::Bad(Problem::new(kind, detail))
}

fn truncated() -> Refusal {
    bad(ProblemKind::Truncated, "truncated: the advertisement is shorter than its format")
}

/// Some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Data<'a>(pub(super) &'a [u8]);

impl<'a> Data<'a> {
    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    /// `count` bytes from `at`.
    pub(super) fn slice(self, at: usize, count: usize) -> Outcome<&'a [u8]> {
        let end = at.checked_add(count).ok_or_else(truncated)?;
        self.0.get(at..end).ok_or_else(truncated)
    }

    /// Everything from `at`.
    pub(super) fn rest(self, at: usize) -> Outcome<&'a [u8]> {
        self.0.get(at..).ok_or_else(truncated)
    }

    pub(super) fn array<const N: usize>(self, at: usize) -> Outcome<[u8; N]> {
        self.slice(at, N)?.try_into().map_err(|_| truncated())
    }

    pub(super) fn u8(self, at: usize) -> Outcome<u8> {
        self.0.get(at).copied().ok_or_else(truncated)
    }

    pub(super) fn i8(self, at: usize) -> Outcome<i8> {
        self.u8(at).map(u8::cast_signed)
    }

    pub(super) fn bit(self, at: usize, bit: u8) -> Outcome<bool> {
        Ok(self.u8(at)? & (1 << bit) != 0)
    }

    pub(super) fn le_u16(self, at: usize) -> Outcome<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(super) fn be_u16(self, at: usize) -> Outcome<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    pub(super) fn le_i16(self, at: usize) -> Outcome<i16> {
        self.array(at).map(i16::from_le_bytes)
    }

    pub(super) fn be_i16(self, at: usize) -> Outcome<i16> {
        self.array(at).map(i16::from_be_bytes)
    }

    pub(super) fn le_u24(self, at: usize) -> Outcome<u32> {
        let [a, b, c] = self.array(at)?;
        Ok(u32::from_le_bytes([a, b, c, 0]))
    }

    pub(super) fn be_u24(self, at: usize) -> Outcome<u32> {
        let [a, b, c] = self.array(at)?;
        Ok(u32::from_be_bytes([0, a, b, c]))
    }

    pub(super) fn le_u32(self, at: usize) -> Outcome<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(super) fn be_u32(self, at: usize) -> Outcome<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    pub(super) fn le_f32(self, at: usize) -> Outcome<f32> {
        self.array(at).map(f32::from_le_bytes)
    }

    /// Exactly this long, or another format's.
    pub(super) fn exactly(self, length: usize) -> Outcome {
        ensure(self.len() == length)
    }

    /// At least this long; otherwise the format's and truncated.
    pub(super) fn at_least(self, length: usize) -> Outcome {
        if self.len() >= length { Ok(()) } else { Err(truncated()) }
    }
}

/// Bits from the least significant of the first byte on, as Victron packs them.
#[derive(Debug, Clone)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Bits<'a> {
        Bits { bytes, next: 0 }
    }

    /// The next `count` bits, at most 32; `None` when there are not as many.
    pub(super) fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for place in 0..count {
            let byte = self.bytes.get(self.next / 8)?;
            let bit = u32::from((byte >> (self.next % 8)) & 1);
            value |= bit << place;
            self.next += 1;
        }
        Some(value)
    }

    /// The same as two's complement.
    pub(super) fn take_signed(&mut self, count: usize) -> Option<i32> {
        let raw = self.take(count)?;
        let unused = u32::try_from(32_usize.checked_sub(count)?).ok()?;
        Some((raw << unused).cast_signed() >> unused)
    }
}
