//! A profile proves itself: its captures must give what it says they give.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Capture, Profile};
use crate::device::{Found, GattReader, Listener};
use crate::reading::Value;

type Named = BTreeMap<String, Value>;

impl Profile {
    /// Decodes every capture, and compares.
    ///
    /// # Errors
    /// One sentence for each capture that does not give what it must, with its line.
    pub fn prove(&self) -> Result<(), Vec<String>> {
        let check = |(index, capture): (usize, &Capture)| {
            let wrong = self.prove_one(capture).err()?;
            Some(format!("{}:{}: capture {}: {wrong}", self.file, capture.line, index + 1))
        };
        let wrong: Vec<String> = self.captures.iter().enumerate().filter_map(check).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn prove_one(&self, capture: &Capture) -> Result<(), String> {
        let profile = self.clone().with_options(&capture.options).map_err(|error| error.to_string())?;
        let mut readings: Vec<Named> = Vec::new();
        let mut problems = Vec::new();
        let mut take = |found: Found| match found {
            Ok(measurements) => {
                let named = measurements.into_iter().map(|one| (one.name.as_str().to_owned(), one.value));
                readings.push(named.collect());
            }
            Err(problem) => problems.push(problem.to_string()),
        };
        let profile = Arc::new(profile);
        if let Some(uuid) = capture.characteristic {
            let mut reader = GattReader::new(profile);
            for value in &capture.values {
                reader.read(uuid, value, &mut take);
            }
            return compare(&readings, capture, &problems);
        }
        let mut listener = Listener::new(profile);
        if let Some(request) = &capture.request {
            listener.ask(request.clone());
        }
        listener.push(&capture.bytes, &mut take);
        listener.silence(&mut take);
        compare(&readings, capture, &problems)
    }
}

fn compare(readings: &[Named], capture: &Capture, problems: &[String]) -> Result<(), String> {
    if readings == capture.gives {
        return Ok(());
    }
    let mut said = format!("gives {}, must give {}", written(readings), written(&capture.gives));
    if let [first, ..] = problems {
        said.push_str(&format!("; what was wrong with the bytes: {first}"));
    }
    Err(said)
}

/// Readings as a profile writes them.
fn written(readings: &[Named]) -> String {
    let value = |value: &Value| match value {
        Value::Number(number) => number.to_string(),
        Value::Switch(on) => on.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Turn { event, steps } => format!("{event} {steps}"),
    };
    let one = |reading: &Named| {
        let pairs: Vec<String> =
            reading.iter().map(|(name, one)| format!("{name} = {}", value(one))).collect();
        format!("{{ {} }}", pairs.join(", "))
    };
    match readings {
        [] => "nothing".to_owned(),
        readings => format!("[{}]", readings.iter().map(one).collect::<Vec<_>>().join(", ")),
    }
}
