//! The only source of chance in the simulation: the same seed gives the same numbers on every machine.
//!
//! Good enough to choose what happens next; never for secrets.

use crate::crash_disk::Rng;

/// A stream of numbers that a seed determines.
#[derive(Debug, Clone)]
pub struct Random(Rng);

impl Random {
    pub fn new(seed: u64) -> Random {
        // Neighbouring seeds must not give neighbouring histories.
        Random(Rng::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x7469_6465_6761_7465))
    }

    pub fn number(&mut self) -> u64 {
        self.0.next()
    }

    /// A stream of its own, so that one part's use of chance does not shift another's.
    pub fn fork(&mut self) -> Random {
        Random::new(self.number())
    }

    /// From 0 up to and without `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.below(end)
    }

    /// From `low` up to and with `high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.index(choices.len())]
    }

    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("an index")
    }
}
