//! The objects of MiBeacon: an identifier of two bytes, a length, and a value.
//!
//! Those below 0x4800 mean the same on every device; the others belong to specifications of single products
//! (miot-spec), and mean what their product says. An object that is not known is passed over: its length is.

use super::mi_models::Kind;
use super::{Data, Outcome, ProblemKind, Quantity as Q, Readout, bad, mi_events, round};

/// Whether objects fill `data` to its last byte.
pub(super) fn fill_exactly(data: Data<'_>) -> bool {
    let mut at = 0;
    while at < data.len() {
        let Ok(length) = data.u8(at + 2) else { return false };
        at += 3 + usize::from(length);
    }
    at == data.len() && at > 3
}

/// Reads every object. One that is longer than what is left makes the whole frame untrue.
pub(super) fn read(data: Data<'_>, product: u16, kind: Kind, out: &mut Readout) -> Outcome {
    let mut at = 0;
    data.at_least(3)?;
    // Some devices put a byte or two behind the last object.
    while at + 3 <= data.len() {
        let id = data.le_u16(at)?;
        let length = usize::from(data.u8(at + 2)?);
        let value = Data(data.slice(at + 3, length)?);
        if length_of(id).is_some_and(|own| own != length) {
            return Err(bad(ProblemKind::Length, "an object of MiBeacon has not the length of its kind"));
        }
        at += 3 + length;
        let known = common(id, value, kind, out)?
            || mi_events::read(id, value, kind, out)?
            || of_products(id, value, product, kind, out)?
            || scales(id, value, out)?;
        if !known {
            let detail = format!("unknown MiBeacon object 0x{id:04X}");
            out.problems.push(crate::device::problem::Problem::new(ProblemKind::Nothing, detail));
        }
    }
    if out.measurements.is_empty() && out.problems.is_empty() {
        return Err(bad(ProblemKind::Nothing, "the MiBeacon objects say nothing that is known"));
    }
    Ok(())
}

/// How long the values of the protocol's own objects are.
fn length_of(id: u16) -> Option<usize> {
    Some(match id {
        0x1008 | 0x100A | 0x1012 | 0x1013 | 0x1014 | 0x1015 | 0x1018 | 0x1019 => 1,
        0x1004 | 0x1005 | 0x1006 | 0x1009 | 0x1010 => 2,
        0x1001 | 0x1007 => 3,
        0x100D | 0x1017 => 4,
        _ => return None,
    })
}

