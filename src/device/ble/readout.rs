//! What a decoder writes while it reads an advertisement, and what comes out of it.

use std::borrow::Cow;

use super::quantity::Quantity;
use crate::device::Measurements;
use crate::device::problem::Problem;
use crate::limits;
use crate::reading::{Measurement, MeasurementName, Value};

/// What an advertisement says.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// The family of its format, as `[ble] auto` names it: `bthome`, `ruuvi`.
    pub family: &'static str,
    /// What kind of device sent it, as far as it says.
    pub model: Cow<'static, str>,
    /// The quantities, in the order of the frame.
    pub measurements: Measurements,
    /// What of the frame could not be understood, beside what could.
    pub problems: Vec<Problem>,
    /// The number that the device gave this frame: a repetition has the same.
    pub packet: Option<u32>,
    /// Whether something happened (a button was pressed), rather than something being so.
    pub event: bool,
}

/// A [`Sighting`] in the making.
#[derive(Debug, Default)]
pub(super) struct Readout {
    pub(super) model: Cow<'static, str>,
    pub(super) measurements: Measurements,
    pub(super) problems: Vec<Problem>,
    pub(super) packet: Option<u32>,
    pub(super) event: bool,
}

impl Readout {
    pub(super) fn model(&mut self, model: impl Into<Cow<'static, str>>) {
        self.model = model.into();
    }

    /// Adds a number; one that is not finite is none. What the name had said before is forgotten.
    pub(super) fn number(&mut self, quantity: Quantity, value: impl Into<f64>) {
        let value = value.into();
        if value.is_finite() {
            // No negative zero: nobody means one.
            self.put(quantity, 0, Value::Number(value + 0.0));
        }
    }

    /// Adds a whole number of `parts` of the unit, exactly rounded.
    pub(super) fn scaled(&mut self, quantity: Quantity, raw: impl Into<f64>, parts: f64) {
        self.number(quantity, raw.into() / parts);
    }

    pub(super) fn switch(&mut self, quantity: Quantity, on: bool) {
        self.put(quantity, 0, Value::Switch(on));
    }

    pub(super) fn text(&mut self, quantity: Quantity, text: &str) {
        self.put(quantity, 0, Value::Text(text.into()));
    }

    /// Adds something that happened.
    pub(super) fn event(&mut self, quantity: Quantity, event: &str) {
        self.event = true;
        self.text(quantity, event);
    }

    /// The same with the number of a part: `temperature_probe_2`; 0 means no number.
    pub(super) fn numbered(&mut self, quantity: Quantity, number: u8, value: impl Into<f64>) {
        let value = value.into();
        if value.is_finite() {
            self.put(quantity, number, Value::Number(value + 0.0));
        }
    }

    /// Something that happened to one of several parts: `button_2`.
    pub(super) fn numbered_event(&mut self, quantity: Quantity, number: u8, event: &str) {
        self.event = true;
        self.put(quantity, number, Value::Text(event.into()));
    }

    pub(super) fn put(&mut self, quantity: Quantity, number: u8, value: Value) {
        let (name, unit) = quantity.named();
        let Some(name) = name else { return };
        let name = if number == 0 { Some(name) } else { numbered(&name, number) };
        let Some(name) = name else { return };
        if let Some(known) = self.measurements.iter_mut().find(|known| known.name == name) {
            known.value = value;
        } else if self.measurements.len() < limits::MEASUREMENTS {
            self.measurements.push(Measurement { name, value, unit });
        }
    }
}

fn numbered(name: &MeasurementName, number: u8) -> Option<MeasurementName> {
    MeasurementName::parse(&format!("{}_{number}", name.as_str()))
}
