//! Meters that send text: IEC 62056-21 (optical heads, all modes that only listen) and the P1 port of DSMR 2 to 5.
//!
//! ```text
//! telegram = "/" MMM B identification CR LF [STX] lines "!" [CRC] CR LF [ETX BCC]
//! line     = code "(" value ["*" unit] ")" { "(" ... ")" } CR LF
//! ```
//!
//! Three guards: DSMR 4 and later close with a CRC-16 in hexadecimal digits over `/` to `!`; IEC 62056-21 puts the
//! exclusive or of what follows STX, ETX included, behind ETX; DSMR 2 and 3 have none, there a telegram that was cut
//! is told by the `/` of the next one. Telegrams that are encrypted: [`sealed`].

use super::{ObisCode, Pair, find, garbage_before, sealed};
use crate::device::checksum::ChecksumKind;
use crate::device::framer::Verdict;
use crate::device::problem::{Problem, ProblemKind};
use crate::device::secret::MeterKeys;
use crate::limits;

const STX: u8 = 0x02;
const ETX: u8 = 0x03;

/// A telegram, in the clear or encrypted; with keys only what they open is one.
pub(super) fn inspect(pending: &[u8], keys: Option<&MeterKeys>, plain: &mut Vec<u8>) -> Verdict {
    let is_sealed = |at: &usize| {
        let rest = pending.get(*at..).unwrap_or_default();
        rest.starts_with(&sealed::START) || rest == sealed::START.get(..1).unwrap_or_default()
    };
    let opens = |at: &usize| keys.is_none() && pending.get(*at) == Some(&b'/');
    match (0..pending.len()).find(|at| opens(at) || is_sealed(at)) {
        None => Verdict::Garbage(pending.len()),
        Some(0) if is_sealed(&0) => sealed::inspect(pending, keys, plain),
        Some(0) => inspect_plain(pending, plain),
        Some(at) => Verdict::Garbage(at),
    }
}

/// A telegram in the clear.
pub(super) fn inspect_plain(pending: &[u8], plain: &mut Vec<u8>) -> Verdict {
    if let Some(verdict) = garbage_before(pending, b'/') {
        return verdict;
    }
    match is_header(pending) {
        None => return Verdict::Incomplete,
        // The echo of a request ("/?!"), a slash in noise.
        Some(false) => return Verdict::Garbage(1),
        Some(true) => {}
    }
    let Some(end) = find(pending, b"\n!", 1).map(|at| at + 1) else {
        if pending.len() < limits::FRAME_BYTES {
            return Verdict::Incomplete;
        }
        return Verdict::Broken(1, Problem::new(ProblemKind::TooLong, "nothing ends the telegram"));
    };
    let (body, behind) = pending.split_at(end);
    let Some(line_end) = behind.iter().position(|byte| *byte == b'\n') else {
        return if behind.len() < 8 { Verdict::Incomplete } else { broken("the last line does not end") };
    };
    let whole = end + line_end + 1;
    let said = behind.get(1..line_end).unwrap_or_default().trim_ascii();
    let verdict = if said.is_empty() {
        match body.iter().position(|byte| *byte == STX) {
            Some(stx) => block_check(pending, stx, whole),
            None => unguarded(body, whole),
        }
    } else {
        match crc_of(said) {
            Some(said) => {
                let guarded = pending.get(..=end).unwrap_or_default();
                let computed = ChecksumKind::parse("crc16-arc").map(|kind| kind.of(guarded));
                if computed == Some(said) { Verdict::Whole(whole) } else { wrong_checksum() }
            }
            None => broken("the last line is no checksum"),
        }
    };
    if matches!(verdict, Verdict::Whole(_)) {
        plain.extend_from_slice(body);
    }
    verdict
}

/// Three letters of the maker and a character for the speed open a telegram; `None`: not known yet.
fn is_header(pending: &[u8]) -> Option<bool> {
    let letters = pending.get(1..pending.len().min(4)).unwrap_or_default();
    if !letters.iter().all(u8::is_ascii_alphabetic) {
        return Some(false);
    }
    pending.get(4).map(u8::is_ascii_alphanumeric)
}

fn crc_of(digits: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.len() == 4)?;
    u16::from_str_radix(text, 16).ok()
}

