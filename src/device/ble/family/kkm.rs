//! KKM's sensor frame in the service of Eddystone (0xFEAA), frame type 0x21: K6, K6P, K9, and BlueCharm's beacons of
//! the same maker. A mask says which values follow. Facts from the maker's SDK and captures.

use super::{Frame, Outcome, Quantity as Q, Readout, coin_cell, ensure, round};

const VOLTAGE: u8 = 1;
const TEMPERATURE: u8 = 1 << 1;
const HUMIDITY: u8 = 1 << 2;
const ACCELERATION: u8 = 1 << 3;

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(data.u8(0)? == 0x21 && data.u8(1)? == 1)?;
    let mask = data.u8(2)?;
    out.model("KKM sensor beacon");
    let mut at = 3;
    let mut volts = None;
    if mask & VOLTAGE != 0 {
        volts = Some(f64::from(data.be_u16(at)?) / 1000.0);
        at += 2;
    }
    if mask & TEMPERATURE != 0 {
        out.number(Q::Temperature, round(f64::from(data.be_i16(at)?) / 256.0, 5));
        at += 2;
    }
    if mask & HUMIDITY != 0 {
        out.number(Q::Humidity, round(f64::from(data.be_u16(at)?) / 256.0, 5));
        at += 2;
    }
    // K6 sends its acceleration without saying so.
    if mask & ACCELERATION != 0 || data.len() >= at + 6 {
        for quantity in [Q::AccelerationX, Q::AccelerationY, Q::AccelerationZ] {
            out.number(quantity, data.be_i16(at)?);
            at += 2;
        }
    }
    if let Some(volts) = volts {
        out.number(Q::Voltage, volts);
        out.number(Q::Battery, coin_cell(volts));
    }
    Ok(())
}
