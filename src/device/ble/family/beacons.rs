//! Beacons: iBeacon (company 0x004C, Apple's Proximity Beacon Specification), Eddystone (service 0xFEAA,
//! <https://github.com/google/eddystone>), AltBeacon (any company, <https://github.com/AltBeacon/spec>).

use super::{Data, Frame, Outcome, ProblemKind, Quantity as Q, Readout, bad, ensure, hex_text, round};

/// Type and length ahead of the UUID.
const IBEACON: [u8; 2] = [0x02, 0x15];

/// The fields of an iBeacon.
pub(super) struct IBeacon<'a> {
    pub(super) uuid: &'a [u8],
    pub(super) major: u16,
    pub(super) minor: u16,
    pub(super) power: i8,
}

impl<'a> IBeacon<'a> {
    /// Reads the field of Apple's company.
    pub(super) fn read(data: Data<'a>) -> Outcome<IBeacon<'a>> {
        ensure(data.0.starts_with(&IBEACON))?;
        Ok(IBeacon {
            uuid: data.slice(2, 16)?,
            major: data.be_u16(18)?,
            minor: data.be_u16(20)?,
            power: data.i8(22)?,
        })
    }

    pub(super) fn write(&self, out: &mut Readout) {
        out.text(Q::Identity, &hex_text(self.uuid));
        out.number(Q::Major, self.major);
        out.number(Q::Minor, self.minor);
        out.number(Q::TxPower, self.power);
    }
}

pub(in crate::device::ble) fn ibeacon(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    ensure(frame.id == 0x004C)?;
    IBeacon::read(frame.data)?.write(out);
    out.model("iBeacon");
    Ok(())
}

pub(in crate::device::ble) fn altbeacon(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(data.0.starts_with(&[0xBE, 0xAC]))?;
    let beacon = IBeacon {
        uuid: data.slice(2, 16)?,
        major: data.be_u16(18)?,
        minor: data.be_u16(20)?,
        power: data.i8(22)?,
    };
    data.at_least(24)?;
    beacon.write(out);
    out.model("AltBeacon");
    Ok(())
}

pub(in crate::device::ble) fn eddystone(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    match data.u8(0)? {
        0x00 => {
            out.model("Eddystone-UID");
            out.text(Q::Namespace, &hex_text(data.slice(2, 10)?));
            out.text(Q::Instance, &hex_text(data.slice(12, 6)?));
            out.number(Q::TxPower, data.i8(1)?);
        }
        0x10 => {
            out.model("Eddystone-URL");
            let url = url(data)?;
            out.text(Q::Url, &url);
            out.number(Q::TxPower, data.i8(1)?);
        }
        0x20 if data.u8(1)? == 0 => telemetry(data, out)?,
        0x20 => {
            return Err(bad(ProblemKind::NoKey, "no key: encrypted Eddystone telemetry is not supported"));
        }
        _ => ensure(false)?,
    }
    Ok(())
}

/// Unencrypted telemetry: 0 and 0x8000 say that there is no voltage and no temperature.
fn telemetry(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.model("Eddystone-TLM");
    let (millivolts, temperature) = (data.be_u16(2)?, data.be_i16(4)?);
    let (count, tenths) = (data.be_u32(6)?, data.be_u32(10)?);
    if millivolts != 0 {
        out.scaled(Q::Voltage, millivolts, 1000.0);
    }
    if temperature != i16::MIN {
        out.number(Q::Temperature, round(f64::from(temperature) / 256.0, 5));
    }
    out.number(Q::AdvertisingCount, count);
    out.scaled(Q::Uptime, tenths, 10.0);
    Ok(())
}

const SCHEMES: [&str; 4] = ["http://www.", "https://www.", "http://", "https://"];
const ENDINGS: [&str; 14] = [
    ".com/", ".org/", ".edu/", ".net/", ".info/", ".biz/", ".gov/", ".com", ".org", ".edu", ".net", ".info",
    ".biz", ".gov",
];

fn url(data: Data<'_>) -> Outcome<String> {
    let wrong = || bad(ProblemKind::Syntax, "the URL has a character that URLs cannot have");
    let scheme = SCHEMES.get(usize::from(data.u8(2)?)).ok_or_else(wrong)?;
    let mut url = String::from(*scheme);
    for byte in data.rest(3)? {
        match byte {
            0..=13 => url.push_str(ENDINGS.get(usize::from(*byte)).ok_or_else(wrong)?),
            0x21..=0x7E => url.push(char::from(*byte)),
            _ => return Err(wrong()),
        }
    }
    Ok(url)
}
