//! From what is written to what is meant: checks a whole profile file and finds every mistake.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use toml::Spanned;

use super::error::Mistakes;
use super::{
    Capture, Poll, Profile, ProfileError, SerialFormat, SerialSettings, commands, fields, framing, gatt, hex,
    lookup, modbus, schema,
};
use crate::device::command::Command;
use crate::device::decoder::{Binary, Decoder};
use crate::device::framer::Framing;
use crate::device::modbus::Request;
use crate::device::protocol::Protocol;
use crate::reading::Value;

pub(super) fn compile(id: &str, file: &str, text: &str) -> Result<Profile, Vec<ProfileError>> {
    let mut mistakes = Mistakes::new(file, text);
    let document: schema::Document = match toml::from_str(text) {
        Ok(document) => document,
        Err(error) => {
            mistakes.add_toml(&error);
            return Err(mistakes.into_found());
        }
    };
    let framing = framing(&document, &mut mistakes);
    let has_values_only = document.gatt.as_ref().is_some_and(|gatt| gatt.get_ref().stream.is_none());
    let decoder = if has_values_only {
        fields::refuse(document.field.first(), "fields belong to a [[characteristic]] here", &mut mistakes);
        Some(Decoder::Binary(Binary::default()))
    } else {
        fields::compile(&document, framing.as_ref(), &mut mistakes)
    };
    let modbus = match (&document.modbus, &decoder) {
        (Some(written), Some(Decoder::Modbus(registers))) => {
            modbus::compile(written, registers, &document.field, &mut mistakes)
        }
        _ => None,
    };
    let gatt = gatt::compile(&document, &mut mistakes);
    let commands: Vec<Command> =
        document.command.iter().filter_map(|one| commands::compile(one, &document, &mut mistakes)).collect();
    let serial = way(&document, &mut mistakes);
    let polls: Vec<Poll> = document.poll.iter().filter_map(|one| poll(one, &mut mistakes)).collect();
    let captures: Vec<Capture> =
        document.capture.into_iter().filter_map(|one| capture(one, &mut mistakes)).collect();
    let found = mistakes.into_found();
    match (framing, decoder, serial) {
        (Some(framing), Some(decoder), serial) if found.is_empty() => Ok(Profile {
            id: id.into(),
            file: file.to_owned(),
            vendor: document.device.vendor,
            model: document.device.model,
            about: document.device.about,
            sources: document.device.sources,
            wiring: document.device.wiring,
            serial,
            polls,
            modbus,
            gatt,
            commands,
            captures,
            framing: Arc::new(framing),
            decoder,
        }),
        _ => {
            assert!(!found.is_empty(), "a part of a profile is missing only with a mistake that says why");
            Err(found)
        }
    }
}

/// A device is on a line or at the other end of a connection.
fn way(document: &schema::Document, mistakes: &mut Mistakes<'_>) -> Option<SerialSettings> {
    match (&document.serial, &document.gatt) {
        (Some(line), None) => serial(line, mistakes),
        (None, Some(_)) => None,
        (Some(line), Some(_)) => {
            mistakes.add(line.baud.span(), "a device with [gatt] is on no serial line", None);
            None
        }
        (None, None) => {
            mistakes.add(0..0, "there is neither [serial] nor [gatt]: how is it reached?", None);
            None
        }
    }
}

/// Modbus and single characteristics need no `[frame]`, every other device does.
fn framing(document: &schema::Document, mistakes: &mut Mistakes<'_>) -> Option<Framing> {
    let has_stream = document.gatt.as_ref().is_some_and(|gatt| gatt.get_ref().stream.is_some());
    match (&document.frame, &document.modbus) {
        // Each value is whole; none of them goes through a framer.
        (None, None) if document.gatt.is_some() && !has_stream => Some(Framing::until_silence()),
        (Some(frame), None) => framing::compile(frame, mistakes),
        (None, Some(_)) => Some(Framing::of(Protocol::Modbus)),
        (Some(frame), Some(_)) => {
            mistakes.add(frame.span(), "a device with [modbus] has no frames of its own", None);
            // Its fields are those of a unit: the rest of the file is judged so.
            Some(Framing::of(Protocol::Modbus))
        }
        (None, None) => {
            mistakes.add(0..0, "there is neither [frame] nor [modbus]: how is a frame recognised?", None);
            None
        }
    }
}

