//! Numbers, bits and texts at their places in a slice of bytes, under conditions, once or in every element.
//!
//! The slice may be a frame of a serial line, a register block or the data of an advertisement.

use smallvec::SmallVec;

use super::{Decoded, Meaning, ValueKind};
use crate::device::expression::{Expression, Number, Scope};
use crate::device::number::{NumberType, Position};
use crate::limits;
use crate::reading::Value;

/// The fields of a slice of bytes.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::device) struct Binary {
    /// Named intermediates, each from those before it.
    pub(in crate::device) intermediates: Vec<Intermediate>,
    /// In the order of the reading.
    pub(in crate::device) fields: Vec<BinaryField>,
    /// Elements of which there are several.
    pub(in crate::device) repeat: Option<Repeat>,
}

/// A named value on the way to others.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct Intermediate {
    pub(in crate::device) value: Expression,
    /// Whether each element has its own.
    pub(in crate::device) each: bool,
}

/// Elements one behind the other: a list, or records with a tag and a length.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct Repeat {
    /// Where the first begins.
    pub(in crate::device) from: Position,
    /// Behind the last.
    pub(in crate::device) to: Option<Position>,
    /// How many bytes an element has, seen from its first byte.
    pub(in crate::device) size: Expression,
}

/// One field.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::device) struct BinaryField {
    /// What it means.
    pub(in crate::device) meaning: Meaning,
    /// Where its raw value stands.
    pub(in crate::device) place: Place,
    /// Only then it is there.
    pub(in crate::device) when: Option<Expression>,
    /// Whether each element has its own.
    pub(in crate::device) each: bool,
}

/// Where a raw value stands, and how it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::device) enum Place {
    /// A number, or some bits of it: the lowest, and how many.
    Number { at: Position, number: NumberType, bits: Option<(u32, u32)> },
    /// A text.
    Text { at: Position, text: TextType },
    /// Nowhere: the arithmetic alone gives it.
    Nowhere,
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::device) enum TextType {
    /// So many characters; a NUL ends it early.
    Ascii(usize),
    /// So many bytes as hexadecimal digits.
    Hex(usize),
    /// The same, the last byte first.
    HexReversed(usize),
    /// Everything from there to the end, UTF-8.
    Rest,
    /// Six bytes with colons between them.
    Mac,
    /// The same, the last byte first.
    MacReversed,
}

type Values = SmallVec<[Option<Number>; 8]>;

impl Binary {
    pub(in crate::device) fn decode(&self, bytes: &[u8], to: &mut Decoded) {
        let mut values = Values::new();
        self.evaluate(bytes, false, &mut values);
        self.take(bytes, &values, false, to);
        let Some(repeat) = &self.repeat else { return };
        let of_frame = values.clone();
        for element in repeat.elements(bytes, &of_frame) {
            self.evaluate(element, true, &mut values);
            self.take(element, &values, true, to);
        }
    }

    fn evaluate(&self, bytes: &[u8], each: bool, values: &mut Values) {
        for (index, one) in self.intermediates.iter().enumerate() {
            if one.each == each {
                let value = one.value.evaluate(&Scope { bytes, raw: None, intermediates: values });
                match values.get_mut(index) {
                    Some(known) => *known = value,
                    None => values.push(value),
                }
            } else if values.len() <= index {
                values.push(None);
            }
        }
    }

    fn take(&self, bytes: &[u8], values: &Values, each: bool, to: &mut Decoded) {
        for field in self.fields.iter().filter(|field| field.each == each) {
            field.decode(bytes, values, to);
        }
    }
}

impl Repeat {
    /// The elements; one that has no size, or reaches behind the end, ends the list.
    fn elements<'a>(&self, bytes: &'a [u8], values: &'a Values) -> impl Iterator<Item = &'a [u8]> {
        let from = self.from.within(bytes.len());
        let to = self.to.map_or(Some(bytes.len()), |to| to.within(bytes.len()));
        let mut rest = from.zip(to).and_then(|(from, to)| bytes.get(from..to)).unwrap_or_default();
        let size = self.size.clone();
        let elements = std::iter::from_fn(move || {
            let scope = Scope { bytes: rest, raw: None, intermediates: values };
            let size = usize::try_from(size.evaluate(&scope)?.whole()?).ok().filter(|size| *size > 0)?;
            let (element, behind) = rest.split_at_checked(size)?;
            rest = behind;
            Some(element)
        });
        elements.take(limits::MEASUREMENTS)
    }
}

