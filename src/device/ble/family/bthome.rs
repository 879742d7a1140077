//! BTHome, version 1 and 2, plain and encrypted (<https://bthome.io/format>): what do-it-yourself sensors and
//! Shelly BLU devices speak.
//!
//! Version 2 stands under service 0xFCD2: a byte of device information, then objects, each an identifier and a
//! value of known length. Version 1 stands under 0x181C (plain) and 0x181E (encrypted); each object says its own
//! length and type. An object that repeats gets a number: the second temperature is `temperature_2`.

use smallvec::SmallVec;

use super::{
    Data, Frame, Outcome, ProblemKind, Quantity, Readout, Value, bad, crypt, ensure, hex_text, round,
};
use crate::device::problem::Problem;

const V1_PLAIN: u16 = 0x181C;
const V1_ENCRYPTED: u16 = 0x181E;

/// How the bytes of an object are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Unsigned(usize),
    Signed(usize),
    Switch,
    Button,
    Dimmer,
    Text,
    Raw,
    Command,
    /// The frame's number.
    Packet,
    /// About the device, not a measurement; so many bytes.
    Device(usize),
}

use Form::{Signed as I, Switch as B, Unsigned as U};
use Quantity as Q;

/// Identifier, form, quantity, and by what the number is divided.
const OBJECTS: &[(u8, Form, Quantity, f64)] = &[
    (0x00, Form::Packet, Q::Count, 1.0),
    (0x01, U(1), Q::Battery, 1.0),
    (0x02, I(2), Q::Temperature, 100.0),
    (0x03, U(2), Q::Humidity, 100.0),
    (0x04, U(3), Q::Pressure, 100.0),
    (0x05, U(3), Q::Illuminance, 100.0),
    (0x06, U(2), Q::Weight, 100.0),
    // Pounds: see `POUND`.
    (0x07, U(2), Q::Weight, 100.0),
    (0x08, I(2), Q::DewPoint, 100.0),
    (0x09, U(1), Q::Count, 1.0),
    (0x0A, U(3), Q::Energy, 1000.0),
    (0x0B, U(3), Q::Power, 100.0),
    (0x0C, U(2), Q::Voltage, 1000.0),
    (0x0D, U(2), Q::Pm25, 1.0),
    (0x0E, U(2), Q::Pm10, 1.0),
    (0x0F, B, Q::Generic, 1.0),
    (0x10, B, Q::PowerOn, 1.0),
    (0x11, B, Q::Opening, 1.0),
    (0x12, U(2), Q::Co2, 1.0),
    (0x13, U(2), Q::Tvoc, 1.0),
    (0x14, U(2), Q::Moisture, 100.0),
    (0x15, B, Q::BatteryLow, 1.0),
    (0x16, B, Q::BatteryCharging, 1.0),
    (0x17, B, Q::CarbonMonoxide, 1.0),
    (0x18, B, Q::Cold, 1.0),
    (0x19, B, Q::Connectivity, 1.0),
    (0x1A, B, Q::Door, 1.0),
    (0x1B, B, Q::GarageDoor, 1.0),
    (0x1C, B, Q::Gas, 1.0),
    (0x1D, B, Q::Heat, 1.0),
    (0x1E, B, Q::Light, 1.0),
    (0x1F, B, Q::Lock, 1.0),
    (0x20, B, Q::MoistureWet, 1.0),
    (0x21, B, Q::Motion, 1.0),
    (0x22, B, Q::Moving, 1.0),
    (0x23, B, Q::Occupancy, 1.0),
    (0x24, B, Q::Plug, 1.0),
    (0x25, B, Q::Presence, 1.0),
    (0x26, B, Q::Problem, 1.0),
    (0x27, B, Q::Running, 1.0),
    (0x28, B, Q::Safety, 1.0),
    (0x29, B, Q::Smoke, 1.0),
    (0x2A, B, Q::Sound, 1.0),
    (0x2B, B, Q::Tamper, 1.0),
    (0x2C, B, Q::Vibration, 1.0),
    (0x2D, B, Q::Window, 1.0),
    (0x2E, U(1), Q::Humidity, 1.0),
    (0x2F, U(1), Q::Moisture, 1.0),
    (0x3A, Form::Button, Q::Button, 1.0),
    (0x3B, Form::Command, Q::Command, 1.0),
    (0x3C, Form::Dimmer, Q::Dimmer, 1.0),
    (0x3D, U(2), Q::Count, 1.0),
    (0x3E, U(4), Q::Count, 1.0),
    (0x3F, I(2), Q::Rotation, 10.0),
    (0x40, U(2), Q::Distance, 1000.0),
    (0x41, U(2), Q::Distance, 10.0),
    (0x42, U(3), Q::Duration, 1000.0),
    (0x43, U(2), Q::Current, 1000.0),
    (0x44, U(2), Q::Speed, 100.0),
    (0x45, I(2), Q::Temperature, 10.0),
    (0x46, U(1), Q::UvIndex, 10.0),
    (0x47, U(2), Q::Volume, 10.0),
    (0x48, U(2), Q::Volume, 1000.0),
    (0x49, U(2), Q::VolumeFlowRate, 1000.0),
    (0x4A, U(2), Q::Voltage, 10.0),
    (0x4B, U(3), Q::GasVolume, 1000.0),
    (0x4C, U(4), Q::GasVolume, 1000.0),
    (0x4D, U(4), Q::Energy, 1000.0),
    (0x4E, U(4), Q::Volume, 1000.0),
    (0x4F, U(4), Q::Water, 1000.0),
    (0x50, U(4), Q::Timestamp, 1.0),
    (0x51, U(2), Q::Acceleration, 1000.0),
    (0x52, U(2), Q::Gyroscope, 1000.0),
    (0x53, Form::Text, Q::Text, 1.0),
    (0x54, Form::Raw, Q::Raw, 1.0),
    (0x55, U(4), Q::VolumeStorage, 1000.0),
    (0x56, U(2), Q::Conductivity, 1.0),
    (0x57, I(1), Q::Temperature, 1.0),
    // Steps of 0.35 °C.
    (0x58, I(1), Q::Temperature, 1.0),
    (0x59, I(1), Q::Count, 1.0),
    (0x5A, I(2), Q::Count, 1.0),
    (0x5B, I(4), Q::Count, 1.0),
    (0x5C, I(4), Q::Power, 100.0),
    (0x5D, I(2), Q::Current, 1000.0),
    (0x5E, U(2), Q::Direction, 100.0),
    (0x5F, U(2), Q::Precipitation, 10.0),
    (0x60, U(1), Q::Channel, 1.0),
    (0x61, U(2), Q::RotationalSpeed, 1.0),
    (0x62, I(4), Q::Speed, 1_000_000.0),
    (0x63, I(4), Q::Acceleration, 1_000_000.0),
    (0x64, U(1), Q::LightLevel, 1.0),
    (0x65, U(1), Q::Revision, 1.0),
    (0xF0, Form::Device(2), Q::Count, 1.0),
    (0xF1, Form::Device(4), Q::Count, 1.0),
    (0xF2, Form::Device(3), Q::Count, 1.0),
];

