//! What sensors say, as values: readings, measurements and their units.
//!
//! A reading is kept as a reading, not as the bytes of one format: it is rendered when it is sent, so that a
//! time stamp corrected later, and the format of each uplink, are right for the backlog too. This module knows
//! no format; [`Render`] is the seam.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::durable::Boots;
use crate::time::Moment;

/// Name of a sensor as the configuration gives it: `[sensor.NAME]`. Cheap to clone.
///
/// Letters, digits, `-`, `_` and `.`; it stands in topics.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SensorName(Arc<str>);

impl SensorName {
    /// Parses a name; `None` when it is empty, longer than 64 bytes or has other characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<SensorName> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = !text.is_empty() && text.len() <= 64 && text.bytes().all(good);
        fits.then(|| SensorName(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SensorName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What is measured: `temperature`, `pm25`, `button_2`; a key of the JSON state. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeasurementName(Arc<str>);

impl MeasurementName {
    /// Parses a name; `None` when it is empty, longer than 64 bytes or holds control characters or quotes.
    #[must_use]
    pub fn parse(text: &str) -> Option<MeasurementName> {
        let bad = |c: char| c.is_control() || matches!(c, '"' | '\\');
        let fits = !text.is_empty() && text.len() <= 64 && !text.contains(bad);
        fits.then(|| MeasurementName(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The value of a measurement.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A finite number, already rounded to the digits that the device means.
    Number(f64),
    /// On or off, open or closed.
    Switch(bool),
    /// A text, an event's name.
    Text(Arc<str>),
    /// An event that says how far: a dimmer was turned by so many steps.
    Turn {
        /// Which way: `rotate_left`, `rotate_right`.
        event: Arc<str>,
        /// How many steps; never negative by itself.
        steps: i32,
    },
}

/// The unit of a measurement, as it is written: `°C`, `%`, `hPa`. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Unit(pub Arc<str>);

/// One quantity of a reading.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// What is measured.
    pub name: MeasurementName,
    /// How much.
    pub value: Value,
    /// In which unit; `None` for pure numbers, switches, texts, and where the source does not say.
    pub unit: Option<Unit>,
}

/// What one frame, line or advertisement of a device says.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Which sensor.
    pub sensor: SensorName,
    /// When its last byte arrived.
    pub taken_at: Moment,
    /// Signal strength in dBm, where there is a radio.
    pub rssi: Option<i16>,
    /// The quantities in the order of the frame, each name at most once.
    pub measurements: SmallVec<[Measurement; 4]>,
}

/// Turns a reading into the payload of one format.
///
/// Given by assembly to whoever sends: formats live on the `route` floor, which its siblings do not see.
pub trait Render: Send + Sync {
    /// The payload, with the reading's time corrected by what is known of its boot.
    fn render(&self, reading: &Reading, boots: &Boots) -> Bytes;

    /// Whether a field more does no harm to a payload of this format.
    fn takes_fields(&self) -> bool {
        true
    }

    /// Several payloads of this format as one; a JSON array unless the format says otherwise.
    fn join(&self, payloads: &[Bytes]) -> Bytes {
        let mut joined = vec![b'['];
        joined.extend_from_slice(&payloads.join(&b','));
        joined.push(b']');
        Bytes::from(joined)
    }
}
