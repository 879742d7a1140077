//! Tables of single values, values that mean none, and device classes, checked.

use toml::Spanned;

use super::error::{Mistakes, did_you_mean};
use crate::device::decoder::Lookup;
use crate::device::number;
use crate::reading::Value;

/// The key of a table for every value that it does not name.
const OTHERWISE: &str = "*";

/// Device classes of Home Assistant (sensor and binary_sensor), by which others know what a measurement is.
const CLASSES: [&str; 70] = [
    "apparent_power",
    "aqi",
    "area",
    "atmospheric_pressure",
    "battery",
    "battery_charging",
    "blood_glucose_concentration",
    "carbon_dioxide",
    "carbon_monoxide",
    "cold",
    "conductivity",
    "connectivity",
    "current",
    "data_rate",
    "data_size",
    "date",
    "distance",
    "door",
    "duration",
    "energy",
    "energy_distance",
    "energy_storage",
    "enum",
    "frequency",
    "garage_door",
    "gas",
    "heat",
    "humidity",
    "illuminance",
    "irradiance",
    "light",
    "lock",
    "moisture",
    "monetary",
    "motion",
    "moving",
    "nitrogen_dioxide",
    "nitrogen_monoxide",
    "nitrous_oxide",
    "occupancy",
    "opening",
    "ozone",
    "ph",
    "plug",
    "pm1",
    "pm10",
    "pm25",
    "pm4",
    "power",
    "power_factor",
    "precipitation",
    "precipitation_intensity",
    "presence",
    "pressure",
    "problem",
    "reactive_energy",
    "reactive_power",
    "running",
    "safety",
    "signal_strength",
    "smoke",
    "sound_pressure",
    "speed",
    "temperature",
    "timestamp",
    "volatile_organic_compounds",
    "voltage",
    "volume",
    "volume_flow_rate",
    "weight",
];

/// `table = { "0" = "off", "1" = "on", "*" = "other" }`
pub(super) fn compile(written: &Spanned<toml::Table>, mistakes: &mut Mistakes<'_>) -> Option<Lookup> {
    let mut lookup = Lookup::default();
    for (key, value) in written.get_ref() {
        let Some(value) = value_of(value) else {
            let message = format!("{key} must be a number, true, false or a text");
            mistakes.add(written.span(), message, None);
            return None;
        };
        if key == OTHERWISE {
            lookup.otherwise = Some(value);
        } else {
            lookup.rows.push((number_of(key), key.clone(), value));
        }
    }
    Some(lookup)
}

fn number_of(key: &str) -> Option<f64> {
    match key.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok().map(number::from_i64),
        None => key.parse().ok(),
    }
}

/// A value as TOML has it; `None` for dates, lists and tables.
pub(super) fn value_of(value: &toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::Integer(number) => Value::Number(number::from_i64(*number)),
        toml::Value::Float(number) => Value::Number(*number),
        toml::Value::Boolean(on) => Value::Switch(*on),
        toml::Value::String(text) => Value::Text(text.as_str().into()),
        _ => return None,
    })
}

/// Numbers and texts that say that there is no value.
pub(super) fn absent(
    written: &[Spanned<toml::Value>],
    mistakes: &mut Mistakes<'_>,
) -> (Vec<f64>, Vec<String>) {
    let (mut numbers, mut texts) = (Vec::new(), Vec::new());
    for one in written {
        match value_of(one.get_ref()) {
            Some(Value::Number(number)) => numbers.push(number),
            Some(Value::Text(text)) => texts.push((*text).to_owned()),
            _ => mistakes.add(one.span(), "what means none is a number or a text", None),
        }
    }
    (numbers, texts)
}

/// A device class that is known.
pub(super) fn class(written: &Spanned<String>, mistakes: &mut Mistakes<'_>) -> Option<&'static str> {
    let known = CLASSES.into_iter().find(|class| class == written.get_ref());
    if known.is_none() {
        let hint = did_you_mean(written.get_ref(), CLASSES);
        mistakes.add(written.span(), format!("{:?} is no device class", written.get_ref()), hint);
    }
    known
}
