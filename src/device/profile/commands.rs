//! `[[command]]`: what can be set, and the templates of what is sent, checked.
//!
//! ```text
//! send = "FF 01 99 {value:u16be} 00 00 00 {negated-sum8:1}"      bytes; a checksum over everything from byte 1 on
//! text = "OUT {value}\r\n"                                       text
//! ```

use toml::Spanned;

use super::error::{Mistakes, did_you_mean};
use super::framing::number_type;
use super::{gatt, hex, schema};
use crate::device::checksum::ChecksumKind;
use crate::device::command::{Command, Form, Part};
use crate::device::number::{ByteOrder, NumberType};

pub(super) fn compile(
    written: &Spanned<schema::Command>,
    document: &schema::Document,
    mistakes: &mut Mistakes<'_>,
) -> Option<Command> {
    let (span, command) = (written.span(), written.get_ref());
    let characteristic = match (&command.characteristic, &document.gatt) {
        (Some(written), Some(_)) => Some(gatt::uuid(written, mistakes)?),
        (None, None) => None,
        (Some(written), None) => {
            mistakes.add(written.span(), "only a device with [gatt] has characteristics", None);
            return None;
        }
        (None, Some(_)) => {
            mistakes.add(span, "the command does not say to which characteristic it is written", None);
            return None;
        }
    };
    let form = match (&command.send, &command.text, &command.register) {
        (Some(send), None, None) => Form::Bytes(parts(send, false, mistakes)?),
        (None, Some(text), None) => Form::Bytes(parts(text, true, mistakes)?),
        (None, None, Some(address)) if document.modbus.is_some() => {
            let function = command.function.as_ref().map_or(6, |function| *function.get_ref());
            let number = match &command.number {
                Some(number) => number_type(number, mistakes)?,
                None => NumberType::parse("u16be")?,
            };
            let fits = match function {
                5 => true,
                6 => number.bytes == 2,
                16 => number.bytes.is_multiple_of(2),
                _ => false,
            };
            if !fits {
                let hint = "5 writes a bit, 6 a register, 16 several".to_owned();
                mistakes.add(span, format!("function {function} does not write such a number"), Some(hint));
                return None;
            }
            Form::Register { function, address: *address.get_ref(), number }
        }
        (None, None, Some(address)) => {
            mistakes.add(address.span(), "only a device with [modbus] has registers", None);
            return None;
        }
        _ => {
            mistakes.add(span, "a command has one of send, text and register", None);
            return None;
        }
    };
    let scale = command.scale.as_ref().map_or(1.0, |scale| *scale.get_ref());
    if scale == 0.0 || !scale.is_finite() {
        mistakes.add(
            command.scale.as_ref().map_or(span, Spanned::span),
            "a scale is a number other than 0",
            None,
        );
        return None;
    }
    let mut table = Vec::new();
    if let Some(words) = &command.table {
        for (word, value) in words.get_ref() {
            match value.as_float().or_else(|| value.as_integer().map(crate::device::number::from_i64)) {
                Some(number) => table.push((word.clone(), number)),
                None => mistakes.add(words.span(), format!("{word} must stand for a number"), None),
            }
        }
    }
    let name = command.name.get_ref().clone();
    Some(Command { name, characteristic, form, scale, min: command.min, max: command.max, table })
}

fn parts(written: &Spanned<String>, is_text: bool, mistakes: &mut Mistakes<'_>) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let mut rest = written.get_ref().as_str();
    while !rest.is_empty() {
        let (fixed, behind) = rest.split_once('{').unwrap_or((rest, ""));
        let bytes = if is_text { Some(fixed.as_bytes().to_vec()) } else { hex(fixed) };
        let Some(bytes) = bytes else {
            let hint = "two digits for each byte, {value:u16be} for the value".to_owned();
            mistakes.add(written.span(), format!("{fixed:?} are no bytes in hexadecimal"), Some(hint));
            return None;
        };
        if !bytes.is_empty() {
            parts.push(Part::Fixed(bytes));
        }
        if fixed.len() == rest.len() {
            break;
        }
        let Some((place, behind)) = behind.split_once('}') else {
            mistakes.add(written.span(), "a `{` has no `}`", None);
            return None;
        };
        parts.push(part(place, written, mistakes)?);
        rest = behind;
    }
    if parts.is_empty() {
        mistakes.add(written.span(), "nothing would be sent", None);
        return None;
    }
    Some(parts)
}

/// `value`, `value:u16be`, `sum8`, `crc16-modbus:0:little`
fn part(place: &str, written: &Spanned<String>, mistakes: &mut Mistakes<'_>) -> Option<Part> {
    let mut words = place.split(':');
    let first = words.next().unwrap_or_default().trim();
    let second = words.next().map(str::trim);
    if first == "value" {
        return match second.map(NumberType::parse) {
            None => Some(Part::Text),
            Some(Some(number)) => Some(Part::Number(number)),
            Some(None) => {
                mistakes.add(
                    written.span(),
                    format!("{:?} is no type of a number", second.unwrap_or("")),
                    None,
                );
                None
            }
        };
    }
    let Some(kind) = ChecksumKind::parse(first) else {
        let hint = did_you_mean(first, ChecksumKind::names().chain(["value"]));
        mistakes.add(written.span(), format!("{first:?} is neither value nor a checksum"), hint);
        return None;
    };
    let order =
        if words.next().map(str::trim) == Some("little") { ByteOrder::Little } else { ByteOrder::Big };
    Some(Part::Checksum(kind, second.and_then(|from| from.parse().ok()).unwrap_or(0), order))
}
