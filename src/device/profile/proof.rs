//! A profile proves itself: its captures must give what it says they give.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Capture, Profile};
use crate::device::Listener;
use crate::reading::Value;

impl Profile {
    /// Decodes every capture, and compares.
    ///
    /// # Errors
    /// One sentence for each capture that does not give what it must.
    pub fn prove(&self) -> Result<(), Vec<String>> {
        let check = |(index, capture)| {
            self.prove_one(capture).err().map(|wrong| format!("{}, capture {}: {wrong}", self.id, index + 1))
        };
        let wrong: Vec<String> = self.captures.iter().enumerate().filter_map(check).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    fn prove_one(&self, capture: &Capture) -> Result<(), String> {
        let profile = self.clone().with_options(&capture.options).map_err(|error| error.to_string())?;
        let mut readings: Vec<BTreeMap<String, Value>> = Vec::new();
        let mut problems = Vec::new();
        let mut take = |found: Result<crate::device::Measurements, crate::device::Problem>| match found {
            Ok(measurements) => {
                let named = measurements.into_iter().map(|one| (one.name.as_str().to_owned(), one.value));
                readings.push(named.collect());
            }
            Err(problem) => problems.push(problem.to_string()),
        };
        let mut listener = Listener::new(Arc::new(profile));
        if let Some(request) = &capture.request {
            listener.ask(request.clone());
        }
        listener.push(&capture.bytes, &mut take);
        listener.silence(&mut take);
        if readings == capture.gives {
            return Ok(());
        }
        Err(format!("gives {readings:?}, must give {:?} (problems: {problems:?})", capture.gives))
    }
}
