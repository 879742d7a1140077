//! ThermoBeacon (SensorBlue, ORIA, Brifit): the product is the company identifier. And T201, T301 under 0xAA55.
//! Facts from captures.

use super::{Frame, Outcome, ProblemKind, Quantity as Q, Readout, bad, coin_cell, ensure, round};

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(matches!(frame.id, 0x10 | 0x11 | 0x14 | 0x15 | 0x18 | 0x1B | 0x30))?;
    // Frames of 20 bytes tell the highest and lowest of the past.
    data.exactly(18)?;
    let address: [u8; 6] = data.array(2)?;
    let is_own = address == frame.advertisement.address.reversed();
    ensure(is_own || frame.advertisement.has_service(0xFFF0))?;
    out.model(if frame.id == 0x10 { "ThermoBeacon, round" } else { "ThermoBeacon" });
    let (temperature, humidity) = (data.le_i16(10)?, data.le_u16(12)?);
    if temperature > 100 * 16 || humidity > 100 * 16 {
        return Err(bad(ProblemKind::OutOfRange, "more than the device can measure: the frame is damaged"));
    }
    let volts = f64::from(data.le_u16(8)?) / 1000.0;
    out.scaled(Q::Temperature, temperature, 16.0);
    out.scaled(Q::Humidity, humidity, 16.0);
    out.number(Q::Voltage, volts);
    out.number(Q::Battery, round(coin_cell(volts), 0));
    out.switch(Q::Button, data.u8(1)? & 0x80 != 0);
    Ok(())
}

pub(in crate::device::ble) fn t201(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(data.u8(0)? == 1)?;
    let name = frame.advertisement.name();
    out.model(match data.u8(1)? {
        1 => "T201",
        5 => "T301",
        _ if name.starts_with("T201") => "T201",
        _ if name.starts_with("T301") => "T301",
        _ => return ensure(false),
    });
    out.scaled(Q::Voltage, data.be_u16(8)?, 100.0);
    out.scaled(Q::Temperature, data.be_i16(10)?, 100.0);
    out.scaled(Q::Humidity, data.be_u16(12)?, 100.0);
    out.number(Q::Battery, data.u8(14)?);
    Ok(())
}