impl BinaryField {
    /// The field in a slice of its own, without intermediates.
    pub(in crate::device) fn decode_alone(&self, bytes: &[u8], to: &mut Decoded) {
        self.decode(bytes, &Values::new(), to);
    }

    /// A field behind the end of a frame that may be shorter is not there; that is no problem.
    fn decode(&self, bytes: &[u8], values: &Values, to: &mut Decoded) {
        let scope = Scope { bytes, raw: None, intermediates: values };
        if self.when.as_ref().is_some_and(|when| !when.holds(&scope)) {
            return;
        }
        let raw = match self.place {
            Place::Nowhere => None,
            Place::Text { at, text } => {
                if let Some(text) = text.read(bytes, at) {
                    self.take_text(&text, to);
                }
                return;
            }
            Place::Number { at, number, bits } => {
                let Some(place) = at.within(bytes.len()) else { return };
                let Some(own) = bytes.get(place..place.saturating_add(number.bytes)) else { return };
                match read(own, number, bits) {
                    Some(raw) => Some(raw),
                    // A float that is no number is how such devices say that there is none.
                    None => return to.absent = true,
                }
            }
        };
        self.meaning.take(raw, &scope, self.each, to);
    }

    fn take_text(&self, text: &str, to: &mut Decoded) {
        match self.meaning.kind {
            ValueKind::Number => self.meaning.text(text, to),
            _ if text.is_empty() => to.absent = true,
            _ if self.meaning.table.is_some() => self.meaning.text(text, to),
            _ => to.put(&self.meaning.name, Value::Text(text.into()), None),
        }
    }
}

fn read(own: &[u8], number: NumberType, bits: Option<(u32, u32)>) -> Option<Number> {
    let Some((lowest, count)) = bits else {
        return number.number(own);
    };
    let mask = u64::MAX.checked_shr(64_u32.saturating_sub(count)).unwrap_or(0);
    let value = number.unsigned(own).checked_shr(lowest).unwrap_or(0) & mask;
    number.of_bits(value, count)
}

impl TextType {
    /// Reads `ascii8`, `hex6`, `hex6le`, `text`, `mac` or `macle`.
    pub(in crate::device) fn parse(text: &str) -> Option<TextType> {
        let count = |text: &str| text.parse().ok().filter(|count| (1..=limits::FRAME_BYTES).contains(count));
        match text {
            "text" => return Some(TextType::Rest),
            "mac" => return Some(TextType::Mac),
            "macle" => return Some(TextType::MacReversed),
            _ => {}
        }
        if let Some(rest) = text.strip_prefix("ascii") {
            return count(rest).map(TextType::Ascii);
        }
        let rest = text.strip_prefix("hex")?;
        match rest.strip_suffix("le") {
            Some(rest) => count(rest).map(TextType::HexReversed),
            None => count(rest).map(TextType::Hex),
        }
    }

    /// How many bytes it takes.
    pub(in crate::device) const fn bytes(self) -> usize {
        match self {
            TextType::Ascii(count) | TextType::Hex(count) | TextType::HexReversed(count) => count,
            TextType::Rest => 0,
            TextType::Mac | TextType::MacReversed => 6,
        }
    }

    fn read(self, bytes: &[u8], at: Position) -> Option<String> {
        let at = at.within(bytes.len())?;
        let own = match self {
            TextType::Rest => bytes.get(at..)?,
            _ => bytes.get(at..at.checked_add(self.bytes())?)?,
        };
        let hex = |bytes: &mut dyn Iterator<Item = &u8>, between: &str| {
            bytes.map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(between)
        };
        Some(match self {
            TextType::Ascii(_) => {
                let end = own.iter().position(|byte| *byte == 0).unwrap_or(own.len());
                let text =
                    own.get(..end)?.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' });
                text.filter(|c| !c.is_control()).collect::<String>().trim().to_owned()
            }
            TextType::Rest => {
                let text = String::from_utf8_lossy(own);
                text.chars().filter(|c| !c.is_control()).collect::<String>().trim().to_owned()
            }
            TextType::Hex(_) => hex(&mut own.iter(), ""),
            TextType::HexReversed(_) => hex(&mut own.iter().rev(), ""),
            TextType::Mac => hex(&mut own.iter(), ":").to_ascii_uppercase(),
            TextType::MacReversed => hex(&mut own.iter().rev(), ":").to_ascii_uppercase(),
        })
    }
}
