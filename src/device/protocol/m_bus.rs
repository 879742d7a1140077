//! Wired M-Bus (EN 13757-2 and -3): long frames, the records of variable data structure (CI 72 and 76), and the two
//! counters of fixed data structure (CI 73 and 77), as the first meters have them.
//!
//! ```text
//! frame  = 68 L L 68 C A CI data sum 16           the sum is that of C to data
//! header = identification(4, BCD) maker(2) version medium access status signature(2)
//! record = DIF {DIFE} VIF {VIFE} data
//! fixed  = identification(4, BCD) access status unit(1) unit(1) counter(4) counter(4)
//! ```
//!
//! Taken is what a meter counts now: instantaneous values of storage 0, tariff 0 and subunit 0, the first of each
//! kind. What it had at its due date, maxima and errors are left out.

use super::garbage_before;
use crate::device::decoder::Decoded;
use crate::device::framer::Verdict;
use crate::device::number::{self, ByteOrder};
use crate::device::problem::{Problem, ProblemKind};
use crate::reading::{MeasurementName, Unit, Value};

pub(super) fn inspect(pending: &[u8], plain: &mut Vec<u8>) -> Verdict {
    if let Some(verdict) = garbage_before(pending, 0x68) {
        return verdict;
    }
    let Some([length, again, start]) = pending.get(1..4) else { return Verdict::Incomplete };
    if length != again || *start != 0x68 || *length < 3 {
        return Verdict::Garbage(1);
    }
    let end = 4 + usize::from(*length);
    let (Some(content), Some([said, close])) = (pending.get(4..end), pending.get(end..end + 2)) else {
        return Verdict::Incomplete;
    };
    if *close != 0x16 {
        return Verdict::Broken(1, Problem::new(ProblemKind::End, "the frame does not end with 16"));
    }
    if sum(content) != *said {
        return Verdict::Broken(1, Problem::new(ProblemKind::Checksum, "the sum of the frame does not hold"));
    }
    plain.extend_from_slice(content);
    Verdict::Whole(end + 2)
}

/// Which meter of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::device) enum Meter {
    /// By its primary address, 0 to 250 (EN 13757-2, 5.7.5).
    Primary(u8),
    /// By its number, the four bytes as they are sent; F stands for any digit (EN 13757-3, 11.3).
    Secondary([u8; 4]),
}

/// The address of whichever meter is selected.
const SELECTED: u8 = 0xFD;

impl Meter {
    /// `5`, `12345678`, `123FFFFF`.
    pub(in crate::device) fn parse(text: &str) -> Option<Meter> {
        if let Ok(address @ 0..=250) = text.parse::<u8>() {
            return Some(Meter::Primary(address));
        }
        let is_number = |c: char| c.is_ascii_digit() || c.eq_ignore_ascii_case(&'f');
        let mut digits: [u8; 4] =
            crate::device::hex(text).filter(|_| text.chars().all(is_number))?.try_into().ok()?;
        digits.reverse();
        Some(Meter::Secondary(digits))
    }

    /// What selects it among the others, when that is needed; it answers with E5.
    pub(in crate::device) fn selection(&self) -> Option<Vec<u8>> {
        let Meter::Secondary([a, b, c, d]) = *self else { return None };
        // SND_UD to whoever is meant: number, any maker, any version, any medium.
        let content = [0x53, SELECTED, 0x52, a, b, c, d, 0xFF, 0xFF, 0xFF, 0xFF];
        let mut frame = vec![0x68, 11, 11, 0x68];
        frame.extend(content);
        frame.extend([sum(&content), 0x16]);
        Some(frame)
    }

    /// What asks it for its data: REQ_UD2.
    pub(in crate::device) fn request(&self) -> Vec<u8> {
        let content = match self {
            Meter::Primary(address) => [0x5B, *address],
            Meter::Secondary(_) => [0x7B, SELECTED],
        };
        [&[0x10][..], &content, &[sum(&content), 0x16]].concat()
    }

