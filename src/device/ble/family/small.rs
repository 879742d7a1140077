//! Families of one format and few fields, one function each. Facts from captures and what independent readers of
//! them agree on.

use super::{Data, Frame, Outcome, ProblemKind, Quantity as Q, Readout, bad, coin_cell, ensure, round};

const STANDARD_GRAVITY: f64 = 9.806_65;

/// XM122 and XM126: battery, temperature, and presence or a distance in millimetres.
pub(in crate::device::ble) fn acconeer(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(15)?;
    let third = data.le_u16(5)?;
    match data.u8(0)? {
        0x80 => out.model("Acconeer XM122"),
        0x90 | 0x91 => out.model("Acconeer XM126"),
        _ => return ensure(false),
    }
    match data.u8(0)? {
        0x90 => out.scaled(Q::Distance, third, 1000.0),
        _ => out.switch(Q::Motion, third != 0),
    }
    out.number(Q::Temperature, data.le_i16(3)?);
    out.number(Q::Battery, data.le_u16(1)?);
    Ok(())
}

/// Air Mentor Pro 2 (8 bytes) and 2S (12): the low byte of the identifier says which half of the values follows.
pub(in crate::device::ble) fn air_mentor(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    let is_pro = data.len() == 8;
    ensure(is_pro || data.len() == 12)?;
    out.model(if is_pro { "Air Mentor Pro 2" } else { "Air Mentor 2S" });
    if frame.id & 0x0F == 1 {
        out.number(Q::Co2, data.be_u16(0)?);
        out.number(Q::Pm25, data.be_u16(2)?);
        out.number(Q::Pm10, data.be_u16(4)?);
        if !is_pro {
            // From ppb, at 20 °C.
            out.number(Q::Formaldehyde, round(f64::from(data.be_u16(8)?) * 1.228 / 1000.0, 6));
        }
        return Ok(());
    }
    // From ppb, as a mixture of 110 g/mol at 24.4 L/mol.
    out.number(Q::Tvoc, round(f64::from(data.be_u16(0)?) * 110.0 / 24.4, 2));
    let temperature = (f64::from(data.be_u16(2)?) - 4000.0) / 100.0;
    out.number(Q::Temperature, temperature);
    let inside = temperature - f64::from(data.u8(4)?) / 10.0;
    if is_pro {
        // Measured in the warm case; the air outside of it is cooler and as moist.
        let saturation = |celsius: f64| (celsius * 17.62 / (celsius + 243.12)).exp();
        let humidity = f64::from(data.u8(5)?) * saturation(temperature) / saturation(inside);
        out.number(Q::Humidity, round(humidity, 2));
    }
    out.number(Q::Aqi, data.be_u16(6)?);
    Ok(())
}

/// bluSensor Mini.
pub(in crate::device::ble) fn almendo(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(data.u8(0)? == 1 && data.u8(2)? == 0x0A)?;
    out.model("bluSensor Mini");
    out.scaled(Q::Temperature, data.le_i16(7)?, 100.0);
    out.scaled(Q::Humidity, data.le_u16(9)?, 100.0);
    out.number(Q::Co2, data.le_u16(11)?);
    out.number(Q::Tvoc, data.le_u16(13)?);
    out.number(Q::Aqi, data.u8(15)?);
    Ok(())
}

/// ABN03: the address, battery, eighths of a degree, halves of a percent, lux.
pub(in crate::device::ble) fn april_brother(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(data.0.starts_with(&[0xAB, 0x03]))?;
    out.model("ABN03");
    out.scaled(Q::Temperature, data.le_i16(9)?, 8.0);
    out.scaled(Q::Humidity, data.le_u16(11)?, 2.0);
    out.number(Q::Illuminance, data.le_u16(13)?);
    out.number(Q::Battery, data.u8(8)?);
    Ok(())
}

/// NIU: the button that was pressed.
pub(in crate::device::ble) fn nod_on(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(16)?;
    let button = match data.u8(15)? {
        1 => 1,
        2 => 2,
        3 => 9,
        4 => 10,
        5 => 3,
        6 => 4,
        7 => 5,
        _ => return Err(bad(ProblemKind::Nothing, "the button says nothing that is known")),
    };
    out.model("NodOn NIU");
    out.event = true;
    out.number(Q::Button, button);
    out.number(Q::Battery, data.u8(12)? & 0x7F);
    Ok(())
}

