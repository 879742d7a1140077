//! Xiaomi's and Huami's devices that do not speak MiBeacon: body scales (services 0x181B and 0x181D), bands and the
//! Amazfit scale (0xFEE0), and HHCC's flower care under 0xFD50. Facts from captures.

use super::{Frame, Outcome, Quantity as Q, Readout, ensure, round};

const POUND: f64 = 0.453_592_37;
/// The jin of China.
const JIN: f64 = 0.5;

/// HHCCJCY10: moisture, temperature, lux, battery, conductivity; big end first.
pub(in crate::device::ble) fn flower_care(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(9)?;
    out.model("HHCCJCY10");
    out.scaled(Q::Temperature, data.be_i16(1)?, 10.0);
    out.number(Q::Moisture, data.u8(0)?);
    out.number(Q::Illuminance, data.be_u24(3)?);
    out.number(Q::Battery, data.u8(6)?);
    out.number(Q::Conductivity, data.be_u16(7)?);
    Ok(())
}

/// Mi Scale, version 1 (weight, date) and 2 (units, state, date, impedance, weight).
pub(in crate::device::ble) fn scale(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    let is_first = frame.id == 0x181D;
    data.exactly(if is_first { 10 } else { 13 })?;
    let (state, raw, kilograms, impedance) = if is_first {
        out.model("Mi Scale V1");
        let state = data.u8(0)?;
        let kilograms = match state {
            state if state & 1 != 0 => POUND / 100.0,
            state if state & (1 << 4) != 0 => JIN / 100.0,
            _ => 1.0 / 200.0,
        };
        (state, data.le_u16(1)?, kilograms, None)
    } else {
        out.model("Mi Scale V2");
        let (units, state) = (data.u8(0)?, data.u8(1)?);
        let kilograms = match units {
            _ if state & (1 << 6) != 0 => JIN / 100.0,
            3 => POUND / 100.0,
            _ => 1.0 / 200.0,
        };
        let impedance = (state & (1 << 1) != 0).then(|| data.le_u16(9)).transpose()?;
        (state, data.le_u16(11)?, kilograms, impedance)
    };
    let weight = round(f64::from(raw) * kilograms, 5);
    let (stabilized, removed) = (state & (1 << 5) != 0, state & (1 << 7) != 0);
    out.number(Q::WeightUnstable, weight);
    if stabilized && !removed {
        out.number(Q::Weight, weight);
        if let Some(ohms) = impedance {
            out.number(Q::Impedance, ohms);
        }
    }
    out.switch(Q::Stabilized, stabilized);
    out.switch(Q::WeightRemoved, removed);
    Ok(())
}

/// Mi Band: the heart rate under company 0x0157, the steps of the day under service 0xFEE0.
pub(in crate::device::ble) fn band(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let maker = frame.advertisement.manufacturer(0x0157).filter(|data| data.len() == 24);
    let steps = frame.advertisement.service(0xFEE0).filter(|data| data.len() == 4);
    ensure(maker.is_some() || steps.is_some())?;
    out.model("Mi Band");
    if let Some(heart) = maker.and_then(|data| data.get(3)).filter(|heart| **heart != 0xFF) {
        out.number(Q::HeartRate, *heart);
    }
    if let Some(steps) = steps {
        out.number(Q::Steps, super::Data(steps).le_u32(0)?);
    }
    ensure(!out.measurements.is_empty())
}

/// Amazfit Smart Scale.
pub(in crate::device::ble) fn amazfit_scale(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(20)?;
    out.model("Amazfit Smart Scale");
    let weight = f64::from(data.le_u16(7)?) / 200.0;
    let stabilized = data.u8(9)? != 0 || data.le_u16(10)? != 0;
    out.number(Q::WeightUnstable, weight);
    out.switch(Q::Stabilized, stabilized);
    if stabilized {
        out.number(Q::Weight, weight);
        out.scaled(Q::Impedance, data.le_u16(5)?, 10.0);
        out.number(Q::HeartRate, data.u8(12)?);
    }
    Ok(())
}
