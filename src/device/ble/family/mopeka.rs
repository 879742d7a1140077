//! Mopeka's tank sensors under Nordic's company 0x0059 with service 0xFEE5
//! (<https://github.com/spbrogan/mopeka_pro_check>). The level is that of propane: sound is slower and faster in
//! other liquids.

use super::{Frame, Outcome, Quantity as Q, Readout, ensure, round};

/// Millimetres per unit of time in propane, by the raw temperature.
const PROPANE: [f64; 3] = [0.573_045, -0.002_822, -0.000_005_35];

fn is_own(frame: &Frame<'_>) -> bool {
    let [_, _, _, end @ ..] = frame.advertisement.address.0;
    frame.advertisement.address.0 == [0; 6] || frame.data.slice(5, 3).is_ok_and(|bytes| bytes == end)
}

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    let has_service = frame.advertisement.has_service(0xFEE5);
    // Without its service only the whole frame tells, and where the address is known, its end.
    ensure(has_service || (data.len() == 10 && is_own(frame)))?;
    out.model(match data.u8(0)? {
        0x03 | 0x06 | 0x0C => "M1017",
        0x04 | 0x12 => "Pro-200",
        0x05 => "Pro H2O",
        0x08 | 0x09 => "M1015",
        0x0A | 0x0B => "TD40/TD200",
        _ => return ensure(false),
    });
    data.at_least(10)?;
    let volts = f64::from(data.u8(1)?) / 32.0;
    let (state, level) = (data.u8(2)?, data.le_u16(3)?);
    let raw = f64::from(state & 0x7F);
    out.number(Q::Temperature, raw - 40.0);
    out.number(Q::Voltage, volts);
    out.number(Q::Battery, round(((volts - 2.2) / 0.65 * 100.0).clamp(0.0, 100.0), 1));
    // Two bits of how good the echo was; none at all is no level.
    if level >> 14 != 0 {
        let [constant, linear, square] = PROPANE;
        let millimetres = f64::from(level & 0x3FFF) * (constant + linear * raw + square * raw * raw);
        // The maker's app cuts; what comes without the service is read as it is.
        out.number(Q::TankLevel, if has_service { millimetres.trunc() } else { round(millimetres, 2) });
    }
    if state & 0x80 != 0 {
        out.event(Q::Button, "press");
    }
    Ok(())
}
