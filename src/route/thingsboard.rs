//! Readings as ThingsBoard's gateways send them (Gateway MQTT API, `v1/gateway/telemetry`):
//! `{"air":[{"ts":1795408169123,"values":{"temperature":21.5}}]}`, an array for each device.

use bytes::Bytes;
use serde_json::{Map, Value as Json, json};

use super::json::render_value;
use crate::durable::Boots;
use crate::reading::{Reading, Render};
use crate::time::TimeQuality;

/// Renders readings as telemetry of devices behind a gateway.
#[derive(Debug, Clone, Copy, Default)]
pub struct ThingsBoard;

impl Render for ThingsBoard {
    fn render(&self, reading: &Reading, boots: &Boots) -> Bytes {
        let (unix_ms, quality) = boots.unix_ms(&reading.taken_at);
        let measurements = reading.measurements.iter();
        let mut values: Map<String, Json> =
            measurements.map(|one| (one.name.as_str().to_owned(), render_value(&one.value))).collect();
        if let Some(rssi) = reading.rssi {
            values.entry("rssi").or_insert_with(|| rssi.into());
        }
        if quality == TimeQuality::Unsynced {
            values.insert("time_quality".into(), "unsynced".into());
        }
        let mut devices = Map::new();
        devices.insert(reading.sensor.to_string(), json!([{ "ts": unix_ms, "values": values }]));
        Bytes::from(Json::from(devices).to_string())
    }

    /// What one device said several times stands in one array: an object has each name once.
    fn join(&self, payloads: &[Bytes]) -> Bytes {
        let mut devices: Map<String, Json> = Map::new();
        for payload in payloads {
            let Ok(Json::Object(more)) = serde_json::from_slice(payload) else { continue };
            for (device, said) in more {
                match (devices.get_mut(&device), said) {
                    (Some(Json::Array(before)), Json::Array(said)) => before.extend(said),
                    (_, said) => {
                        devices.insert(device, said);
                    }
                }
            }
        }
        Bytes::from(Json::from(devices).to_string())
    }

    /// A field of the outer object would be a device.
    fn takes_fields(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Measurement, MeasurementName, SensorName, Value};
    use crate::time::Moment;

    fn said(sensor: &str, unix_ms: i64, value: f64) -> Bytes {
        let measurement = Measurement {
            name: MeasurementName::parse("temperature").unwrap(),
            value: Value::Number(value),
            unit: None,
        };
        let reading = Reading {
            sensor: SensorName::parse(sensor).unwrap(),
            taken_at: Moment { unix_ms, ..Moment::default() },
            rssi: None,
            measurements: [measurement].into_iter().collect(),
        };
        ThingsBoard.render(&reading, &Boots::default())
    }

    #[test]
    fn many_readings_stand_under_their_devices_in_order() {
        let all = [said("air", 1000, 21.5), said("soil", 2000, 9.0), said("air", 3000, 22.0)];
        let joined = ThingsBoard.join(&all);
        assert_eq!(
            std::str::from_utf8(&joined).unwrap(),
            r#"{"air":[{"ts":1000,"values":{"temperature":21.5}},{"ts":3000,"values":{"temperature":22}}],"soil":[{"ts":2000,"values":{"temperature":9}}]}"#
        );
    }
}