    /// Whether a frame is its own: control, address, CI, number.
    fn said(&self, frame: &[u8]) -> bool {
        match self {
            Meter::Primary(address) => frame.get(1) == Some(address),
            Meter::Secondary(digits) => frame.get(3..7).is_some_and(|number| {
                let same = |wanted: u8, said: u8| wanted == 0xF || wanted == said;
                let mut pairs = digits.iter().zip(number);
                pairs.all(|(wanted, said)| same(wanted >> 4, said >> 4) && same(wanted & 0xF, said & 0xF))
            }),
        }
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
}

/// What the frame of a meter says; of another one than is meant, nothing.
pub(in crate::device) fn decode(frame: &[u8], meter: Option<&Meter>, to: &mut Decoded) {
    if meter.is_some_and(|meter| !meter.said(frame)) {
        to.absent = true;
        return;
    }
    let [_, _, ci, rest @ ..] = frame else { return };
    let is_answer = frame.first().is_some_and(|control| control & 0x4F == 0x08);
    match ci {
        0x72 | 0x76 if is_answer => {}
        0x73 if is_answer => return fixed(rest, ByteOrder::Little, to),
        0x77 if is_answer => return fixed(rest, ByteOrder::Big, to),
        // Requests of a master, application errors.
        _ => {
            to.absent = true;
            return;
        }
    }
    let [id @ .., _, _, _, _, _, _, _, _] = rest.get(..12).unwrap_or_default() else {
        return to.problem(ProblemKind::Length, "the frame is too short for its header".to_owned());
    };
    let maker = rest.get(4..6).map_or(0, |bytes| ByteOrder::Little.read(bytes));
    put(
        to,
        "meter_id",
        Value::Text(id.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>().into()),
        "",
    );
    put(to, "manufacturer", Value::Text(letters(maker).into()), "");
    if rest.get(10..12).is_some_and(|signature| signature.iter().any(|byte| *byte != 0)) {
        return to.problem(ProblemKind::Unknown, "the meter's data is encrypted".to_owned());
    }
    let mut records = Records { rest: rest.get(12..).unwrap_or_default() };
    while !records.rest.is_empty() {
        match records.next() {
            Some(Some(record)) => record.tell(to),
            Some(None) => {}
            None => return to.problem(ProblemKind::Syntax, "a record of the frame is malformed".to_owned()),
        }
    }
}

/// Two counters (The M-Bus: A Documentation, 6.2 and table of units). Bit 0 of the status: they are binary, not BCD;
/// bit 1: they are those of the due date.
fn fixed(rest: &[u8], order: ByteOrder, to: &mut Decoded) {
    let Some([id @ .., _, status, first_unit, second_unit, _, _, _, _, _, _, _, _]) =
        rest.first_chunk::<16>()
    else {
        return to.problem(ProblemKind::Length, "the frame is too short for its two counters".to_owned());
    };
    let identification = order.read(id);
    put(to, "meter_id", Value::Text(format!("{identification:08x}").into()), "");
    if status & 2 != 0 {
        to.absent = true;
        return;
    }
    let counters = rest.get(8..16).unwrap_or_default().chunks(4);
    for (counter, unit) in counters.zip([first_unit, second_unit]) {
        let raw = order.read(counter);
        let value = if status & 1 != 0 {
            u32::try_from(raw).ok().map(|raw| f64::from(raw.cast_signed()))
        } else {
            number::bcd(raw).map(number::from_u64)
        };
        let (Some((name, unit, exponent, factor)), Some(value)) = (counted(unit & 0x3F), value) else {
            continue;
        };
        let scaled =
            if exponent < 0 { value / 10_f64.powi(-exponent) } else { value * 10_f64.powi(exponent) };
        put(to, name, Value::Number(number::round(scaled * factor, 9)), unit);
    }
}

/// Name, unit, power of ten and factor of a unit of fixed data; `3E` is the value of the due date.
fn counted(unit: u8) -> Option<(&'static str, &'static str, i32, f64)> {
    let above = |first: u8| i32::from(unit - first);
    Some(match unit {
        0x02..=0x0A => ("energy", "kWh", above(0x02) - 3, 1.0),
        0x0B..=0x13 => ("energy", "kWh", above(0x0B), 1.0 / 3600.0),
        0x14..=0x1C => ("power", "W", above(0x14), 1.0),
        0x1D..=0x25 => ("power", "W", above(0x1D), 1.0 / 3.6),
        0x26..=0x2E => ("volume_m3", "m³", above(0x26) - 6, 1.0),
        0x2F..=0x37 => ("volume_flow", "m³/h", above(0x2F) - 6, 1.0),
        0x38 => ("temperature", "°C", -3, 1.0),
        0x39 => ("heat_cost", "", 0, 1.0),
        _ => return None,
    })
}

/// Three letters, five bits each.
fn letters(maker: u64) -> String {
    let letter =
        |shift: u32| u8::try_from(maker >> shift & 0x1F).map_or('?', |letter| char::from(letter + 64));
    [10, 5, 0].map(letter).iter().collect()
}

fn put(to: &mut Decoded, name: &str, value: Value, unit: &str) {
    let Some(name) = MeasurementName::parse(name) else { return };
    if to.measurements.iter().all(|known| known.name != name) {
        to.put(&name, value, Some(Unit(unit.into())).filter(|unit| !unit.0.is_empty()).as_ref());
    }
}

/// The records that are left.
struct Records<'a> {
    rest: &'a [u8],
}

