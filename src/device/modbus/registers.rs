//! What the registers and bits of a unit mean, and in which requests they are read.

use super::{MOST_BITS, MOST_REGISTERS, Request};
use crate::device::decoder::{BinaryField, Decoded};
use crate::device::expression::Scope;

/// The registers of a device.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::device) struct Registers {
    /// In the order of the reading.
    pub(in crate::device) fields: Vec<Register>,
}

/// One measurement and the registers that it takes.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct Register {
    /// 1 and 2 read bits, 3 and 4 registers.
    pub(in crate::device) function: u8,
    pub(in crate::device) address: u16,
    /// How many registers or bits.
    pub(in crate::device) count: u16,
    /// The field in these registers alone.
    pub(in crate::device) field: BinaryField,
}

impl Registers {
    /// What an answer says: function, address, data.
    pub(in crate::device) fn decode(&self, answer: &[u8], to: &mut Decoded) {
        let [function, high, low, data @ ..] = answer else { return };
        let first = u16::from_be_bytes([*high, *low]);
        if !matches!(function, 1..=4) {
            // A write was confirmed.
            to.absent = true;
            return;
        }
        for register in self.fields.iter().filter(|register| register.function == *function) {
            let Some(offset) = register.address.checked_sub(first).map(usize::from) else { continue };
            let count = usize::from(register.count);
            if matches!(function, 1 | 2) {
                if let Some(byte) = data.get(offset / 8) {
                    let bit = i64::from(byte >> (offset % 8) & 1);
                    let raw = crate::device::expression::Number::Whole(bit);
                    register.field.meaning.take(Some(raw), &Scope::default(), false, to);
                }
            } else if let Some(own) = data.get(offset * 2..(offset + count) * 2) {
                register.field.decode_alone(own, to);
            }
        }
    }

    /// Requests that read everything: neighbours go into one, up to `gap` registers that nobody named between them.
    pub(in crate::device) fn groups(&self, gap: u16) -> Vec<Request> {
        let mut wanted: Vec<(u8, u16, u16)> = self
            .fields
            .iter()
            .map(|one| (one.function, one.address, one.address.saturating_add(one.count)))
            .collect();
        wanted.sort_unstable();
        let mut groups: Vec<(u8, u16, u16)> = Vec::new();
        for (function, from, to) in wanted {
            let most = if matches!(function, 1 | 2) { MOST_BITS } else { MOST_REGISTERS };
            match groups.last_mut() {
                Some((last, start, end))
                    if *last == function
                        && from <= end.saturating_add(gap)
                        && to.saturating_sub(*start) <= most =>
                {
                    *end = (*end).max(to);
                }
                _ => groups.push((function, from, to)),
            }
        }
        groups.into_iter().map(|(function, from, to)| Request::read(0, function, from, to - from)).collect()
    }
}
