//! Victron VE.Direct (Victron Energy, VE.Direct protocol, version 3.34): blocks of text, and HEX messages anywhere
//! between them.
//!
//! ```text
//! block   = { CR LF label TAB value } CR LF "Checksum" TAB byte      the sum of all its bytes is 0 modulo 256
//! message = ":" command { hex digits } checksum LF                   the sum of command and bytes is 0x55
//! ```

use super::{Pair, find, garbage_before};
use crate::device::decoder::Decoded;
use crate::device::framer::Verdict;
use crate::device::problem::{Problem, ProblemKind};
use crate::reading::{MeasurementName, Unit, Value};

const LAST: &[u8] = b"\r\nChecksum\t";
/// What blocks begin with: a restart inside of one that was cut.
const FIRST: [&[u8]; 2] = [b"\r\nPID\t", b"\r\nH1\t"];
/// Far more than any block has: 22 lines of at most 44 bytes.
const LONGEST: usize = 2048;
const LONGEST_MESSAGE: usize = 256;

pub(super) fn inspect(pending: &[u8], plain: &mut Vec<u8>) -> Verdict {
    match message_at(pending, 0) {
        // Between blocks a message is a frame of its own; inside of one it is stepped over.
        Message::Whole(_) => return inspect_hex(pending, plain),
        Message::Incomplete => return Verdict::Incomplete,
        Message::None => {}
    }
    if let Some(verdict) = garbage_before_block(pending) {
        return verdict;
    }
    let mut at = 0;
    while let Some(byte) = pending.get(at) {
        match message_at(pending, at) {
            Message::Whole(length) => {
                at += length;
                continue;
            }
            Message::Incomplete => return Verdict::Incomplete,
            Message::None => {}
        }
        plain.push(*byte);
        at += 1;
        if byte == &b'\t' && plain.ends_with(LAST) {
            let Some(last) = pending.get(at) else { return Verdict::Incomplete };
            plain.push(*last);
            return judge(pending.get(..=at).unwrap_or_default(), plain);
        }
        if at > LONGEST {
            return restart(pending, Problem::new(ProblemKind::TooLong, "nothing ends the block"));
        }
    }
    Verdict::Incomplete
}

/// What stands before the first line, except for messages.
fn garbage_before_block(pending: &[u8]) -> Option<Verdict> {
    let starts = |at: &usize| {
        let rest = pending.get(*at..).unwrap_or_default();
        rest.starts_with(b"\r\n") || rest == b"\r" || rest.first() == Some(&b':')
    };
    match (0..pending.len()).find(starts) {
        Some(0) if pending.first() != Some(&b':') => None,
        Some(0) => Some(Verdict::Garbage(1)),
        Some(at) => Some(Verdict::Garbage(at)),
        None => Some(Verdict::Garbage(pending.len())),
    }
}

fn judge(block: &[u8], plain: &[u8]) -> Verdict {
    if plain.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) == 0 {
        return Verdict::Whole(block.len());
    }
    restart(block, Problem::new(ProblemKind::Checksum, "the sum of the block is not 0"))
}

/// Goes on where a block begins inside of the broken one, else behind it: its single lines prove nothing.
fn restart(block: &[u8], problem: Problem) -> Verdict {
    let again = FIRST.iter().filter_map(|first| find(block, first, 1)).min();
    // What stands where the checksum should may be the CR that begins the next block.
    let behind = block.len() - usize::from(block.len() > 1 && block.ends_with(b"\r"));
    Verdict::Broken(again.unwrap_or(behind), problem)
}

enum Message {
    None,
    Incomplete,
    Whole(usize),
}

/// A HEX message that begins here. Its checksum is not judged here: text only has to step over it.
fn message_at(pending: &[u8], at: usize) -> Message {
    let Some((b':', rest)) = pending.get(at..).and_then(<[u8]>::split_first) else {
        return Message::None;
    };
    for (index, byte) in rest.iter().enumerate().take(LONGEST_MESSAGE) {
        match byte {
            b'\n' if index > 0 => return Message::Whole(index + 2),
            byte if byte.is_ascii_hexdigit() => {}
            _ => return Message::None,
        }
    }
    if rest.len() < LONGEST_MESSAGE { Message::Incomplete } else { Message::None }
}

/// Whether a frame is a message: its first byte is a command, that of a block is a CR.
pub(in crate::device) fn is_message(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| *first <= 0xF && *first != b'\r')
}

