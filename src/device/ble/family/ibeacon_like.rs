//! Sensors that hide their values in an iBeacon: Tilt (<https://kvurd.com/blog/tilt-hydrometer-ibeacon-data-format>),
//! Jaalee, April Brother's ABTemp, Radioland. Facts from their makers' pages and captures.

use super::beacons::IBeacon;
use super::{Data, Frame, Outcome, Quantity as Q, Readout, ensure, round, sht_humidity, sht_temperature};

/// `a495bbX0-c5b1-4b44-b512-1370f02d74de`, X is the colour.
const TILT: [u8; 16] =
    [0xA4, 0x95, 0xBB, 0x00, 0xC5, 0xB1, 0x4B, 0x44, 0xB5, 0x12, 0x13, 0x70, 0xF0, 0x2D, 0x74, 0xDE];
const COLOURS: [&str; 8] = ["Red", "Green", "Black", "Purple", "Orange", "Blue", "Yellow", "Pink"];
/// With this instead of a temperature a Tilt tells its firmware.
const TILT_FIRMWARE: u16 = 999;

pub(in crate::device::ble) fn tilt(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    ensure(frame.id == 0x004C)?;
    let beacon = IBeacon::read(frame.data)?;
    let colour = beacon.uuid.get(3).copied().unwrap_or_default();
    let same = beacon.uuid.iter().zip(&TILT).enumerate().all(|(at, (own, tilt))| at == 3 || own == tilt);
    let name = usize::from(colour >> 4).checked_sub(1).and_then(|place| COLOURS.get(place));
    ensure(same && colour & 0x0F == 0 && name.is_some() && beacon.major != TILT_FIRMWARE)?;
    let name = name.copied().unwrap_or_default();
    let (fahrenheit, gravity) = (f64::from(beacon.major.cast_signed()), beacon.minor.cast_signed());
    // A Tilt Pro has one digit more of each; beer is never as dense as five times water.
    let is_pro = gravity >= 5000;
    let (per_degree, per_gravity) = if is_pro { (10.0, 10_000.0) } else { (1.0, 1000.0) };
    out.model(format!("Tilt {}{name}", if is_pro { "Pro " } else { "" }));
    out.number(Q::Temperature, round((fahrenheit / per_degree - 32.0) * 5.0 / 9.0, 4));
    out.scaled(Q::SpecificGravity, gravity, per_gravity);
    Ok(())
}

/// The last bytes of the UUID are those of its service.
const JAALEE: [u8; 16] =
    [0xEB, 0xEF, 0xD0, 0x83, 0x70, 0xA2, 0x47, 0xC8, 0x98, 0x37, 0xE7, 0xB5, 0x63, 0x4D, 0xF5, 0x25];

/// Temperature and humidity for major and minor, and the battery behind.
pub(in crate::device::ble) fn jaalee(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(frame.id == 0x004C && data.len() == 24 && data.u8(0)? == 0x02)?;
    let advertisement = frame.advertisement;
    let has_service = advertisement.has_service(0xF525) || advertisement.has_service(0xF51C);
    ensure(data.slice(2, 16)? == JAALEE || (has_service && data.slice(16, 2)? == [0xF5, 0x25]))?;
    climate(data.be_u16(18)?, data.be_u16(20)?, data.u8(23)?, out);
    Ok(())
}

/// The battery, the address reversed, temperature and humidity at the end.
pub(in crate::device::ble) fn jaalee_service(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(matches!(data.len(), 11 | 12))?;
    let end = data.len() - 4;
    climate(data.be_u16(end)?, data.be_u16(end + 2)?, data.u8(0)?, out);
    Ok(())
}

fn climate(temperature: u16, humidity: u16, battery: u8, out: &mut Readout) {
    out.model("Jaalee JHT");
    out.number(Q::Temperature, sht_temperature(temperature));
    out.number(Q::Humidity, sht_humidity(humidity));
    out.number(Q::Battery, battery);
}

const AB_TEMP: [u8; 16] =
    [0xB5, 0xB1, 0x82, 0xC7, 0xEA, 0xB1, 0x49, 0x88, 0xAA, 0x99, 0xB5, 0xC1, 0x51, 0x70, 0x08, 0xD9];

/// ABTemp: battery and temperature are the bytes of the minor number.
pub(in crate::device::ble) fn april_brother_temperature(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let apple = frame.advertisement.manufacturer(0x004C);
    ensure(apple.is_some())?;
    let data = Data(apple.unwrap_or_default());
    let beacon = IBeacon::read(data)?;
    ensure(beacon.uuid == AB_TEMP)?;
    out.model("ABTemp");
    beacon.write(out);
    out.number(Q::Battery, data.u8(20)?);
    out.number(Q::Temperature, data.i8(21)?);
    Ok(())
}

/// RDL52832: temperature and humidity in 1/256 in a service beside the beacon.
pub(in crate::device::ble) fn radioland(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let advertisement = frame.advertisement;
    ensure(advertisement.name().starts_with("RDL52832"))?;
    let service = advertisement.service(0x1803).or_else(|| advertisement.service(0x0318));
    ensure(service.is_some())?;
    let data = Data(service.unwrap_or_default());
    if let Some(apple) = advertisement.manufacturer(0x004C) {
        IBeacon::read(Data(apple))?.write(out);
    }
    out.model("RDL52832");
    out.number(Q::Temperature, round(f64::from(data.be_i16(0)?) / 256.0, 5));
    out.number(Q::Humidity, round(f64::from(data.be_u16(2)?) / 256.0, 5));
    Ok(())
}
