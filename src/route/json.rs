//! The usual payload: one JSON object per reading.
//!
//! `{"temperature":21.5,"humidity":48,"ts":"2026-11-23T04:29:29.123Z"}`; the names are those of the measurements,
//! the time is that of the reading, corrected when the clock was set later.

use std::fmt::Write as _;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value as JsonValue, json};

use crate::durable::Boots;
use crate::reading::{Reading, Render, Value};
use crate::time::TimeQuality;

/// Renders readings as JSON objects.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl Render for Json {
    fn render(&self, reading: &Reading, boots: &Boots) -> Bytes {
        let mut json = String::with_capacity(48 + 24 * reading.measurements.len());
        json.push('{');
        for measurement in &reading.measurements {
            write_key(&mut json, measurement.name.as_str());
            write_value(&mut json, &measurement.value);
            json.push(',');
        }
        let (unix_ms, quality) = boots.unix_ms(&reading.taken_at);
        json.push_str("\"ts\":\"");
        write_time(&mut json, unix_ms);
        json.push('"');
        let measured = reading.measurements.iter().any(|one| one.name.as_str() == "rssi");
        if let Some(rssi) = reading.rssi.filter(|_| !measured) {
            append(&mut json, format_args!(",\"rssi\":{rssi}"));
        }
        if quality == TimeQuality::Unsynced {
            json.push_str(",\"time_quality\":\"unsynced\"");
        }
        json.push('}');
        Bytes::from(json)
    }
}

/// A value as JSON; whole numbers without a point.
#[must_use]
pub fn render_value(value: &Value) -> JsonValue {
    match value {
        Value::Number(number) => whole(*number).map_or_else(|| JsonValue::from(*number), JsonValue::from),
        Value::Switch(on) => JsonValue::from(*on),
        Value::Text(text) => JsonValue::from(&**text),
        Value::Turn { event, steps } => json!({ "event": &**event, "steps": steps }),
    }
}

/// The number, if it has no fraction and every digit of it is exact.
fn whole(number: f64) -> Option<i64> {
    let exact = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    exact.then(|| format!("{number:.0}").parse().ok())?
}

fn append(to: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = to.write_fmt(what);
}

fn write_key(to: &mut String, key: &str) {
    // The name of a measurement has no character that JSON escapes.
    append(to, format_args!("\"{key}\":"));
}

fn write_value(to: &mut String, value: &Value) {
    match value {
        // Written out, the shortest digits that give the number back; with an exponent where those are many.
        Value::Number(number) if number.abs() < 1e16 && (number.abs() > 1e-6 || *number == 0.0) => {
            append(to, format_args!("{number}"));
        }
        Value::Number(number) if number.is_finite() => append(to, format_args!("{number:e}")),
        Value::Number(_) => to.push_str("null"),
        Value::Switch(on) => append(to, format_args!("{on}")),
        Value::Text(_) | Value::Turn { .. } => append(to, format_args!("{}", render_value(value))),
    }
}

/// RFC 3339 in UTC with milliseconds; a time that no calendar has becomes 1970.
fn write_time(to: &mut String, unix_ms: i64) {
    let timestamp = Timestamp::from_millisecond(unix_ms).unwrap_or_default();
    append(to, format_args!("{timestamp:.3}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Measurement, MeasurementName, SensorName};
    use crate::time::{BootId, Instant, Moment};

    fn reading(values: &[(&str, Value)], taken_at: Moment) -> Reading {
        let measurement = |(name, value): &(&str, Value)| Measurement {
            name: MeasurementName::parse(name).unwrap(),
            value: value.clone(),
            unit: None,
        };
        Reading {
            sensor: SensorName::parse("kitchen").unwrap(),
            taken_at,
            rssi: None,
            measurements: values.iter().map(measurement).collect(),
        }
    }

    fn render(reading: &Reading, boots: &Boots) -> String {
        String::from_utf8(Json.render(reading, boots).to_vec()).unwrap()
    }

    #[test]
    fn a_reading_is_one_object_in_the_order_of_its_measurements() {
        let taken_at = Moment { unix_ms: 1_795_408_169_007, ..Moment::default() };
        let values = [
            ("temperature", Value::Number(-21.5)),
            ("co2", Value::Number(608.0)),
            ("door", Value::Switch(true)),
            ("text", Value::Text("a \"b\"\n".into())),
            ("dimmer", Value::Turn { event: "rotate_left".into(), steps: 3 }),
        ];
        let mut reading = reading(&values, taken_at);
        reading.rssi = Some(-71);
        let expected = r#"{"temperature":-21.5,"co2":608,"door":true,"text":"a \"b\"\n","dimmer":{"event":"rotate_left","steps":3},"ts":"2026-11-23T04:29:29.007Z","rssi":-71}"#;
        assert_eq!(render(&reading, &Boots::default()), expected);
    }

    #[test]
    fn numbers_of_every_size_come_back_as_they_went() {
        for number in [0.0, 1e-7, 123.6, -0.1, 1e15, 1.5e300, f64::MIN_POSITIVE, 18_446_744_073_709_551_615.0]
        {
            let reading = reading(&[("n", Value::Number(number))], Moment::default());
            let json: JsonValue = serde_json::from_str(&render(&reading, &Boots::default())).unwrap();
            assert_eq!(json["n"].as_f64(), Some(number));
            assert_eq!(render_value(&Value::Number(number)).as_f64(), Some(number));
        }
    }

    #[test]
    fn a_clock_set_later_corrects_the_time_and_a_clock_never_set_is_told() {
        let boot = BootId(7);
        let taken_at = Moment {
            boot,
            monotonic: Instant::from_millis(5_000),
            unix_ms: 3_600_000,
            quality: TimeQuality::Unsynced,
        };
        let reading = reading(&[("n", Value::Number(1.0))], taken_at);
        let mut boots = Boots::default();
        assert_eq!(
            render(&reading, &boots),
            r#"{"n":1,"ts":"1970-01-01T01:00:00.000Z","time_quality":"unsynced"}"#
        );
        boots.learn(boot, 1_795_408_164_007);
        assert_eq!(render(&reading, &boots), r#"{"n":1,"ts":"2026-11-23T04:29:29.007Z"}"#);
    }
}
