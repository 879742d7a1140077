//! What a raw value means: its name, its unit, and the arithmetic between them.

use std::sync::Arc;

use super::Decoded;
use crate::device::expression::{Expression, Number, Scope};
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

/// What single raw values mean.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::device) struct Lookup {
    /// As numbers; a key that is none is compared as text only.
    pub(in crate::device) rows: Vec<(Option<f64>, String, Value)>,
    /// What every other one means; `None`: nothing.
    pub(in crate::device) otherwise: Option<Value>,
}

impl Lookup {
    fn of_number(&self, raw: f64) -> Option<&Value> {
        let found = self.rows.iter().find(|(number, _, _)| *number == Some(raw));
        found.map(|(_, _, value)| value).or(self.otherwise.as_ref())
    }

    fn of_text(&self, raw: &str) -> Option<&Value> {
        let number = raw.parse::<f64>().ok();
        let same = |(known, text, _): &&(Option<f64>, String, Value)| {
            text == raw || (number.is_some() && *known == number)
        };
        self.rows.iter().find(same).map(|(_, _, value)| value).or(self.otherwise.as_ref())
    }
}

/// What a raw value means.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct Meaning {
    /// What is measured.
    pub(in crate::device) name: MeasurementName,
    /// In which unit.
    pub(in crate::device) unit: Option<Unit>,
    /// Its device class, by the names of Home Assistant.
    pub(in crate::device) class: Option<&'static str>,
    /// As which kind of value.
    pub(in crate::device) kind: ValueKind,
    /// Makes another raw number of the one that stands there.
    pub(in crate::device) value: Option<Arc<Expression>>,
    /// From the raw number to the value.
    pub(in crate::device) arithmetic: Arithmetic,
    /// What single raw values mean.
    pub(in crate::device) table: Option<Arc<Lookup>>,
    /// Raw numbers that say that there is no value.
    pub(in crate::device) absent: Vec<f64>,
    /// Texts that say so.
    pub(in crate::device) absent_texts: Vec<String>,
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

    pub(in crate::device) fn apply(&self, raw: f64) -> f64 {
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

impl Arithmetic {
    /// The same, with the digits behind the point that the device wrote: `20.50` has two.
    pub(in crate::device) fn apply_to_text(&self, raw: f64, text: &str) -> f64 {
        let written = text.split_once('.').map_or(0, |(_, digits)| digits.len());
        let decimals = u8::try_from(written).unwrap_or(9).saturating_add(self.digits.0);
        number::round(raw * self.scale + self.add, decimals)
    }
}

impl Meaning {
    /// A value that is taken as it is.
    pub(in crate::device) fn plain(name: MeasurementName) -> Meaning {
        Meaning {
            name,
            unit: None,
            class: None,
            kind: ValueKind::Plain,
            value: None,
            table: None,
            arithmetic: Arithmetic::new(1.0, 0.0, None),
            absent: Vec::new(),
            absent_texts: Vec::new(),
            min: None,
            max: None,
        }
    }

    /// Adds what a raw number means.
    pub(in crate::device) fn number(&self, raw: f64, to: &mut Decoded) {
        self.take(Some(Number::of(raw)), &Scope::default(), false, to);
    }

    /// Adds what a raw number means, or what the arithmetic alone gives; `again`: beside one of the same name.
    pub(in crate::device) fn take(
        &self,
        raw: Option<Number>,
        scope: &Scope<'_>,
        again: bool,
        to: &mut Decoded,
    ) {
        if let Some(raw) = raw
            && self.absent.contains(&raw.as_f64())
        {
            to.absent = true;
            return;
        }
        let raw = match &self.value {
            None => raw,
            Some(value) => value.evaluate(&Scope { raw, ..*scope }),
        };
        let Some(raw) = raw.map(Number::as_f64) else { return };
        if raw.is_nan() || (self.value.is_some() && self.absent.contains(&raw)) {
            to.absent = true;
            return;
        }
        if let Some(value) = self.judge(raw, to) {
            let unit = if matches!(value, Value::Number(_)) { self.unit.as_ref() } else { None };
            if again { to.put_again(&self.name, value, unit) } else { to.put(&self.name, value, unit) }
        }
    }

    /// The value of a raw number that is one.
    fn judge(&self, raw: f64, to: &mut Decoded) -> Option<Value> {
        if let Some(table) = &self.table {
            let value = table.of_number(raw).cloned();
            if value.is_none() {
                self.not_in_table(&raw.to_string(), to);
            }
            return value;
        }
        match self.kind {
            ValueKind::Plain | ValueKind::Number => {}
            ValueKind::Switch => return Some(Value::Switch(raw != 0.0)),
            ValueKind::Text => return Some(Value::Text(raw.to_string().into())),
        }
        let value = self.arithmetic.apply(raw);
        if self.min.is_some_and(|min| value < min) || self.max.is_some_and(|max| value > max) {
            let detail = format!("{} is {value}, the device measures {}", self.name.as_str(), self.range());
            to.problem(ProblemKind::OutOfRange, detail);
            return None;
        }
        if !value.is_finite() {
            let detail = format!("{} is too great a number", self.name.as_str());
            to.problem(ProblemKind::OutOfRange, detail);
            return None;
        }
        Some(Value::Number(value))
    }

    fn not_in_table(&self, raw: &str, to: &mut Decoded) {
        let shown: String = raw.chars().take(40).collect();
        let detail = format!("{} is {shown:?}, which its table does not name", self.name.as_str());
        to.problem(ProblemKind::OutOfRange, detail);
    }

    /// Adds on or off.
    pub(in crate::device) fn switch(&self, on: bool, to: &mut Decoded) {
        to.put(&self.name, Value::Switch(on), None);
    }

    /// Adds what a text means; an empty one is no value.
    pub(in crate::device) fn text(&self, text: &str, to: &mut Decoded) {
        let text = text.trim();
        if self.absent_texts.iter().any(|absent| absent == text) {
            to.absent = true;
            return;
        }
        if let Some(table) = &self.table {
            let unit =
                |value: &Value| if matches!(value, Value::Number(_)) { self.unit.as_ref() } else { None };
            return match table.of_text(text) {
                Some(value) => to.put(&self.name, value.clone(), unit(value)),
                None if text.is_empty() => to.absent = true,
                None => self.not_in_table(text, to),
            };
        }
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
    pub(in crate::device) fn not_a_number(&self, wanted: &str, text: &str, to: &mut Decoded) {
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
