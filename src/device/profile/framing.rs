//! `[frame]`: how frames are recognised, checked.

use std::time::Duration;

use toml::Spanned;

use super::compile::bytes;
use super::error::{Mistakes, did_you_mean};
use super::schema;
use crate::device::checksum::{Checksum, ChecksumKind};
use crate::device::framer::{Framing, LengthField, LengthRule};
use crate::device::number::{ByteOrder, NumberType, Position, Span};
use crate::device::protocol::Protocol;
use crate::device::stuffing::Stuffing;
use crate::limits;

/// Longest frame of a length field, where the profile does not say.
const LONGEST_BY_FIELD: usize = 256;
/// Silence inside a binary frame, where the profile does not say.
const GAP: Duration = Duration::from_secs(1);

pub(super) fn compile(frame: &Spanned<schema::Frame>, mistakes: &mut Mistakes<'_>) -> Option<Framing> {
    let (span, frame) = (frame.span(), frame.get_ref());
    if let Some(written) = &frame.protocol {
        return protocol(written, frame, mistakes);
    }
    let stuffing = stuffing(frame, mistakes)?;
    let (start, end) = match stuffing {
        Some(stuffing) => (stuffing.start().to_vec(), stuffing.end().to_vec()),
        None => {
            (optional_bytes(frame.start.as_ref(), mistakes)?, optional_bytes(frame.end.as_ref(), mistakes)?)
        }
    };
    let length = length_rule(frame, !end.is_empty(), span.clone(), mistakes)?;
    let checksum = match &frame.checksum {
        Some(checksum) => Some(self::checksum(checksum.get_ref(), mistakes)?),
        None => None,
    };
    if start.is_empty()
        && checksum.is_none()
        && !matches!(length, LengthRule::UntilEnd | LengthRule::UntilSilence)
    {
        let hint = "start = \"AA C0\", or a checksum".to_owned();
        mistakes.add(span, "nothing says where a frame begins", Some(hint));
        return None;
    }
    let is_line = start.is_empty() && length == LengthRule::UntilEnd;
    let gap = match frame.gap_ms {
        Some(millis) => Some(Duration::from_millis(millis.max(1))),
        None if is_line => None,
        None => Some(GAP),
    };
    let trailer = trailer(frame, is_line || end.is_empty(), mistakes);
    if frame.restart && start.is_empty() {
        mistakes.add(span, "a frame without a start cannot begin anew", None);
    }
    let marks = if stuffing.is_some() { 0 } else { start.len() + end.len() + trailer };
    let (shortest, longest) = bounds(frame, length, marks, mistakes)?;
    let (restart, protocol, keys) = (frame.restart, None, None);
    let framing = Framing {
        start,
        length,
        end,
        trailer,
        restart,
        protocol,
        keys,
        stuffing,
        shortest,
        longest,
        checksum,
        gap,
    };
    fits(&framing, frame, mistakes).then_some(framing)
}

/// Where a frame ends.
fn length_rule(
    frame: &schema::Frame,
    has_end: bool,
    span: std::ops::Range<usize>,
    mistakes: &mut Mistakes<'_>,
) -> Option<LengthRule> {
    match (&frame.length, &frame.length_field) {
        (Some(length), None) => Some(LengthRule::Fixed(*length.get_ref())),
        (None, Some(field)) => length_field(field.get_ref(), mistakes).map(LengthRule::Field),
        (None, None) if frame.until_silence => Some(LengthRule::UntilSilence),
        (None, None) if has_end => Some(LengthRule::UntilEnd),
        (Some(_), Some(field)) => {
            mistakes.add(field.span(), "a frame has either a length or a length_field", None);
            None
        }
        (None, None) => {
            let hint = "length = 10, length_field = { ... }, or end = \"0A\" for lines".to_owned();
            mistakes.add(span, "nothing says where a frame ends", Some(hint));
            None
        }
    }
}

