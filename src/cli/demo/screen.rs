//! What the demo prints.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::tally::{Score, state_of};
use crate::cli::mqtt::Arrival;

/// The latest reading of each sensor, as the gateway's own broker says it.
#[derive(Default)]
pub(super) struct Latest(BTreeMap<String, Value>);

/// What is shown: sensor, measurement, unit, digits.
const SHOWN: [(&str, &str, &str, usize); 4] = [
    ("air", "pm25", "µg/m³ PM2.5", 1),
    ("co2", "co2", "ppm CO2", 0),
    ("weather", "temperature", "°C", 1),
    ("weather", "humidity", "%", 0),
];

impl Latest {
    pub(super) fn arrived(&mut self, arrival: &Arrival) {
        if let Some(sensor) = state_of(&arrival.topic)
            && let Ok(state) = serde_json::from_slice(&arrival.payload)
        {
            self.0.insert(sensor.to_owned(), state);
        }
    }

    fn describe(&self) -> String {
        let words = SHOWN.map(|(sensor, name, unit, digits)| {
            match self.0.get(sensor).and_then(|state| state.get(name)).and_then(Value::as_f64) {
                Some(value) => format!("{value:>6.digits$} {unit}"),
                None => format!("{:>6} {unit}", "-"),
            }
        });
        words.join(" ")
    }
}

/// One line per second.
pub(super) fn line(at: Duration, latest: &Latest, sent: u64, delivered: u64, kept: u64) -> String {
    let seconds = at.as_secs();
    format!(
        "{seconds:>4} s {} | sent {sent:>5}, at the cloud {delivered:>5}, kept {kept:>4}",
        latest.describe()
    )
}

/// Something happens.
pub(super) fn happening(at: Duration, what: &str) -> String {
    format!("{:>4} s -- {what}", at.as_secs())
}

/// The end of the story.
pub(super) fn verdict(score: &Score) -> String {
    let Score { sent, delivered, lost, duplicated, out_of_order } = score;
    let explained = "\
        \nsent: by the sensors' own log. The rest: by a client at the cloud that is not part of Tidegate.";
    let order = match out_of_order {
        0 => "every sensor's readings arrived in order".to_owned(),
        1 => "1 reading arrived out of order".to_owned(),
        number => format!("{number} readings arrived out of order"),
    };
    let lost_words = if *lost > 0 { "\nREADINGS WERE LOST" } else { "" };
    format!(
        "{explained}\n{order}{lost_words}\nsent {sent}, delivered {delivered}, lost {lost}, duplicated {duplicated}"
    )
}
