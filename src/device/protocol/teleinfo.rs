//! The customer port of French meters (Enedis-NOI-CPT_54E, Linky; NOI-CPT_02E, older ones): STX, lines, ETX.
//!
//! Each line, LF to CR, guards itself: the sum of its characters, six bits of it, plus 0x20. In historic mode the
//! separator is a blank and the sum ends before the last one; in standard mode it is a tab, which is summed too.
//! Standard lines may carry a time between label and value.

use super::{Pair, garbage_before};
use crate::device::framer::Verdict;
use crate::device::problem::{Problem, ProblemKind};
use crate::limits;

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
/// The meter was interrupted.
const EOT: u8 = 0x04;

pub(super) fn inspect(pending: &[u8], plain: &mut Vec<u8>) -> Verdict {
    if let Some(verdict) = garbage_before(pending, STX) {
        return verdict;
    }
    let inside = pending.get(1..).unwrap_or_default();
    let Some(at) = inside.iter().position(|byte| matches!(*byte, STX | ETX | EOT)) else {
        if pending.len() < limits::FRAME_BYTES {
            return Verdict::Incomplete;
        }
        return Verdict::Broken(1, Problem::new(ProblemKind::TooLong, "nothing ends the frame"));
    };
    match inside.get(at) {
        Some(&ETX) => {
            plain.extend_from_slice(inside.get(..at).unwrap_or_default());
            Verdict::Whole(at + 2)
        }
        _ => Verdict::Broken(at + 1, Problem::new(ProblemKind::Truncated, "the frame was interrupted")),
    }
}

pub(super) fn pairs(frame: &[u8], found: &mut dyn FnMut(Result<Pair<'_>, Problem>)) {
    for line in frame.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() {
            found(pair(line));
        }
    }
}

fn pair(line: &[u8]) -> Result<Pair<'_>, Problem> {
    let malformed = || Problem::new(ProblemKind::Syntax, "a line is not label, value and checksum");
    let (said, guarded) = line.split_last().ok_or_else(malformed)?;
    let (separator, content) = guarded.split_last().ok_or_else(malformed)?;
    let summed = match separator {
        b'\t' => guarded,
        b' ' => content,
        _ => return Err(malformed()),
    };
    let sum = summed.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) & 0x3F;
    if sum + 0x20 != *said {
        return Err(Problem::new(ProblemKind::Checksum, "the checksum of a line does not hold"));
    }
    // A line end that was damaged makes one line of two, whose sum may hold by chance.
    if content.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(malformed());
    }
    let text = std::str::from_utf8(content).map_err(|_| malformed())?;
    let (label, rest) = text.split_once(char::from(*separator)).ok_or_else(malformed)?;
    let (time, value) = match (separator, rest.rsplit_once('\t')) {
        (b'\t', Some((time, value))) => (Some(time), value),
        _ => (None, rest),
    };
    // DATE has a time and no value: the time is what it says.
    let value = if value.is_empty() { time.unwrap_or(value) } else { value };
    Ok(Pair { label, value, unit: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_modes_guard_themselves() {
        let mut told = Vec::new();
        let frame = b"\nADCO 021861348497 L\r\nPTEC HP..  \r\nIINST 005 [\r\nEAST\t004855593\t)\r\nDATE\tH081225223518\t\t;\r";
        pairs(frame, &mut |pair| {
            told.push(pair.map_or_else(
                |problem| problem.kind.label().to_owned(),
                |pair| format!("{}={}", pair.label, pair.value),
            ));
        });
        assert_eq!(told[..3], ["ADCO=021861348497", "PTEC=HP..", "checksum"]);
        let guard = |text: &str| char::from((text.bytes().fold(0_u8, u8::wrapping_add) & 0x3F) + 0x20);
        let line = format!("DATE\tH081225223518\t\t{}", guard("DATE\tH081225223518\t\t"));
        let pair = pair(line.as_bytes()).unwrap();
        assert_eq!((pair.label, pair.value), ("DATE", "H081225223518"));
    }
}
