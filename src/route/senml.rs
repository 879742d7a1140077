//! Readings as SenML packs (RFC 8428, JSON): `[{"bn":"greenhouse/air/","bt":1795408169.123,"n":"temperature","u":"Cel",
//! "v":21.5},...]`.
//!
//! Each reading begins with base name and base time of its own, so several of them make one pack. Units are those of
//! RFC 8428 and RFC 8798; one that neither knows is left out.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value as Json};

use super::json::render_value;
use crate::durable::Boots;
use crate::reading::{Measurement, Reading, Render, Value};
use crate::time::TimeQuality;

/// Renders readings as SenML packs.
#[derive(Debug, Clone)]
pub struct SenMl {
    gateway: Arc<str>,
}

impl SenMl {
    /// Names begin with that of the gateway.
    #[must_use]
    pub fn new(gateway: &str) -> SenMl {
        SenMl { gateway: gateway.into() }
    }
}

impl Render for SenMl {
    fn render(&self, reading: &Reading, boots: &Boots) -> Bytes {
        let mut records: Vec<Map<String, Json>> = Vec::new();
        for measurement in &reading.measurements {
            records.extend(records_of(measurement));
        }
        if let Some(rssi) = reading.rssi {
            let mut record = named("rssi");
            record.insert("u".into(), "dBm".into());
            record.insert("v".into(), rssi.into());
            records.push(record);
        }
        let (unix_ms, quality) = boots.unix_ms(&reading.taken_at);
        let mut base = Map::new();
        base.insert(
            "bn".into(),
            format!("{}/{}/", name(&self.gateway), name(reading.sensor.as_str())).into(),
        );
        base.insert("bt".into(), seconds(unix_ms));
        if quality == TimeQuality::Unsynced {
            base.insert("time_quality".into(), "unsynced".into());
        }
        if let Some(first) = records.first_mut() {
            base.append(first);
            *first = base;
        } else {
            records.push(base);
        }
        Bytes::from(serde_json::to_vec(&records).unwrap_or_default())
    }

    fn join(&self, payloads: &[Bytes]) -> Bytes {
        let mut joined = vec![b'['];
        for payload in payloads {
            let inside = payload.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
            if joined.len() > 1 {
                joined.push(b',');
            }
            joined.extend_from_slice(inside.unwrap_or_default());
        }
        joined.push(b']');
        Bytes::from(joined)
    }

    fn takes_fields(&self) -> bool {
        false
    }
}

fn named(text: &str) -> Map<String, Json> {
    let mut record = Map::new();
    record.insert("n".into(), name(text).into());
    record
}

fn records_of(measurement: &Measurement) -> Vec<Map<String, Json>> {
    let mut record = named(measurement.name.as_str());
    match &measurement.value {
        Value::Number(number) => {
            let unit = measurement.unit.as_ref().map_or("", |unit| &unit.0);
            let (unit, number) = in_senml(unit, measurement.name.as_str(), *number);
            if let Some(unit) = unit {
                record.insert("u".into(), unit.into());
            }
            record.insert("v".into(), render_value(&Value::Number(number)));
        }
        Value::Switch(on) => {
            record.insert("vb".into(), (*on).into());
        }
        Value::Text(text) => {
            record.insert("vs".into(), (&**text).into());
        }
        Value::Turn { event, steps } => {
            record.insert("vs".into(), (&**event).into());
            let mut how_far = named(&format!("{}_steps", measurement.name.as_str()));
            how_far.insert("v".into(), (*steps).into());
            return vec![record, how_far];
        }
    }
    vec![record]
}