const POUNDS: u8 = 0x07;
const POUND: f64 = 0.453_592_37;
const STEPS_OF_035: u8 = 0x58;

/// An object: what it is, and the bytes of its value.
struct Object<'a> {
    id: u8,
    form: Form,
    quantity: Quantity,
    parts: f64,
    bytes: &'a [u8],
    /// The type that version 1 states.
    stated: Option<u8>,
}

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    if frame.id == V1_PLAIN {
        out.model("BTHome v1");
        crypt::plain(frame.key)?;
        return objects_v1(frame.data, out);
    }
    if frame.id == V1_ENCRYPTED {
        out.model("BTHome v1, encrypted");
        let opened = open(frame, frame.advertisement.address.0, &[0x1E, 0x18], frame.data, &[0x11])?;
        return objects_v1(Data(&opened), out);
    }
    let information = frame.data.u8(0)?;
    ensure(information >> 5 == 2)?;
    let (mut address, mut start) = (frame.advertisement.address.0, 1);
    if information & 0b10 != 0 {
        address = frame.data.array(1)?;
        address.reverse();
        start = 7;
    }
    let payload = Data(frame.data.rest(start)?);
    if information & 1 == 0 {
        out.model("BTHome v2");
        crypt::plain(frame.key)?;
        return objects_v2(payload, out);
    }
    out.model("BTHome v2, encrypted");
    let opened = open(frame, address, &[0xD2, 0xFC, information], payload, &[])?;
    objects_v2(Data(&opened), out)
}

