//! Numbers and bits at their places in a frame.

use super::{Decoded, Meaning, ValueKind};
use crate::device::number::{self, NumberType, Position};

/// The fields of a binary frame.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct Binary {
    /// In the order of the reading.
    pub(in crate::device) fields: Vec<BinaryField>,
}

/// One field of a binary frame.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct BinaryField {
    /// What it means.
    pub(in crate::device) meaning: Meaning,
    /// Where its first byte stands.
    pub(in crate::device) at: Position,
    /// How its bytes are laid out.
    pub(in crate::device) number: NumberType,
    /// Which bits of it count: the lowest, and how many; `None`: all.
    pub(in crate::device) bits: Option<(u32, u32)>,
}

impl Binary {
    pub(super) fn decode(&self, frame: &[u8], to: &mut Decoded) {
        for field in &self.fields {
            field.decode(frame, to);
        }
    }
}

impl BinaryField {
    /// A field behind the end of a frame that may be shorter is not there; that is no problem.
    fn decode(&self, frame: &[u8], to: &mut Decoded) {
        let Some(bytes) =
            self.at.within(frame.len()).and_then(|at| frame.get(at..at.checked_add(self.number.bytes)?))
        else {
            return;
        };
        let raw = match self.bits {
            None => self.number.value(bytes),
            Some((lowest, count)) => {
                let mask = u64::MAX.checked_shr(64_u32.saturating_sub(count)).unwrap_or(0);
                let value = self.number.unsigned(bytes).checked_shr(lowest).unwrap_or(0) & mask;
                Some(number::from_u64(value))
            }
        };
        match raw {
            Some(raw) if self.meaning.kind == ValueKind::Switch => self.meaning.switch(raw != 0.0, to),
            Some(raw) => self.meaning.number(raw, to),
            // A float that is no number is how such devices say that there is none.
            None => to.absent = true,
        }
    }
}
