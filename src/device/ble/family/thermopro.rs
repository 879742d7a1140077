//! ThermoPro: TP35x and TP39x hide the temperature in the company identifier; the meat thermometers TP96x and TP97x
//! even their probe's number. Facts from captures.

use super::{Data, Frame, Outcome, Quantity as Q, Readout, ensure, round};

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let name = frame.advertisement.name();
    let starts = |prefix: &str| name.starts_with(prefix);
    ensure(starts("TP3") || starts("TP9"))?;
    // The identifier is part of the data.
    let mut whole = frame.id.to_le_bytes().to_vec();
    whole.extend_from_slice(frame.data.0);
    let data = Data(&whole);
    let model = name.split(' ').next().unwrap_or_default().to_owned();
    match data.len() {
        23 if starts("TP97") => spike_pro(data, out)?,
        7 | 13 if starts("TP96") || starts("TP97") => spike(data, out)?,
        6.. if starts("TP35") || starts("TP39") => climate(data, out)?,
        _ => return ensure(false),
    }
    out.model(model);
    Ok(())
}

fn climate(data: Data<'_>, out: &mut Readout) -> Outcome {
    ensure(data.u8(0)? == 0xC2)?;
    let battery = data.u8(4)?;
    // All bits set: no values yet.
    if data.slice(1, 3)? != [0xFF; 3] {
        out.scaled(Q::Temperature, data.le_i16(1)?, 10.0);
        out.number(Q::Humidity, data.u8(3)?);
    }
    match battery & 3 {
        0 => out.number(Q::Battery, 1),
        1 => out.number(Q::Battery, 50),
        2 => out.number(Q::Battery, 100),
        _ => {}
    }
    Ok(())
}

/// The charge of the probe, which the maker's app reads off an S-shaped curve.
fn battery(raw: u16) -> f64 {
    let percent = 52.317_286 * (f64::from(raw) / 273.624_277_936 - 8.764_854_393_94).tanh() + 51.069_25;
    round(percent.clamp(0.0, 100.0), 0)
}

/// Whole degrees from -30.
fn spike(data: Data<'_>, out: &mut Readout) -> Outcome {
    let probe = data.u8(0)?.saturating_add(1);
    out.numbered(Q::InternalTemperatureProbe, probe, f64::from(data.le_u16(1)?) - 30.0);
    out.numbered(Q::AmbientTemperatureProbe, probe, f64::from(data.le_u16(5)?) - 30.0);
    out.numbered(Q::BatteryProbe, probe, battery(data.le_u16(3)?));
    Ok(())
}

/// Fahrenheit from -54; three places of the tip as floats.
fn spike_pro(data: Data<'_>, out: &mut Readout) -> Outcome {
    let celsius = |fahrenheit: f64| round((fahrenheit - 54.0 - 32.0) * 5.0 / 9.0, 1);
    let probe = data.u8(0)?.saturating_add(1);
    let places = [
        (5, Q::InternalTemperatureProbe),
        (9, Q::InternalCenterTemperatureProbe),
        (13, Q::InternalEndTemperatureProbe),
    ];
    for (at, quantity) in places {
        out.numbered(quantity, probe, celsius(f64::from(data.le_f32(at)?)));
    }
    out.numbered(Q::AmbientTemperatureProbe, probe, celsius(f64::from(data.le_u16(1)?)).trunc());
    out.numbered(Q::BatteryProbe, probe, battery(data.le_u16(3)?));
    Ok(())
}
