//! Byte stuffing: how frames of any bytes are kept free of the one that ends them.

use super::framer::Verdict;
use super::problem::{Problem, ProblemKind};

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const DLE: u8 = 0x10;

/// A way of stuffing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stuffing {
    /// Consistent overhead byte stuffing (Cheshire and Baker, 1999); 00 ends a frame.
    Cobs,
    /// SLIP (RFC 1055); C0 ends a frame, and often opens one.
    Slip,
    /// As in HDLC over a byte stream (RFC 1662, 4.2): 7E opens and ends a frame, 7D escapes, the next byte xor 20.
    Hdlc,
    /// Data link escape (ISO 1745, 10): DLE STX opens a frame, DLE ETX ends it, a DLE inside is doubled.
    Dle,
}

impl Stuffing {
    /// The names a profile may use.
    pub(super) const NAMES: [&'static str; 4] = ["cobs", "slip", "hdlc", "dle"];

    /// The way of that name.
    pub(super) fn parse(name: &str) -> Option<Stuffing> {
        match name {
            "cobs" => Some(Stuffing::Cobs),
            "slip" => Some(Stuffing::Slip),
            "hdlc" => Some(Stuffing::Hdlc),
            "dle" => Some(Stuffing::Dle),
            _ => None,
        }
    }

    /// The bytes that open a frame; empty: it begins where the last one ended.
    pub(super) const fn start(self) -> &'static [u8] {
        match self {
            Stuffing::Cobs | Stuffing::Slip | Stuffing::Hdlc => &[],
            Stuffing::Dle => &[DLE, STX],
        }
    }

    /// The bytes that end a frame.
    pub(super) const fn end(self) -> &'static [u8] {
        match self {
            Stuffing::Cobs => &[0x00],
            Stuffing::Slip => &[0xC0],
            Stuffing::Hdlc => &[0x7E],
            Stuffing::Dle => &[DLE, ETX],
        }
    }

    /// Puts what was stuffed, without its marks, into `plain`.
    pub(super) fn remove(self, stuffed: &[u8], plain: &mut Vec<u8>) -> Result<(), Problem> {
        plain.clear();
        let whole = match self {
            Stuffing::Cobs => remove_cobs(stuffed, plain),
            Stuffing::Slip => remove_slip(stuffed, plain),
            Stuffing::Hdlc => remove_hdlc(stuffed, plain),
            Stuffing::Dle => remove_dle(stuffed, plain),
        };
        whole.ok_or_else(|| Problem::new(ProblemKind::Syntax, "the frame's byte stuffing is broken"))
    }
}

fn remove_cobs(mut rest: &[u8], plain: &mut Vec<u8>) -> Option<()> {
    while let Some((code, behind)) = rest.split_first() {
        let count = usize::from(*code).checked_sub(1)?;
        let (block, behind) = behind.split_at_checked(count)?;
        if block.contains(&0) {
            return None;
        }
        plain.extend_from_slice(block);
        if *code != 0xFF && !behind.is_empty() {
            plain.push(0);
        }
        rest = behind;
    }
    Some(())
}

fn remove_slip(stuffed: &[u8], plain: &mut Vec<u8>) -> Option<()> {
    let mut bytes = stuffed.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            0xDB => match bytes.next()? {
                0xDC => 0xC0,
                0xDD => 0xDB,
                _ => return None,
            },
            byte => *byte,
        });
    }
    Some(())
}

fn remove_hdlc(stuffed: &[u8], plain: &mut Vec<u8>) -> Option<()> {
    let mut bytes = stuffed.iter();
    while let Some(byte) = bytes.next() {
        plain.push(if *byte == 0x7D { bytes.next()? ^ 0x20 } else { *byte });
    }
    Some(())
}

fn remove_dle(stuffed: &[u8], plain: &mut Vec<u8>) -> Option<()> {
    let mut bytes = stuffed.iter();
    while let Some(byte) = bytes.next() {
        if *byte == DLE && bytes.next() != Some(&DLE) {
            return None;
        }
        plain.push(*byte);
    }
    Some(())
}

/// Where the end of the frame at the front stands; a DLE that is neither doubled nor the end belongs to no frame.
pub(super) fn end_of_dle(pending: &[u8]) -> Result<Option<usize>, Verdict> {
    let mut at = 2;
    while let Some(byte) = pending.get(at) {
        match (byte, pending.get(at + 1)) {
            (&DLE, Some(&DLE)) => at += 2,
            (&DLE, Some(&ETX)) => return Ok(Some(at)),
            (&DLE, Some(_)) => {
                let detail = "a frame was cut short, or a DLE in it is not doubled";
                return Err(Verdict::Broken(1, Problem::new(ProblemKind::Truncated, detail)));
            }
            (&DLE, None) => break,
            _ => at += 1,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(stuffing: Stuffing, stuffed: &[u8]) -> Option<Vec<u8>> {
        let mut plain = Vec::new();
        stuffing.remove(stuffed, &mut plain).ok().map(|()| plain)
    }

    /// The examples of the COBS article on Wikipedia, without their ends.
    #[test]
    fn cobs_examples() {
        let cobs = |stuffed: &[u8]| plain(Stuffing::Cobs, stuffed);
        assert_eq!(cobs(&[1, 1]), Some(vec![0]));
        assert_eq!(cobs(&[1, 1, 1]), Some(vec![0, 0]));
        assert_eq!(cobs(&[3, 0x11, 0x22, 2, 0x33]), Some(vec![0x11, 0x22, 0, 0x33]));
        assert_eq!(cobs(&[2, 0x11, 1, 1, 1]), Some(vec![0x11, 0, 0, 0]));
        let long: Vec<u8> = (1..=254).collect();
        assert_eq!(cobs(&[&[0xFF][..], &long].concat()), Some(long.clone()));
        assert_eq!(cobs(&[&[0xFF][..], &long, &[2, 0xFF]].concat()), Some([&long[..], &[0xFF]].concat()));
        assert_eq!(cobs(&[5, 1, 2]), None, "a block that is cut short");
    }

    /// RFC 1055: END is DB DC, ESC is DB DD.
    #[test]
    fn slip_examples() {
        let slip = |stuffed: &[u8]| plain(Stuffing::Slip, stuffed);
        assert_eq!(slip(&[1, 0xDB, 0xDC, 0xDB, 0xDD, 2]), Some(vec![1, 0xC0, 0xDB, 2]));
        assert_eq!(slip(&[1, 0xDB]), None);
        assert_eq!(slip(&[1, 0xDB, 0x01]), None);
    }
}
