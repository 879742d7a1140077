//! Commands down to a device: what a user sets becomes bytes for the line, or a write to a register.
//!
//! Never sends anything itself. A value that the device cannot take is refused before anything is sent.

use serde_json::Value as JsonValue;

use super::ble::Uuid;
use super::checksum::ChecksumKind;
use super::modbus::Request;
use super::number::{self, ByteOrder, NumberType};

/// Something that can be set.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The key of the JSON object that sets it.
    pub name: String,
    /// Where it is written, over a Bluetooth connection.
    pub characteristic: Option<Uuid>,
    pub(super) form: Form,
    /// A value divided by this is the number that is sent.
    pub(super) scale: f64,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    /// Words that stand for numbers.
    pub(super) table: Vec<(String, f64)>,
}

/// As what it is sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    Bytes(Vec<Part>),
    /// Function 5, 6 or 16; the address; how the number is written in the registers.
    Register {
        function: u8,
        address: u16,
        number: NumberType,
    },
}

/// One part of what is sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Fixed(Vec<u8>),
    /// The value as a number.
    Number(NumberType),
    /// The value as text.
    Text,
    /// A checksum over everything from that byte on.
    Checksum(ChecksumKind, usize, ByteOrder),
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A write to a Modbus unit.
    Write(Request),
}

impl Command {
    /// What is sent to set `value`.
    ///
    /// # Errors
    /// One sentence, when the device cannot take the value.
    pub fn order(&self, value: &JsonValue) -> Result<Order, String> {
        match &self.form {
            Form::Bytes(parts) => {
                let mut bytes = Vec::new();
                for part in parts {
                    self.append(part, value, &mut bytes)?;
                }
                Ok(Order::Bytes(bytes))
            }
            Form::Register { function, address, number } => {
                let raw = self.raw(value)?;
                let request = match function {
                    5 => Request::write_single(0, 5, *address, if raw == 0.0 { 0 } else { 0xFF00 }),
                    function => {
                        let bytes = self.written(*number, raw)?;
                        match (function, bytes.as_slice()) {
                            (6, [high, low]) => {
                                Request::write_single(0, 6, *address, u16::from_be_bytes([*high, *low]))
                            }
                            _ => Request::write_registers(0, *address, bytes),
                        }
                    }
                };
                Ok(Order::Write(request))
            }
        }
    }

    /// What is written to set `value` over a Bluetooth connection, and where.
    ///
    /// # Errors
    /// One sentence, when the device cannot take the value.
    pub fn value(&self, value: &JsonValue) -> Result<(Uuid, Vec<u8>), String> {
        match (self.order(value)?, self.characteristic) {
            (Order::Bytes(bytes), Some(characteristic)) => Ok((characteristic, bytes)),
            _ => Err(format!("{} is not written over a connection", self.name)),
        }
    }

    fn append(&self, part: &Part, value: &JsonValue, bytes: &mut Vec<u8>) -> Result<(), String> {
        match part {
            Part::Fixed(fixed) => bytes.extend(fixed),
            Part::Number(number) => bytes.extend(self.written(*number, self.raw(value)?)?),
            Part::Text => match value {
                JsonValue::String(text) if self.table.is_empty() => {
                    if text.chars().any(char::is_control) {
                        return Err(format!("{} takes no control characters", self.name));
                    }
                    bytes.extend(text.bytes());
                }
                _ => bytes.extend(self.raw(value)?.to_string().bytes()),
            },
            Part::Checksum(kind, from, order) => {
                let sum = kind.of(bytes.get(*from..).unwrap_or_default()).to_be_bytes();
                let own = sum.get(2 - kind.width()..).unwrap_or_default();
                match order {
                    ByteOrder::Big => bytes.extend(own),
                    ByteOrder::Little => bytes.extend(own.iter().rev()),
                }
            }
        }
        Ok(())
    }

    /// The number that is sent for a value.
    fn raw(&self, value: &JsonValue) -> Result<f64, String> {
        let name = &self.name;
        let wanted = match value {
            JsonValue::Number(number) => number.as_f64(),
            JsonValue::Bool(on) => Some(if *on { 1.0 } else { 0.0 }),
            JsonValue::String(text) => match self.table.iter().find(|(word, _)| word == text) {
                Some((_, number)) => return Ok(*number),
                None => text.trim().parse().ok(),
            },
            _ => None,
        };
        let Some(wanted) = wanted.filter(|wanted| wanted.is_finite()) else {
            let words: Vec<&str> = self.table.iter().map(|(word, _)| word.as_str()).collect();
            let or =
                if words.is_empty() { String::new() } else { format!(" or one of {}", words.join(", ")) };
            return Err(format!("{name} takes a number{or}"));
        };
        if self.min.is_some_and(|min| wanted < min) || self.max.is_some_and(|max| wanted > max) {
            let (min, max) = (self.min.unwrap_or(f64::NEG_INFINITY), self.max.unwrap_or(f64::INFINITY));
            return Err(format!("{name} is {wanted}, the device takes {min} to {max}"));
        }
        Ok(number::round(wanted / self.scale, 6))
    }

    fn written(&self, number: NumberType, raw: f64) -> Result<Vec<u8>, String> {
        number
            .bytes_of(raw)
            .ok_or_else(|| format!("{} is {raw} as it is sent: the device has no room for it", self.name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn command(form: Form) -> Command {
        let table = vec![("on".to_owned(), 1.0), ("off".to_owned(), 0.0)];
        Command {
            name: "level".into(),
            characteristic: None,
            form,
            scale: 0.1,
            min: Some(-5.0),
            max: Some(100.0),
            table,
        }
    }

    #[test]
    fn values_become_bytes_with_their_checksum() {
        let parts = vec![
            Part::Fixed(vec![0xFF, 0x01]),
            Part::Number(NumberType::parse("i16be").unwrap()),
            Part::Checksum(ChecksumKind::parse("negated-sum8").unwrap(), 1, ByteOrder::Big),
        ];
        let command = command(Form::Bytes(parts));
        assert_eq!(command.order(&json!(25.6)), Ok(Order::Bytes(vec![0xFF, 0x01, 0x01, 0x00, 0xFE])));
        assert_eq!(command.order(&json!("on")), Ok(Order::Bytes(vec![0xFF, 0x01, 0x00, 0x01, 0xFE])));
        assert!(command.order(&json!(101)).unwrap_err().contains("takes -5 to 100"));
        assert!(command.order(&json!("maybe")).unwrap_err().contains("one of on, off"));
        assert!(command.order(&json!(null)).is_err());
    }

    #[test]
    fn registers_are_written_by_their_function() {
        let write = |function, number: &str, value| {
            let number = NumberType::parse(number).unwrap();
            match command(Form::Register { function, address: 2, number }).order(&value) {
                Ok(Order::Write(request)) => request.pdu(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(write(5, "u16be", json!(true)), [5, 0, 2, 0xFF, 0]);
        assert_eq!(write(6, "u16be", json!(25.6)), [6, 0, 2, 1, 0]);
        assert_eq!(write(16, "f32be", json!(0.1)), [16, 0, 2, 0, 2, 4, 0x3F, 0x80, 0, 0]);
        assert_eq!(write(16, "u32cdab", json!(100)), [16, 0, 2, 0, 2, 4, 0x03, 0xE8, 0, 0]);
    }
}