fn serial(serial: &schema::Serial, mistakes: &mut Mistakes<'_>) -> Option<SerialSettings> {
    let baud = *serial.baud.get_ref();
    if baud == 0 {
        mistakes.add(serial.baud.span(), "a line has at least 1 bit per second", None);
    }
    let Some(written) = &serial.format else {
        return SerialFormat::parse("8N1").map(|format| SerialSettings { baud, format });
    };
    let format = SerialFormat::parse(written.get_ref());
    if format.is_none() {
        let hint = "data bits (5 to 8), parity (N, E or O), stop bits (1 or 2): \"8N1\"".to_owned();
        mistakes.add(written.span(), format!("{:?} is no serial format", written.get_ref()), Some(hint));
    }
    format.map(|format| SerialSettings { baud, format })
}

fn poll(poll: &schema::Poll, mistakes: &mut Mistakes<'_>) -> Option<Poll> {
    let send = bytes(&poll.send, mistakes)?;
    let interval = Duration::from_millis(*poll.interval_ms.get_ref());
    let timeout = Duration::from_millis(*poll.timeout_ms.get_ref());
    if timeout.is_zero() || timeout > interval {
        let message = "an answer may take at least 1 ms, and at most until the next request";
        mistakes.add(poll.timeout_ms.span(), message, None);
        return None;
    }
    Some(Poll { send: Bytes::from(send), select: None, interval, timeout })
}

/// Bytes in hexadecimal, at least one.
pub(super) fn bytes(written: &Spanned<String>, mistakes: &mut Mistakes<'_>) -> Option<Vec<u8>> {
    let bytes = hex(written.get_ref()).filter(|bytes| !bytes.is_empty());
    if bytes.is_none() {
        let hint = "two digits for each byte: \"AA C0\"".to_owned();
        mistakes.add(written.span(), "these are no bytes in hexadecimal", Some(hint));
    }
    bytes
}

fn capture(capture: Spanned<schema::Capture>, mistakes: &mut Mistakes<'_>) -> Option<Capture> {
    let line = mistakes.line_of(capture.span().start);
    let capture = capture.into_inner();
    let span = capture.gives.span();
    if capture.source.get_ref().trim().is_empty() {
        mistakes.add(capture.source.span(), "a capture says where it comes from", None);
    }
    let characteristic = match &capture.characteristic {
        None => None,
        Some(written) => Some(gatt::uuid(written, mistakes)?),
    };
    let mut values = Vec::new();
    if let Some(written) = &capture.values {
        for value in written.get_ref() {
            let Some(value) = hex(value) else {
                mistakes.add(written.span(), format!("{value:?} are no bytes in hexadecimal"), None);
                return None;
            };
            values.push(value);
        }
    }
    let bytes = match (&capture.bytes, capture.text) {
        (Some(written), None) => bytes(written, mistakes)?,
        (None, Some(text)) => text.into_bytes(),
        (None, None) if characteristic.is_some() && !values.is_empty() => Vec::new(),
        _ => {
            mistakes.add(span, "a capture has either bytes or text; or values, of a characteristic", None);
            return None;
        }
    };
    let request = match &capture.request {
        None => None,
        Some(written) => {
            let request = Request::parse(&self::bytes(written, mistakes)?);
            if request.is_none() {
                mistakes.add(written.span(), "this is no Modbus request, or its CRC does not hold", None);
            }
            request
        }
    };
    let mut gives = Vec::new();
    for table in capture.gives.into_inner() {
        gives.push(expected(table, &span, mistakes)?);
    }
    let source = capture.source.into_inner();
    if values.is_empty() {
        values.push(bytes.clone());
    }
    Some(Capture { line, bytes, characteristic, values, request, options: capture.options, gives, source })
}

fn expected(
    table: toml::Table,
    span: &Range<usize>,
    mistakes: &mut Mistakes<'_>,
) -> Option<BTreeMap<String, Value>> {
    let mut reading = BTreeMap::new();
    for (name, value) in table {
        let Some(value) = lookup::value_of(&value) else {
            let message = format!("{name} must be a number, true, false or a text");
            mistakes.add(span.clone(), message, None);
            return None;
        };
        reading.insert(name, value);
    }
    Some(reading)
}