/// A value of now.
struct Record<'a> {
    coding: u8,
    data: &'a [u8],
    vif: u8,
    /// Of the tables FB and FD: which, and the VIF in it.
    extended: Option<(u8, u8)>,
    /// What changes the meaning: direction, correction.
    vife: Option<u8>,
}

impl<'a> Records<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    /// The next record; inner `None`: one that says nothing of now. Outer `None`: it is malformed.
    fn next(&mut self) -> Option<Option<Record<'a>>> {
        let dif = self.byte()?;
        match dif {
            // Idle filler.
            0x2F => return Some(None),
            // What follows is the maker's own.
            0x0F | 0x1F => {
                self.rest = &[];
                return Some(None);
            }
            _ => {}
        }
        // Bit 6 is the lowest of the storage number; DIFEs have four more, two of the tariff, one of the subunit.
        let mut is_now = dif & 0x70 == 0;
        let mut more = dif & 0x80 != 0;
        for _ in 0..10 {
            if !more {
                break;
            }
            let dife = self.byte()?;
            is_now &= dife & 0x7F == 0;
            more = dife & 0x80 != 0;
        }
        let vif = self.byte()?;
        let mut extended = None;
        let mut more = vif & 0x80 != 0;
        if matches!(vif, 0xFB | 0xFD) {
            let second = self.byte()?;
            extended = Some((vif, second & 0x7F));
            more = second & 0x80 != 0;
        }
        let mut vife = None;
        // A unit in plain text: its length, then its characters.
        if vif & 0x7F == 0x7C {
            let length = usize::from(self.byte()?);
            self.take(length)?;
            is_now = false;
        }
        for _ in 0..10 {
            if !more {
                break;
            }
            let one = self.byte()?;
            vife = vife.or(Some(one & 0x7F));
            more = one & 0x80 != 0;
        }
        let length = match dif & 0xF {
            0 | 8 => 0,
            coding @ 1..=4 => usize::from(coding),
            5 => 4,
            6 => 6,
            7 => 8,
            coding @ 9..=0xC => usize::from(coding - 8),
            0xE => 6,
            0xD => match self.byte()? {
                length @ 0..=0xBF => usize::from(length),
                length @ 0xC0..=0xDF => usize::from(length & 0xF),
                _ => return None,
            },
            _ => return None,
        };
        let data = self.take(length)?;
        let is_number = !matches!(dif & 0xF, 0 | 8 | 0xD);
        let record = Record { coding: dif & 0xF, data, vif: vif & 0x7F, extended, vife };
        Some(Some(record).filter(|_| is_now && is_number))
    }
}

