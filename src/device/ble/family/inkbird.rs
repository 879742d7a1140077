//! Inkbird: thermometers that hide the temperature in the company identifier (named `sps` and `tps`), newer ones with a
//! plain frame, and iBBQ meat thermometers. Facts from captures.

use super::{Data, Frame, Outcome, ProblemKind, Quantity as Q, Readout, bad, ensure, round};

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let name = frame.advertisement.name();
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if frame.data.len() == 7 && (is("sps") || is("tps")) {
        return hidden(frame, is("sps"), out);
    }
    let plain = ["ibs-p02b", "ith-11-b", "ith-13-b", "ith-21-b"].into_iter().any(is);
    if frame.data.len() == 16 && (plain || (frame.id == 0x2449 && frame.advertisement.has_service(0xFFF0))) {
        out.model(if plain { name.to_ascii_uppercase() } else { "Inkbird".to_owned() });
        return newer(frame.data, out);
    }
    if frame.data.len() == 15 && frame.id == 0x3254 && frame.data.0.starts_with(&[0x00, 0x62]) {
        return air_monitor(frame.data, out);
    }
    barbecue(frame, out)
}

/// Temperature in the company identifier, humidity, kind of probe, checksum, battery.
fn hidden(frame: &Frame<'_>, has_humidity: bool, out: &mut Readout) -> Outcome {
    let data = frame.data;
    out.model(if has_humidity { "IBS-TH" } else { "IBS-TH2/P01B" });
    let (humidity, battery) = (data.le_u16(0)?, data.u8(5)?);
    let is_fitted = has_humidity || !matches!(humidity, 0 | 0xFFFF);
    if (is_fitted && humidity > 10_000) || battery > 100 {
        return Err(bad(ProblemKind::OutOfRange, "more than 100 % cannot be: the frame is damaged"));
    }
    out.scaled(Q::Temperature, frame.id.cast_signed(), 100.0);
    if is_fitted {
        out.scaled(Q::Humidity, humidity, 100.0);
    }
    out.number(Q::Battery, battery);
    Ok(())
}

/// Tenths; humidity 0 where there is no sensor for it.
fn newer(data: Data<'_>, out: &mut Readout) -> Outcome {
    let (humidity, battery) = (data.le_u16(6)?, data.u8(8)?);
    if humidity > 1000 || battery > 100 {
        return Err(bad(ProblemKind::OutOfRange, "more than 100 % cannot be: the frame is damaged"));
    }
    out.scaled(Q::Temperature, data.le_i16(4)?, 10.0);
    if humidity != 0 {
        out.scaled(Q::Humidity, humidity, 10.0);
    }
    out.number(Q::Battery, battery);
    Ok(())
}

/// IAM-T2: the address, state, then big end first; in the state stands whether degrees are Fahrenheit's.
fn air_monitor(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.model("IAM-T2");
    let degrees = f64::from(data.be_i16(8)?) / 10.0;
    let celsius = if data.bit(7, 1)? { round((degrees - 32.0) * 5.0 / 9.0, 2) } else { degrees };
    let humidity = data.be_u16(10)?;
    if humidity > 1000 {
        return Err(bad(ProblemKind::OutOfRange, "more than 100 % cannot be: the frame is damaged"));
    }
    out.number(Q::Temperature, celsius);
    out.scaled(Q::Humidity, humidity, 10.0);
    out.number(Q::Co2, data.be_u16(12)?);
    Ok(())
}

/// Two zeros, the address in either order, then the probes; -1 is a probe that is not plugged in.
fn barbecue(frame: &Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    let probes = match data.len() {
        10 => 1_u8,
        12 => 2,
        16 => 4,
        20 => 6,
        _ => return ensure(false),
    };
    let name = frame.advertisement.name().to_ascii_lowercase();
    let address: [u8; 6] = data.array(2)?;
    let own = frame.advertisement.address;
    let is_own = own.0 != [0; 6] && (address == own.0 || address == own.reversed());
    ensure(frame.id <= 2 && (is_own || name.contains("ibbq") || name.contains("xbbq")))?;
    out.model(format!("iBBQ-{probes}"));
    for number in 1..=probes {
        let raw = data.le_i16(6 + 2 * usize::from(number))?;
        if raw == -1 {
            continue;
        }
        if number == 1 {
            out.scaled(Q::Temperature, raw, 10.0);
        }
        out.numbered(Q::TemperatureProbe, number, f64::from(raw) / 10.0);
    }
    if out.measurements.is_empty() {
        return Err(bad(ProblemKind::Nothing, "no probe is plugged in"));
    }
    Ok(())
}
