//! Aranet4, Aranet2, Aranet Radiation and Aranet Radon+ under company 0x0702, when Smart Home integration is on
//! (<https://github.com/Anrijs/Aranet4-Python>). A value whose highest bit is set is none.

use super::{Data, Frame, Outcome, ProblemKind, Quantity as Q, Readout, bad, ensure};

/// In the flags: Smart Home integration is on.
const INTEGRATION: u8 = 1 << 5;

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    let is_first = frame.advertisement.name().starts_with("Aranet4") || matches!(data.len(), 7 | 22);
    let flags = data.u8(if is_first { 0 } else { 1 })?;
    if flags & INTEGRATION == 0 {
        let detail = "nothing is said: switch on Smart Home integration in the Aranet app";
        return Err(bad(ProblemKind::Nothing, detail));
    }
    if is_first {
        return aranet4(data, out);
    }
    match data.u8(0)? {
        1 => {
            out.model("Aranet2");
            temperature(data.le_u16(10)?, out);
            tenths(Q::Humidity, data.le_u16(14)?, out);
        }
        2 => {
            out.model("Aranet Radiation");
            out.number(Q::RadiationTotal, data.le_u32(6)?);
            out.number(Q::RadiationDuration, data.le_u32(10)?);
            out.number(Q::RadiationRate, data.le_u16(14)?);
        }
        3 => {
            out.model("Aranet Radon+");
            let radon = data.le_u16(8)?;
            if radon & 0x8000 == 0 {
                out.number(Q::Radon, radon);
            }
            temperature(data.le_u16(10)?, out);
            tenths(Q::Pressure, data.le_u16(12)?, out);
            tenths(Q::Humidity, data.le_u16(14)?, out);
        }
        _ => return ensure(false),
    }
    state(data, 17, 19, out)
}

fn aranet4(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.model("Aranet4");
    let co2 = data.le_u16(8)?;
    if co2 & 0x8000 == 0 {
        out.number(Q::Co2, co2);
    }
    temperature(data.le_u16(10)?, out);
    tenths(Q::Pressure, data.le_u16(12)?, out);
    let humidity = data.u8(14)?;
    if humidity & 0x80 == 0 {
        out.number(Q::Humidity, humidity);
    }
    state(data, 15, 17, out)
}

/// Twentieths of a degree, below zero by wrapping.
fn temperature(raw: u16, out: &mut Readout) {
    if raw & 0x4000 == 0 || raw & 0x8000 != 0 {
        out.scaled(Q::Temperature, raw.cast_signed(), 20.0);
    }
}

fn tenths(quantity: Q, raw: u16, out: &mut Readout) {
    if raw & 0x8000 == 0 {
        out.scaled(quantity, raw, 10.0);
    }
}

fn state(data: Data<'_>, battery: usize, interval: usize, out: &mut Readout) -> Outcome {
    let percent = data.u8(battery)?;
    if percent <= 100 {
        out.number(Q::Battery, percent);
    }
    out.number(Q::Interval, data.le_u16(interval)?);
    out.number(Q::Age, data.le_u16(interval + 2)?);
    Ok(())
}
