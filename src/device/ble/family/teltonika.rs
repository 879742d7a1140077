//! Teltonika's EYE sensor (company 0x089A, <https://wiki.teltonika-gps.com/view/EYE_SENSOR>), and ELA's Blue Puck and
//! Coin, which Teltonika and Sensor Easy sell too: the SIG's own values as service data, or under company 0x0757.

use super::{Data, Frame, Outcome, Quantity as Q, Readout, ensure, round};

/// Temperature, humidity, and a magnet (as an alert level) under the SIG's characteristic numbers.
pub(in crate::device::ble) fn standard(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let advertisement = frame.advertisement;
    let name = advertisement.name();
    let is_magnet = name.contains(" MAG");
    ensure(frame.id != 0x2A06 || is_magnet)?;
    out.model(model(name));
    if let Some(temperature) = advertisement.service(0x2A6E) {
        let raw = Data(temperature).le_i16(0)?;
        // The SIG's way to say that it is not known.
        if raw != i16::MIN {
            out.scaled(Q::Temperature, raw, 100.0);
        }
    }
    if let Some(humidity) = advertisement.service(0x2A6F) {
        out.number(Q::Humidity, Data(humidity).u8(0)?);
    }
    if let Some(alert) = advertisement.service(0x2A06).filter(|_| is_magnet) {
        out.switch(Q::Opening, !Data(alert).bit(0, 0)?);
    }
    if let Some(ela) = advertisement.manufacturer(0x0757) {
        puck(Data(ela), out)?;
    }
    ensure(!out.measurements.is_empty())
}

pub(in crate::device::ble) fn manufacturer(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    if frame.id == 0x089A {
        return eye(frame.data, out);
    }
    out.model(model(frame.advertisement.name()));
    puck(frame.data, out)?;
    ensure(!out.measurements.is_empty())
}

fn puck(data: Data<'_>, out: &mut Readout) -> Outcome {
    match data.u8(0)? {
        0x12 => out.scaled(Q::Temperature, data.le_i16(1)?, 100.0),
        0x21 => {
            out.scaled(Q::Temperature, data.le_i16(3)?, 100.0);
            out.number(Q::Humidity, data.u8(1)?);
        }
        0xF1 => out.number(Q::Battery, data.u8(1)?),
        0xF2 => out.scaled(Q::Voltage, data.le_u16(1)?, 1000.0),
        _ => {}
    }
    Ok(())
}

/// A version, flags of what follows, and that.
fn eye(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.model("EYE sensor");
    ensure(data.u8(0)? == 1)?;
    let flags = data.u8(1)?;
    let has = |bit: u8| flags & (1 << bit) != 0;
    let mut at = 2;
    if has(0) {
        out.scaled(Q::Temperature, data.be_i16(at)?, 100.0);
        at += 2;
    }
    if has(1) {
        out.number(Q::Humidity, data.u8(at)?);
        at += 1;
    }
    if has(2) {
        out.switch(Q::MagneticField, has(3));
    }
    if has(4) {
        let counted = data.be_u16(at)?;
        out.switch(Q::Moving, counted & 0x8000 != 0);
        out.number(Q::MovementCounter, counted & 0x7FFF);
        at += 2;
    }
    if has(5) {
        out.number(Q::Pitch, data.i8(at)?);
        out.number(Q::Roll, data.be_i16(at + 1)?);
        at += 3;
    }
    if has(6) {
        out.switch(Q::BatteryLow, true);
    }
    if has(7) {
        out.number(Q::Voltage, round(2.0 + f64::from(data.u8(at)?) / 100.0, 2));
    }
    Ok(())
}

fn model(name: &str) -> &'static str {
    match name {
        name if name.contains(" MAG") => "Blue Puck MAG",
        name if name.contains("RHT") || name == "PUCK_TH" => "Blue Puck RHT",
        name if name.starts_with("C T") => "Blue Coin T",
        name if name.contains(" TPROBE") => "Blue Puck T PROBE",
        _ => "Blue Puck T",
    }
}
