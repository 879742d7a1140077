//! Modbus RTU, the master's side (MODBUS Application Protocol 1.1b3, MODBUS over Serial Line 1.02): requests, and
//! the one answer that belongs to each.
//!
//! An answer is taken only from the unit that was asked, with the function that was asked, of exactly the length
//! that was asked for, and with its CRC; echoes, glitch bytes, other units and the rest of late answers are passed
//! over byte by byte. [`Master`] decides who is asked when. Never touches a port.

mod master;
mod registers;

pub use master::{Master, MasterAction, Outcome, UnitPlan};
pub(super) use registers::{Register, Registers};

use super::checksum::ChecksumKind;
use super::framer::Verdict;
use super::problem::{Problem, ProblemKind};

/// The most registers that one request may read (6.3), and the most bits (6.1).
pub(super) const MOST_REGISTERS: u16 = 125;
pub(super) const MOST_BITS: u16 = 2000;

/// What a unit is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    unit: u8,
    function: u8,
    address: u16,
    /// Registers or bits; for a single write the value itself.
    count: u16,
    /// What is written by functions 15 and 16.
    data: Vec<u8>,
}

impl Request {
    /// Reads so many registers (functions 3, 4) or bits (1, 2).
    #[must_use]
    pub fn read(unit: u8, function: u8, address: u16, count: u16) -> Request {
        Request { unit, function, address, count, data: Vec::new() }
    }

    /// Writes one register (function 6) or bit (5: FF00 or 0000).
    #[must_use]
    pub fn write_single(unit: u8, function: u8, address: u16, value: u16) -> Request {
        Request { unit, function, address, count: value, data: Vec::new() }
    }

    /// Writes registers (function 16): two bytes each, the more significant first.
    #[must_use]
    pub fn write_registers(unit: u8, address: u16, data: Vec<u8>) -> Request {
        let count = u16::try_from(data.len() / 2).unwrap_or(u16::MAX);
        Request { unit, function: 16, address, count, data }
    }

    /// A request as it stands on the line; `None` when it is none, or its CRC does not hold.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Request> {
        let (content, said) = bytes.split_last_chunk::<2>()?;
        let [unit, function, address_high, address_low, high, low, rest @ ..] = content else { return None };
        let data = match (function, rest) {
            (1..=6, []) => Vec::new(),
            (15 | 16, [count, data @ ..]) if usize::from(*count) == data.len() => data.to_vec(),
            _ => return None,
        };
        let request = Request {
            unit: *unit,
            function: *function,
            address: u16::from_be_bytes([*address_high, *address_low]),
            count: u16::from_be_bytes([*high, *low]),
            data,
        };
        (crc(content) == *said).then_some(request)
    }

    /// As it is sent.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.pdu();
        bytes.insert(0, self.unit);
        bytes.extend(crc(&bytes));
        bytes
    }

    /// Without unit and CRC, as Modbus TCP sends it.
    #[must_use]
    pub fn pdu(&self) -> Vec<u8> {
        let mut bytes = vec![self.function];
        bytes.extend(self.address.to_be_bytes());
        bytes.extend(self.count.to_be_bytes());
        if matches!(self.function, 15 | 16) {
            bytes.push(u8::try_from(self.data.len()).unwrap_or(u8::MAX));
            bytes.extend(&self.data);
        }
        bytes
    }

    /// Whom it asks.
    #[must_use]
    pub fn unit(&self) -> u8 {
        self.unit
    }

    /// The same, for another unit.
    #[must_use]
    pub fn to_unit(&self, unit: u8) -> Request {
        Request { unit, ..self.clone() }
    }

    /// Whether its answer holds so many registers or bits from `address` on.
    pub(super) fn covers(&self, function: u8, address: u16, count: u16) -> bool {
        let (own_end, end) = (self.address.saturating_add(self.count), address.saturating_add(count));
        self.function == function && self.address <= address && end <= own_end
    }

    /// How many bytes of data an answer has; `None` for writes, whose answer is an echo.
    fn data_bytes(&self) -> Option<usize> {
        match self.function {
            1 | 2 => Some(usize::from(self.count).div_ceil(8)),
            3 | 4 => Some(usize::from(self.count) * 2),
            _ => None,
        }
    }

    /// Bytes of the whole answer, unit and CRC included.
    #[must_use]
    pub fn answer_bytes(&self) -> usize {
        self.data_bytes().map_or(8, |data| data + 5)
    }

    /// Judges the bytes at hand: is this the answer? Its content is function, address and data.
    pub(super) fn inspect(&self, pending: &[u8], plain: &mut Vec<u8>) -> Verdict {
        if pending.first() != Some(&self.unit) {
            let at = pending.iter().position(|byte| *byte == self.unit);
            return Verdict::Garbage(at.unwrap_or(pending.len()));
        }
        let Some(function) = pending.get(1) else { return Verdict::Incomplete };
        if *function == self.function | 0x80 {
            return self.exception(pending);
        }
        if *function != self.function {
            return Verdict::Garbage(1);
        }
        let length = self.answer_bytes();
        match (self.data_bytes(), pending.get(2)) {
            (Some(_), None) => return Verdict::Incomplete,
            (Some(bytes), Some(said)) if usize::from(*said) != bytes => return Verdict::Garbage(1),
            _ => {}
        }
        let Some((content, said)) = pending.get(..length).and_then(<[u8]>::split_last_chunk::<2>) else {
            return Verdict::Incomplete;
        };
        if crc(content) != *said {
            let detail = format!("an answer of unit {} is damaged: its CRC does not hold", self.unit);
            return Verdict::Broken(1, Problem::new(ProblemKind::Checksum, detail));
        }
        plain.push(self.function);
        plain.extend(self.address.to_be_bytes());
        match self.data_bytes() {
            Some(_) => plain.extend(content.get(3..).unwrap_or_default()),
            None => {
                let echoed = content.get(2..6) == self.pdu().get(1..5);
                if !echoed {
                    return Verdict::Garbage(1);
                }
            }
        }
        Verdict::Whole(length)
    }

    fn exception(&self, pending: &[u8]) -> Verdict {
        let Some((content, said)) = pending.get(..5).and_then(<[u8]>::split_last_chunk::<2>) else {
            return Verdict::Incomplete;
        };
        if crc(content) != *said {
            return Verdict::Garbage(1);
        }
        Verdict::Broken(5, self.refused(content.get(2).copied().unwrap_or(0)))
    }

    /// What a unit means that answers with an exception.
    fn refused(&self, code: u8) -> Problem {
        let detail = format!(
            "unit {} refuses function {} at {:#06x}: {} (exception {code})",
            self.unit,
            self.function,
            self.address,
            exception_name(code)
        );
        Problem::new(ProblemKind::Exception, detail)
    }
}

