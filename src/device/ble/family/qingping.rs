//! Qingping (ClearGrass) under service 0xFDCD: flags, a product number, the address reversed, then objects of an
//! identifier, a length and a value. Facts from captures.

use super::{Data, Frame, Outcome, ProblemKind, Quantity as Q, Readout, bad};

/// In the flags: this is something that happened.
const EVENT: u8 = 0x40;

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.at_least(10)?;
    let flags = data.u8(0)?;
    out.model(model(data.u8(1)?));
    let mut at = 8;
    while at < data.len() {
        let (id, length) = (data.u8(at)?, usize::from(data.u8(at + 1)?));
        let value = Data(data.slice(at + 2, length)?);
        at += 2 + length;
        object(id, value, flags & EVENT != 0, out)?;
    }
    if out.measurements.is_empty() {
        return Err(bad(ProblemKind::Nothing, "the frame says nothing that is known"));
    }
    Ok(())
}

fn object(id: u8, value: Data<'_>, is_event: bool, out: &mut Readout) -> Outcome {
    match id {
        0x01 => {
            out.scaled(Q::Temperature, value.le_i16(0)?, 10.0);
            out.scaled(Q::Humidity, value.le_u16(2)?, 10.0);
        }
        0x02 => match value.u8(0)? {
            // On the mains.
            0xFF => out.number(Q::Battery, 100),
            percent @ 0..=100 => out.number(Q::Battery, percent),
            _ => {}
        },
        0x04 => {
            let state = value.u8(0)?;
            out.switch(Q::Opening, matches!(state, 0 | 2));
            out.switch(Q::DoorLeftOpen, state == 2);
        }
        0x07 => out.scaled(Q::Pressure, value.le_u16(0)?, 10.0),
        0x08 => {
            out.switch(Q::Motion, value.u8(0)? != 0);
            if !is_event {
                out.number(Q::Illuminance, value.le_u24(1)?);
            }
        }
        0x09 => out.number(Q::Illuminance, value.le_u32(0)?),
        0x0F => out.packet = Some(u32::from(value.u8(0)?)),
        0x11 => out.switch(Q::Light, value.u8(0)? != 0),
        0x12 => {
            out.number(Q::Pm25, value.le_u16(0)?);
            out.number(Q::Pm10, value.le_u16(2)?);
        }
        0x13 => out.number(Q::Co2, value.le_u16(0)?),
        0x15 => out.number(Q::VocIndex, value.le_u16(0)?),
        0x19 => out.number(Q::Noise, value.u8(0)?),
        _ => {}
    }
    Ok(())
}

const fn model(product: u8) -> &'static str {
    match product {
        0x01 | 0x07 | 0x16 => "CGG1",
        0x04 => "CGH1",
        0x09 => "CGP1W",
        0x0C => "CGD1",
        0x0E | 0x24 => "CGDN1",
        0x0F => "CGM1",
        0x10 => "CGDK2",
        0x12 => "CGPR1",
        0x15 => "CGF1W",
        0x18 | 0x26 => "CGP23W",
        0x1E => "CGC1",
        0x33 | 0x5D => "CGP22C",
        0x4F => "CGG3",
        0x52 | 0x62 => "CGR1PC",
        _ => "Qingping",
    }
}