fn block_check(pending: &[u8], stx: usize, etx: usize) -> Verdict {
    let (Some(close), Some(said)) = (pending.get(etx), pending.get(etx + 1)) else {
        return Verdict::Incomplete;
    };
    let guarded = pending.get(stx + 1..=etx).unwrap_or_default();
    if *close != ETX {
        return broken("no ETX follows the last line");
    }
    if guarded.iter().fold(0, |xor, byte| xor ^ byte) == *said {
        Verdict::Whole(etx + 2)
    } else {
        wrong_checksum()
    }
}

/// A telegram of old that nothing guards: it must at least be one, from its own header on.
fn unguarded(body: &[u8], whole: usize) -> Verdict {
    let again = (1..body.len()).rev().find(|at| {
        let rest = body.get(*at..).unwrap_or_default();
        rest.first() == Some(&b'/') && is_header(rest) == Some(true)
    });
    if let Some(again) = again {
        return Verdict::Broken(again, Problem::new(ProblemKind::Truncated, "a telegram was cut short"));
    }
    // Since version 4 telegrams say their version, and have a checksum.
    let version = find(body, b"1-3:0.2.8(", 0).and_then(|at| body.get(at + 10));
    match version {
        Some(b'4'..=b'9') => {
            Verdict::Broken(1, Problem::new(ProblemKind::Checksum, "the telegram has lost its checksum"))
        }
        _ if !body.is_ascii() => broken("the telegram is not text"),
        _ => Verdict::Whole(whole),
    }
}

fn broken(detail: &'static str) -> Verdict {
    Verdict::Broken(1, Problem::new(ProblemKind::End, detail))
}

fn wrong_checksum() -> Verdict {
    Verdict::Broken(1, Problem::new(ProblemKind::Checksum, "the telegram's checksum does not hold"))
}

/// The pairs of a telegram. What counts behind the meter, on an M-Bus of its own, is labelled with its kind:
/// `0-n:24.2.1#3` is gas (3), whichever channel `n` it has.
pub(super) fn pairs(frame: &[u8], found: &mut dyn FnMut(Result<Pair<'_>, Problem>)) {
    let text = match std::str::from_utf8(frame) {
        Ok(text) => text,
        Err(_) => return found(Err(Problem::new(ProblemKind::Encoding, "the telegram is not text"))),
    };
    let mut lines = text.lines().skip(1).map(str::trim).peekable();
    // Of at most four channels, what is behind them.
    let mut kinds: Vec<(&str, &str)> = Vec::new();
    while let Some(line) = lines.next() {
        let line = line.trim_start_matches(char::from(STX));
        let Some((label, groups)) = line.split_once('(') else { continue };
        if ObisCode::parse(label).is_none() {
            continue;
        }
        let channel = label.split_once(':').map_or("", |(channel, _)| channel);
        let quantity = label.rsplit(':').next().unwrap_or_default();
        let all: Vec<&str> = groups.split('(').map(|group| group.trim_end_matches(')')).collect();
        let last = all.last().copied().unwrap_or_default();
        match quantity {
            "24.1.0" => kinds.push((channel, last.trim_start_matches('0'))),
            // DSMR 2 and 3: the value stands in the next line, its unit in this one.
            "24.3.0" => {
                let value = lines.next_if(|next| next.starts_with('(')).unwrap_or_default();
                let label = behind(&kinds, channel);
                found(Ok(Pair { label: &label, value: value.trim_matches(['(', ')']), unit: Some(last) }));
            }
            "24.2.1" | "24.2.3" => {
                let label = behind(&kinds, channel);
                found(Ok(value_of(&label, last)));
            }
            // A list of power failures and the like.
            _ if all.len() > 2 => {}
            _ => found(Ok(value_of(label, last))),
        }
    }
}

fn behind(kinds: &[(&str, &str)], channel: &str) -> String {
    let kind = kinds.iter().find(|(known, _)| *known == channel).map_or("3", |(_, kind)| *kind);
    format!("0-n:24.2.1#{kind}")
}

fn value_of<'a>(label: &'a str, group: &'a str) -> Pair<'a> {
    match group.split_once('*') {
        Some((value, unit)) => Pair { label, value, unit: Some(unit) },
        None => Pair { label, value: group, unit: None },
    }
}
