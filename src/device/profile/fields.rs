//! `[decode]` and `[[field]]`: what a frame means, checked.

use std::sync::Arc;

use regex::Regex;
use toml::Spanned;

use super::binary::{self, expression};
use super::error::{Mistakes, did_you_mean};
use super::{lookup, schema};
use crate::device::decoder::{
    Arithmetic, Csv, Decoder, GATEWAY_KEYS, Json, JsonField, KeyValue, KeyValueField, Labelled,
    LabelledField, Meaning, Path, Pattern, PatternField, ScaleBy, ValueKind,
};
use crate::device::framer::Framing;
use crate::device::protocol::{EnOcean, ObisCode, Pairs, Protocol, parse_eep};
use crate::reading::{MeasurementName, Unit};

pub(super) type Fields<'a> = &'a [Spanned<schema::Field>];

const ENCODINGS: [&str; 6] = ["binary", "json", "csv", "key-value", "regex", "nmea0183"];

/// A name that a profile or a user gives to a measurement.
pub(super) fn measurement_name(text: &str) -> Result<MeasurementName, String> {
    if GATEWAY_KEYS.contains(&text) {
        return Err(format!("{text:?} is a key that the gateway writes itself"));
    }
    MeasurementName::parse(text)
        .ok_or_else(|| format!("{text:?} cannot be the name of a measurement: 1 to 64 characters, no quotes"))
}