impl Record<'_> {
    /// The number, in units of the VIF; `None`: the meter says that there is none.
    fn number(&self) -> Option<f64> {
        let raw = ByteOrder::Little.read(self.data);
        match self.coding {
            5 => Some(f64::from(f32::from_bits(u32::try_from(raw).ok()?))).filter(|value| value.is_finite()),
            1..=7 => {
                let unused = 64_u32.checked_sub(u32::try_from(self.data.len()).ok()? * 8)?;
                Some(number::from_i64((raw << unused).cast_signed() >> unused))
            }
            _ => {
                // The highest digit F is a minus sign.
                let top = u32::try_from(self.data.len()).ok()?.checked_mul(8)?.checked_sub(4)?;
                let is_negative = raw >> top == 0xF;
                let digits = if is_negative { raw & !(0xF << top) } else { raw };
                let value = number::from_u64(number::bcd(digits)?);
                Some(if is_negative { -value } else { value })
            }
        }
    }

    fn tell(&self, to: &mut Decoded) {
        let Some((name, unit, exponent, factor)) = self.meaning() else { return };
        let Some(raw) = self.number() else {
            to.absent = true;
            return;
        };
        let power = 10_f64.powi(exponent);
        let scaled = if exponent < 0 { raw / 10_f64.powi(-exponent) } else { raw * power };
        let value = number::round(scaled * factor, 9);
        put(to, name, Value::Number(value), unit);
    }

    /// Name, unit, power of ten and factor. Primary VIFs: EN 13757-3, table 10.
    fn meaning(&self) -> Option<(&'static str, &'static str, i32, f64)> {
        let low = |bits: u8| i32::from(self.vif & bits);
        if let Some((table, vif)) = self.extended {
            let low = |bits: u8| i32::from(vif & bits);
            return match (table, vif) {
                (0xFB, 0x00 | 0x01) => Some(("energy", "kWh", 2 + low(1), 1.0)),
                (0xFB, 0x08 | 0x09) => Some(("energy", "kWh", low(1) - 1, 1000.0 / 3.6)),
                (0xFD, 0x40..=0x4F) => Some(("voltage", "V", low(0xF) - 9, 1.0)),
                (0xFD, 0x50..=0x5F) => Some(("current", "A", low(0xF) - 12, 1.0)),
                _ => None,
            };
        }
        let plain = match self.vif {
            0x00..=0x07 => ("energy", "kWh", low(7) - 6, 1.0),
            0x08..=0x0F => ("energy", "kWh", low(7) - 6, 1.0 / 3.6),
            0x10..=0x17 => ("volume_m3", "m³", low(7) - 6, 1.0),
            0x18..=0x1F => ("mass", "kg", low(7) - 3, 1.0),
            0x28..=0x2F => ("power", "W", low(7) - 3, 1.0),
            0x30..=0x37 => ("power", "W", low(7), 1.0 / 3600.0),
            0x38..=0x3F => ("volume_flow", "m³/h", low(7) - 6, 1.0),
            0x40..=0x47 => ("volume_flow", "m³/h", low(7) - 7, 60.0),
            0x48..=0x4F => ("volume_flow", "m³/h", low(7) - 9, 3600.0),
            0x50..=0x57 => ("mass_flow", "kg/h", low(7) - 3, 1.0),
            0x58..=0x5B => ("flow_temperature", "°C", low(3) - 3, 1.0),
            0x5C..=0x5F => ("return_temperature", "°C", low(3) - 3, 1.0),
            0x60..=0x63 => ("temperature_difference", "K", low(3) - 3, 1.0),
            0x64..=0x67 => ("temperature", "°C", low(3) - 3, 1.0),
            0x68..=0x6B => ("pressure", "hPa", low(3), 1.0),
            0x6E => ("heat_cost", "", 0, 1.0),
            _ => return None,
        };
        match (self.vife, plain.0) {
            (None | Some(0x3B), _) => Some(plain),
            // What flows backward is counted apart.
            (Some(0x3C), "energy") => Some(("energy_export", plain.1, plain.2, plain.3)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(records: &str) -> Vec<String> {
        let mut frame = crate::device::hex("08 01 72 78 56 34 12 24 40 01 07 55 00 00 00").unwrap();
        frame.extend(crate::device::hex(records).unwrap());
        let mut to = Decoded::default();
        decode(&frame, None, &mut to);
        let told = to.measurements.iter().map(|one| match &one.value {
            Value::Number(number) => format!("{}={number}", one.name.as_str()),
            Value::Text(text) => format!("{}={text}", one.name.as_str()),
            other => format!("{}={other:?}", one.name.as_str()),
        });
        told.chain(to.problems.iter().map(|problem| problem.kind.label().to_owned())).collect()
    }

    /// The examples of The M-Bus: A Documentation (version 4.8), 6.7 and appendix 8.
    #[test]
    fn records_of_now_are_told_and_others_are_not() {
        assert_eq!(
            said("0C 14 27 04 85 02  04 6D 32 37 1F 15  42 6C 00 00  4C 14 00 00 00 00  02 FD 48 E6 00"),
            ["meter_id=12345678", "manufacturer=PAD", "volume_m3=28504.27", "voltage=23"]
        );
        assert_eq!(said("0B 3B 05 00 F0")[2..], ["volume_flow=-0.005"]);
        assert_eq!(said("04 0E 10 27 00 00")[2..], ["energy=2777.777777778"]);
        assert_eq!(said("2F 2F 0F FF FF")[2..], [""; 0]);
        assert_eq!(said("04 13 01 02")[2..], ["syntax"]);
        assert_eq!(said("0D 78 FF")[2..], ["syntax"]);
        assert_eq!(letters(0x4024), "PAD");
    }

    /// The frames of The M-Bus: A Documentation (version 4.8), 7.1 and 7.3.
    #[test]
    fn meters_are_selected_asked_and_told_apart() {
        let meter = |text: &str| Meter::parse(text).unwrap();
        let bytes = |text: &str| crate::device::hex(text).unwrap();
        assert_eq!(meter("1").request(), bytes("10 5B 01 5C 16"));
        assert_eq!(meter("1").selection(), None);
        assert_eq!(meter("12345678").request(), bytes("10 7B FD 78 16"));
        let selection = bytes("68 0B 0B 68 53 FD 52 78 56 34 12 FF FF FF FF B2 16");
        assert_eq!(meter("12345678").selection(), Some(selection));
        let frame = bytes("08 05 73 78 56 34 12");
        for own in ["5", "12345678", "1234FFFF", "ffffffff"] {
            assert!(meter(own).said(&frame), "{own}");
        }
        for other in ["6", "12345679", "2234FFFF"] {
            assert!(!meter(other).said(&frame), "{other}");
        }
        for wrong in ["", "251", "1234567", "1234567A", "123456789"] {
            assert_eq!(Meter::parse(wrong), None, "{wrong}");
        }
    }

    /// The example of The M-Bus: A Documentation (version 4.8), 6.2; then a heat meter with binary counters, and the
    /// values of a due date.
    #[test]
    fn counters_of_fixed_data_are_told() {
        let said = |frame: &str| {
            let mut to = Decoded::default();
            decode(&crate::device::hex(frame).unwrap(), None, &mut to);
            let told = to.measurements.iter().map(|one| format!("{}={:?}", one.name.as_str(), one.value));
            told.collect::<Vec<_>>()
        };
        let water = said("08 05 73 78 56 34 12 0A 00 E9 7E 01 00 00 00 35 01 00 00");
        assert_eq!(water, ["meter_id=Text(\"12345678\")", "volume_m3=Number(0.001)"]);
        let heat = said("08 05 73 78 56 34 12 0A 01 05 29 10 27 00 00 F4 01 00 00");
        assert_eq!(heat[1..], ["energy=Number(10000.0)", "volume_m3=Number(0.5)"]);
        let high_first = said("08 05 77 12 34 56 78 0A 00 29 3E 00 00 01 35 00 00 00 00");
        assert_eq!(high_first, ["meter_id=Text(\"12345678\")", "volume_m3=Number(0.135)"]);
        assert_eq!(said("08 05 73 78 56 34 12 0A 02 29 29 10 27 00 00 F4 01 00 00").len(), 1);
    }
}
