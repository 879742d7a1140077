//! b-parasite by rbaron, the soil moisture sensor, under service 0x181A
//! (<https://github.com/rbaron/b-parasite>, protocol versions 1 and 2).

use super::{Frame, Outcome, Quantity as Q, Readout, crypt, ensure, round};

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(matches!(data.len(), 16 | 18))?;
    let version = data.u8(0)? >> 4;
    ensure(matches!(version, 1 | 2))?;
    crypt::plain(frame.key)?;
    out.model(if data.len() == 18 { "b-parasite with light" } else { "b-parasite" });
    out.packet = Some(u32::from(data.u8(1)?));
    let per_degree = if version == 2 { 100.0 } else { 1000.0 };
    let percent = |raw: u16| round(f64::from(raw) * 100.0 / 65536.0, 5);
    out.scaled(Q::Voltage, data.be_u16(2)?, 1000.0);
    out.scaled(Q::Temperature, data.be_i16(4)?, per_degree);
    out.number(Q::Humidity, percent(data.be_u16(6)?));
    out.number(Q::Moisture, percent(data.be_u16(8)?));
    if data.len() == 18 {
        out.number(Q::Illuminance, data.be_u16(16)?);
    }
    Ok(())
}
