//! What each kind of simulated sensor sends, and how a reading's number is found again in its values.
//!
//! The bytes are made here, from the datasheets, and not by the decoders' profiles: the two must not agree by
//! sharing a mistake.

use serde_json::{Map, Value};

use super::meter;

/// A kind of simulated sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nova SDS011: dust, speaks by itself.
    Sds011,
    /// Plantower PMS5003: dust, speaks by itself.
    Pms5003,
    /// Winsen MH-Z19: CO2, speaks when it is asked.
    MhZ19,
    /// A microcontroller that prints a JSON object per line.
    JsonLines,
    /// An instrument of a boat: NMEA 0183, water temperature.
    Nmea,
    /// A Victron battery monitor: VE.Direct, blocks of text.
    VeDirect,
    /// A Dutch meter: port P1 of DSMR 5.
    DsmrP1,
    /// A German meter: SML.
    Sml,
    /// A French meter: teleinfo, standard mode.
    Linky,
    /// A heat meter on a wired M-Bus, speaks when it is asked.
    MBus,
    /// Temperature and humidity on a Modbus line, speaks when it is asked.
    XyMd02,
}

/// The requests that an MH-Z19, an M-Bus meter of address 1, and an XY-MD02 of number 1 answer.
const MH_Z19_REQUEST: [u8; 9] = [0xFF, 0x01, 0x86, 0, 0, 0, 0, 0, 0x79];
const M_BUS_REQUEST: [u8; 5] = [0x10, 0x5B, 0x01, 0x5C, 0x16];
const XY_MD02_REQUEST: [u8; 8] = [0x01, 0x04, 0x00, 0x01, 0x00, 0x02, 0x20, 0x0B];

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 11] = [
        Kind::Sds011,
        Kind::Pms5003,
        Kind::MhZ19,
        Kind::JsonLines,
        Kind::Nmea,
        Kind::VeDirect,
        Kind::DsmrP1,
        Kind::Sml,
        Kind::Linky,
        Kind::MBus,
        Kind::XyMd02,
    ];

    /// The profile that understands it.
    #[must_use]
    pub const fn profile(self) -> &'static str {
        match self {
            Kind::Sds011 => "nova-sds011",
            Kind::Pms5003 => "plantower-pms5003",
            Kind::MhZ19 => "winsen-mh-z19",
            Kind::JsonLines => "json-lines",
            Kind::Nmea => "nmea0183",
            Kind::VeDirect => "victron-ve-direct",
            Kind::DsmrP1 => "dsmr-p1",
            Kind::Sml => "sml",
            Kind::Linky => "linky-teleinfo-standard",
            Kind::MBus => "m-bus",
            Kind::XyMd02 => "xy-md02",
        }
    }

    /// What it must be asked; `None`: it speaks by itself.
    #[must_use]
    pub fn request(self) -> Option<&'static [u8]> {
        match self {
            Kind::MhZ19 => Some(&MH_Z19_REQUEST),
            Kind::MBus => Some(&M_BUS_REQUEST),
            Kind::XyMd02 => Some(&XY_MD02_REQUEST),
            _ => None,
        }
    }

    /// The bytes of reading `number`.
    #[must_use]
    pub fn frame(self, number: u64) -> Vec<u8> {
        match self {
            Kind::Sds011 => sds011(number),
            Kind::Pms5003 => pms5003(number),
            Kind::MhZ19 => mh_z19(number),
            Kind::JsonLines => json_line(number),
            Kind::Nmea => meter::nmea(number),
            Kind::VeDirect => meter::ve_direct(number),
            Kind::DsmrP1 => meter::dsmr_p1(number),
            Kind::Sml => meter::sml(number),
            Kind::Linky => meter::linky(number),
            Kind::MBus => meter::m_bus(number),
            Kind::XyMd02 => meter::xy_md02(number),
        }
    }

    /// The number of the reading that such a state says; `None` when it is no reading of this kind.
    #[must_use]
    pub fn number(self, state: &Map<String, Value>) -> Option<u64> {
        let number = |key: &str, scale: f64| {
            let scaled = (state.get(key)?.as_f64()? * scale).round();
            format!("{scaled}").parse::<u64>().ok()
        };
        match self {
            Kind::Sds011 => number("pm25", 10.0)?
                .checked_sub(50)?
                .checked_add(1000 * number("pm10", 10.0)?.checked_sub(100)?),
            Kind::Pms5003 => {
                let (pm1, pm25, pm10) = (number("pm1", 1.0)?, number("pm25", 1.0)?, number("pm10", 1.0)?);
                pm1.checked_add(500 * pm25.checked_sub(pm1)?)?.checked_add(250_000 * pm10.checked_sub(pm25)?)
            }
            Kind::MhZ19 => number("co2", 1.0)?
                .checked_sub(400)?
                .checked_add(2000 * number("temperature", 1.0)?.checked_sub(10)?),
            Kind::JsonLines => number("count", 1.0),
            Kind::Nmea => number("temperature", 10.0),
            Kind::VeDirect => number("voltage", 1000.0)?.checked_add(20_000 * number("power", 1.0)?),
            Kind::DsmrP1 | Kind::Sml | Kind::Linky => number("energy_import", 1000.0),
            Kind::MBus => number("volume_m3", 1000.0),
            Kind::XyMd02 => number("temperature", 10.0)?.checked_add(500 * number("humidity", 10.0)?),
        }
    }
}