pub(super) fn pairs(frame: &[u8], found: &mut dyn FnMut(Result<Pair<'_>, Problem>)) {
    // The checksum's own byte may be anything, a line end too.
    let lines = frame.len().checked_sub(LAST.len() + 1).and_then(|end| frame.get(..end)).unwrap_or_default();
    for line in lines.split(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        if let Some((label, value)) = text.trim_end_matches('\r').split_once('\t') {
            found(Ok(Pair { label, value, unit: None }));
        }
    }
}

pub(super) fn inspect_hex(pending: &[u8], plain: &mut Vec<u8>) -> Verdict {
    if let Some(verdict) = garbage_before(pending, b':') {
        return verdict;
    }
    let length = match message_at(pending, 0) {
        Message::None => return Verdict::Garbage(1),
        Message::Incomplete => return Verdict::Incomplete,
        Message::Whole(length) => length,
    };
    let digits = pending.get(1..length - 1).unwrap_or_default();
    let nibbles = digits
        .iter()
        .filter_map(|digit| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    // The command is one digit, everything behind it two for each byte.
    let nibbles: Vec<u8> = nibbles.collect();
    let (command, rest) = nibbles.split_first().map_or((0, &[][..]), |(command, rest)| (*command, rest));
    let (bytes, odd) = rest.as_chunks::<2>();
    plain.push(command);
    plain.extend(bytes.iter().map(|[high, low]| high << 4 | low));
    let sum = plain.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    if !odd.is_empty() || sum != 0x55 {
        return Verdict::Broken(1, Problem::new(ProblemKind::Checksum, "the sum of the message is not 0x55"));
    }
    plain.pop();
    Verdict::Whole(length)
}

/// Registers of chargers and inverters: number, bytes, signed, scale, name, unit.
const REGISTERS: [(u16, usize, bool, f64, &str, &str); 12] = [
    (0xED8D, 2, true, 0.01, "voltage", "V"),
    (0xED8C, 4, true, 0.001, "current", "A"),
    (0xED8E, 2, true, 1.0, "power", "W"),
    (0xEDD5, 2, false, 0.01, "voltage", "V"),
    (0xEDD7, 2, false, 0.1, "current", "A"),
    (0xEDBB, 2, false, 0.01, "pv_voltage", "V"),
    (0xEDBC, 4, false, 0.01, "pv_power", "W"),
    (0xEDAD, 2, false, 0.1, "load_current", "A"),
    (0xEDEC, 2, false, 0.01, "battery_temperature", "K"),
    (0x0FFF, 2, false, 0.01, "soc", "%"),
    (0xEEFF, 4, true, 0.1, "consumed_ah", "Ah"),
    (0x0201, 1, false, 1.0, "charge_state", ""),
];

/// What an answer to a get (command 7), or a message without a question (command A), says.
pub(in crate::device) fn decode_hex(frame: &[u8], to: &mut Decoded) {
    let [0x7 | 0xA, low, high, flags, data @ ..] = frame else {
        // Answers to pings and the like are no readings, and no mistake.
        to.absent = true;
        return;
    };
    let register = u16::from_le_bytes([*low, *high]);
    let known = REGISTERS.iter().find(|(number, bytes, ..)| *number == register && *bytes == data.len());
    let Some((_, _, signed, scale, name, unit)) = known.filter(|_| *flags == 0) else {
        to.absent = true;
        return;
    };
    let raw = data.iter().rev().fold(0_i64, |value, byte| value << 8 | i64::from(*byte));
    let bits = u32::try_from(data.len() * 8).unwrap_or(0);
    // All ones, or the greatest of a signed number, says that there is none.
    let (none, raw) = if *signed {
        let extended = raw << (64 - bits) >> (64 - bits);
        ((1_i64 << (bits - 1)) - 1, extended)
    } else {
        ((1_i64 << bits) - 1, raw)
    };
    if raw == none {
        to.absent = true;
        return;
    }
    let value = crate::device::decoder::Arithmetic::new(*scale, 0.0, None)
        .apply(crate::device::number::from_i64(raw));
    if let Some(name) = MeasurementName::parse(name) {
        let unit = Unit((*unit).into());
        to.put(&name, Value::Number(value), Some(&unit).filter(|unit| !unit.0.is_empty()));
    }
}
