//! EnOcean serial protocol 3 (ESP3, version 1.51): packets of a radio stick, and what radio telegrams (ERP1) say by
//! the equipment profile (EEP) of their sender. The profiles themselves are data.
//!
//! ```text
//! packet = 55 length(2) optional-length(1) type(1) CRC8 data optional CRC8
//! data of ERP1 = RORG payload sender(4) status; optional = count(1) destination(4) dBm(1) security(1)
//! ```

use std::collections::BTreeMap;

use crate::device::checksum::ChecksumKind;
use crate::device::decoder::{Binary, Decoded};
use crate::device::framer::Verdict;
use crate::device::number;
use crate::device::problem::{Problem, ProblemKind};
use crate::limits;
use crate::reading::{MeasurementName, Unit, Value};

use super::garbage_before;

const RADIO_ERP1: u8 = 1;

pub(super) fn inspect(pending: &[u8], plain: &mut Vec<u8>) -> Verdict {
    if let Some(verdict) = garbage_before(pending, 0x55) {
        return verdict;
    }
    let crc8 = |bytes: &[u8]| ChecksumKind::parse("crc8-smbus").map(|kind| kind.of(bytes));
    let Some([high, low, optional, kind, said]) = pending.get(1..6) else { return Verdict::Incomplete };
    if crc8(&[*high, *low, *optional, *kind]) != Some(u16::from(*said)) {
        // The letter U in noise is no packet that was damaged.
        return Verdict::Garbage(1);
    }
    let (data, optional) = (usize::from(u16::from_be_bytes([*high, *low])), usize::from(*optional));
    let whole = 6 + data + optional + 1;
    if whole > limits::FRAME_BYTES {
        return Verdict::Broken(
            1,
            Problem::new(ProblemKind::Length, "the packet announces an impossible length"),
        );
    }
    let Some((said, content)) = pending.get(6..whole).and_then(<[u8]>::split_last) else {
        return Verdict::Incomplete;
    };
    if crc8(content) != Some(u16::from(*said)) {
        return Verdict::Broken(1, Problem::new(ProblemKind::Checksum, "the packet's CRC does not hold"));
    }
    let data_length = u16::from_be_bytes([*high, *low]).to_be_bytes();
    plain.push(*kind);
    plain.extend(data_length);
    plain.extend_from_slice(content);
    Verdict::Whole(whole)
}

/// What the senders are, and what their telegrams mean.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::device) struct EnOcean {
    /// By their names: `A5-02-05`. Fields see the payload between RORG and sender.
    pub(in crate::device) equipment: BTreeMap<String, Binary>,
    /// The profile of each sender, by eight lower-case hexadecimal digits.
    pub(in crate::device) senders: BTreeMap<String, String>,
}

/// `A5-02-05`; the first byte is the RORG.
pub(in crate::device) fn parse_eep(text: &str) -> Option<u8> {
    let parts: Vec<&str> = text.split('-').collect();
    let good =
        parts.len() == 3 && parts.iter().all(|part| part.len() == 2 && u8::from_str_radix(part, 16).is_ok());
    parts.first().filter(|_| good).and_then(|rorg| u8::from_str_radix(rorg, 16).ok())
}

impl EnOcean {
    pub(in crate::device) fn decode(&self, frame: &[u8], to: &mut Decoded) {
        // Answers to commands, events and other packets are no readings, and no mistake.
        let Some((radio, optional)) = telegram(frame) else {
            to.absent = true;
            return;
        };
        let (Some((rorg, rest)), Some(split)) = (radio.split_first(), radio.len().checked_sub(6)) else {
            return to.problem(ProblemKind::Length, "a radio telegram is too short".to_owned());
        };
        let (payload, tail) = rest.split_at_checked(split).unwrap_or_default();
        let sender: String = tail.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let Some(eep) = self.senders.get(&sender) else {
            let detail = format!(
                "sender {sender} (RORG {rorg:02X}) has no EEP: eep = {{ \"{sender}\" = \"A5-02-05\" }}"
            );
            return to.problem(ProblemKind::Unknown, detail);
        };
        let Some(meaning) = self.equipment.get(eep).filter(|_| parse_eep(eep) == Some(*rorg)) else {
            let detail = format!("sender {sender} is to be {eep}, and sent a telegram of RORG {rorg:02X}");
            return to.problem(ProblemKind::Unknown, detail);
        };
        if is_teach_in(*rorg, payload) {
            to.absent = true;
            return;
        }
        let mut said = Decoded::default();
        // The status belongs to what a rocker says: it follows the payload.
        let with_status: Vec<u8> = payload.iter().chain(tail.get(4)).copied().collect();
        meaning.decode(&with_status, &mut said);
        if said.measurements.is_empty() {
            to.absent |= said.absent || said.problems.is_empty();
        } else {
            put(to, "sender", Value::Text(sender.into()), None);
            to.measurements.extend(said.measurements);
            if let Some(strength) = optional.get(5).filter(|strength| **strength != 0xFF) {
                put(to, "rssi", Value::Number(-number::from_i64(i64::from(*strength))), Some("dBm"));
            }
        }
        to.problems.extend(said.problems);
    }
}

/// The data and the optional data of a radio telegram.
fn telegram(frame: &[u8]) -> Option<(&[u8], &[u8])> {
    let [RADIO_ERP1, high, low, content @ ..] = frame else { return None };
    content.split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
}

/// Telegrams by which a sensor introduces itself have a bit that says so: LRN, 0 when it is pressed.
fn is_teach_in(rorg: u8, payload: &[u8]) -> bool {
    matches!(rorg, 0xA5 | 0xD5) && payload.last().is_some_and(|last| last & 0x08 == 0)
}

fn put(to: &mut Decoded, name: &str, value: Value, unit: Option<&str>) {
    if let Some(name) = MeasurementName::parse(name) {
        to.put(&name, value, unit.map(|unit| Unit(unit.into())).as_ref());
    }
}
