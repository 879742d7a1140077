//! Turns one whole frame into measurements, as a profile says: one file per encoding.
//!
//! A bad part of a frame is a [`Problem`] and leaves the good parts. Never sees bytes that are not a whole frame.

mod binary;
mod csv;
mod json;
mod key_value;
mod labelled;
mod meaning;
mod pattern;

pub(super) use binary::{Binary, BinaryField, Intermediate, Place, Repeat, TextType};
pub(super) use csv::Csv;
pub(super) use json::{Json, JsonField, Path};
pub(super) use key_value::{KeyValue, KeyValueField};
pub(super) use labelled::{Labelled, LabelledField};
pub(super) use meaning::{Arithmetic, Lookup, Meaning, ValueKind};
pub(super) use pattern::{Pattern, PatternField, ScaleBy};

use smallvec::SmallVec;

use super::modbus::Registers;
use super::problem::{Problem, ProblemKind};
use super::protocol::{EnOcean, Meter, decode_m_bus, decode_nmea, decode_ve_direct_hex};
use crate::limits;
use crate::reading::{Measurement, MeasurementName, Unit, Value};

/// Keys of a state that the gateway writes itself: no measurement has one of these names.
pub(super) const GATEWAY_KEYS: [&str; 2] = ["ts", "time_quality"];

/// The quantities of one reading, in the order of the frame.
pub type Measurements = SmallVec<[Measurement; 4]>;

/// What the bytes of a frame mean.
#[derive(Debug, Clone)]
pub(super) enum Decoder {
    /// Numbers and bits at fixed places.
    Binary(Binary),
    /// One JSON object in a line.
    Json(Json),
    /// Columns of a line.
    Csv(Csv),
    /// `KEY=VALUE` pairs of a line.
    KeyValue(KeyValue),
    /// A line that a regular expression takes apart.
    Pattern(Pattern),
    /// Labels with their values.
    Labelled(Labelled),
    /// Registers and bits of a Modbus unit.
    Modbus(Registers),
    /// Radio telegrams by the equipment profile of their sender.
    EnOcean(EnOcean),
    /// Records of M-Bus meters, of one or of all that speak.
    MBus(Option<Meter>),
    /// A sentence of NMEA 0183.
    Nmea,
    /// A HEX message of VE.Direct.
    VeDirectHex,
}

impl Decoder {
    /// What a whole frame says.
    pub(super) fn decode(&self, frame: &[u8]) -> Decoded {
        let mut decoded = Decoded::default();
        let outcome = match self {
            Decoder::Binary(binary) => {
                binary.decode(frame, &mut decoded);
                Ok(())
            }
            Decoder::Labelled(labelled) => {
                labelled.decode(frame, &mut decoded);
                Ok(())
            }
            Decoder::Modbus(registers) => {
                registers.decode(frame, &mut decoded);
                Ok(())
            }
            Decoder::EnOcean(senders) => {
                senders.decode(frame, &mut decoded);
                Ok(())
            }
            Decoder::MBus(meter) => {
                decode_m_bus(frame, meter.as_ref(), &mut decoded);
                Ok(())
            }
            Decoder::VeDirectHex => {
                decode_ve_direct_hex(frame, &mut decoded);
                Ok(())
            }
            Decoder::Nmea => text_of(frame).and_then(|line| decode_nmea(line, &mut decoded)),
            Decoder::Json(json) => json.decode(frame, &mut decoded),
            Decoder::Csv(csv) => text_of(frame).and_then(|line| csv.decode(line, &mut decoded)),
            Decoder::KeyValue(pairs) => text_of(frame).and_then(|line| pairs.decode(line, &mut decoded)),
            Decoder::Pattern(pattern) => text_of(frame).and_then(|line| pattern.decode(line, &mut decoded)),
        };
        if let Err(problem) = outcome {
            decoded.problems.push(problem);
        }
        decoded
    }
}

/// What a frame gave.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// What it says.
    pub(super) measurements: Measurements,
    /// What was bad of it.
    pub(super) problems: Vec<Problem>,
    /// Whether it said of something known that there is no value.
    pub(super) absent: bool,
}

impl Decoded {
    /// Adds a measurement; a name that is there already gets the newer value.
    pub(super) fn put(&mut self, name: &MeasurementName, value: Value, unit: Option<&Unit>) {
        if let Some(known) = self.measurements.iter_mut().find(|known| known.name == *name) {
            known.value = value;
        } else if self.measurements.len() < limits::MEASUREMENTS {
            self.measurements.push(Measurement { name: name.clone(), value, unit: unit.cloned() });
        } else if self.problems.last().is_none_or(|last| last.kind != ProblemKind::TooMany) {
            let detail = format!("a reading has at most {} measurements", limits::MEASUREMENTS);
            self.problem(ProblemKind::TooMany, detail);
        }
    }

    /// Adds a measurement of which a frame may have several: `temperature`, `temperature_2`...
    pub(super) fn put_again(&mut self, name: &MeasurementName, value: Value, unit: Option<&Unit>) {
        let is_known = |name: &MeasurementName| self.measurements.iter().any(|known| known.name == *name);
        if !is_known(name) {
            return self.put(name, value, unit);
        }
        let numbered = |number: usize| MeasurementName::parse(&format!("{}_{number}", name.as_str()));
        let free =
            (2..=limits::MEASUREMENTS).find_map(|number| numbered(number).filter(|name| !is_known(name)));
        if let Some(name) = free {
            self.put(&name, value, unit);
        }
    }

    pub(super) fn problem(&mut self, kind: ProblemKind, detail: String) {
        if self.problems.len() < limits::MEASUREMENTS {
            self.problems.push(Problem::new(kind, detail));
        }
    }
}

/// The text of a line without its end and without control characters around it.
fn text_of(frame: &[u8]) -> Result<&str, Problem> {
    match std::str::from_utf8(frame) {
        Ok(text) => Ok(text.trim_matches(|c: char| c.is_control() || c.is_whitespace())),
        Err(_) => Err(Problem::new(ProblemKind::Encoding, "the line is not text (UTF-8)")),
    }
}
