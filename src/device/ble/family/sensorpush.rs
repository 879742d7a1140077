//! SensorPush: the data begins in the company identifier. Newer devices pack their values into one number of mixed
//! radix, whose digits are steps of each quantity's range. Facts from captures.

use super::{Data, Frame, Outcome, Quantity as Q, Readout, ensure, round};
use crate::device::ble::Uuid;

const FIRST: Uuid = Uuid(0xEF09_0000_11D6_42BA_93B8_9DD7_EC09_0AA9);
const SECOND: Uuid = Uuid(0xEF09_0000_11D6_42BA_93B8_9DD7_EC09_0AB0);

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    // Apple's beacon beside the data is none of it.
    ensure(frame.id != 0x004C)?;
    let advertisement = frame.advertisement;
    let name = advertisement.name();
    let named = ["HTP.xw", "HT.w", "TC.x"].iter().any(|model| name.contains(model));
    let is_first = name == "s" && advertisement.service_uuids.contains(&FIRST);
    ensure(is_first || named || advertisement.service_uuids.contains(&SECOND))?;
    let mut whole = frame.id.to_le_bytes().to_vec();
    whole.extend_from_slice(frame.data.0);
    let data = Data(&whole);
    if is_first {
        return first(data, out);
    }
    let head = data.u8(0)?;
    // Other pages tell of the device.
    ensure(head & 0x03 == 0)?;
    packed(data, head >> 2, out)
}

/// HT1: twelve bits of humidity, fourteen of temperature, five of kind.
fn first(data: Data<'_>, out: &mut Readout) -> Outcome {
    let raw = data.le_u32(0)?;
    ensure((raw >> 26) & 0x1F == 1)?;
    out.model("HT1");
    let humidity = f64::from(raw & 0xFFF) * 125.0 / 4096.0 - 6.0;
    let temperature = f64::from((raw >> 12) & 0x3FFF) * 175.72 / 16384.0 - 46.85;
    out.number(Q::Temperature, round(temperature, 2));
    out.number(Q::Humidity, round(humidity.clamp(0.0, 100.0), 2));
    Ok(())
}

/// Lowest value, steps per unit, how many values there are.
type Digit = (Quantity, f64, f64, u64);
type Quantity = Q;

const TEMPERATURE_WIDE: Digit = (Q::Temperature, -40.0, 400.0, 72_001);
const TEMPERATURE: Digit = (Q::Temperature, -40.0, 400.0, 66_001);
const HUMIDITY: Digit = (Q::Humidity, 0.0, 400.0, 40_001);
/// In pascal.
const PRESSURE: Digit = (Q::Pressure, 30_000.0, 1.0, 95_001);
const THERMOCOUPLE: Digit = (Q::Temperature, -200.0, 16.0, 32_001);

fn packed(data: Data<'_>, kind: u8, out: &mut Readout) -> Outcome {
    let (model, length, digits): (_, _, &[Digit]) = match kind {
        0 => ("HTP.xw", 7, &[TEMPERATURE_WIDE, HUMIDITY, PRESSURE]),
        1 => ("HT.w", 5, &[TEMPERATURE, HUMIDITY]),
        2 => ("TC.x", 4, &[THERMOCOUPLE]),
        _ => return ensure(false),
    };
    out.model(model);
    data.at_least(length)?;
    let bytes = data.rest(1)?;
    let mut packed = bytes.iter().take(8).rev().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    for (quantity, lowest, steps_per_unit, values) in digits {
        let steps = crate::device::number::from_u64(packed % values);
        packed /= values;
        let value = steps / steps_per_unit + lowest;
        let value = if *quantity == Q::Pressure { value / 100.0 } else { value };
        out.number(*quantity, round(value, 4));
    }
    Ok(())
}