/// Names have letters, digits and `- : . / _`, and begin with one of the first two (section 4.5.1).
fn name(text: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.' | '/' | '_');
    let name: String = text.chars().map(|c| if good(c) { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) { name } else { format!("x{name}") }
}

/// With milliseconds, as far as there are any.
fn seconds(unix_ms: i64) -> Json {
    let (whole, rest) = (unix_ms.div_euclid(1000), unix_ms.rem_euclid(1000));
    if rest == 0 {
        whole.into()
    } else {
        format!("{whole}.{rest:03}").parse::<f64>().map_or(Json::Null, Json::from)
    }
}

/// Units that are called the same in SenML (RFC 8428 section 12.1, RFC 8798 section 3).
const SAME: [&str; 44] = [
    "m", "kg", "g", "s", "A", "K", "cd", "mol", "Hz", "rad", "sr", "N", "Pa", "J", "W", "C", "V", "F", "S",
    "Wb", "T", "H", "lm", "lx", "Bq", "Gy", "Sv", "kat", "m2", "m3", "m/s", "dB", "dBm", "VA", "var", "ms",
    "min", "h", "kW", "kVA", "kvar", "Ah", "Wh", "kWh",
];

/// Those that are called something else, and by how much they differ.
const OTHERS: [(&str, &str, f64); 24] = [
    ("°C", "Cel", 1.0),
    ("hPa", "hPa", 1.0),
    ("mbar", "hPa", 1.0),
    ("kPa", "Pa", 1000.0),
    ("bar", "Pa", 100_000.0),
    ("mV", "mV", 1.0),
    ("mA", "mA", 1.0),
    ("varh", "varh", 1.0),
    ("kvarh", "kvarh", 1.0),
    ("kVAh", "kVAh", 1.0),
    ("MHz", "MHz", 1.0),
    ("µg/m³", "ug/m3", 1.0),
    ("mg/m³", "ug/m3", 1000.0),
    ("ppm", "ppm", 1.0),
    ("ppb", "ppm", 0.001),
    ("m³", "m3", 1.0),
    ("m²", "m2", 1.0),
    ("mm", "mm", 1.0),
    ("cm", "cm", 1.0),
    ("km", "km", 1.0),
    ("km/h", "km/h", 1.0),
    ("mm/h", "mm/h", 1.0),
    ("Ω", "Ohm", 1.0),
    ("GJ", "J", 1e9),
];

fn in_senml(unit: &str, name: &str, number: f64) -> (Option<&'static str>, f64) {
    match unit {
        "%" if name.contains("humidity") => return (Some("%RH"), number),
        "%" if name.contains("battery") => return (Some("%EL"), number),
        "%" => return (Some("/100"), number),
        "°F" => return (Some("Cel"), (number - 32.0) / 1.8),
        "°" => return (Some("rad"), number.to_radians()),
        _ => {}
    }
    if let Some(same) = SAME.iter().find(|same| **same == unit) {
        return (Some(same), number);
    }
    let other = OTHERS.iter().find(|(theirs, _, _)| *theirs == unit);
    other.map_or((None, number), |(_, senml, factor)| (Some(senml), number * factor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{MeasurementName, SensorName, Unit};
    use crate::time::Moment;

    fn reading(sensor: &str, values: &[(&str, Value, &str)]) -> Reading {
        let measurement = |(name, value, unit): &(&str, Value, &str)| Measurement {
            name: MeasurementName::parse(name).unwrap(),
            value: value.clone(),
            unit: (!unit.is_empty()).then(|| Unit((*unit).into())),
        };
        Reading {
            sensor: SensorName::parse(sensor).unwrap(),
            taken_at: Moment { unix_ms: 1_795_408_169_123, ..Moment::default() },
            rssi: None,
            measurements: values.iter().map(measurement).collect(),
        }
    }

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_reading_is_a_pack_with_registered_units() {
        let air = reading(
            "air",
            &[
                ("temperature", Value::Number(21.5), "°C"),
                ("humidity", Value::Number(48.0), "%"),
                ("window", Value::Switch(true), ""),
                ("pressure", Value::Number(101.3), "kPa"),
                ("taste", Value::Number(3.0), "spoons"),
            ],
        );
        let pack = SenMl::new("greenhouse").render(&air, &Boots::default());
        assert_eq!(
            text(&pack),
            r#"[{"bn":"greenhouse/air/","bt":1795408169.123,"n":"temperature","u":"Cel","v":21.5},{"n":"humidity","u":"%RH","v":48},{"n":"window","vb":true},{"n":"pressure","u":"Pa","v":101300},{"n":"taste","v":3}]"#
        );
    }

    /// RFC 8428 section 4.1: base fields hold until others come.
    #[test]
    fn several_readings_make_one_pack_in_which_each_has_its_own_base() {
        let senml = SenMl::new("_gw 1");
        let packs: Vec<Bytes> = ["air", "soil"]
            .iter()
            .map(|sensor| {
                senml.render(&reading(sensor, &[("t", Value::Number(1.0), "°C")]), &Boots::default())
            })
            .collect();
        let joined: Json = serde_json::from_slice(&senml.join(&packs)).unwrap();
        let names: Vec<&str> =
            joined.as_array().unwrap().iter().map(|record| record["bn"].as_str().unwrap()).collect();
        assert_eq!(names, ["x_gw_1/air/", "x_gw_1/soil/"]);
    }

    #[test]
    fn a_turned_knob_says_which_way_and_how_far() {
        let turn = Value::Turn { event: "rotate_left".into(), steps: 3 };
        let pack = SenMl::new("g").render(&reading("knob", &[("dial", turn, "")]), &Boots::default());
        assert!(
            text(&pack).ends_with(r#""n":"dial","vs":"rotate_left"},{"n":"dial_steps","v":3}]"#),
            "{pack:?}"
        );
    }
}
