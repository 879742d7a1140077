//! A line that is one JSON object.

use serde_json::{Map, Value as JsonValue};

use super::{Decoded, GATEWAY_KEYS, Meaning, ValueKind};
use crate::device::problem::{Problem, ProblemKind};
use crate::reading::{MeasurementName, Value};

/// What is taken from a JSON object.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::device) struct Json {
    /// What is taken; empty: every number, text and truth value of the object itself, under its own name.
    pub(in crate::device) fields: Vec<JsonField>,
}

/// One value of a JSON object.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct JsonField {
    /// What it means.
    pub(in crate::device) meaning: Meaning,
    /// Where it stands.
    pub(in crate::device) path: Path,
}

/// The way to a value: `env.t`, `probes.0`, `probes[0].t`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::device) struct Path {
    whole: String,
    steps: Vec<String>,
}

impl Path {
    /// Reads a path; any text is one.
    pub(in crate::device) fn parse(text: &str) -> Path {
        let steps = text.replace('[', ".").replace(']', "");
        Path { whole: text.to_owned(), steps: steps.split('.').map(str::to_owned).collect() }
    }

    /// The value at the end of the path. A key that is written just like the path goes first.
    fn find<'a>(&self, object: &'a Map<String, JsonValue>) -> Option<&'a JsonValue> {
        if let Some(value) = object.get(&self.whole) {
            return Some(value);
        }
        let (first, rest) = self.steps.split_first()?;
        rest.iter().try_fold(object.get(first)?, |value, step| match value {
            JsonValue::Object(object) => object.get(step),
            JsonValue::Array(array) => array.get(step.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

impl Json {
    pub(super) fn decode(&self, line: &[u8], to: &mut Decoded) -> Result<(), Problem> {
        // A port that is opened or powered on often starts with a few bytes of noise.
        let noise = line.iter().take_while(|byte| !matches!(byte, 0x21..=0x7E)).count();
        let object: Map<String, JsonValue> = serde_json::from_slice(line.get(noise..).unwrap_or_default())
            .map_err(|error| {
                let detail = format!("the line is not a JSON object: {error}");
                Problem::new(ProblemKind::Syntax, detail)
            })?;
        for field in &self.fields {
            // Where a device writes the same under several keys, the first of the profile goes first.
            if to.measurements.iter().any(|known| known.name == field.meaning.name) {
                continue;
            }
            match field.path.find(&object) {
                None => {}
                Some(JsonValue::Null) => to.absent = true,
                Some(value) => take(&field.meaning, value, to),
            }
        }
        if self.fields.is_empty() {
            take_all(&object, to);
        }
        Ok(())
    }
}

fn take(meaning: &Meaning, value: &JsonValue, to: &mut Decoded) {
    match value {
        JsonValue::Null => to.absent = true,
        JsonValue::Bool(on) => meaning.switch(*on, to),
        JsonValue::Number(number) => match number.as_f64() {
            Some(number) => meaning.number(number, to),
            None => meaning.not_a_number("a number", &number.to_string(), to),
        },
        // JSON tells numbers from texts: nobody said that this one is a number.
        JsonValue::String(text) if meaning.kind == ValueKind::Plain => {
            to.put(&meaning.name, Value::Text(text.as_str().into()), None);
        }
        JsonValue::String(text) => meaning.text(text, to),
        JsonValue::Array(_) | JsonValue::Object(_) => {
            meaning.not_a_number("one value", "an array or object", to);
        }
    }
}

fn take_all(object: &Map<String, JsonValue>, to: &mut Decoded) {
    for (key, value) in object {
        // A time of the device's own is no time of the gateway's.
        let own = GATEWAY_KEYS.contains(&key.as_str());
        let name =
            if own { MeasurementName::parse(&format!("device_{key}")) } else { MeasurementName::parse(key) };
        let Some(name) = name else {
            let shown: String = key.chars().take(40).collect();
            to.problem(ProblemKind::Name, format!("{shown:?} cannot be the name of a measurement"));
            continue;
        };
        // What is nested is taken by its path, when a map names it.
        if !matches!(value, JsonValue::Array(_) | JsonValue::Object(_)) {
            take(&Meaning::plain(name), value, to);
        }
    }
}