/// Ciphertext, a counter of four bytes, a tag of four bytes.
fn open(
    frame: &mut Frame<'_>,
    address: [u8; 6],
    uuid: &[u8],
    sealed: Data<'_>,
    associated: &[u8],
) -> Outcome<Vec<u8>> {
    sealed.at_least(9)?;
    let key = frame.key.ok_or_else(crypt::no_key)?.full()?;
    let length = sealed.len() - 8;
    let counter = sealed.slice(length, 4)?;
    let mut nonce: SmallVec<[u8; 13]> = SmallVec::from_slice(&address);
    nonce.extend_from_slice(uuid);
    nonce.extend_from_slice(counter);
    let mut ciphertext: SmallVec<[u8; 64]> = SmallVec::from_slice(sealed.slice(0, length)?);
    ciphertext.extend_from_slice(sealed.slice(length + 4, 4)?);
    let opened = crypt::open(key, &nonce, associated, &ciphertext)?;
    frame.memory.accept(Data(counter).le_u32(0)?)?;
    Ok(opened)
}

fn object(id: u8) -> Option<(Form, Quantity, f64)> {
    OBJECTS
        .iter()
        .find(|(known, ..)| *known == id)
        .map(|(_, form, quantity, parts)| (*form, *quantity, *parts))
}