/// The lowest two bytes of a number that is small by construction.
pub(super) fn low(number: u64) -> u16 {
    u16::try_from(number & 0xFFFF).unwrap_or(0)
}

pub(super) fn sum(bytes: &[u8]) -> u16 {
    bytes.iter().map(|byte| u16::from(*byte)).fold(0, u16::wrapping_add)
}

/// PM2.5 in tenths counts to a thousand from 50, PM10 in tenths the thousands from 100.
fn sds011(number: u64) -> Vec<u8> {
    let mut frame = vec![0xAA, 0xC0];
    frame.extend(low(50 + number % 1000).to_le_bytes());
    frame.extend(low(100 + number / 1000).to_le_bytes());
    frame.extend([0x51, 0x0D]);
    let [_, checksum] = sum(frame.get(2..).unwrap_or_default()).to_be_bytes();
    frame.extend([checksum, 0xAB]);
    frame
}

/// PM1 counts to 500, PM2.5 lies above it by the five hundreds, PM10 above that by what is left.
fn pms5003(number: u64) -> Vec<u8> {
    let pm1 = number % 500;
    let pm25 = pm1 + number / 500 % 500;
    let pm10 = pm25 + number / 250_000;
    let mut frame = vec![0x42, 0x4D, 0x00, 0x1C];
    for value in [pm1, pm25, pm10, pm1, pm25, pm10, 1032, 310, 62, 8, 2, 1, 0x9700] {
        frame.extend(low(value).to_be_bytes());
    }
    frame.extend(sum(&frame).to_be_bytes());
    frame
}

/// CO2 counts to two thousand from 400, the temperature the two thousands from 10 °C.
fn mh_z19(number: u64) -> Vec<u8> {
    let [high, low_] = low(400 + number % 2000).to_be_bytes();
    let [_, temperature] = low(40 + 10 + number / 2000 % 200).to_be_bytes();
    let mut frame = vec![0xFF, 0x86, high, low_, temperature, 0, 0, 0];
    let [_, checksum] = sum(frame.get(1..).unwrap_or_default()).wrapping_neg().to_be_bytes();
    frame.push(checksum);
    frame
}

/// A day that goes by in a few minutes, and the number.
fn json_line(number: u64) -> Vec<u8> {
    let phase = f64::from(low(number % 240)) / 240.0 * std::f64::consts::TAU;
    let temperature = 21.0 + 4.0 * phase.sin();
    let humidity = 48.0 - 9.0 * phase.sin();
    format!("{{\"temperature\":{temperature:.2},\"humidity\":{humidity:.1},\"count\":{number}}}\n")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::device::{Library, Listener};
    use crate::route::render_value;

    #[test]
    fn every_sensor_is_understood_and_its_numbers_are_found_again() {
        for kind in Kind::ALL {
            let profile = Arc::new(Library::shipped().profile(kind.profile()).unwrap());
            let asked = profile.modbus.as_ref().map(|modbus| modbus.reads[0].request.to_unit(1).bytes());
            let asked = asked.or_else(|| profile.polls.first().map(|poll| poll.send.to_vec()));
            assert_eq!(asked.as_deref(), kind.request(), "{kind:?}");
            let mut listener = Listener::new(Arc::clone(&profile));
            if let Some(modbus) = &profile.modbus {
                listener.ask(modbus.reads[0].request.to_unit(1));
            }
            for number in (0..3000).chain([65_535, 123_456, 399_999]) {
                let mut found = Vec::new();
                listener.push(&kind.frame(number), &mut |one| found.push(one.unwrap()));
                let state = found.pop().unwrap().into_iter();
                let state =
                    state.map(|one| (one.name.as_str().to_owned(), render_value(&one.value))).collect();
                assert_eq!((found.len(), kind.number(&state)), (0, Some(number)), "{kind:?}");
            }
        }
    }
}