/// The objects of the protocol itself; `false` when it is none of them.
fn common(id: u16, value: Data<'_>, kind: Kind, out: &mut Readout) -> Outcome<bool> {
    match id {
        0x0003 => out.switch(Q::Motion, value.u8(0)? != 0),
        0x000A => {
            let raw = value.le_i16(0)?;
            if raw != 0 {
                out.scaled(Q::Temperature, raw, 100.0);
            }
        }
        0x000F => moving_with_light(value.le_u24(0)?, kind, out),
        0x1004 => out.scaled(Q::Temperature, value.le_i16(0)?, 10.0),
        0x1005 => {
            out.switch(Q::PowerOn, value.u8(0)? != 0);
            out.number(Q::Temperature, value.u8(1)?);
        }
        0x1006 => out.scaled(Q::Humidity, value.le_u16(0)?, 10.0),
        0x1007 => {
            let lux = value.le_u24(0)?;
            match kind {
                Kind::LightSwitch | Kind::MotionLight => out.switch(Q::Light, lux == 100),
                _ => out.number(Q::Illuminance, lux),
            }
        }
        0x1008 => out.number(Q::Moisture, value.u8(0)?),
        0x1009 => out.number(Q::Conductivity, value.le_u16(0)?),
        0x100A => {
            let percent = value.u8(0)?;
            let (empty, full) = if kind == Kind::SingleCell { (0.8, 1.6) } else { (2.2, 3.1) };
            out.number(Q::Battery, percent);
            out.number(Q::Voltage, round(empty + (full - empty) * f64::from(percent) / 100.0, 3));
        }
        0x100D => {
            out.scaled(Q::Temperature, value.le_i16(0)?, 10.0);
            out.scaled(Q::Humidity, value.le_u16(2)?, 10.0);
        }
        0x1010 => out.scaled(Q::Formaldehyde, value.le_u16(0)?, 100.0),
        0x1012 => out.switch(Q::PowerOn, value.u8(0)? != 0),
        0x1013 => out.number(Q::Consumable, value.u8(0)?),
        0x1014 => out.switch(Q::MoistureWet, value.u8(0)? != 0),
        0x1015 => out.switch(Q::Smoke, value.u8(0)? == 1),
        0x1017 => idle(value.le_u32(0)?, out),
        0x1018 => out.switch(Q::Light, value.u8(0)? != 0),
        0x1019 => opening(value.u8(0)?, out),
        0x101B => idle(value.le_u32(0)?, out),
        0x2000 => body_temperature(value, out)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Seconds since the last motion; 0 is motion.
fn idle(seconds: u32, out: &mut Readout) {
    out.switch(Q::Motion, seconds == 0);
    out.number(Q::IdleTime, seconds);
}

fn moving_with_light(lux: u32, kind: Kind, out: &mut Readout) {
    out.switch(Q::Motion, true);
    match kind {
        Kind::MotionLight => out.switch(Q::Light, lux >= 100),
        _ => out.number(Q::Illuminance, lux),
    }
}

fn opening(state: u8, out: &mut Readout) {
    match state {
        0 => out.switch(Q::Opening, true),
        1 => {
            out.switch(Q::Opening, false);
            out.switch(Q::DoorLeftOpen, false);
        }
        2 => {
            out.switch(Q::Opening, true);
            out.switch(Q::DoorLeftOpen, true);
        }
        3 => out.text(Q::Status, "device reset"),
        _ => {}
    }
}

/// A fever thermometer: two sensors in 0.01 °C, from which the maker's curve makes one temperature.
fn body_temperature(value: Data<'_>, out: &mut Readout) -> Outcome {
    let (skin, air) = (f64::from(value.le_i16(0)?) / 100.0, f64::from(value.le_i16(2)?) / 100.0);
    #[expect(
        clippy::approx_constant,
        reason = "a coefficient of the curve, not the logarithm that it is near to"
    )]
    let body = 3.719_34e-11 * (0.693_14 * skin).exp() - 1.028_01e-8 * (0.538_71 * air).exp() + 36.413;
    out.number(Q::Temperature, round(body, 3));
    out.number(Q::Battery, value.u8(4)?);
    Ok(())
}

fn float(value: Data<'_>, decimals: u8) -> Outcome<f64> {
    Ok(round(f64::from(value.le_f32(0)?), decimals))
}

