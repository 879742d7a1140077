//! `[[let]]`, `[decode] repeat` and the fields of binary frames, checked. Advertisements use them too.

use toml::Spanned;

use super::error::Mistakes;
use super::fields::{Fields, meaning, refuse};
use super::framing::number_type;
use super::schema;
use crate::device::decoder::{Binary, BinaryField, Intermediate, Place, Repeat, TextType, ValueKind};
use crate::device::expression::Expression;
use crate::device::framer::{Framing, LengthRule};
use crate::device::number::{NumberType, Position};

pub(super) fn compile(
    document: &schema::Document,
    framing: Option<&Framing>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Binary> {
    if document.field.is_empty() {
        let hint = "[[field]] with name, at and type; or [decode] as = \"json\" for text".to_owned();
        mistakes.add(0..0, "a binary profile has no field", Some(hint));
        return None;
    }
    let fixed = match framing {
        Some(Framing { length: LengthRule::Fixed(length), stuffing: None, .. }) => Some(*length),
        _ => None,
    };
    let mut binary = fields(&document.intermediate, &document.field, fixed, mistakes)?;
    let names: Vec<&str> =
        document.intermediate.iter().map(|one| one.get_ref().name.get_ref().as_str()).collect();
    binary.repeat = match &document.decode.repeat {
        None => {
            let each = document.field.iter().find(|field| field.get_ref().each);
            refuse(each, "there are no elements: [decode] repeat says where they are", mistakes);
            None
        }
        Some(written) => {
            let repeat = written.get_ref();
            let size = expression(&repeat.size, &names, mistakes)?;
            Some(Repeat { from: Position(repeat.from), to: repeat.to.map(Position), size })
        }
    };
    Some(binary)
}

/// Fields of a slice of bytes; of `fixed` bytes where that is known.
pub(super) fn fields(
    intermediates: &[Spanned<schema::Let>],
    fields: Fields<'_>,
    fixed: Option<usize>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Binary> {
    let mut names: Vec<&str> = Vec::new();
    let mut compiled = Vec::new();
    for one in intermediates.iter().map(Spanned::get_ref) {
        let name = one.name.get_ref();
        let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_word || names.contains(&name.as_str()) || NumberType::parse(name).is_some() {
            mistakes.add(one.name.span(), format!("{name:?} cannot be the name of an intermediate"), None);
        }
        compiled.push(Intermediate { value: expression(&one.value, &names, mistakes)?, each: one.each });
        names.push(name);
    }
    let fields: Vec<Option<BinaryField>> =
        fields.iter().map(|one| field(one, fixed, &names, mistakes)).collect();
    Some(Binary { intermediates: compiled, fields: fields.into_iter().collect::<Option<_>>()?, repeat: None })
}

/// An expression of a profile.
pub(super) fn expression(
    written: &Spanned<String>,
    names: &[&str],
    mistakes: &mut Mistakes<'_>,
) -> Option<Expression> {
    match Expression::parse(written.get_ref(), names) {
        Ok(expression) => Some(expression),
        Err(mistake) => {
            // Behind the opening quote.
            let at = written.span().start + 1 + mistake.at;
            mistakes.add(at..at, mistake.message, None);
            None
        }
    }
}

fn field(
    field: &Spanned<schema::Field>,
    fixed: Option<usize>,
    names: &[&str],
    mistakes: &mut Mistakes<'_>,
) -> Option<BinaryField> {
    let (span, field) = (field.span(), field.get_ref());
    refuse(field.from.as_ref(), "a binary field stands at a place; from is for text", mistakes);
    refuse(field.register.as_ref(), "registers are those of [modbus]", mistakes);
    refuse(field.function.as_ref(), "functions are those of [modbus]", mistakes);
    let when = match &field.when {
        Some(written) => Some(expression(written, names, mistakes)?),
        None => None,
    };
    let (place, usual) = match &field.at {
        Some(at) => place(span, field, *at.get_ref(), "u8", mistakes)?,
        None if field.value.is_some() => (Place::Nowhere, ValueKind::Number),
        None => {
            let hint = Some("at = 2 is the third byte, at = -1 the last".to_owned());
            mistakes.add(span, "the field does not say where it stands", hint);
            return None;
        }
    };
    if let (Some(length), Some(at), false) = (fixed, &field.at, field.each) {
        let end = Position(*at.get_ref()).within(length).map(|at| at + place.bytes());
        if end.is_none_or(|end| end > length) {
            mistakes.add(at.span(), format!("the field stands outside of the frame's {length} bytes"), None);
        }
    }
    let meaning = meaning(field, usual, names, mistakes)?;
    Some(BinaryField { meaning, place, when, each: field.each })
}

/// Where the raw value of a field stands, and what kind of value that usually is; bits are those of such a number.
pub(super) fn place(
    span: std::ops::Range<usize>,
    field: &schema::Field,
    at: i32,
    of_bits: &str,
    mistakes: &mut Mistakes<'_>,
) -> Option<(Place, ValueKind)> {
    let at = Position(at);
    let one_bit = field.bit.is_some();
    if let Some(text) = field.number.as_ref().and_then(|written| TextType::parse(written.get_ref())) {
        return Some((Place::Text { at, text }, ValueKind::Text));
    }
    let number = match &field.number {
        Some(written) => number_type(written, mistakes)?,
        None if one_bit || field.bits.is_some() => NumberType::parse(of_bits)?,
        None => {
            let hint = Some("type = \"u16be\"".to_owned());
            mistakes.add(span, "the field does not say of which type it is", hint);
            return None;
        }
    };
    let bits = bits(field, number, mistakes)?;
    let usual = if one_bit { ValueKind::Switch } else { ValueKind::Number };
    Some((Place::Number { at, number, bits }, usual))
}

impl Place {
    /// How many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Place::Number { number, .. } => number.bytes,
            Place::Text { text, .. } => text.bytes(),
            Place::Nowhere => 0,
        }
    }
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