fn objects_v2(data: Data<'_>, out: &mut Readout) -> Outcome {
    let mut objects: SmallVec<[Object<'_>; 8]> = SmallVec::new();
    let mut unknown = None;
    let mut at = 0;
    while at < data.len() {
        let id = data.u8(at)?;
        let Some((form, quantity, parts)) = object(id) else {
            // Its length is not known: nothing behind it can be read.
            unknown = Some(Problem::new(ProblemKind::Nothing, format!("unknown BTHome object 0x{id:02X}")));
            break;
        };
        let (start, length) = match form {
            Form::Text | Form::Raw => (at + 2, usize::from(data.u8(at + 1)?)),
            Form::Command => (at + 2, 1 + usize::from(data.u8(at + 1)? & 0x1F)),
            Form::Unsigned(bytes) | Form::Signed(bytes) | Form::Device(bytes) => (at + 1, bytes),
            Form::Switch | Form::Button | Form::Packet => (at + 1, 1),
            Form::Dimmer => (at + 1, 2),
        };
        let bytes = data.slice(start, length)?;
        at = start + length;
        objects.push(Object { id, form, quantity, parts, bytes, stated: None });
    }
    write(&objects, unknown, out)
}

/// Each object: a byte with its length (0 to 4) and type (5 to 7), its identifier, its value.
fn objects_v1(data: Data<'_>, out: &mut Readout) -> Outcome {
    let mut objects: SmallVec<[Object<'_>; 8]> = SmallVec::new();
    let mut unknown = None;
    let mut at = 0;
    while at < data.len() {
        let head = data.u8(at)?;
        let length = usize::from(head & 0x1F);
        if length == 0 {
            return Err(bad(ProblemKind::Length, "an object of BTHome v1 has length 0"));
        }
        let id = data.u8(at + 1)?;
        let bytes = data.slice(at + 2, length - 1)?;
        at += 1 + length;
        match object(id) {
            Some((form, quantity, parts)) => {
                objects.push(Object { id, form, quantity, parts, bytes, stated: Some(head >> 5) });
            }
            None => {
                let detail = format!("unknown BTHome object 0x{id:02X}");
                unknown = Some(Problem::new(ProblemKind::Nothing, detail));
            }
        }
    }
    write(&objects, unknown, out)
}

fn write(objects: &[Object<'_>], unknown: Option<Problem>, out: &mut Readout) -> Outcome {
    if objects.is_empty() && unknown.is_none() {
        return Err(bad(ProblemKind::Truncated, "truncated: the advertisement has no objects"));
    }
    out.problems.extend(unknown);
    for (place, object) in objects.iter().enumerate() {
        let before =
            objects.iter().take(place).filter(|other| other.quantity == object.quantity).filter(is_said);
        let number = u8::try_from(before.count() + 1).unwrap_or(u8::MAX);
        object.write(if number == 1 { 0 } else { number }, out)?;
    }
    Ok(())
}

/// Packet numbers and device information share a placeholder for their quantity and are not measured.
fn is_said(object: &&Object<'_>) -> bool {
    !matches!(object.form, Form::Packet | Form::Device(_))
}

impl Object<'_> {
    fn write(&self, number: u8, out: &mut Readout) -> Outcome {
        let data = Data(self.bytes);
        match self.form {
            Form::Packet => out.packet = Some(u32::from(data.u8(0)?)),
            Form::Device(_) => {}
            Form::Switch => out.put(self.quantity, number, Value::Switch(data.u8(0)? != 0)),
            Form::Button => {
                if let Some(event) = button(data.u8(0)?) {
                    out.numbered_event(Quantity::Button, number, event);
                }
            }
            Form::Dimmer => {
                let event = match data.u8(0)? {
                    1 => "rotate_left",
                    2 => "rotate_right",
                    _ => return Ok(()),
                };
                let steps = i32::from(data.u8(1)?);
                out.event = true;
                out.put(Quantity::Dimmer, number, Value::Turn { event: event.into(), steps });
            }
            Form::Command => {
                if let Some(event) = command(data.u8(0)?) {
                    out.numbered_event(Quantity::Command, number, event);
                }
            }
            Form::Text => {
                let text = String::from_utf8_lossy(self.bytes);
                out.put(self.quantity, number, Value::Text(text.as_ref().into()));
            }
            Form::Raw => out.put(self.quantity, number, Value::Text(hex_text(self.bytes).into())),
            Form::Unsigned(_) | Form::Signed(_) => {
                if let Some(value) = self.number() {
                    out.put(self.quantity, number, Value::Number(value));
                }
            }
        }
        Ok(())
    }

    fn number(&self) -> Option<f64> {
        let signed = matches!(self.form, Form::Signed(_));
        let raw = match self.stated {
            None => integer(self.bytes, signed)?,
            Some(0 | 5) => integer(self.bytes, false)?,
            Some(1) => integer(self.bytes, true)?,
            Some(2) => float(self.bytes)?,
            Some(_) => return None,
        };
        Some(match self.id {
            POUNDS => round(raw / self.parts * POUND, 5),
            STEPS_OF_035 => round(raw * 0.35, 2),
            _ => raw / self.parts,
        })
        .filter(|value| value.is_finite())
    }
}

fn integer(bytes: &[u8], signed: bool) -> Option<f64> {
    let unused = 8_usize.checked_sub(bytes.len()).filter(|unused| *unused < 8)?;
    let raw = bytes.iter().rev().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    let shift = u32::try_from(unused * 8).ok()?;
    Some(if signed {
        crate::device::number::from_i64((raw << shift).cast_signed() >> shift)
    } else {
        crate::device::number::from_u64(raw)
    })
}

/// IEEE 754 of two, four or eight bytes.
fn float(bytes: &[u8]) -> Option<f64> {
    match *bytes {
        [a, b] => Some(half(u16::from_le_bytes([a, b]))),
        [a, b, c, d] => Some(f64::from(f32::from_le_bytes([a, b, c, d]))),
        _ => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
    }
}

/// binary16.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from((bits >> 10) & 0x1F), f64::from(bits & 0x3FF));
    let magnitude = match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2_f64.powi(exponent - 15),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

fn button(event: u8) -> Option<&'static str> {
    Some(match event {
        0x01 => "press",
        0x02 => "double_press",
        0x03 => "triple_press",
        0x04 => "long_press",
        0x05 => "long_double_press",
        0x06 => "long_triple_press",
        0x80 => "hold_press",
        0x81 => "hold_release",
        _ => return None,
    })
}

fn command(event: u8) -> Option<&'static str> {
    Some(match event {
        0x00 => "off",
        0x01 => "on",
        0x02 => "toggle",
        0x03 => "step_up",
        0x04 => "step_down",
        _ => return None,
    })
}