/// Bytes behind the closing ones.
fn trailer(frame: &schema::Frame, has_no_place: bool, mistakes: &mut Mistakes<'_>) -> usize {
    let Some(written) = &frame.trailer else { return 0 };
    let trailer = *written.get_ref();
    if has_no_place || trailer > 16 {
        let message = "a trailer of at most 16 bytes follows the end of a frame that has a start";
        mistakes.add(written.span(), message, None);
    }
    trailer
}

/// A protocol needs nothing else, but may be slower than others.
fn protocol(
    written: &Spanned<String>,
    frame: &schema::Frame,
    mistakes: &mut Mistakes<'_>,
) -> Option<Framing> {
    let others = [
        frame.start.as_ref().map(Spanned::span),
        frame.end.as_ref().map(Spanned::span),
        frame.length.as_ref().map(Spanned::span),
        frame.length_field.as_ref().map(Spanned::span),
        frame.stuffing.as_ref().map(Spanned::span),
        frame.checksum.as_ref().map(Spanned::span),
    ];
    for other in others.into_iter().flatten() {
        mistakes.add(other, "a protocol alone says how its frames are recognised", None);
    }
    let name = written.get_ref();
    let Some(protocol) = Protocol::parse(name).filter(|protocol| *protocol != Protocol::Modbus) else {
        let hint = did_you_mean(name, Protocol::names());
        let all = || format!("it is one of {}", Protocol::names().collect::<Vec<_>>().join(", "));
        mistakes.add(written.span(), format!("{name:?} is no protocol"), Some(hint.unwrap_or_else(all)));
        return None;
    };
    let mut framing = Framing::of(protocol);
    if let Some(millis) = frame.gap_ms {
        framing.gap = Some(Duration::from_millis(millis.max(1)));
    }
    Some(framing)
}

fn optional_bytes(written: Option<&Spanned<String>>, mistakes: &mut Mistakes<'_>) -> Option<Vec<u8>> {
    match written {
        Some(written) => bytes(written, mistakes),
        None => Some(Vec::new()),
    }
}

/// Stuffing brings its own end, and needs nothing else; the outer `None` is a mistake.
fn stuffing(frame: &schema::Frame, mistakes: &mut Mistakes<'_>) -> Option<Option<Stuffing>> {
    let Some(written) = &frame.stuffing else {
        return Some(None);
    };
    let name = written.get_ref();
    let known = Stuffing::parse(name);
    if known.is_none() {
        let hint = did_you_mean(name, Stuffing::NAMES)
            .unwrap_or_else(|| format!("it is one of {}", Stuffing::NAMES.join(", ")));
        mistakes.add(written.span(), format!("{name:?} is no byte stuffing"), Some(hint));
    }
    let others = [
        frame.start.as_ref().map(Spanned::span),
        frame.end.as_ref().map(Spanned::span),
        frame.length.as_ref().map(Spanned::span),
        frame.length_field.as_ref().map(Spanned::span),
    ];
    for other in others.into_iter().flatten() {
        mistakes.add(other, "byte stuffing alone says where a frame begins and ends", None);
    }
    known.map(Some)
}

fn length_field(field: &schema::LengthField, mistakes: &mut Mistakes<'_>) -> Option<LengthField> {
    let number = number_type(&field.number, mistakes)?;
    if !number.is_integer() {
        mistakes.add(field.number.span(), "a length is a whole number", None);
        return None;
    }
    Some(LengthField { at: field.at, number, add: field.add })
}

/// The type of a number, by its name.
pub(super) fn number_type(written: &Spanned<String>, mistakes: &mut Mistakes<'_>) -> Option<NumberType> {
    let known = NumberType::parse(written.get_ref());
    if known.is_none() {
        let message = format!("{:?} is no type of a number", written.get_ref());
        let hint = "u8, i8, u16be, i16le ... u64le, f32be, f64le".to_owned();
        mistakes.add(written.span(), message, Some(hint));
    }
    known
}

