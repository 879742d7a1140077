//! Relsib: EClerk Eco under 0xAA20 to 0xAA22, and the thermometers WT51 and WH52 under 0x1809. Facts from captures.

use super::{Data, Frame, Outcome, ProblemKind, Quantity as Q, Readout, bad, ensure, sht_temperature};

/// Says that there is no value.
const ABSENT: u16 = 0x8000;

pub(in crate::device::ble) fn clerk(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(frame.advertisement.name() == "ECo")?;
    data.at_least(22)?;
    out.model("EClerk Eco");
    let start = if frame.id == 0xAA20 { 4 } else { 0 };
    let (temperature, humidity, co2) =
        (data.le_u16(start)?, data.le_u16(start + 2)?, data.le_u16(start + 4)?);
    if temperature != ABSENT {
        out.scaled(Q::Temperature, temperature.cast_signed(), 100.0);
    }
    if humidity != ABSENT {
        out.scaled(Q::Humidity, humidity, 100.0);
    }
    if co2 != ABSENT {
        out.number(Q::Co2, co2);
    }
    if frame.id == 0xAA20 {
        let battery = data.u8(13)?;
        // The highest bit: on the mains.
        out.number(Q::Battery, if battery & 0x80 != 0 { 100 } else { battery });
    }
    Ok(())
}

/// WT51 writes a decimal number, WH52 two raw values under two services.
pub(in crate::device::ble) fn thermometer(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    ensure(frame.advertisement.service(0xAAA2).is_some())?;
    let temperature = frame.advertisement.service(0x1809).unwrap_or_default();
    if let (2, Some(humidity)) = (temperature.len(), frame.advertisement.service(0x181A)) {
        out.model("WH52");
        out.number(Q::Temperature, sht_temperature(Data(temperature).be_u16(0)?));
        // The device scales humidity as it does temperature.
        out.number(Q::Humidity, sht_temperature(Data(humidity).be_u16(0)?));
        return Ok(());
    }
    let text = std::str::from_utf8(temperature).ok().and_then(|text| text.trim().parse::<f64>().ok());
    let number = text.ok_or_else(|| bad(ProblemKind::NotANumber, "the temperature is no decimal number"))?;
    out.model("WT51");
    out.number(Q::Temperature, number);
    Ok(())
}