pub(in crate::device::ble) fn blustream(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(9)?;
    out.model("Blustream");
    out.scaled(Q::Temperature, data.be_i16(7)?, 100.0);
    out.scaled(Q::Humidity, data.be_u16(5)?, 100.0);
    Ok(())
}

/// CQ60: tenths, little end first; from 0x7FF0 on there is none.
pub(in crate::device::ble) fn chef_iq(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(18)?;
    out.model("Chef iQ CQ60");
    out.number(Q::Battery, data.u8(2)?);
    let places = [
        (6, Q::MeatTemperature, 0),
        (8, Q::TipTemperature, 0),
        (10, Q::TemperatureProbe, 1),
        (12, Q::TemperatureProbe, 2),
        (14, Q::AmbientTemperature, 0),
    ];
    for (at, quantity, number) in places {
        let raw = data.le_u16(at)?;
        if !(0x7FF0..0x8000).contains(&raw) {
            out.numbered(quantity, number, f64::from(raw.cast_signed()) / 10.0);
        }
    }
    let third = data.u8(3)?;
    if third < 0xFE {
        out.numbered(Q::TemperatureProbe, 3, third);
    }
    Ok(())
}

pub(in crate::device::ble) fn feasycom(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(11)?;
    out.model("Feasycom beacon");
    let battery = data.u8(10)?;
    // 101: on the mains.
    out.switch(Q::Plug, battery == 0x65);
    if battery != 0x65 {
        out.number(Q::Battery, battery & 0x7F);
    }
    Ok(())
}

/// A heating pump read by MI401.
pub(in crate::device::ble) fn grundfos(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.at_least(13)?;
    out.model("Grundfos MI401");
    out.number(Q::Temperature, data.u8(12)?);
    // Litres per hour in steps of 1/6.5534.
    out.number(Q::Flow, round(f64::from(data.le_u16(6)?) / 6553.4, 4));
    out.number(Q::WaterPressure, round(f64::from(data.le_i16(8)?) / 32767.0, 3));
    out.number(Q::Mode, data.u8(11)?);
    out.packet = Some(u32::from(data.u8(2)?));
    Ok(())
}

pub(in crate::device::ble) fn hormann(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(17)?;
    out.model("Supramatic E4");
    let half_percents = data.u8(1)?;
    out.switch(Q::Opening, half_percents != 0);
    out.scaled(Q::OpeningPercentage, half_percents, 2.0);
    Ok(())
}

/// A tracker: battery, address, and one measurement of a kind.
pub(in crate::device::ble) fn holy_iot(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(13)?;
    out.model("HolyIOT tracker");
    let value = data.u8(11)?;
    match data.u8(10)? {
        0 => {}
        1 => {
            let (whole, hundredths) = (f64::from(data.i8(11)?), f64::from(data.u8(12)?) / 100.0);
            let celsius = if whole < 0.0 { whole - hundredths } else { whole + hundredths };
            out.number(Q::Temperature, round(celsius, 2));
        }
        2 => out.number(Q::Pressure, (80_000.0 + f64::from(data.be_i16(11)?)) / 100.0),
        3 => out.number(Q::Humidity, value),
        4 => out.number(Q::Vibration, value),
        5 => out.number(Q::Position, value),
        6 => {
            if value == 1 {
                out.event(Q::Button, "toggle");
            }
        }
        _ => return ensure(false),
    }
    out.number(Q::Battery, data.u8(1)?);
    Ok(())
}

/// BEC07-5: the temperature begins in the identifier: a sign, whole degrees, then decimals as digits.
pub(in crate::device::ble) fn jinou(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(frame.advertisement.has_service(0xAA20) && data.len() == 11)?;
    out.model("BEC07-5");
    let [sign, whole] = frame.id.to_le_bytes();
    let join = |whole: u8, decimals: u8| {
        let parts = if decimals < 10 { 10.0 } else { 100.0 };
        round(f64::from(whole) + f64::from(decimals) / parts, 2)
    };
    let celsius = join(whole, data.u8(0)?);
    out.number(Q::Temperature, if sign == 1 { -celsius } else { celsius });
    out.number(Q::Humidity, join(data.u8(2)?, data.u8(3)?));
    Ok(())
}