fn checksum(written: &schema::Checksum, mistakes: &mut Mistakes<'_>) -> Option<Checksum> {
    let kind = ChecksumKind::parse(written.kind.get_ref());
    if kind.is_none() {
        let message = format!("{:?} is no checksum", written.kind.get_ref());
        let hint = did_you_mean(written.kind.get_ref(), ChecksumKind::names());
        let all = || format!("it is one of {}", ChecksumKind::names().collect::<Vec<_>>().join(", "));
        mistakes.add(written.kind.span(), message, Some(hint.unwrap_or_else(all)));
    }
    let over = Span::parse(written.over.get_ref());
    if over.is_none() {
        let hint = "\"2..8\" are the bytes 2 to 7, \"0..-2\" all but the last two".to_owned();
        mistakes.add(written.over.span(), "this is no part of a frame", Some(hint));
    }
    let order = match written.order.as_ref().map(|order| order.get_ref().as_str()) {
        None | Some("big") => ByteOrder::Big,
        Some("little") => ByteOrder::Little,
        Some(other) => {
            let span = written.order.as_ref().map_or(0..0, Spanned::span);
            mistakes.add(span, format!("{other:?} is no byte order"), Some("big or little".to_owned()));
            return None;
        }
    };
    let at = Position(*written.at.get_ref());
    Some(Checksum { kind: kind?, over: over?, at, order, hex: written.hex })
}

fn bounds(
    frame: &schema::Frame,
    length: LengthRule,
    marks: usize,
    mistakes: &mut Mistakes<'_>,
) -> Option<(usize, usize)> {
    let (shortest, longest) = match length {
        LengthRule::Fixed(length) => {
            let bounds = [&frame.shortest, &frame.longest];
            if let Some(bound) = bounds.into_iter().flatten().next() {
                mistakes.add(bound.span(), "a frame of fixed length has no other bounds", None);
            }
            (length, length)
        }
        LengthRule::Field(field) => {
            // It cannot say less than nothing, and must have been read.
            let uncounted = usize::try_from(field.add).unwrap_or(0);
            ((field.at + field.number.bytes).max(uncounted).max(marks), LONGEST_BY_FIELD)
        }
        LengthRule::UntilEnd | LengthRule::UntilSilence => (marks, limits::FRAME_BYTES),
    };
    let shortest = frame.shortest.as_ref().map_or(shortest, |written| *written.get_ref()).max(1);
    let longest = frame.longest.as_ref().map_or(longest.max(shortest), |written| *written.get_ref());
    let written = [&frame.longest, &frame.length, &frame.shortest].into_iter().flatten().next();
    if longest > limits::FRAME_BYTES || shortest > longest || shortest < marks {
        let message = format!("a frame has {} to {} bytes", marks.max(1), limits::FRAME_BYTES);
        mistakes.add(written.map_or(0..0, Spanned::span), message, None);
        return None;
    }
    Some((shortest, longest))
}

/// Whether the checksum stands inside the shortest frame.
fn fits(framing: &Framing, frame: &schema::Frame, mistakes: &mut Mistakes<'_>) -> bool {
    let (Some(checksum), Some(written)) = (&framing.checksum, &frame.checksum) else {
        return true;
    };
    let shortest = vec![0; framing.shortest];
    let ends = checksum.at.within(shortest.len()).map(|at| at + checksum.width());
    if ends.is_none_or(|end| end > shortest.len()) {
        let message = format!("the checksum stands outside of a frame of {} bytes", shortest.len());
        let hint =
            (framing.shortest < framing.longest).then(|| "say the fewest bytes with shortest".to_owned());
        mistakes.add(written.get_ref().at.span(), message, hint);
        return false;
    }
    if checksum.over.of(&shortest).is_none() {
        let message = format!("a frame of {} bytes has no such part", shortest.len());
        let hint =
            (framing.shortest < framing.longest).then(|| "say the fewest bytes with shortest".to_owned());
        mistakes.add(written.get_ref().over.span(), message, hint);
        return false;
    }
    true
}
