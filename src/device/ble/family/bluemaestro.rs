//! BlueMaestro's Tempo Discs and Pebble under company 0x0133 (the maker's "Bluetooth API" documents).

use super::{Data, Frame, Outcome, Quantity as Q, Readout, ensure, round};

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    match data.u8(0)? {
        0x01 => {
            data.exactly(18)?;
            return pebble(data, out);
        }
        0x08 | 0x0D => out.model("Tempo Disc T"),
        0x16 | 0x17 => {
            out.model("Tempo Disc THD");
            out.scaled(Q::DewPoint, data.be_i16(10)?, 10.0);
            out.scaled(Q::Humidity, data.be_u16(8)?, 10.0);
        }
        0x1B => {
            out.model("Tempo Disc THPD");
            out.scaled(Q::Pressure, data.be_u16(10)?, 10.0);
            out.scaled(Q::Humidity, data.be_u16(8)?, 10.0);
        }
        kind @ 0x29..=0x2B => return maxi(data, kind, out),
        _ => return ensure(false),
    }
    out.scaled(Q::Temperature, data.be_i16(6)?, 10.0);
    out.number(Q::Battery, data.u8(1)?);
    Ok(())
}

fn pebble(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.model("Pebble");
    out.scaled(Q::Temperature, data.le_i16(3)?, 10.0);
    out.number(Q::Humidity, data.u8(7)?);
    out.number(Q::Pressure, data.le_u16(8)?);
    Ok(())
}

/// Tempo Disc Maxi: hundredths, little end first, and the dew point left to the reader.
fn maxi(data: Data<'_>, kind: u8, out: &mut Readout) -> Outcome {
    out.model("Tempo Disc Maxi");
    let temperature = f64::from(data.le_i16(15)?) / 100.0;
    out.number(Q::Battery, data.u8(1)?);
    out.number(Q::Temperature, temperature);
    if kind >= 0x2A {
        let humidity = f64::from(data.le_i16(17)?) / 100.0;
        out.number(Q::Humidity, humidity);
        if humidity > 0.0 && humidity <= 100.0 {
            out.number(Q::DewPoint, dew_point(temperature, humidity));
        }
    }
    if kind == 0x2B {
        out.scaled(Q::Pressure, data.le_u32(19)?.cast_signed(), 100.0);
    }
    Ok(())
}

/// Magnus' formula.
fn dew_point(temperature: f64, humidity: f64) -> f64 {
    let alpha = (humidity / 100.0).ln() + 17.67 * temperature / (temperature + 243.5);
    round(243.5 * alpha / (17.67 - alpha), 2)
}
