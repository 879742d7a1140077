//! Advertisements written as JSON: what `tidegate decode` reads, and what a replay plays.
//!
//! `{"manufacturer_data": {"0499": "0512fc..."}, "service_data": {"fcd2": "40..."}, "service_uuids": ["fcd2"],
//! "name": "", "mac": "A4:C1:38:12:34:56", "rssi": -60, "key": "..."}`: identifiers and payloads in hexadecimal,
//! everything optional, an empty name is none.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::device::ble::{Address, Advertisement, Key, Uuid};
use crate::device::hex;

/// An advertisement and the key of its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// What was advertised.
    pub advertisement: Advertisement,
    /// What it is encrypted with.
    pub key: Option<Key>,
}

/// Why JSON is no advertisement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WrittenError(String);

fn wrong(field: &str, wanted: &str) -> WrittenError {
    WrittenError(format!("{field} must be {wanted}"))
}

impl Written {
    /// Whether an object has any field of an advertisement.
    #[must_use]
    pub fn is_one(object: &Map<String, Value>) -> bool {
        ["manufacturer_data", "service_data", "service_uuids"].iter().any(|key| object.contains_key(*key))
    }

    /// Reads an object.
    ///
    /// # Errors
    /// When a field is not written as it must be.
    pub fn read(object: &Map<String, Value>) -> Result<Written, WrittenError> {
        let mut advertisement = Advertisement::default();
        for (company, data) in fields(object, "manufacturer_data")? {
            let id = u16::from_str_radix(company, 16).ok().filter(|_| company.len() == 4);
            let id = id.ok_or_else(|| wrong("a company identifier", "four hexadecimal digits"))?;
            advertisement.manufacturer_data.push((id, data));
        }
        for (service, data) in fields(object, "service_data")? {
            advertisement.service_data.push((uuid(service)?, data));
        }
        if let Some(services) = present(object, "service_uuids") {
            let services = services.as_array().ok_or_else(|| wrong("service_uuids", "a list of UUIDs"))?;
            for service in services {
                advertisement.service_uuids.push(uuid(service.as_str().unwrap_or_default())?);
            }
        }
        if let Some(address) = text(object, &["mac", "address"])? {
            let address = Address::parse(address);
            advertisement.address = address.ok_or_else(|| wrong("mac", "six bytes: A4:C1:38:12:34:56"))?;
        }
        advertisement.name = text(object, &["name"])?.map(str::to_owned);
        advertisement.rssi = number(object, "rssi")?;
        advertisement.tx_power = number(object, "tx_power")?;
        let key = text(object, &["key"])?;
        let key = key.map(|key| Key::parse(key).ok_or_else(|| wrong("key", "32 (or 24) hexadecimal digits")));
        Ok(Written { advertisement, key: key.transpose()? })
    }
}

fn present<'a>(object: &'a Map<String, Value>, field: &str) -> Option<&'a Value> {
    object.get(field).filter(|value| !value.is_null())
}

fn uuid(text: &str) -> Result<Uuid, WrittenError> {
    Uuid::parse(text).ok_or_else(|| wrong("a service", "a UUID, or the four digits of a short one"))
}

/// The pairs of an object of payloads.
fn fields<'a>(
    object: &'a Map<String, Value>,
    field: &str,
) -> Result<impl Iterator<Item = (&'a str, Bytes)>, WrittenError> {
    let pairs = match present(object, field) {
        None => Vec::new(),
        Some(Value::Object(pairs)) => pairs
            .iter()
            .map(|(key, data)| {
                let data = data.as_str().and_then(hex);
                let data = data.ok_or_else(|| wrong(field, "payloads in hexadecimal"))?;
                Ok((key.as_str(), Bytes::from(data)))
            })
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong(field, "an object of payloads")),
    };
    Ok(pairs.into_iter())
}

fn text<'a>(object: &'a Map<String, Value>, names: &[&str]) -> Result<Option<&'a str>, WrittenError> {
    let Some((name, value)) = names.iter().find_map(|name| Some((name, present(object, name)?))) else {
        return Ok(None);
    };
    let text = value.as_str().ok_or_else(|| wrong(name, "a text"))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn number(object: &Map<String, Value>, field: &str) -> Result<Option<i16>, WrittenError> {
    let Some(value) = present(object, field) else { return Ok(None) };
    let number = value.as_i64().and_then(|number| i16::try_from(number).ok());
    number.map(Some).ok_or_else(|| wrong(field, "a number of dBm"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_advertisement_is_read_and_a_wrong_one_says_what_is_wrong() {
        let read = |value: Value| Written::read(value.as_object().unwrap());
        let written = read(json!({
            "manufacturer_data": {"0499": "0500"}, "service_data": {"fcd2": "40"}, "service_uuids": ["fcd2"],
            "name": "", "mac": "A4:C1:38:12:34:56", "rssi": -60, "key": null,
        }))
        .unwrap();
        let advertisement = &written.advertisement;
        assert_eq!(advertisement.manufacturer_data[0], (0x0499, Bytes::from_static(&[5, 0])));
        assert_eq!((advertisement.name.as_deref(), advertisement.rssi, written.key), (None, Some(-60), None));
        for wrong in [
            json!({"manufacturer_data": {"99": "00"}}),
            json!({"manufacturer_data": {"0499": "0"}}),
            json!({"manufacturer_data": []}),
            json!({"service_data": {"x": "00"}}),
            json!({"service_uuids": [1]}),
            json!({"service_uuids": [], "mac": "A4"}),
            json!({"service_uuids": [], "key": "12"}),
            json!({"service_uuids": [], "rssi": 1e9}),
        ] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
