//! Turns one whole frame into measurements, as a profile says: one file per encoding.
//!
//! A bad part of a frame is a [`Problem`] and leaves the good parts. Never sees bytes that are not a whole frame.

mod binary;
mod csv;
mod json;
mod key_value;
mod meaning;
mod pattern;

pub(super) use binary::{Binary, BinaryField};
pub(super) use csv::Csv;
pub(super) use json::{Json, JsonField, Path};
pub(super) use key_value::{KeyValue, KeyValueField};
pub(super) use meaning::{Arithmetic, Meaning, ValueKind};
pub(super) use pattern::{Pattern, PatternField};

use smallvec::SmallVec;

use super::problem::{Problem, ProblemKind};
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
    fn put(&mut self, name: &MeasurementName, value: Value, unit: Option<&Unit>) {
        if let Some(known) = self.measurements.iter_mut().find(|known| known.name == *name) {
            known.value = value;
        } else if self.measurements.len() < limits::MEASUREMENTS {
            self.measurements.push(Measurement { name: name.clone(), value, unit: unit.cloned() });
        } else if self.problems.last().is_none_or(|last| last.kind != ProblemKind::TooMany) {
            let detail = format!("a reading has at most {} measurements", limits::MEASUREMENTS);
            self.problem(ProblemKind::TooMany, detail);
        }
    }

    fn problem(&mut self, kind: ProblemKind, detail: String) {
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
