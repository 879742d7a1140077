//! Govee's thermometers, told apart by name, company identifier and length. Facts from captures: temperature and
//! humidity share one number of 24 bits, temperature in tenths times a thousand plus humidity in tenths; its highest
//! bit is the sign.

use super::{Data, Frame, Outcome, Quantity as Q, Readout, ensure, govee_events, govee_probes};

/// Behind the data some models repeat an iBeacon that spells INTELLI_ROCKS.
const MARK: &[u8] = b"INTELLI_ROCKS";
const MARK_BYTES: usize = 25;
/// What the sensors can measure, °C.
const COLDEST: f64 = -40.0;
const HOTTEST: f64 = 100.0;

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    ensure(frame.id != 0x004C)?;
    let data = strip(frame.data);
    let name = frame.advertisement.name();
    let named = |models: &[&str]| models.iter().any(|model| name.contains(model));
    match (data.len(), frame.id) {
        (24, _) => govee_events::read(data, name, out),
        (6, id) if named(&["H5127"]) || matches!(id, 0x8803 | 0x8843) => presence(data, out),
        (6, id) if id == 0xEC88 || named(&["H5072", "H5075", "H5129"]) => {
            out.model("H5072/H5075");
            packed(data, 1, out)
        }
        (6, _) if named(&["H5106"]) => air_quality(data, out),
        (8, _) if named(&["5112"]) => two_probes(data, out),
        (8, _) if named(&["5140"]) => with_co2(data, out),
        (6 | 8, id) if is_packed_at_2(frame, id, data) => {
            out.model("H5100 series");
            packed(data, 2, out)
        }
        (7, id) if id == 0xEC88 || named(&["H5074"]) => {
            out.model("H5074");
            hundredths(data, 1, out)
        }
        (9, id) if id == 0xEC88 || named(&["H5051", "H5052", "H5071"]) => {
            out.model("H5051/H5052/H5071");
            hundredths(data, 1, out)
        }
        (9, id) if id == 0x0001 || named(&["5178"]) => {
            out.model(if data.u8(2)? == 1 { "H5178, remote" } else { "H5178" });
            packed(data, 3, out)
        }
        (9, id) if id == 0x8801 || named(&["H5179"]) => {
            out.model("H5179");
            hundredths(data, 4, out)
        }
        _ => govee_probes::read(frame, data, out),
    }
}

fn strip(data: Data<'_>) -> Data<'_> {
    let marked = data.0.windows(MARK.len()).any(|part| part == MARK);
    let kept = data.0.len().checked_sub(MARK_BYTES).filter(|kept| marked && *kept > 0);
    kept.and_then(|kept| data.0.get(..kept)).map_or(data, Data)
}

/// The models that have packed values from the third byte on.
fn is_packed_at_2(frame: &Frame<'_>, id: u16, data: Data<'_>) -> bool {
    const MODELS: [&str; 13] = [
        "H5100", "H5101", "H5102", "H5103", "H5104", "H5105", "H5108", "5108", "H5110", "H5174", "H5177",
        "5179", "H5111",
    ];
    let name = frame.advertisement.name();
    let by_name = MODELS.iter().any(|model| name.contains(model));
    let by_shape = id == 0x0001 && data.0.starts_with(&[1, 1]);
    by_name || (by_shape && (data.len() == 8 || frame.advertisement.has_service(0xEC88)))
}

/// Three packed bytes and the battery, whose highest bit says that the sensor is broken.
fn packed(data: Data<'_>, at: usize, out: &mut Readout) -> Outcome {
    let battery = data.u8(at + 3)?;
    climate(data, at, battery & 0x80 != 0, out)?;
    out.number(Q::Battery, battery & 0x7F);
    Ok(())
}

/// What is outside of what the device can measure is left out.
fn climate(data: Data<'_>, at: usize, is_broken: bool, out: &mut Readout) -> Outcome {
    let (temperature, humidity) = unpack(data.be_u24(at)?);
    if !is_broken && (COLDEST..=HOTTEST).contains(&temperature) {
        out.number(Q::Temperature, temperature);
        out.number(Q::Humidity, humidity);
    }
    Ok(())
}

fn unpack(raw: u32) -> (f64, f64) {
    let magnitude = raw & 0x7F_FFFF;
    let temperature = f64::from(magnitude / 1000) / 10.0;
    let humidity = f64::from(magnitude % 1000) / 10.0;
    (if raw & 0x80_0000 == 0 { temperature } else { -temperature }, humidity)
}

/// Hundredths, little end first.
fn hundredths(data: Data<'_>, at: usize, out: &mut Readout) -> Outcome {
    out.scaled(Q::Temperature, data.le_i16(at)?, 100.0);
    out.scaled(Q::Humidity, data.le_u16(at + 2)?, 100.0);
    out.number(Q::Battery, data.u8(at + 4)?);
    Ok(())
}

fn presence(data: Data<'_>, out: &mut Readout) -> Outcome {
    ensure(data.0.starts_with(&[0xEC, 0, 1, 1]) || data.0.starts_with(&[0xEC, 0, 2, 1]))?;
    out.model("H5127");
    out.switch(Q::Occupancy, data.u8(4)? == 1);
    out.switch(Q::Motion, data.u8(5)? == 0x11);
    Ok(())
}

/// 32 bits: temperature in tenths times a million, humidity in tenths times a thousand, PM2.5.
fn air_quality(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.model("H5106");
    let raw = data.be_u32(2)?;
    let magnitude = raw & 0x7FFF_FFFF;
    let temperature = f64::from(magnitude / 1_000_000) / 10.0;
    out.number(Q::Temperature, if raw >> 31 == 0 { temperature } else { -temperature });
    out.scaled(Q::Humidity, magnitude % 1_000_000 / 1000, 10.0);
    out.number(Q::Pm25, magnitude % 1000);
    Ok(())
}

fn with_co2(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.model("H5140");
    let is_broken = data.u8(7)? != 0;
    climate(data, 2, is_broken, out)?;
    if !is_broken {
        out.number(Q::Co2, data.be_u16(5)?);
    }
    Ok(())
}

/// Which of two probes speaks stands in the last byte; only the first knows humidity.
fn two_probes(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.model("H5112");
    let probe = match data.u8(7)? {
        0x41 => 1,
        0x82 => 2,
        _ => return ensure(false),
    };
    let battery = data.u8(5)?;
    let (temperature, humidity) = unpack(data.be_u24(2)?);
    if battery & 0x80 == 0 && (COLDEST..=HOTTEST).contains(&temperature) {
        out.numbered(Q::TemperatureProbe, probe, temperature);
        if probe == 1 {
            out.numbered(Q::HumidityProbe, 1, humidity);
        }
    }
    out.number(Q::Battery, battery & 0x7F);
    Ok(())
}
