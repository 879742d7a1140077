//! Smart Message Language (BSI TR-03109-1, annex IV), transport protocol version 1: what German meters send.
//!
//! ```text
//! file = 1B1B1B1B 01010101 { byte | 1B1B1B1B 1B1B1B1B } 1B1B1B1B 1A fill CRC CRC
//! ```
//!
//! The CRC (X.25, low byte first) guards everything before it. Inside are elements of type, length and value. An
//! entry of a list has seven of them: name, status, time, unit, scaler, value, signature; entries are found wherever
//! they stand, so that the messages around them need not be known.

use super::{Pair, find};
use crate::device::checksum::ChecksumKind;
use crate::device::framer::Verdict;
use crate::device::problem::{Problem, ProblemKind};
use crate::limits;

const ESCAPE: [u8; 4] = [0x1B; 4];
const START: [u8; 8] = [0x1B, 0x1B, 0x1B, 0x1B, 1, 1, 1, 1];
/// Lists inside of lists: the standard has six.
const DEEPEST: usize = 12;

pub(super) fn inspect(pending: &[u8], plain: &mut Vec<u8>) -> Verdict {
    match find(pending, &START, 0) {
        Some(0) => {}
        Some(at) => return Verdict::Garbage(at),
        None => {
            // The start may be cut in two.
            let kept =
                (1..START.len()).rev().find(|kept| pending.ends_with(START.get(..*kept).unwrap_or_default()));
            return match pending.len() - kept.unwrap_or(0) {
                0 => Verdict::Incomplete,
                count => Verdict::Garbage(count),
            };
        }
    }
    let mut at = START.len();
    loop {
        let Some(escape) = find(pending, &ESCAPE, at) else { return incomplete(pending) };
        let Some([first, fill, low, high]) = pending.get(escape + 4..escape + 8) else {
            return incomplete(pending);
        };
        plain.extend_from_slice(pending.get(at..escape).unwrap_or_default());
        at = match (first, fill, low, high) {
            (0x1B, 0x1B, 0x1B, 0x1B) => {
                plain.extend(ESCAPE);
                escape + 8
            }
            (0x1A, 0..=8, _, _) => {
                let said = u16::from_le_bytes([*low, *high]);
                let guarded = pending.get(..escape + 6).unwrap_or_default();
                plain.truncate(plain.len().saturating_sub(usize::from(*fill)));
                return judge(guarded, said, escape + 8);
            }
            (1, 1, 1, 1) => {
                return Verdict::Broken(escape, Problem::new(ProblemKind::Truncated, "a file was cut short"));
            }
            _ => {
                plain.push(0x1B);
                escape + 1
            }
        };
    }
}

fn incomplete(pending: &[u8]) -> Verdict {
    if pending.len() < limits::FRAME_BYTES {
        return Verdict::Incomplete;
    }
    Verdict::Broken(1, Problem::new(ProblemKind::TooLong, "nothing ends the file"))
}

fn judge(guarded: &[u8], said: u16, whole: usize) -> Verdict {
    let holds = |name: &str| ChecksumKind::parse(name).is_some_and(|kind| kind.of(guarded) == said);
    // Holley's DTZ541 computes another one.
    if holds("crc16-x25") || holds("crc16-kermit") {
        return Verdict::Whole(whole);
    }
    Verdict::Broken(1, Problem::new(ProblemKind::Checksum, "the file's CRC does not hold"))
}

/// One element.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Element<'a> {
    Octets(&'a [u8]),
    Whole(i64),
    List,
    /// What is left out, and what has no value here: truth values, numbers that do not fit.
    Other,
}

