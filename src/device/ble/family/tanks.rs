//! What is in tanks, kegs and pipes: Garnet's SeeLevel and Oras' faucets (both under 0x0131), Oras' shower, Onset's
//! HOBO, Otodata, Kegtron. Facts from captures.

use super::{Frame, Outcome, ProblemKind, Quantity as Q, Readout, bad, ensure, round};

pub(in crate::device::ble) fn garnet_or_oras(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    match frame.data.len() {
        14 => garnet(frame, out),
        18 => {
            out.model("Oras faucet");
            out.number(Q::Battery, frame.data.u8(1)? & 0x7F);
            Ok(())
        }
        _ => ensure(false),
    }
}

/// Which sensor, then decimal digits: the value, volume, total, and an alarm. Letters are errors.
fn garnet(frame: &Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    out.model("SeeLevel II 709-BTP3");
    let digits = std::str::from_utf8(data.slice(4, 3)?).unwrap_or_default().trim();
    let value = digits.parse::<u16>();
    let value = value.map_err(|_| bad(ProblemKind::NotANumber, "the tank sensor reports an error"))?;
    match data.u8(3)? {
        0 => out.number(Q::FreshTank, value),
        1 => out.number(Q::BlackTank, value),
        2 => out.number(Q::GreyTank, value),
        3 => out.number(Q::LpgTank, value),
        4 => out.numbered(Q::LpgTank, 2, value),
        5 => out.number(Q::GalleyTank, value),
        6 => out.numbered(Q::GalleyTank, 2, value),
        7 => out.number(Q::Temperature, fahrenheit(value)),
        number @ 8..=10 => out.numbered(Q::TemperatureProbe, number - 6, fahrenheit(value)),
        11 => out.number(Q::ChemicalTank, value),
        12 => out.numbered(Q::ChemicalTank, 2, value),
        13 => out.scaled(Q::Voltage, value, 10.0),
        _ => return ensure(false),
    }
    out.switch(Q::Problem, data.u8(13)? != b'0');
    Ok(())
}

fn fahrenheit(degrees: u16) -> f64 {
    round((f64::from(degrees) - 32.0) * 5.0 / 9.0, 1)
}

/// The water of one shower: litres, temperature, energy.
pub(in crate::device::ble) fn oras_shower(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(19)?;
    out.model("Digital Hand Shower");
    out.packet = Some(data.be_u24(0)?);
    out.number(Q::Duration, data.be_u16(3)?);
    out.number(Q::Water, round(f64::from(data.be_u24(8)?) / 2560.0, 2));
    out.number(Q::Temperature, data.u8(11)?);
    out.scaled(Q::Energy, data.be_u16(12)?, 100.0);
    Ok(())
}

/// HOBO MX2001: the level in metres.
pub(in crate::device::ble) fn onset(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(20)?;
    out.model("HOBO MX2001");
    out.number(Q::TankLevel, round(f64::from(data.le_f32(16)?) * 1000.0, 2));
    Ok(())
}

/// A dial of Rotarex read by Otodata's monitor.
pub(in crate::device::ble) fn otodata(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(19)?;
    out.model("Otodata monitor");
    out.scaled(Q::Level, data.le_u16(9)?, 100.0);
    Ok(())
}

/// Millilitres: the keg, what was in it, what was drawn; state, the port's name.
pub(in crate::device::ble) fn kegtron(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(27)?;
    ensure(!data.0.starts_with(&[0xBE, 0xAC]))?;
    let state = data.u8(6)?;
    out.model(if state & 0x40 != 0 { "Kegtron KT-200" } else { "Kegtron KT-100" });
    let port = if state & 0x10 != 0 { 2 } else { 0 };
    for (at, quantity) in [(0, Q::KegSize), (2, Q::KegStart), (4, Q::KegDispensed)] {
        out.numbered(quantity, port, f64::from(data.be_u16(at)?) / 1000.0);
    }
    let name = String::from_utf8_lossy(data.slice(7, 20)?).trim_end_matches('\0').to_owned();
    out.text(Q::KegPortName, &name);
    Ok(())
}
