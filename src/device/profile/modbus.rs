//! `[modbus]` and fields in registers, checked.

use std::time::Duration;

use toml::Spanned;

use super::binary::place;
use super::error::Mistakes;
use super::fields::{meaning, refuse};
use super::schema;
use crate::device::decoder::{BinaryField, Place, ValueKind};
use crate::device::modbus::{Register, Registers, Request};
use crate::device::number::Position;

/// How long an answer may take, where the profile does not say.
const TIMEOUT: Duration = Duration::from_millis(500);
const READING: &str = "1 and 2 read bits, 3 and 4 registers";

/// How a Modbus unit is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Modbus {
    /// Its number, where the maker has set one; a sensor's own overrules it.
    pub unit: Option<u8>,
    /// What is read.
    pub reads: Vec<ModbusRead>,
}

/// Registers that are read in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModbusRead {
    /// What is asked; for the profile's own unit.
    pub request: Request,
    /// How often.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// The fields of a document whose device speaks Modbus.
pub(super) fn registers(document: &schema::Document, mistakes: &mut Mistakes<'_>) -> Option<Registers> {
    let usual = document.modbus.as_ref().and_then(|modbus| modbus.get_ref().function.as_ref());
    let usual = usual.map_or(3, |function| *function.get_ref());
    if let Some(written) = document.modbus.as_ref().and_then(|modbus| modbus.get_ref().function.as_ref())
        && !matches!(usual, 1..=4)
    {
        mistakes.add(written.span(), format!("function {usual} reads nothing"), Some(READING.to_owned()));
        return None;
    }
    let mut fields = Vec::new();
    for field in &document.field {
        fields.push(register(field, usual, mistakes)?);
    }
    if fields.is_empty() {
        let hint = "[[field]] with name, register and type".to_owned();
        mistakes.add(0..0, "a Modbus profile has no field", Some(hint));
        return None;
    }
    Some(Registers { fields })
}

fn register(field: &Spanned<schema::Field>, usual: u8, mistakes: &mut Mistakes<'_>) -> Option<Register> {
    let (span, field) = (field.span(), field.get_ref());
    refuse(field.from.as_ref(), "a field of a Modbus unit stands in registers; from is for text", mistakes);
    refuse(field.at.as_ref(), "a field of a Modbus unit stands in registers: register = 0x0000", mistakes);
    refuse(field.when.as_ref(), "registers have no conditions", mistakes);
    let function = field.function.as_ref().map_or(usual, |function| *function.get_ref());
    if !matches!(function, 1..=4) {
        let at = field.function.as_ref().map_or(span, Spanned::span);
        mistakes.add(at, format!("function {function} reads nothing"), Some(READING.to_owned()));
        return None;
    }
    let Some(address) = &field.register else {
        let hint = Some("register = 0x0006".to_owned());
        mistakes.add(span, "the field does not say in which register it stands", hint);
        return None;
    };
    let address = *address.get_ref();
    if matches!(function, 1 | 2) {
        let message = "functions 1 and 2 read bits: a bit has no type";
        refuse(field.number.as_ref(), message, mistakes);
        let meaning = meaning(field, ValueKind::Switch, &[], mistakes)?;
        let field = BinaryField { meaning, place: Place::Nowhere, when: None, each: false };
        return Some(Register { function, address, count: 1, field });
    }
    let (mut place, kind) = place(span, field, 0, "u16be", mistakes)?;
    // A byte stands in the lower half of its register, bits are those of the whole register unless it says more.
    let count = place.bytes().div_ceil(2);
    if let Place::Number { at, number, .. } = &mut place
        && number.bytes == 1
    {
        *at = Position(1);
    }
    let meaning = meaning(field, kind, &[], mistakes)?;
    let field = BinaryField { meaning, place, when: None, each: false };
    Some(Register { function, address, count: u16::try_from(count).ok()?, field })
}

/// How the unit is asked.
pub(super) fn compile(
    written: &Spanned<schema::Modbus>,
    registers: &Registers,
    fields: &[Spanned<schema::Field>],
    mistakes: &mut Mistakes<'_>,
) -> Option<Modbus> {
    let modbus = written.get_ref();
    let interval = Duration::from_millis(*modbus.interval_ms.get_ref());
    let timeout =
        modbus.timeout_ms.as_ref().map_or(TIMEOUT, |written| Duration::from_millis(*written.get_ref()));
    if timeout.is_zero() || interval.is_zero() {
        mistakes.add(modbus.interval_ms.span(), "interval and time-out are at least 1 ms", None);
        return None;
    }
    if let Some(unit) = &modbus.unit
        && !(1..=254).contains(unit.get_ref())
    {
        mistakes.add(unit.span(), "a unit has a number from 1 to 254", None);
    }
    let unit = modbus.unit.as_ref().map(|unit| *unit.get_ref());
    let usual = modbus.function.as_ref().map_or(3, |function| *function.get_ref());
    let asked = unit.unwrap_or(1);
    let mut reads = Vec::new();
    for read in &modbus.read {
        let (span, read) = (read.span(), read.get_ref());
        let function = read.function.unwrap_or(usual);
        let most = if matches!(function, 1 | 2) { 2000 } else { 125 };
        if !(1..=most).contains(&read.count) || !matches!(function, 1..=4) {
            mistakes.add(span, format!("function {function} reads 1 to {most}"), None);
            continue;
        }
        let interval = read.interval_ms.map_or(interval, |millis| Duration::from_millis(millis.max(1)));
        reads.push(ModbusRead {
            request: Request::read(asked, function, read.register, read.count),
            interval,
            timeout,
        });
    }
    if modbus.read.is_empty() {
        let group = |request: Request| ModbusRead { request: request.to_unit(asked), interval, timeout };
        reads.extend(registers.groups(modbus.gap).into_iter().map(group));
    } else {
        for (register, field) in registers.fields.iter().zip(fields) {
            let own =
                |read: &ModbusRead| read.request.covers(register.function, register.address, register.count);
            if !reads.iter().any(own) {
                let at = field.get_ref().register.as_ref().map_or(field.span(), Spanned::span);
                let hint =
                    Some("widen one, or leave read out: fields are then grouped by themselves".to_owned());
                mistakes.add(
                    at,
                    "no read of [modbus] holds this register: the field would never have a value",
                    hint,
                );
            }
        }
    }
    Some(Modbus { unit, reads })
}
