//! What devices say over a Bluetooth connection: the values of characteristics become measurements.
//!
//! A device is data here, too: `[gatt]` and `[[characteristic]]` of a [`Profile`] say what is read, what is listened
//! to, and what the bytes mean. Values that only two notifications together tell (revolutions per minute) are kept
//! count of here. Never connects: that is the adapter's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::ble::Uuid;
use super::decoder::{Binary, Decoded};
use super::expression::{Expression, Scope};
use super::listener::Found;
use super::number;
use super::problem::{Problem, ProblemKind};
use super::profile::Profile;
use crate::limits;
use crate::reading::{MeasurementName, Unit, Value};

/// How a device is read over a connection.
#[derive(Debug, Clone)]
pub struct Gatt {
    /// How often it is read.
    pub interval: Duration,
    /// Whether the connection is kept, and its notifications listened to; otherwise it is closed after each reading.
    pub stay: bool,
    /// What is written before anything is read.
    pub begin: Vec<(Uuid, Bytes)>,
    /// The characteristic whose notifications are a stream of bytes, which `[frame]` and `[decode]` read.
    pub stream: Option<Uuid>,
    /// What is read and listened to; what a device does not have is left out.
    pub characteristics: Vec<Characteristic>,
}

/// One characteristic.
#[derive(Debug, Clone)]
pub struct Characteristic {
    /// Which.
    pub uuid: Uuid,
    /// Whether the device is asked to notify.
    pub listen: bool,
    /// Whether it never changes: it is read in the first connection only.
    pub once: bool,
    pub(super) meaning: Binary,
    pub(super) rates: Vec<Rate>,
}

/// A rate that two values together tell: the difference of a counter by that of a clock, both of which begin anew.
#[derive(Debug, Clone)]
pub(super) struct Rate {
    pub(super) name: MeasurementName,
    pub(super) unit: Option<Unit>,
    pub(super) count: Expression,
    pub(super) count_bits: u32,
    pub(super) ticks: Expression,
    pub(super) tick_bits: u32,
    pub(super) ticks_per_second: f64,
    pub(super) scale: f64,
    pub(super) decimals: u8,
}

/// Counter and clock of a rate as they were last.
type Last = (i64, i64);

/// Reads the values of one device's characteristics.
#[derive(Debug)]
pub struct GattReader {
    profile: Arc<Profile>,
    last: HashMap<MeasurementName, Last>,
}

impl GattReader {
    /// A reader that has seen nothing yet.
    #[must_use]
    pub fn new(profile: Arc<Profile>) -> GattReader {
        GattReader { profile, last: HashMap::new() }
    }

    /// What was counted before does not belong to what comes now: another connection.
    pub fn begin(&mut self) {
        self.last.clear();
    }

    /// What the value of a characteristic says: its problems first, then what is good of it. A value that says of
    /// everything that it is not known gives nothing.
    pub fn read(&mut self, uuid: Uuid, value: &[u8], found: &mut dyn FnMut(Found)) {
        let Some(gatt) = &self.profile.gatt else { return };
        let Some(characteristic) = gatt.characteristics.iter().find(|one| one.uuid == uuid) else { return };
        if value.len() > limits::GATT_VALUE {
            let problem = Problem::new(ProblemKind::TooLong, "a value has at most 512 bytes");
            return found(Err(problem));
        }
        let mut decoded = Decoded::default();
        characteristic.meaning.decode(value, &mut decoded);
        let mut is_first = false;
        for rate in &characteristic.rates {
            is_first |= rate.take(value, &mut self.last, &mut decoded).is_none();
        }
        let nothing_said = decoded.problems.is_empty();
        decoded.problems.into_iter().for_each(|problem| found(Err(problem)));
        if !decoded.measurements.is_empty() {
            found(Ok(decoded.measurements));
        } else if nothing_said && !decoded.absent && !is_first {
            let detail =
                "the value is shorter than the characteristic, or holds nothing that the profile names";
            found(Err(Problem::new(ProblemKind::Truncated, detail)));
        }
    }
}

impl Rate {
    /// `None`: this value alone does not tell it.
    fn take(&self, bytes: &[u8], last: &mut HashMap<MeasurementName, Last>, to: &mut Decoded) -> Option<()> {
        let scope = Scope { bytes, ..Scope::default() };
        let count = self.count.evaluate(&scope)?.whole()?;
        let ticks = self.ticks.evaluate(&scope)?.whole()?;
        let (count_before, ticks_before) = last.insert(self.name.clone(), (count, ticks))?;
        let turned = difference(count, count_before, self.count_bits)?;
        let passed = difference(ticks, ticks_before, self.tick_bits)?;
        // Nothing turned since: the device repeats the time of the last event.
        let rate = match (turned, passed) {
            (0, _) => 0.0,
            (_, 0) => return None,
            _ => number::from_i64(turned) / number::from_i64(passed) * self.ticks_per_second * self.scale,
        };
        to.put(&self.name, Value::Number(number::round(rate, self.decimals)), self.unit.as_ref());
        Some(())
    }
}

/// How far a counter of so many bits has come.
fn difference(now: i64, before: i64, bits: u32) -> Option<i64> {
    let modulus = 1_i64.checked_shl(bits).filter(|modulus| *modulus > 0)?;
    now.checked_sub(before).map(|difference| difference.rem_euclid(modulus))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_begin_anew() {
        assert_eq!(difference(3, 65_534, 16), Some(5));
        assert_eq!(difference(3, 4_294_967_295, 32), Some(4));
        assert_eq!(difference(7, 7, 16), Some(0));
    }
}
