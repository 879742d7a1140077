//! Labels with their values: what meters and chargers send as text.

use super::{Decoded, Meaning, ValueKind};
use crate::device::number;
use crate::device::protocol::{ObisCode, Pair, Pairs, decode_ve_direct_hex, is_ve_direct_message};
use crate::reading::Value;

/// Which labels are taken.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct Labelled {
    /// How the pairs are written.
    pub(in crate::device) pairs: Pairs,
    /// In the order in which they go first, when several take the same label.
    pub(in crate::device) fields: Vec<LabelledField>,
}

/// One label.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct LabelledField {
    /// As the device writes it, or as an OBIS code.
    pub(in crate::device) label: String,
    /// What its value means.
    pub(in crate::device) meaning: Meaning,
    /// A text that is written as the hexadecimal digits of its characters.
    pub(in crate::device) is_hex_text: bool,
}

impl Labelled {
    pub(super) fn decode(&self, frame: &[u8], to: &mut Decoded) {
        if self.pairs == Pairs::VeDirect && is_ve_direct_message(frame) {
            return decode_ve_direct_hex(frame, to);
        }
        self.pairs.each(frame, &mut |pair| match pair {
            Ok(pair) => self.take(pair, to),
            Err(problem) => to.problem(problem.kind, problem.detail.into_owned()),
        });
    }

    fn take(&self, pair: Pair<'_>, to: &mut Decoded) {
        // What follows `#` is the kind of what counts behind the meter: it is compared as it is written.
        let said = ObisCode::parse(pair.label).filter(|_| self.pairs.are_obis());
        let is_meant = |field: &&LabelledField| {
            let same = || Some(ObisCode::parse(&field.label)?.matches(said.as_ref()?));
            // Most labels are others: that is seen without taking them apart.
            let quantity = field.label.rsplit(':').next().unwrap_or_default();
            let may_be = pair.label.contains(quantity.trim_end_matches(".0"));
            field.label == pair.label || (may_be && same() == Some(true))
        };
        for field in self.fields.iter().filter(is_meant) {
            field.take(pair, to);
        }
    }
}

impl LabelledField {
    fn take(&self, pair: Pair<'_>, to: &mut Decoded) {
        // The first of several of a name is the one that counts now.
        if to.measurements.iter().any(|known| known.name == self.meaning.name) {
            return;
        }
        if self.is_hex_text {
            let text = crate::device::hex(pair.value)
                .map(|bytes| bytes.iter().map(|byte| char::from(*byte)).collect::<String>());
            let text = text.filter(|text| text.chars().all(|c| c.is_ascii_graphic() || c == ' '));
            let text = text.unwrap_or_else(|| pair.value.to_owned());
            if text.trim().is_empty() {
                to.absent = true;
            } else {
                to.put(&self.meaning.name, Value::Text(text.trim().into()), None);
            }
            return;
        }
        let wanted = self.meaning.unit.as_ref().map_or("", |unit| &unit.0);
        let factor = pair.unit.and_then(|unit| factor(unit, wanted));
        match (factor, pair.value.trim().parse::<f64>()) {
            (Some(factor), Ok(raw))
                if factor != 1.0 && self.meaning.kind != ValueKind::Text && raw.is_finite() =>
            {
                let decimals = pair.value.trim().split_once('.').map_or(0, |(_, digits)| digits.len());
                let decimals =
                    u8::try_from(decimals).unwrap_or(9).saturating_add(number::decimals_of(factor));
                self.meaning.number(number::round(raw * factor, decimals), to);
            }
            _ => self.meaning.text(pair.value, to),
        }
    }
}

/// By how much a value in one unit is multiplied to be one in the other.
fn factor(from: &str, to: &str) -> Option<f64> {
    let (from_base, from_scale) = base(from)?;
    let (to_base, to_scale) = base(to)?;
    (from_base == to_base).then_some(if from_scale >= to_scale {
        from_scale / to_scale
    } else {
        1.0 / (to_scale / from_scale)
    })
}

fn base(unit: &str) -> Option<(&'static str, f64)> {
    const BASES: [&str; 9] = ["VArh", "varh", "VAr", "var", "VAh", "VA", "Wh", "W", "V"];
    let unit = unit.trim();
    if unit == "A" || unit == "mA" {
        return Some(("A", if unit == "A" { 1.0 } else { 0.001 }));
    }
    let base = BASES.into_iter().find(|base| {
        unit.eq_ignore_ascii_case(base) || unit.get(1..).is_some_and(|rest| rest.eq_ignore_ascii_case(base))
    })?;
    let scale = match unit.strip_suffix(unit.get(unit.len() - base.len()..)?)? {
        "" => 1.0,
        "m" => 0.001,
        "k" | "K" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        _ => return None,
    };
    Some((base, scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_a_kind_are_converted() {
        assert_eq!(factor("kW", "W"), Some(1000.0));
        assert_eq!(factor("Wh", "kWh"), Some(0.001));
        assert_eq!(factor("MWh", "kWh"), Some(1000.0));
        assert_eq!(factor("kvarh", "varh"), Some(1000.0));
        assert_eq!(factor("mA", "A"), Some(0.001));
        assert_eq!(factor("V", "V"), Some(1.0));
        for (from, to) in [("kW", "kWh"), ("m3", "W"), ("°C", "°C"), ("", "W")] {
            assert_eq!(factor(from, to), None, "{from} {to}");
        }
    }
}
