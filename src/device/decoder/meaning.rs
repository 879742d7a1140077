//! What a raw value means: its name, its unit, and the arithmetic between them.

use super::Decoded;
use crate::device::number;
use crate::device::problem::ProblemKind;
use crate::reading::{MeasurementName, Unit, Value};

/// What kind of value a field gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::device) enum ValueKind {
    /// A number, or the words `true` and `false`, whichever the device says.
    #[default]
    Plain,
    /// A number, also where the device writes it as text.
    Number,
    /// On or off.
    Switch,
    /// Text as it is.
    Text,
}

/// Raw number x scale + summand, rounded to the digits that are meant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::device) struct Arithmetic {
    scale: f64,
    add: f64,
    /// Digits behind the point, where the profile says so.
    decimals: Option<u8>,
    /// Digits behind the point of the scale, and of the summand.
    digits: (u8, u8),
}

/// What a raw value means.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct Meaning {
    /// What is measured.
    pub(in crate::device) name: MeasurementName,
    /// In which unit.
    pub(in crate::device) unit: Option<Unit>,
    /// As which kind of value.
    pub(in crate::device) kind: ValueKind,
    /// From the raw number to the value.
    pub(in crate::device) arithmetic: Arithmetic,
    /// Raw numbers that say that there is no value.
    pub(in crate::device) absent: Vec<f64>,
    /// The least value that the device can mean.
    pub(in crate::device) min: Option<f64>,
    /// The greatest value that the device can mean.
    pub(in crate::device) max: Option<f64>,
}

impl Arithmetic {
    /// Digits behind the point that nobody names are as many as raw number, scale and summand have.
    pub(in crate::device) fn new(scale: f64, add: f64, decimals: Option<u8>) -> Arithmetic {
        Arithmetic { scale, add, decimals, digits: (number::decimals_of(scale), number::decimals_of(add)) }
    }

    fn apply(&self, raw: f64) -> f64 {
        let as_it_is = self.scale == 1.0 && self.add == 0.0;
        if as_it_is && self.decimals.is_none() {
            return raw;
        }
        let decimals = self.decimals.unwrap_or_else(|| {
            let raw_digits = if raw.fract() == 0.0 { 0 } else { number::decimals_of(raw) };
            let (scale_digits, add_digits) = self.digits;
            raw_digits.saturating_add(scale_digits).max(add_digits)
        });
        number::round(raw * self.scale + self.add, decimals)
    }
}

impl Meaning {
    /// A value that is taken as it is.
    pub(in crate::device) fn plain(name: MeasurementName) -> Meaning {
        Meaning {
            name,
            unit: None,
            kind: ValueKind::Plain,
            arithmetic: Arithmetic::new(1.0, 0.0, None),
            absent: Vec::new(),
            min: None,
            max: None,
        }
    }

    /// Adds what a raw number means.
    pub(super) fn number(&self, raw: f64, to: &mut Decoded) {
        if self.absent.contains(&raw) {
            to.absent = true;
            return;
        }
        match self.kind {
            ValueKind::Plain | ValueKind::Number => {}
            ValueKind::Switch => return self.switch(raw != 0.0, to),
            ValueKind::Text => return to.put(&self.name, Value::Text(raw.to_string().into()), None),
        }
        let value = self.arithmetic.apply(raw);
        if self.min.is_some_and(|min| value < min) || self.max.is_some_and(|max| value > max) {
            let detail = format!("{} is {value}, the device measures {}", self.name.as_str(), self.range());
            return to.problem(ProblemKind::OutOfRange, detail);
        }
        if !value.is_finite() {
            let detail = format!("{} is too great a number", self.name.as_str());
            return to.problem(ProblemKind::OutOfRange, detail);
        }
        to.put(&self.name, Value::Number(value), self.unit.as_ref());
    }

    /// Adds on or off.
    pub(super) fn switch(&self, on: bool, to: &mut Decoded) {
        to.put(&self.name, Value::Switch(on), None);
    }

    /// Adds what a text means; an empty one is no value.
    pub(super) fn text(&self, text: &str, to: &mut Decoded) {
        let text = text.trim();
        if self.kind == ValueKind::Text {
            return to.put(&self.name, Value::Text(text.into()), None);
        }
        if text.is_empty() {
            to.absent = true;
            return;
        }
        match (self.kind, text) {
            (ValueKind::Plain | ValueKind::Switch, "true") => return self.switch(true, to),
            (ValueKind::Plain | ValueKind::Switch, "false") => return self.switch(false, to),
            (ValueKind::Switch, _) => match text.to_ascii_lowercase().as_str() {
                "on" | "yes" | "1" => return self.switch(true, to),
                "off" | "no" | "0" => return self.switch(false, to),
                _ => {}
            },
            _ => match text.parse::<f64>() {
                Ok(raw) if raw.is_finite() => return self.number(raw, to),
                _ => {}
            },
        }
        let wanted = if self.kind == ValueKind::Switch { "on or off" } else { "a number" };
        self.not_a_number(wanted, text, to);
    }

    /// Says that what stands there cannot be taken.
    pub(super) fn not_a_number(&self, wanted: &str, text: &str, to: &mut Decoded) {
        let shown: String = text.chars().take(40).collect();
        let detail = format!("{} must be {wanted}, the device says {shown:?}", self.name.as_str());
        to.problem(ProblemKind::NotANumber, detail);
    }

    fn range(&self) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{min} to {max}"),
            (Some(min), None) => format!("{min} and more"),
            (None, Some(max)) => format!("{max} and less"),
            (None, None) => "anything".to_owned(),
        }
    }
}