/// TMS: a tyre's temperature from -60, volts from 1, pressure, identity.
pub(in crate::device::ble) fn michelin(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(matches!(data.u8(1)?, 3 | 4))?;
    data.exactly(14)?;
    out.model("Michelin TMS");
    out.number(Q::Temperature, f64::from(data.u8(2)?) - 60.0);
    out.number(Q::Voltage, round(f64::from(data.u8(3)?) / 100.0 + 1.0, 2));
    out.number(Q::Pressure, data.le_u16(4)?);
    out.text(Q::Text, &String::from_utf8_lossy(data.slice(6, 3)?));
    out.number(Q::Steps, data.u8(9)?);
    out.number(Q::Count, data.le_u32(10)?);
    Ok(())
}

/// TG-BT5: numbers of eight bits before and eight behind the point
/// (<https://help.mikrotik.com/docs/spaces/UM/pages/105742533>).
pub(in crate::device::ble) fn mikrotik(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(18)?;
    if data.u8(1)? & 1 != 0 {
        return Err(bad(ProblemKind::NoKey, "no key: encrypted MikroTik tags are not supported"));
    }
    out.model("MikroTik TG-BT5");
    let mut squares = 0.0;
    for (at, quantity) in [(4, Q::AccelerationX), (6, Q::AccelerationY), (8, Q::AccelerationZ)] {
        // As every known reader takes them: without a sign, and all bits set is nothing.
        let raw = data.le_u16(at)?;
        let value = if raw == 0xFFFF { 0.0 } else { f64::from(raw) / 256.0 };
        squares += value * value;
        out.number(quantity, round(value, 5));
    }
    out.number(Q::Acceleration, round(squares.sqrt(), 5));
    let temperature = data.le_i16(10)?;
    if temperature != i16::MIN {
        out.number(Q::Temperature, round(f64::from(temperature) / 256.0, 5));
    }
    out.number(Q::Uptime, data.le_u32(12)?);
    let flags = data.u8(16)?;
    out.switch(Q::Switch, flags & 1 != 0);
    out.switch(Q::Tilt, flags & 2 != 0);
    out.switch(Q::Dropping, flags & 4 != 0);
    out.switch(Q::Impact, flags & 0b11_1000 != 0);
    out.number(Q::Battery, data.u8(17)?);
    Ok(())
}

pub(in crate::device::ble) fn moat(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    frame.data.exactly(18)?;
    moat_values(frame.data, out)
}

pub(in crate::device::ble) fn moat_service(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    ensure(frame.advertisement.name().to_ascii_lowercase().contains("moat_s2"))?;
    moat_values(frame.data, out)
}

fn moat_values(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.model("Moat S2");
    let (temperature, humidity, volts) = (data.le_u16(10)?, data.le_u16(12)?, data.le_u16(14)?);
    out.number(Q::Temperature, round(f64::from(temperature) * 175.72 / 65536.0 - 46.85, 3));
    out.number(Q::Humidity, round(f64::from(humidity) * 125.0 / 65536.0 - 6.0, 3));
    out.scaled(Q::Voltage, volts, 1000.0);
    let above = |lowest: u16| f64::from(volts - lowest);
    let battery = match volts {
        3000.. => 100.0,
        2900.. => 42.0 + above(2900) * 0.58,
        2740.. => 18.0 + above(2740) * 0.15,
        2440.. => 6.0 + above(2440) * 0.04,
        2100.. => above(2100) * 6.0 / 340.0,
        _ => 0.0,
    };
    out.number(Q::Battery, round(battery, 1));
    Ok(())
}

/// The product is the high byte of the identifier, or stands deeper in the frame of ST7.
pub(in crate::device::ble) fn mocreo(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    let name = frame.advertisement.name();
    if name == "ST7" && frame.id & 0xFF == 0x4A && data.u8(6)? == 0x10 {
        out.model("ST7");
        out.scaled(Q::Temperature, data.le_i16(10)?, 100.0);
        out.number(Q::Battery, data.u8(9)? & 0x7F);
        return Ok(());
    }
    ensure(name == "MOCREO")?;
    let (model, has_humidity) = match frame.id >> 8 {
        0x81 => ("ST5", false),
        0x82 => ("SW2", false),
        0x83 => ("ST6", true),
        0x84 => ("ST8", false),
        0x86 => ("ST9", true),
        0x87 => ("ST10", false),
        0x8B => ("MS1", false),
        0x94 => ("MS2", false),
        0x96 => ("MS3", false),
        _ => return ensure(false),
    };
    out.model(model);
    let leak = data.bit(8, 0)?;
    if model == "SW2" {
        out.switch(Q::WaterLeak, leak);
    } else {
        out.scaled(Q::Temperature, data.le_i16(4)?, 100.0);
    }
    if has_humidity {
        out.scaled(Q::Humidity, data.le_u16(6)?, 100.0);
    }
    out.number(Q::Battery, data.u8(2)? & 0x7F);
    Ok(())
}