/// The objects of single products.
fn of_products(id: u16, value: Data<'_>, product: u16, kind: Kind, out: &mut Readout) -> Outcome<bool> {
    match id {
        0x4801 | 0x4C01 => out.number(Q::Temperature, float(value, 2)?),
        0x4802 | 0x4C02 | 0x6012 => out.number(Q::Humidity, value.u8(0)?),
        0x4803 | 0x4C03 | 0x5003 | 0x5403 => out.number(Q::Battery, value.u8(0)?),
        0x4804 | 0x4A12 => door_state(value.u8(0)?, out),
        0x480C => out.switch(Q::Opening, value.u8(0)? == 0),
        0x4805 => out.number(Q::Illuminance, float(value, 2)?),
        0x4806 => out.switch(Q::MoistureWet, value.u8(0)? != 0),
        0x487B => out.switch(Q::WaterLeak, value.u8(0)? != 0),
        0x4808 | 0x4C08 => out.number(Q::Humidity, float(value, 2)?),
        0x4810 | 0x5010 | 0x5810 => match value.u8(0)? {
            state @ (0 | 1) => out.switch(Q::Sleeping, (state == 1) != (id == 0x5810)),
            _ => out.event(Q::Button, "double_press"),
        },
        0x4811 | 0x5011 => out.switch(Q::Snoring, value.u8(0)? != 0),
        0x4818 => idle(u32::from(value.le_u16(0)?), out),
        0x483C => out.switch(Q::Occupancy, value.u8(0)? != 0),
        0x484E => {
            let state = value.u8(0)?;
            // What says occupancy by time elsewhere is a motion sensor.
            let occupied = if kind == Kind::Presence3 { state == 1 } else { state != 0 };
            let is_presence = matches!(product, 0x50FB | 0x4683 | 0x6A0F);
            out.switch(if is_presence { Q::Occupancy } else { Q::Motion }, occupied);
        }
        0x4A01 | 0x4E01 | 0x5601 => out.switch(Q::BatteryLow, value.u8(0)? != 0),
        0x4A08 => {
            out.switch(Q::Motion, true);
            out.number(Q::Illuminance, float(value, 2)?);
        }
        0x4A0F if value.u8(0)? == 1 => {
            out.switch(Q::Opening, true);
            out.switch(Q::ForciblyRemoved, true);
        }
        0x4A1A if value.u8(0)? == 1 => {
            out.switch(Q::Opening, true);
            out.switch(Q::DoorLeftOpen, true);
        }
        0x4A68 => match value.u8(0)? {
            state @ (0 | 1) => out.switch(Q::MoistureWet, state == 0),
            state @ (2 | 3) => out.switch(Q::WaterLeak, state == 2),
            _ => {}
        },
        0x4E17 if value.u8(0)? == 1 => out.switch(Q::BedOccupancy, false),
        0x5A16 => match value.u8(0)? {
            state @ (1 | 2) => out.switch(Q::BedOccupancy, state == 1),
            3 => out.event(Q::Button, "double_press"),
            _ => {}
        },
        0x5422 => out.switch(Q::BatteryCharging, value.u8(0)? == 0),
        0x605D => out.number(Q::Temperature, value.i8(0)?),
        // Durations, times and modes that only repeat what others say.
        0x483D..=0x4840
        | 0x484F..=0x4852
        | 0x4C14
        | 0x5413
        | 0x5414
        | 0x4A0F
        | 0x4A1A
        | 0x4A1C
        | 0x4E1C
        | 0x4E17 => {}
        _ => return Ok(false),
    }
    Ok(true)
}

fn door_state(state: u8, out: &mut Readout) {
    match state {
        1 => out.switch(Q::Opening, true),
        2 => {
            out.switch(Q::Opening, false);
            out.switch(Q::DoorLeftOpen, false);
            out.switch(Q::ForciblyRemoved, false);
        }
        _ => {}
    }
}

/// Body scales: S400 (0x6E16) and S200 (0x4E16 of nine bytes; of one byte it is a bed's).
fn scales(id: u16, value: Data<'_>, out: &mut Readout) -> Outcome<bool> {
    match (id, value.len()) {
        (0x6E16, _) => body_scale(value, out)?,
        (0x4E16, 9) => {
            let raw = value.le_u32(1)?;
            if raw != 0 {
                out.number(Q::ProfileId, value.u8(0)?);
                out.scaled(Q::Weight, raw, 100.0);
                out.switch(Q::Stabilized, true);
            }
        }
        (0x4E16, _) => {
            if value.u8(0)? == 1 {
                out.switch(Q::BedOccupancy, true);
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// A profile, then in 32 bits: weight (11 bits, 0.1 kg), heart rate above 50 (7 bits), impedance (0.1 Ω).
fn body_scale(value: Data<'_>, out: &mut Readout) -> Outcome {
    out.number(Q::ProfileId, value.u8(0)?);
    let packed = value.le_u32(1)?;
    let (mut weight, heart, impedance) = (packed & 0x7FF, (packed >> 11) & 0x7F, packed >> 18);
    if weight == 0x7FF {
        weight = 0;
    }
    if weight == 0 && heart == 0 && impedance == 0 {
        out.switch(Q::Stabilized, false);
        return Ok(());
    }
    if weight != 0 {
        out.scaled(Q::Weight, weight, 10.0);
    }
    if (1..127).contains(&heart) {
        out.number(Q::HeartRate, heart + 50);
    }
    if weight == 0 && heart == 0 {
        out.scaled(Q::Impedance, impedance, 10.0);
        out.switch(Q::Stabilized, true);
    } else if impedance != 0 {
        out.scaled(Q::ImpedanceLow, impedance, 10.0);
        out.switch(Q::Stabilized, false);
    } else {
        out.switch(Q::Stabilized, true);
    }
    Ok(())
}