pub(super) fn pairs(frame: &[u8], found: &mut dyn FnMut(Result<Pair<'_>, Problem>)) {
    let mut rest = frame;
    while !rest.is_empty() {
        // Zero bytes end a message and fill up.
        if let [0, behind @ ..] = rest {
            rest = behind;
            continue;
        }
        match element(rest, DEEPEST, found) {
            Some((_, behind)) => rest = behind,
            None => {
                return found(Err(Problem::new(ProblemKind::Syntax, "an element of the file is malformed")));
            }
        }
    }
}

/// Reads one element with all that it holds; gives the entries in it to `found`.
fn element<'a>(
    bytes: &'a [u8],
    deepest: usize,
    found: &mut dyn FnMut(Result<Pair<'_>, Problem>),
) -> Option<(Element<'a>, &'a [u8])> {
    let (kind, length, head, mut rest) = tag(bytes)?;
    if kind == 7 {
        let deeper = deepest.checked_sub(1)?;
        let mut seven = [Element::Other; 7];
        for index in 0..length {
            let (child, behind) = element(rest, deeper, found)?;
            if let Some(place) = seven.get_mut(index) {
                *place = child;
            }
            rest = behind;
        }
        if length == 7 {
            entry(&seven, found);
        }
        return Some((Element::List, rest));
    }
    // The length counts the tag. An end of message inside of a list is an element too.
    let (content, behind) = rest.split_at_checked(length.saturating_sub(head))?;
    let element = match kind {
        0 => Element::Octets(content),
        5 | 6 => whole(content, kind == 5).map_or(Element::Other, Element::Whole),
        4 => Element::Other,
        _ => return None,
    };
    Some((element, behind))
}

/// Type, length and size of a tag: four bits of length in each byte, the highest bit says that one more follows.
fn tag(bytes: &[u8]) -> Option<(u8, usize, usize, &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let kind = first >> 4 & 7;
    let mut length = usize::from(first & 0xF);
    let (mut more, mut head) = (first & 0x80 != 0, 1);
    while more {
        let (next, behind) = rest.split_first()?;
        length = length << 4 | usize::from(next & 0xF);
        more = next & 0x80 != 0;
        head += 1;
        rest = behind;
        if head > 3 {
            return None;
        }
    }
    Some((kind, length, head, rest))
}

fn whole(content: &[u8], signed: bool) -> Option<i64> {
    let raw = content.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
    match (content.len(), signed) {
        (1..=8, true) => {
            let unused = 64_u32.checked_sub(u32::try_from(content.len()).ok()? * 8)?;
            Some((raw << unused).cast_signed() >> unused)
        }
        (1..=8, false) => i64::try_from(raw).ok(),
        _ => None,
    }
}

fn entry(seven: &[Element<'_>; 7], found: &mut dyn FnMut(Result<Pair<'_>, Problem>)) {
    let [Element::Octets([a, b, c, d, e, f]), _, _, unit, scaler, value, _] = seven else { return };
    let label = format!("{a}-{b}:{c}.{d}.{e}*{f}");
    let unit = match unit {
        Element::Whole(unit) => unit_name(*unit),
        _ => None,
    };
    let value = match value {
        Element::Whole(mantissa) => {
            let exponent = if let Element::Whole(scaler) = scaler { *scaler } else { 0 };
            decimal(*mantissa, exponent)
        }
        Element::Octets(octets) => text_of(octets),
        _ => return,
    };
    found(Ok(Pair { label: &label, value: &value, unit }));
}

/// Units of DLMS (IEC 62056-62) that meters name.
fn unit_name(number: i64) -> Option<&'static str> {
    Some(match number {
        9 => "°C",
        13 => "m3",
        27 => "W",
        28 => "VA",
        29 => "var",
        30 => "Wh",
        31 => "VAh",
        32 => "varh",
        33 => "A",
        35 => "V",
        44 => "Hz",
        _ => return None,
    })
}

/// `mantissa` x 10 to the `exponent`, written out.
fn decimal(mantissa: i64, exponent: i64) -> String {
    let sign = if mantissa < 0 { "-" } else { "" };
    let digits = mantissa.unsigned_abs().to_string();
    let places = usize::try_from(exponent.unsigned_abs().min(30)).unwrap_or(0);
    if exponent >= 0 {
        return format!("{sign}{digits}{}", "0".repeat(places));
    }
    let padded = format!("{digits:0>width$}", width = places + 1);
    let (whole, part) = padded.split_at_checked(padded.len() - places).unwrap_or((&padded, ""));
    format!("{sign}{whole}.{part}")
}

/// Names are text, numbers of devices are bytes.
fn text_of(octets: &[u8]) -> String {
    if !octets.is_empty() && octets.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        return octets.iter().map(|byte| char::from(*byte)).collect();
    }
    octets.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_out() {
        assert_eq!(decimal(4_617_825_710, -1), "461782571.0");
        assert_eq!(decimal(-5, -3), "-0.005");
        assert_eq!(decimal(12, 2), "1200");
    }

    #[test]
    fn malformed_elements_end_in_a_problem_and_deep_ones_too() {
        for bytes in [&[0x71; 40][..], &[0x05, 1][..], &[0x8F, 0x8F, 0x8F, 0x8F, 1][..], &[0x30][..]] {
            let mut problems = 0;
            pairs(bytes, &mut |pair| problems += usize::from(pair.is_err()));
            assert_eq!(problems, 1, "{bytes:x?}");
        }
    }
}
