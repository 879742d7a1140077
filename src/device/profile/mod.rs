//! A device as data: how its frames are recognised, what they mean, how it is asked, and the bytes that prove it.
//!
//! The language is described in `docs/profiles.md`. A profile file is read in two steps: [`schema`] is what may be
//! written, `compile` turns it into what the machines need and finds every mistake with its line.

mod binary;
mod commands;
mod compile;
mod error;
mod fields;
mod framing;
mod gatt;
mod library;
mod lookup;
mod modbus;
mod options;
mod proof;
mod schema;

pub use error::{ProfileError, nearest};
pub use library::{Library, LibraryError};
pub use modbus::{Modbus, ModbusRead};
pub use options::{Options, OptionsError};

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::ble::Uuid;
use super::command::Command;
use super::decoder::Decoder;
use super::framer::Framing;
use super::gatt::Gatt;
use super::modbus::Request;
use super::protocol::Protocol;
use crate::reading::Value;

/// What is known of one kind of device.
#[derive(Debug, Clone)]
pub struct Profile {
    /// The name of its file without `.toml`: `nova-sds011`.
    pub id: Arc<str>,
    /// Its file, as it was named when it was read.
    pub file: String,
    /// Who makes it; empty for generic formats.
    pub vendor: String,
    /// What its maker calls it.
    pub model: String,
    /// What it is, in a few words.
    pub about: String,
    /// Where the facts come from.
    pub sources: Vec<String>,
    /// The file that says how it is connected.
    pub wiring: Option<String>,
    /// How its serial line is set; `None`: it is reached by Bluetooth.
    pub serial: Option<SerialSettings>,
    /// What it is asked, and how often; empty when it speaks by itself.
    pub polls: Vec<Poll>,
    /// How its registers are read, where it speaks Modbus.
    pub modbus: Option<Modbus>,
    /// How it is read over a Bluetooth connection.
    pub gatt: Option<Gatt>,
    /// What can be set.
    pub commands: Vec<Command>,
    /// Bytes that were captured or published, with what they must give.
    pub captures: Vec<Capture>,
    pub(super) framing: Arc<Framing>,
    pub(super) decoder: Decoder,
}

impl Profile {
    /// Whether the device says first how fast it goes on, when it is asked (IEC 62056-21, modes B and C).
    #[must_use]
    pub fn signs_on(&self) -> bool {
        self.framing.protocol == Some(Protocol::Iec62056) && !self.polls.is_empty()
    }

    /// The command of that name.
    #[must_use]
    pub fn command(&self, name: &str) -> Option<&Command> {
        self.commands.iter().find(|command| command.name == name)
    }

    /// Reads a profile; `id` is the name of its file without `.toml`, `file` is named in errors.
    ///
    /// # Errors
    /// Every mistake that can be found at once, with line and column.
    pub fn parse(id: &str, file: &str, text: &str) -> Result<Profile, Vec<ProfileError>> {
        compile::compile(id, file, text)
    }
}

/// How a serial line is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SerialSettings {
    /// Bits per second.
    pub baud: u32,
    /// Data bits, parity, stop bits.
    pub format: SerialFormat,
}

/// Data bits, parity and stop bits: `8N1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SerialFormat {
    /// 5 to 8.
    pub data_bits: u8,
    /// The bit that guards them.
    pub parity: Parity,
    /// 1 or 2.
    pub stop_bits: u8,
}

/// The bit that guards a byte on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// There is none.
    None,
    /// Makes the number of ones even.
    Even,
    /// Makes the number of ones odd.
    Odd,
}

impl SerialFormat {
    /// Reads `8N1`, `7E1`...
    #[must_use]
    pub fn parse(text: &str) -> Option<SerialFormat> {
        let mut characters = text.chars();
        let format = SerialFormat {
            data_bits: match characters.next()? {
                '5' => 5,
                '6' => 6,
                '7' => 7,
                '8' => 8,
                _ => return None,
            },
            parity: match characters.next()? {
                'N' => Parity::None,
                'E' => Parity::Even,
                'O' => Parity::Odd,
                _ => return None,
            },
            stop_bits: match characters.next()? {
                '1' => 1,
                '2' => 2,
                _ => return None,
            },
        };
        characters.next().is_none().then_some(format)
    }
}

impl fmt::Display for SerialFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Even => 'E',
            Parity::Odd => 'O',
        };
        write!(formatter, "{}{parity}{}", self.data_bits, self.stop_bits)
    }
}

/// One request to a device that speaks only when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// What is sent.
    pub send: Bytes,
    /// What is sent before, where the device must first be selected among others of its line.
    pub select: Option<Bytes>,
    /// How often.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// Bytes as a device sends them, and what they must give.
#[derive(Debug, Clone)]
pub struct Capture {
    /// Where it begins in its file, counted from 1.
    pub line: usize,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whose values they are, of a device that is read over a Bluetooth connection.
    pub characteristic: Option<Uuid>,
    /// Its values one after the other; one is `bytes`.
    pub values: Vec<Vec<u8>>,
    /// What was asked, where only that tells what an answer means.
    pub request: Option<Request>,
    /// With these options of the sensor.
    pub options: Options,
    /// The readings that must come out, in order; none: nothing may.
    pub gives: Vec<BTreeMap<String, Value>>,
    /// Where the bytes and their meaning come from.
    pub source: String,
}

/// Bytes written as hexadecimal digits, blanks anywhere between them.
#[must_use]
pub fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    let byte = |[high, low]: &[char; 2]| u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok();
    pairs.iter().map(byte).collect()
}
