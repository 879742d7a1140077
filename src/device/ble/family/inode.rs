//! iNode's energy meters and care sensors: the product is the high byte of the company identifier
//! (<https://support.inode.pl>, documentation of the advertised frames).

use super::{Data, Frame, Outcome, Quantity as Q, Readout, ensure, round};

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let product = frame.id >> 8;
    ensure(frame.id & 0xF0 == 0x90)?;
    match (product, frame.data.len()) {
        (0x82, 11) => energy_meter(frame.data, out),
        (0x91..=0x96 | 0x9A..=0x9D, 22) => care_sensor(frame.data, product, out),
        _ => ensure(false),
    }
}

/// A nibble: 1 is full, above it tenths from 10 %.
fn battery(nibble: u8, out: &mut Readout) {
    let percent = if nibble == 1 { 100.0 } else { 10.0 * (f64::from(nibble.min(11)) - 1.0).max(0.0) };
    out.number(Q::Battery, percent);
    out.number(Q::Voltage, round((percent - 10.0) * 1.2 / 100.0 + 1.8, 3));
}

/// Pulses of the last minute and in all; how many make a unit, and which.
fn energy_meter(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.model("iNode Energy Meter");
    let (minute, total, options) = (f64::from(data.le_u16(0)?), f64::from(data.le_u32(2)?), data.le_u16(6)?);
    let state = data.u8(8)?;
    let constant = |usual: f64| match options & 0x3FFF {
        0 => usual,
        set => f64::from(set),
    };
    match options >> 14 {
        0 => {
            out.number(Q::Energy, round(total / constant(100.0), 5));
            out.number(Q::Power, round(minute * 60_000.0 / constant(100.0), 3));
        }
        1 => {
            out.number(Q::Volume, round(total * 1000.0 / constant(1000.0), 3));
            out.number(Q::VolumeFlowRate, round(minute * 60.0 / constant(1000.0), 5));
        }
        _ => out.number(Q::Count, round(total / constant(1.0), 3)),
    }
    battery(state >> 4, out);
    out.number(Q::LightLevel, round(f64::from(state & 0x0F) * 100.0 / 15.0, 5));
    Ok(())
}

fn care_sensor(data: Data<'_>, product: u16, out: &mut Readout) -> Outcome {
    out.model(match product {
        0x9A => "iNode Care Sensor T".to_owned(),
        0x9B => "iNode Care Sensor HT".to_owned(),
        0x9C => "iNode Care Sensor PT".to_owned(),
        0x9D => "iNode Care Sensor PHT".to_owned(),
        other => format!("iNode Care Sensor {}", other & 0x0F),
    });
    let (position, raw, humidity) = (data.le_u16(4)?, data.le_u16(6)?, data.le_u16(8)?);
    let temperature = match product {
        0x92 | 0x9A => {
            let whole = f64::from(raw & 0xFF) / 16.0 + 16.0 * f64::from((raw >> 8) & 0x0F);
            if raw & 0x1000 != 0 { whole - 256.0 } else { whole }
        }
        0x93 | 0x9B | 0x9D => f64::from(raw) * 4.0 * 175.72 / 65536.0 - 46.85,
        0x9C => 42.5 + f64::from(raw.cast_signed()) / 480.0,
        _ if raw > 127 => f64::from(raw) - 8192.0,
        _ => f64::from(raw),
    };
    let temperature = if product == 0x9C { temperature } else { temperature.clamp(-30.0, 70.0) };
    out.number(Q::Temperature, round(temperature, 5));
    if matches!(product, 0x93 | 0x9B | 0x9D) {
        let percent = f64::from(humidity) * 4.0 * 125.0 / 65536.0 - 6.0;
        out.number(Q::Humidity, round(percent.clamp(1.0, 100.0), 5));
    }
    if matches!(product, 0x9C | 0x9D) {
        out.scaled(Q::Pressure, position, 16.0);
    } else if product <= 0x96 {
        out.switch(Q::Motion, position & 0x8000 != 0);
        for (shift, quantity) in [(10, Q::AccelerationX), (5, Q::AccelerationY), (0, Q::AccelerationZ)] {
            let five_bits = f64::from((position >> shift) & 0x1F);
            out.number(quantity, if five_bits >= 16.0 { five_bits - 32.0 } else { five_bits });
        }
    }
    battery(u8::try_from(data.le_u16(0)? >> 12).unwrap_or_default(), out);
    Ok(())
}