/// What the frames of a document mean.
pub(super) fn compile(
    document: &schema::Document,
    framing: Option<&Framing>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Decoder> {
    let (decode, fields) = (&document.decode, document.field.as_slice());
    let protocol = framing.and_then(|framing| framing.protocol);
    if let (Some(_), Some(encoding)) = (protocol, &decode.encoding) {
        mistakes.add(encoding.span(), "the protocol of [frame] says already how its frames are read", None);
        return None;
    }
    let encoding = decode.encoding.as_ref().map_or("binary", |encoding| encoding.get_ref());
    let is_binary = encoding == "binary" && protocol.is_none();
    refuse_what_belongs_elsewhere(document, encoding, is_binary, mistakes);
    match protocol {
        Some(protocol) => return of_protocol(protocol, document, mistakes),
        None => refuse(document.eep.first(), "only protocol = \"esp3\" has equipment profiles", mistakes),
    }
    match encoding {
        "binary" => binary::compile(document, framing, mistakes).map(Decoder::Binary),
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
        "nmea0183" => {
            refuse(fields.first(), "the sentences of NMEA 0183 have names of their own", mistakes);
            Some(Decoder::Nmea)
        }
        other => {
            let span = decode.encoding.as_ref().map_or(0..0, Spanned::span);
            let hint = did_you_mean(other, ENCODINGS);
            let hint = hint.unwrap_or_else(|| format!("it is one of {}", ENCODINGS.join(", ")));
            mistakes.add(span, format!("{other:?} is no encoding"), Some(hint));
            None
        }
    }
}

/// Keys that only some encodings have, and names that stand twice where one would hide the other.
fn refuse_what_belongs_elsewhere(
    document: &schema::Document,
    encoding: &str,
    is_binary: bool,
    mistakes: &mut Mistakes<'_>,
) {
    let (decode, fields) = (&document.decode, document.field.as_slice());
    // Under conditions, and where several keys may say the same, a name may stand more than once.
    if !is_binary && encoding != "json" || fields.iter().all(|field| field.get_ref().when.is_none()) {
        refuse_doubles(
            fields,
            matches!(encoding, "json" | "regex")
                || document.frame.as_ref().is_some_and(|frame| frame.get_ref().protocol.is_some()),
            mistakes,
        );
    }
    if encoding != "csv" {
        refuse(decode.separator.as_ref(), "only csv has a separator", mistakes);
    }
    if encoding != "regex" {
        refuse(decode.pattern.as_ref(), "only regex has a pattern", mistakes);
        let scaled = fields.iter().find_map(|field| field.get_ref().scale_by.as_ref());
        refuse(scaled, "only the groups of regex are scaled by another", mistakes);
    }
    if !is_binary {
        refuse(document.intermediate.first(), "only binary frames have intermediates", mistakes);
        refuse(decode.repeat.as_ref(), "only binary frames have elements", mistakes);
        let with_when = fields.iter().find_map(|field| field.get_ref().when.as_ref());
        refuse(with_when, "only binary fields have conditions", mistakes);
    }
}

fn of_protocol(
    protocol: Protocol,
    document: &schema::Document,
    mistakes: &mut Mistakes<'_>,
) -> Option<Decoder> {
    let fields = document.field.as_slice();
    let pairs = match protocol {
        Protocol::VeDirect => Pairs::VeDirect,
        Protocol::Teleinfo => Pairs::Teleinfo,
        Protocol::Iec62056 => Pairs::Iec62056,
        Protocol::Sml => Pairs::Sml,
        Protocol::Modbus => return super::modbus::registers(document, mistakes).map(Decoder::Modbus),
        Protocol::Esp3 => return equipment(document, mistakes).map(Decoder::EnOcean),
        Protocol::MBus | Protocol::VeDirectHex => {
            refuse(fields.first(), "what this protocol says has names of its own", mistakes);
            let is_m_bus = protocol == Protocol::MBus;
            return Some(if is_m_bus { Decoder::MBus(None) } else { Decoder::VeDirectHex });
        }
    };
    let mut compiled = Vec::new();
    for field in fields.iter().map(Spanned::get_ref) {
        text_field(field, mistakes);
        let written = field.from.as_ref().unwrap_or(&field.name);
        if pairs.are_obis()
            && !written.get_ref().contains('#')
            && ObisCode::parse(written.get_ref()).is_none()
        {
            let hint = Some("from = \"1-0:1.8.0\"".to_owned());
            mistakes.add(written.span(), format!("{:?} is no OBIS code", written.get_ref()), hint);
        }
        let is_hex_text = field.kind.as_ref().is_some_and(|kind| kind.get_ref() == "hex-text");
        let label = written.get_ref().clone();
        compiled.push(LabelledField {
            label,
            meaning: meaning(field, ValueKind::Plain, &[], mistakes)?,
            is_hex_text,
        });
    }
    Some(Decoder::Labelled(Labelled { pairs, fields: compiled }))
}

fn equipment(document: &schema::Document, mistakes: &mut Mistakes<'_>) -> Option<EnOcean> {
    refuse(document.field.first(), "radio telegrams are read by [[eep]]", mistakes);
    let mut known = EnOcean::default();
    for eep in document.eep.iter().map(Spanned::get_ref) {
        if parse_eep(eep.id.get_ref()).is_none() {
            let hint = Some("id = \"A5-02-05\"".to_owned());
            mistakes.add(eep.id.span(), format!("{:?} is no equipment profile", eep.id.get_ref()), hint);
        }
        let meaning = binary::fields(&eep.intermediate, &eep.field, None, mistakes)?;
        known.equipment.insert(eep.id.get_ref().to_ascii_uppercase(), meaning);
    }
    Some(known)
}

fn refuse_doubles(fields: Fields<'_>, by_key: bool, mistakes: &mut Mistakes<'_>) {
    for (index, field) in fields.iter().enumerate() {
        let name = &field.get_ref().name;
        let key =
            |field: &schema::Field| field.from.as_ref().filter(|_| by_key).map(|from| from.get_ref().clone());
        let own = key(field.get_ref());
        let mut before = fields.iter().take(index).map(Spanned::get_ref);
        let is_double = |known: &schema::Field| known.name.get_ref() == name.get_ref() && key(known) == own;
        if name.get_ref() != "-" && before.any(is_double) {
            mistakes.add(name.span(), format!("there are two fields {:?}", name.get_ref()), None);
        }
    }
}

pub(super) fn refuse<T>(written: Option<&Spanned<T>>, message: &str, mistakes: &mut Mistakes<'_>) {
    if let Some(written) = written {
        mistakes.add(written.span(), message, None);
    }
}

/// What a field means; its arithmetic may use these intermediates.
pub(super) fn meaning(
    field: &schema::Field,
    usual: ValueKind,
    names: &[&str],
    mistakes: &mut Mistakes<'_>,
) -> Option<Meaning> {
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
        Some("text" | "hex-text") => ValueKind::Text,
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
    let value = match &field.value {
        Some(written) => Some(Arc::new(expression(written, names, mistakes)?)),
        None => None,
    };
    let table = match &field.table {
        Some(written) => Some(Arc::new(lookup::compile(written, mistakes)?)),
        None => None,
    };
    let (absent, absent_texts) = lookup::absent(&field.absent, mistakes);
    Some(Meaning {
        kind,
        value,
        table,
        class: field.class.as_ref().and_then(|class| lookup::class(class, mistakes)),
        unit: field.unit.as_deref().map(|unit| Unit(unit.into())),
        arithmetic: Arithmetic::new(
            field.scale.as_ref().map_or(1.0, |scale| *scale.get_ref()),
            field.add.as_ref().map_or(0.0, |add| *add.get_ref()),
            field.decimals.as_ref().map(|decimals| *decimals.get_ref()),
        ),
        absent,
        absent_texts,
        min,
        max: field.max,
        ..Meaning::plain(name)
    })
}

/// Refuses what belongs to binary fields.
fn text_field(field: &schema::Field, mistakes: &mut Mistakes<'_>) {
    let message = "bytes have places; a field of a text is found by from";
    refuse(field.at.as_ref(), message, mistakes);
    refuse(field.number.as_ref(), message, mistakes);
    refuse(field.bit.as_ref(), message, mistakes);
    refuse(field.bits.as_ref(), message, mistakes);
    refuse(field.register.as_ref(), "registers are those of [modbus]", mistakes);
    refuse(field.function.as_ref(), "functions are those of [modbus]", mistakes);
}

fn keyed(fields: Fields<'_>, mistakes: &mut Mistakes<'_>) -> Option<Vec<(String, Meaning)>> {
    let one = |field: &Spanned<schema::Field>| {
        let field = field.get_ref();
        text_field(field, mistakes);
        let from = field.from.as_ref().unwrap_or(&field.name).get_ref().clone();
        Some((from, meaning(field, ValueKind::Plain, &[], mistakes)?))
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
        columns.push(if passed_over { None } else { Some(meaning(field, ValueKind::Plain, &[], mistakes)?) });
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
        let scale_by = match &field.get_ref().scale_by {
            Some(written) => Some(scale_by(written, &expression, mistakes)?),
            None => None,
        };
        compiled.push(PatternField { group, meaning, scale_by });
    }
    Some(Pattern { expression: Some(expression), fields: compiled })
}

fn scale_by(
    written: &Spanned<schema::ScaleBy>,
    pattern: &Regex,
    mistakes: &mut Mistakes<'_>,
) -> Option<ScaleBy> {
    let by = written.get_ref();
    let group = pattern.capture_names().position(|name| name == Some(&by.from));
    if group.is_none() {
        let hint = did_you_mean(&by.from, pattern.capture_names().flatten());
        mistakes.add(written.span(), format!("the pattern has no group {:?}", by.from), hint);
    }
    let factors = by.factors.iter().map(|(text, factor)| (text.clone(), Arithmetic::new(*factor, 0.0, None)));
    Some(ScaleBy { group: group?, factors: factors.collect() })
}

/// What is wrong with a regular expression, in one line.
pub(super) fn unreadable(error: &regex::Error) -> String {
    let text = error.to_string();
    let said = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("the pattern cannot be read: {said}")
}