/// BeaconX Pro (0xFEAB) by kind of frame, and MokoBeacon (0xFF01).
pub(in crate::device::ble) fn moko(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    let mut volts = None;
    if frame.id == 0xFF01 {
        data.exactly(13)?;
        out.model("MokoBeacon");
        out.number(Q::Battery, data.u8(0)?);
        return moko_acceleration(data, 7, out);
    }
    out.model("BeaconX Pro");
    match data.u8(0)? {
        0x40 => volts = Some(data.be_u16(3)?),
        0x60 => {
            moko_acceleration(data, 6, out)?;
            volts = Some(data.be_u16(12)?);
        }
        0x70 => {
            out.scaled(Q::Temperature, data.be_i16(3)?, 10.0);
            out.scaled(Q::Humidity, data.be_u16(5)?, 10.0);
            volts = Some(data.be_u16(7)?);
        }
        _ => ensure(false)?,
    }
    if let Some(millivolts) = volts {
        out.scaled(Q::Voltage, millivolts, 1000.0);
        out.number(Q::Battery, coin_cell(f64::from(millivolts) / 1000.0));
    }
    Ok(())
}

fn moko_acceleration(data: Data<'_>, at: usize, out: &mut Readout) -> Outcome {
    for (at, quantity) in [(at, Q::AccelerationX), (at + 2, Q::AccelerationY), (at + 4, Q::AccelerationZ)] {
        out.number(quantity, round(f64::from(data.be_i16(at)?) * STANDARD_GRAVITY / 10_000.0, 5));
    }
    Ok(())
}

/// BSDOO: a door or window.
pub(in crate::device::ble) fn beewi(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(data.0.starts_with(&[0x08, 0x0C]) && data.len() == 5)?;
    out.model("BeeWi BSDOO");
    out.switch(Q::Opening, data.bit(2, 0)?);
    out.number(Q::Battery, data.u8(4)?);
    Ok(())
}

pub(in crate::device::ble) fn smart_dry(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(12)?;
    out.model("SmartDry");
    out.number(Q::Temperature, round(f64::from(data.le_f32(0)?), 5));
    out.number(Q::Humidity, round(f64::from(data.le_f32(4)?), 5));
    out.number(Q::Shake, data.le_u16(8)?);
    out.scaled(Q::Voltage, 2847 + u16::from(data.u8(10)?), 1000.0);
    Ok(())
}

/// A tyre's cap: which wheel, the address, pascals, hundredths of a degree, battery, alarm.
pub(in crate::device::ble) fn tyre(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(16)?;
    let address: [u8; 6] = data.array(0)?;
    let is_own = address == frame.advertisement.address.0;
    ensure(is_own || frame.advertisement.name().starts_with("TPMS"))?;
    out.model("TPMS");
    out.number(Q::Count, (data.u8(0)? & 0x0F) + 1);
    out.scaled(Q::TyrePressure, data.le_u32(6)?, 100_000.0);
    out.scaled(Q::Temperature, data.le_u32(10)?.cast_signed(), 100.0);
    out.number(Q::Battery, data.u8(14)?);
    out.switch(Q::Alarm, data.bit(15, 0)?);
    Ok(())
}

/// X2: a belt for the heart rate.
pub(in crate::device::ble) fn xoss(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(4)?;
    out.model("XOSS X2");
    out.number(Q::HeartRate, data.u8(3)?);
    out.number(Q::Battery, data.u8(1)? & 0x7F);
    Ok(())
}

/// H10.
pub(in crate::device::ble) fn polar(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(4)?;
    out.model("Polar H10");
    out.number(Q::HeartRate, data.u8(3)?);
    Ok(())
}
