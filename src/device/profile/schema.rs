//! What may be written in a profile file: the keys, and nothing of their meaning.
//!
//! `docs/profiles.md` names every key that stands here; a test compares the two.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::Options;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) device: Device,
    pub(super) serial: Option<Serial>,
    pub(super) frame: Option<Spanned<Frame>>,
    pub(super) modbus: Option<Spanned<Modbus>>,
    pub(super) gatt: Option<Spanned<Gatt>>,
    #[serde(default)]
    pub(super) characteristic: Vec<Spanned<Characteristic>>,
    #[serde(default)]
    pub(super) decode: Decode,
    #[serde(default, rename = "let")]
    pub(super) intermediate: Vec<Spanned<Let>>,
    #[serde(default)]
    pub(super) poll: Vec<Poll>,
    #[serde(default)]
    pub(super) field: Vec<Spanned<Field>>,
    #[serde(default)]
    pub(super) eep: Vec<Spanned<Eep>>,
    #[serde(default)]
    pub(super) command: Vec<Spanned<Command>>,
    #[serde(default)]
    pub(super) capture: Vec<Spanned<Capture>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Device {
    #[serde(default)]
    pub(super) vendor: String,
    pub(super) model: String,
    pub(super) about: String,
    #[serde(default)]
    pub(super) sources: Vec<String>,
    pub(super) wiring: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Serial {
    pub(super) baud: Spanned<u32>,
    pub(super) format: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Frame {
    pub(super) protocol: Option<Spanned<String>>,
    pub(super) start: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) restart: bool,
    pub(super) length: Option<Spanned<usize>>,
    pub(super) length_field: Option<Spanned<LengthField>>,
    pub(super) end: Option<Spanned<String>>,
    pub(super) trailer: Option<Spanned<usize>>,
    #[serde(default)]
    pub(super) until_silence: bool,
    pub(super) stuffing: Option<Spanned<String>>,
    pub(super) shortest: Option<Spanned<usize>>,
    pub(super) longest: Option<Spanned<usize>>,
    pub(super) checksum: Option<Spanned<Checksum>>,
    pub(super) gap_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LengthField {
    pub(super) at: usize,
    #[serde(rename = "type")]
    pub(super) number: Spanned<String>,
    #[serde(default)]
    pub(super) add: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checksum {
    pub(super) kind: Spanned<String>,
    pub(super) over: Spanned<String>,
    pub(super) at: Spanned<i32>,
    pub(super) order: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) hex: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decode {
    #[serde(rename = "as")]
    pub(super) encoding: Option<Spanned<String>>,
    pub(super) separator: Option<Spanned<String>>,
    pub(super) pattern: Option<Spanned<String>>,
    pub(super) repeat: Option<Spanned<Repeat>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Repeat {
    pub(super) from: i32,
    pub(super) to: Option<i32>,
    pub(super) size: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Let {
    pub(super) name: Spanned<String>,
    pub(super) value: Spanned<String>,
    #[serde(default)]
    pub(super) each: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Modbus {
    pub(super) unit: Option<Spanned<u8>>,
    pub(super) function: Option<Spanned<u8>>,
    pub(super) interval_ms: Spanned<u64>,
    pub(super) timeout_ms: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) gap: u16,
    #[serde(default)]
    pub(super) read: Vec<Spanned<Read>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gatt {
    pub(super) interval_ms: Spanned<u64>,
    #[serde(default)]
    pub(super) stay: bool,
    #[serde(default)]
    pub(super) begin: Vec<Begin>,
    pub(super) stream: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begin {
    pub(super) characteristic: Spanned<String>,
    pub(super) send: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Characteristic {
    pub(super) uuid: Spanned<String>,
    #[serde(default)]
    pub(super) listen: bool,
    #[serde(default)]
    pub(super) once: bool,
    #[serde(default, rename = "let")]
    pub(super) intermediate: Vec<Spanned<Let>>,
    #[serde(default)]
    pub(super) field: Vec<Spanned<Field>>,
    #[serde(default)]
    pub(super) rate: Vec<Spanned<Rate>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rate {
    pub(super) name: Spanned<String>,
    pub(super) count: Spanned<String>,
    pub(super) count_bits: Spanned<u32>,
    pub(super) ticks: Spanned<String>,
    pub(super) tick_bits: Spanned<u32>,
    pub(super) ticks_per_second: Spanned<f64>,
    pub(super) scale: Option<Spanned<f64>>,
    pub(super) decimals: Option<u8>,
    pub(super) unit: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    pub(super) register: u16,
    pub(super) count: u16,
    pub(super) function: Option<u8>,
    pub(super) interval_ms: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Eep {
    pub(super) id: Spanned<String>,
    #[serde(default, rename = "let")]
    pub(super) intermediate: Vec<Spanned<Let>>,
    pub(super) field: Vec<Spanned<Field>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Command {
    pub(super) name: Spanned<String>,
    pub(super) send: Option<Spanned<String>>,
    pub(super) text: Option<Spanned<String>>,
    pub(super) characteristic: Option<Spanned<String>>,
    pub(super) register: Option<Spanned<u16>>,
    pub(super) function: Option<Spanned<u8>>,
    #[serde(rename = "type")]
    pub(super) number: Option<Spanned<String>>,
    pub(super) scale: Option<Spanned<f64>>,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) table: Option<Spanned<toml::Table>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Poll {
    pub(super) send: Spanned<String>,
    pub(super) interval_ms: Spanned<u64>,
    pub(super) timeout_ms: Spanned<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Field {
    pub(super) name: Spanned<String>,
    pub(super) at: Option<Spanned<i32>>,
    #[serde(rename = "type")]
    pub(super) number: Option<Spanned<String>>,
    pub(super) bit: Option<Spanned<u32>>,
    pub(super) bits: Option<Spanned<String>>,
    pub(super) register: Option<Spanned<u16>>,
    pub(super) function: Option<Spanned<u8>>,
    pub(super) when: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) each: bool,
    pub(super) from: Option<Spanned<String>>,
    #[serde(rename = "as")]
    pub(super) kind: Option<Spanned<String>>,
    pub(super) unit: Option<String>,
    pub(super) class: Option<Spanned<String>>,
    pub(super) value: Option<Spanned<String>>,
    pub(super) table: Option<Spanned<toml::Table>>,
    pub(super) scale_by: Option<Spanned<ScaleBy>>,
    pub(super) scale: Option<Spanned<f64>>,
    pub(super) add: Option<Spanned<f64>>,
    pub(super) decimals: Option<Spanned<u8>>,
    #[serde(default)]
    pub(super) absent: Vec<Spanned<toml::Value>>,
    pub(super) min: Option<Spanned<f64>>,
    pub(super) max: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScaleBy {
    pub(super) from: String,
    pub(super) factors: BTreeMap<String, f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Capture {
    pub(super) request: Option<Spanned<String>>,
    pub(super) characteristic: Option<Spanned<String>>,
    pub(super) bytes: Option<Spanned<String>>,
    pub(super) values: Option<Spanned<Vec<String>>>,
    pub(super) text: Option<String>,
    #[serde(default, rename = "with")]
    pub(super) options: Options,
    pub(super) gives: Spanned<Vec<toml::Table>>,
    pub(super) source: Spanned<String>,
}