/// The CRC of `bytes` as it is sent, the low byte first (MODBUS over Serial Line 1.02, 6.2.2).
#[must_use]
pub fn crc(bytes: &[u8]) -> [u8; 2] {
    ChecksumKind::parse("crc16-modbus").map_or([0; 2], |kind| kind.of(bytes).to_le_bytes())
}

/// The names of the standard (7).
fn exception_name(code: u8) -> &'static str {
    match code {
        1 => "illegal function",
        2 => "illegal data address",
        3 => "illegal data value",
        4 => "server device failure",
        5 => "acknowledge, still working",
        6 => "server device busy",
        8 => "memory parity error",
        10 => "gateway path unavailable",
        11 => "gateway target device failed to respond",
        _ => "an exception of its own",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(request: &str, bytes: &str) -> (String, Vec<u8>) {
        let request = Request::parse(&crate::device::hex(request).unwrap()).unwrap();
        let mut plain = Vec::new();
        let verdict = match request.inspect(&crate::device::hex(bytes).unwrap(), &mut plain) {
            Verdict::Garbage(count) => format!("garbage {count}"),
            Verdict::Incomplete => "incomplete".to_owned(),
            Verdict::Whole(count) => format!("whole {count}"),
            Verdict::Broken(count, problem) => format!("broken {count} {problem}"),
            Verdict::Overlong | Verdict::OverlongEnd(_) => "a line".to_owned(),
        };
        (verdict, plain)
    }

    #[test]
    fn only_the_answer_that_was_asked_for_is_taken() {
        let request = "01 04 00 01 00 02 20 0B";
        assert_eq!(judge(request, "01 04 04 01 31 02 22 2A CE").0, "whole 9");
        assert_eq!(judge(request, "01 04 04 01 31 02 22 2A CE").1, [4, 0, 1, 0x01, 0x31, 0x02, 0x22]);
        assert_eq!(judge(request, "01 04 04 01").0, "incomplete");
        assert_eq!(judge(request, request).0, "garbage 1", "an echo");
        assert_eq!(
            judge(request, "02 04 04 01 31 02 22 19 CE").0,
            "garbage 3",
            "another unit: on to the next 01"
        );
        assert_eq!(judge(request, "01 04 02 01 31 79 74").0, "garbage 1", "a late answer to another request");
        assert!(judge(request, "01 04 04 01 30 02 22 2A CE").0.contains("its CRC does not hold"));
        let (refused, _) = judge(request, "01 84 02 C2 C1");
        assert!(refused.contains("illegal data address") && refused.starts_with("broken 5"), "{refused}");
    }

    /// Examples of MODBUS Application Protocol 1.1b3: 6.1, 6.5, 6.6, 6.12.
    #[test]
    fn requests_are_written_as_the_standard_has_them() {
        assert_eq!(Request::read(1, 1, 0x13, 0x13).pdu(), [0x01, 0x00, 0x13, 0x00, 0x13]);
        assert_eq!(Request::write_single(1, 5, 0xAC, 0xFF00).pdu(), [0x05, 0x00, 0xAC, 0xFF, 0x00]);
        assert_eq!(Request::write_single(1, 6, 1, 3).pdu(), [0x06, 0x00, 0x01, 0x00, 0x03]);
        let written = Request::write_registers(1, 1, vec![0x00, 0x0A, 0x01, 0x02]);
        assert_eq!(written.pdu(), [0x10, 0x00, 0x01, 0x00, 0x02, 0x04, 0x00, 0x0A, 0x01, 0x02]);
        assert_eq!(Request::parse(&written.bytes()), Some(written));
        assert_eq!(Request::parse(&[1, 4, 0, 1, 0, 2, 0x20, 0x0C]), None);
        let write = Request::write_single(1, 6, 1, 3).bytes();
        let mut plain = Vec::new();
        let request = Request::write_single(1, 6, 1, 3);
        assert!(
            matches!(request.inspect(&write, &mut plain), Verdict::Whole(8)),
            "a write is answered by its echo"
        );
    }
}
