//! RuuviTag and Ruuvi Air under company 0x0499: data formats 3, 5, 6 and E1
//! (<https://docs.ruuvi.com/communication/bluetooth-advertisements>). What the device calls invalid is left out.

use super::{Data, Frame, Outcome, ProblemKind, Quantity as Q, Readout, bad, ensure, round};

const STANDARD_GRAVITY: f64 = 9.806_65;

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    match data.u8(0)? {
        3 => format_3(data, out),
        5 => format_5(data, out),
        6 => format_6(data, out),
        0xE1 => format_e1(data, out),
        _ => ensure(false),
    }?;
    if out.measurements.is_empty() {
        return Err(bad(ProblemKind::Nothing, "every value is marked as invalid"));
    }
    Ok(())
}

/// RAWv1.
fn format_3(data: Data<'_>, out: &mut Readout) -> Outcome {
    data.at_least(14)?;
    out.model("RuuviTag, format 3");
    let humidity = data.u8(1)?;
    if humidity <= 200 {
        out.scaled(Q::Humidity, humidity, 2.0);
    }
    // Sign and magnitude, then hundredths.
    let (whole, hundredths) = (data.u8(2)?, data.u8(3)?);
    let hundredths = i32::from(whole & 0x7F) * 100 + i32::from(hundredths);
    out.scaled(Q::Temperature, if whole & 0x80 == 0 { hundredths } else { -hundredths }, 100.0);
    out.scaled(Q::Pressure, 50_000 + u32::from(data.be_u16(4)?), 100.0);
    acceleration(data, 6, out)?;
    out.scaled(Q::Voltage, data.be_u16(12)?, 1000.0);
    Ok(())
}

/// RAWv2.
fn format_5(data: Data<'_>, out: &mut Readout) -> Outcome {
    data.at_least(24)?;
    out.model("RuuviTag, format 5");
    environment(data, out)?;
    acceleration(data, 7, out)?;
    let power = data.be_u16(13)?;
    if power >> 5 != 0x7FF {
        out.scaled(Q::Voltage, 1600 + (power >> 5), 1000.0);
    }
    if power & 0x1F != 0x1F {
        out.number(Q::TxPower, f64::from(power & 0x1F) * 2.0 - 40.0);
    }
    let (movement, sequence) = (data.u8(15)?, data.be_u16(16)?);
    if movement != 0xFF {
        out.number(Q::MovementCounter, movement);
    }
    if sequence != 0xFFFF {
        out.number(Q::Sequence, sequence);
        out.packet = Some(u32::from(sequence));
    }
    Ok(())
}

/// Ruuvi Air where only old radios hear it.
fn format_6(data: Data<'_>, out: &mut Readout) -> Outcome {
    data.at_least(20)?;
    out.model("Ruuvi Air, format 6");
    environment(data, out)?;
    known(data.be_u16(7)?, |raw| out.scaled(Q::Pm25, raw, 10.0));
    known(data.be_u16(9)?, |raw| out.number(Q::Co2, raw));
    gas_indices(data, 11, 16, out)?;
    let luminosity = data.u8(13)?;
    if luminosity != 0xFF {
        // 254 steps on a logarithmic scale to 65535 lx.
        let step = f64::from(65_536_u32).ln() / 254.0;
        out.number(Q::Illuminance, round((f64::from(luminosity) * step).exp() - 1.0, 2));
    }
    let sequence = data.u8(15)?;
    out.number(Q::Sequence, sequence);
    out.packet = Some(u32::from(sequence));
    Ok(())
}

/// Ruuvi Air in extended advertising.
fn format_e1(data: Data<'_>, out: &mut Readout) -> Outcome {
    data.at_least(40)?;
    out.model("Ruuvi Air, format E1");
    environment(data, out)?;
    for (at, quantity) in [(7, Q::Pm1), (9, Q::Pm25), (11, Q::Pm4), (13, Q::Pm10)] {
        known(data.be_u16(at)?, |raw| out.scaled(quantity, raw, 10.0));
    }
    known(data.be_u16(15)?, |raw| out.number(Q::Co2, raw));
    gas_indices(data, 17, 28, out)?;
    let luminosity = data.be_u24(19)?;
    if luminosity != 0xFF_FFFF {
        out.scaled(Q::Illuminance, luminosity, 100.0);
    }
    let sequence = data.be_u24(25)?;
    if sequence != 0xFF_FFFF {
        out.number(Q::Sequence, sequence);
        out.packet = Some(sequence);
    }
    Ok(())
}

fn known(raw: u16, say: impl FnOnce(u16)) {
    if raw != 0xFFFF {
        say(raw);
    }
}

fn environment(data: Data<'_>, out: &mut Readout) -> Outcome {
    let temperature = data.be_i16(1)?;
    if temperature != i16::MIN {
        out.scaled(Q::Temperature, temperature, 200.0);
    }
    known(data.be_u16(3)?, |raw| out.scaled(Q::Humidity, raw, 400.0));
    known(data.be_u16(5)?, |raw| out.scaled(Q::Pressure, 50_000 + u32::from(raw), 100.0));
    Ok(())
}

fn acceleration(data: Data<'_>, at: usize, out: &mut Readout) -> Outcome {
    for (at, quantity) in [(at, Q::AccelerationX), (at + 2, Q::AccelerationY), (at + 4, Q::AccelerationZ)] {
        let thousandths = data.be_i16(at)?;
        if thousandths != i16::MIN {
            out.number(quantity, round(f64::from(thousandths) * STANDARD_GRAVITY / 1000.0, 5));
        }
    }
    Ok(())
}

/// VOC and NOx indices of nine bits each; their lowest bits stand in the flags.
fn gas_indices(data: Data<'_>, at: usize, flags: usize, out: &mut Readout) -> Outcome {
    let flags = data.u8(flags)?;
    for (at, bit, quantity) in [(at, 6, Q::VocIndex), (at + 1, 7, Q::NoxIndex)] {
        let index = (u16::from(data.u8(at)?) << 1) | u16::from((flags >> bit) & 1);
        if index != 0x1FF {
            out.number(quantity, index);
        }
    }
    Ok(())
}
