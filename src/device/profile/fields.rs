//! `[decode]` and `[[field]]`: what a frame means, checked.

use regex::Regex;
use toml::Spanned;

use super::error::{Mistakes, did_you_mean};
use super::framing::number_type;
use super::schema;
use crate::device::decoder::{
    Arithmetic, Binary, BinaryField, Csv, Decoder, GATEWAY_KEYS, Json, JsonField, KeyValue, KeyValueField,
    Meaning, Path, Pattern, PatternField, ValueKind,
};
use crate::device::framer::{Framing, LengthRule};
use crate::device::number::{NumberType, Position};
use crate::reading::{MeasurementName, Unit};

type Fields<'a> = &'a [Spanned<schema::Field>];

const ENCODINGS: [&str; 5] = ["binary", "json", "csv", "key-value", "regex"];

/// A name that a profile or a user gives to a measurement.
pub(super) fn measurement_name(text: &str) -> Result<MeasurementName, String> {
    if GATEWAY_KEYS.contains(&text) {
        return Err(format!("{text:?} is a key that the gateway writes itself"));
    }
    MeasurementName::parse(text)
        .ok_or_else(|| format!("{text:?} cannot be the name of a measurement: 1 to 64 characters, no quotes"))
}

pub(super) fn compile(
    decode: &schema::Decode,
    fields: Fields<'_>,
    framing: Option<&Framing>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Decoder> {
    refuse_doubles(fields, mistakes);
    let encoding = decode.encoding.as_ref().map_or("binary", |encoding| encoding.get_ref());
    if encoding != "csv" {
        refuse(decode.separator.as_ref(), "only csv has a separator", mistakes);
    }
    if encoding != "regex" {
        refuse(decode.pattern.as_ref(), "only regex has a pattern", mistakes);
    }
    match encoding {
        "binary" => binary(fields, framing, mistakes).map(Decoder::Binary),
        "json" => {
            let field = |(key, meaning): (String, Meaning)| JsonField { meaning, path: Path::parse(&key) };
            let fields = keyed(fields, mistakes)?.into_iter().map(field).collect();
            Some(Decoder::Json(Json { fields }))
        }
        "key-value" => {
            let field = |(key, meaning)| KeyValueField { key, meaning };
            let fields = keyed(fields, mistakes)?.into_iter().map(field).collect();
            Some(Decoder::KeyValue(KeyValue { fields }))
        }
        "csv" => csv(decode, fields, mistakes).map(Decoder::Csv),
        "regex" => pattern(decode, fields, mistakes).map(Decoder::Pattern),
        other => {
            let span = decode.encoding.as_ref().map_or(0..0, Spanned::span);
            let hint = did_you_mean(other, ENCODINGS);
            let hint = hint.unwrap_or_else(|| format!("it is one of {}", ENCODINGS.join(", ")));
            mistakes.add(span, format!("{other:?} is no encoding"), Some(hint));
            None
        }
    }
}

fn refuse_doubles(fields: Fields<'_>, mistakes: &mut Mistakes<'_>) {
    for (index, field) in fields.iter().enumerate() {
        let name = &field.get_ref().name;
        let mut before = fields.iter().take(index).map(|known| known.get_ref().name.get_ref());
        if name.get_ref() != "-" && before.any(|known| known == name.get_ref()) {
            mistakes.add(name.span(), format!("there are two fields {:?}", name.get_ref()), None);
        }
    }
}

fn refuse<T>(written: Option<&Spanned<T>>, message: &str, mistakes: &mut Mistakes<'_>) {
    if let Some(written) = written {
        mistakes.add(written.span(), message, None);
    }
}

fn meaning(field: &schema::Field, usual: ValueKind, mistakes: &mut Mistakes<'_>) -> Option<Meaning> {
    let name = match measurement_name(field.name.get_ref()) {
        Ok(name) => name,
        Err(message) => {
            mistakes.add(field.name.span(), message, None);
            return None;
        }
    };
    let kind = match field.kind.as_ref().map(|kind| kind.get_ref().as_str()) {
        None => usual,
        Some("number") => ValueKind::Number,
        Some("switch") => ValueKind::Switch,
        Some("text") => ValueKind::Text,
        Some(other) => {
            let span = field.kind.as_ref().map_or(0..0, Spanned::span);
            let hint = "number, switch or text".to_owned();
            mistakes.add(span, format!("{other:?} is no kind of value"), Some(hint));
            return None;
        }
    };
    if field.scale.as_ref().is_some_and(|scale| *scale.get_ref() == 0.0 || !scale.get_ref().is_finite()) {
        refuse(field.scale.as_ref(), "a scale is a number other than 0", mistakes);
    }
    if field.add.as_ref().is_some_and(|add| !add.get_ref().is_finite()) {
        refuse(field.add.as_ref(), "what is added is a number", mistakes);
    }
    let min = field.min.as_ref().map(|min| *min.get_ref());
    if matches!((min, field.max), (Some(min), Some(max)) if min > max) {
        refuse(field.min.as_ref(), "min is greater than max", mistakes);
    }
    Some(Meaning {
        kind,
        unit: field.unit.as_deref().map(|unit| Unit(unit.into())),
        arithmetic: Arithmetic::new(
            field.scale.as_ref().map_or(1.0, |scale| *scale.get_ref()),
            field.add.as_ref().map_or(0.0, |add| *add.get_ref()),
            field.decimals.as_ref().map(|decimals| *decimals.get_ref()),
        ),
        absent: field.absent.clone(),
        min,
        max: field.max,
        ..Meaning::plain(name)
    })
}

fn binary(fields: Fields<'_>, framing: Option<&Framing>, mistakes: &mut Mistakes<'_>) -> Option<Binary> {
    let compiled: Vec<Option<BinaryField>> =
        fields.iter().map(|field| binary_field(field, framing, mistakes)).collect();
    if fields.is_empty() {
        let hint = "[[field]] with name, at and type; or [decode] as = \"json\" for text".to_owned();
        mistakes.add(0..0, "a binary profile has no field", Some(hint));
        return None;
    }
    Some(Binary { fields: compiled.into_iter().collect::<Option<_>>()? })
}

fn binary_field(
    field: &Spanned<schema::Field>,
    framing: Option<&Framing>,
    mistakes: &mut Mistakes<'_>,
) -> Option<BinaryField> {
    let (span, field) = (field.span(), field.get_ref());
    refuse(field.from.as_ref(), "a binary field stands at a place; from is for text", mistakes);
    let Some(at) = &field.at else {
        let hint = Some("at = 2 is the third byte, at = -1 the last".to_owned());
        mistakes.add(span, "the field does not say where it stands", hint);
        return None;
    };
    let one_bit = field.bit.is_some();
    let number = match &field.number {
        Some(written) => number_type(written, mistakes)?,
        None if one_bit || field.bits.is_some() => NumberType::parse("u8")?,
        None => {
            let hint = Some("type = \"u16be\"".to_owned());
            mistakes.add(span, "the field does not say of which type it is", hint);
            return None;
        }
    };
    let bits = bits(field, number, mistakes)?;
    let at_place = Position(*at.get_ref());
    if let Some(Framing { length: LengthRule::Fixed(length), .. }) = framing {
        let end = at_place.within(*length).map(|place| place + number.bytes);
        if end.is_none_or(|end| end > *length) {
            mistakes.add(at.span(), format!("the field stands outside of the frame's {length} bytes"), None);
        }
    }
    let usual = if one_bit { ValueKind::Switch } else { ValueKind::Number };
    Some(BinaryField { meaning: meaning(field, usual, mistakes)?, at: at_place, number, bits })
}

/// The bits of a number that count; the outer `None` is a mistake.
fn bits(
    field: &schema::Field,
    number: NumberType,
    mistakes: &mut Mistakes<'_>,
) -> Option<Option<(u32, u32)>> {
    let (span, lowest, end) = match (&field.bit, &field.bits) {
        (None, None) => return Some(None),
        (Some(bit), None) => (bit.span(), Some(*bit.get_ref()), bit.get_ref().checked_add(1)),
        (None, Some(bits)) => {
            let ends = bits.get_ref().split_once("..");
            let lowest = ends.and_then(|(lowest, _)| lowest.trim().parse().ok());
            (bits.span(), lowest, ends.and_then(|(_, end)| end.trim().parse().ok()))
        }
        (Some(_), Some(bits)) => {
            mistakes.add(bits.span(), "a field has either bit or bits", None);
            return None;
        }
    };
    let width = u32::try_from(number.bytes * 8).unwrap_or(0);
    match (lowest, end) {
        (Some(lowest), Some(end)) if lowest < end && end <= width && number.is_integer() => {
            Some(Some((lowest, end - lowest)))
        }
        _ => {
            let hint = "bit 0 is the lowest; \"4..8\" are the bits 4 to 7".to_owned();
            mistakes.add(span, format!("a number of {width} bits has no such bits"), Some(hint));
            None
        }
    }
}

/// Refuses what belongs to binary fields.
fn text_field(field: &schema::Field, mistakes: &mut Mistakes<'_>) {
    let message = "bytes have places; a field of a text is found by from";
    refuse(field.at.as_ref(), message, mistakes);
    refuse(field.number.as_ref(), message, mistakes);
    refuse(field.bit.as_ref(), message, mistakes);
    refuse(field.bits.as_ref(), message, mistakes);
}

fn keyed(fields: Fields<'_>, mistakes: &mut Mistakes<'_>) -> Option<Vec<(String, Meaning)>> {
    let one = |field: &Spanned<schema::Field>| {
        let field = field.get_ref();
        text_field(field, mistakes);
        let from = field.from.as_ref().unwrap_or(&field.name).get_ref().clone();
        Some((from, meaning(field, ValueKind::Plain, mistakes)?))
    };
    fields.iter().map(one).collect()
}

fn csv(decode: &schema::Decode, fields: Fields<'_>, mistakes: &mut Mistakes<'_>) -> Option<Csv> {
    let mut characters = decode.separator.as_ref().map_or(",", |written| written.get_ref()).chars();
    let (Some(separator), None) = (characters.next(), characters.next()) else {
        refuse(decode.separator.as_ref(), "the separator is one character", mistakes);
        return None;
    };
    let mut columns = Vec::new();
    for field in fields.iter().map(Spanned::get_ref) {
        text_field(field, mistakes);
        refuse(field.from.as_ref(), "the fields of csv are the columns in their order", mistakes);
        let passed_over = field.name.get_ref() == "-";
        columns.push(if passed_over { None } else { Some(meaning(field, ValueKind::Plain, mistakes)?) });
    }
    Some(Csv { separator, columns })
}

fn pattern(decode: &schema::Decode, fields: Fields<'_>, mistakes: &mut Mistakes<'_>) -> Option<Pattern> {
    let Some(written) = &decode.pattern else {
        if let Some(field) = fields.first() {
            let hint = Some("pattern = '^R(?<distance>\\d+)'".to_owned());
            mistakes.add(field.span(), "fields of regex are the groups of a pattern", hint);
        }
        return Some(Pattern { expression: None, fields: Vec::new() });
    };
    let expression = match Regex::new(written.get_ref()) {
        Ok(expression) => expression,
        Err(error) => {
            mistakes.add(written.span(), unreadable(&error), None);
            return None;
        }
    };
    let keyed = keyed(fields, mistakes)?;
    let mut compiled = Vec::new();
    for ((from, meaning), field) in keyed.into_iter().zip(fields) {
        let Some(group) = expression.capture_names().position(|name| name == Some(&from)) else {
            let hint = did_you_mean(&from, expression.capture_names().flatten());
            mistakes.add(field.get_ref().name.span(), format!("the pattern has no group {from:?}"), hint);
            continue;
        };
        compiled.push(PatternField { group, meaning });
    }
    Some(Pattern { expression: Some(expression), fields: compiled })
}

/// What is wrong with a regular expression, in one line.
pub(super) fn unreadable(error: &regex::Error) -> String {
    let text = error.to_string();
    let said = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("the pattern cannot be read: {said}")
}
