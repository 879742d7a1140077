//! Govee's meat thermometers. A probe that is not plugged in, and an alarm that is not set, are sent as a negative
//! number, and said as 0: that is how every reader of these devices knows them.

use super::{Data, Frame, Outcome, Quantity as Q, Readout, ensure};

pub(super) fn read(frame: &Frame<'_>, data: Data<'_>, out: &mut Readout) -> Outcome {
    let id = frame.id;
    let is = |model: &str, service: u16, ids: &[u16]| {
        let advertisement = frame.advertisement;
        advertisement.name().contains(model) || advertisement.has_service(service) || ids.contains(&id)
    };
    match data.len() {
        14 if is("H5183", 0x8351, &[0x67DD, 0xE02F, 0xF79F]) => {
            out.model("H5183");
            probe(data, 8, 1, out)
        }
        14 if is("H5181", 0x8151, &[0xF861, 0x388A, 0xEA42, 0xAAA2, 0xD14B]) => {
            out.model("H5181");
            probe(data, 8, 1, out)
        }
        17 if is("H5182", 0x8251, &[0x2730]) => {
            out.model("H5182");
            probe(data, 8, 1, out)?;
            probe(data, 13, 2, out)
        }
        17 if is("H5184", 0x8451, &[0x1B36]) => {
            out.model("H5184");
            let first = first_of_pair(data.u8(6)?)?;
            probe(data, 8, first, out)?;
            probe(data, 13, first + 1, out)
        }
        20 if is("H5185", 0x8551, &[0x4A32, 0x0332, 0x4C32]) => {
            out.model("H5185");
            probe(data, 8, 1, out)?;
            probe(data, 14, 2, out)
        }
        20 if is("H5191", 0x9151, &[0xAC63]) => {
            out.model("H5191");
            probe(data, 8, 1, out)?;
            out.number(Q::Temperature, hundredths(data, 14)?);
            Ok(())
        }
        20 if is("H5198", 0x9851, &[0x3022]) => {
            out.model("H5198");
            let first = first_of_pair(data.u8(6)?)?;
            for (at, number) in [(8, first), (14, first + 1)] {
                probe(data, at, number, out)?;
                out.numbered(Q::LowTemperatureAlarmProbe, number, hundredths(data, at + 4)?);
            }
            Ok(())
        }
        20 if is("H5055", 0x5550, &[]) => {
            out.model("H5055");
            six_probes(data, false, out)
        }
        20 if id == 0xEA1C => {
            out.model("H5055");
            six_probes(data, true, out)
        }
        _ => ensure(false),
    }
}

/// Temperature and alarm.
fn probe(data: Data<'_>, at: usize, number: u8, out: &mut Readout) -> Outcome {
    out.numbered(Q::TemperatureProbe, number, hundredths(data, at)?);
    out.numbered(Q::TemperatureAlarmProbe, number, hundredths(data, at + 2)?);
    Ok(())
}

fn hundredths(data: Data<'_>, at: usize) -> Outcome<f64> {
    Ok(f64::from(data.be_i16(at)?.max(0)) / 100.0)
}

/// A frame tells of probes 1 and 2, or of 3 and 4.
fn first_of_pair(pair: u8) -> Outcome<u8> {
    match pair & 0x3F {
        1 => Ok(1),
        2 => Ok(3),
        _ => ensure(false).map(|()| 1),
    }
}

/// Two of six probes, in whole degrees: which pair stands in two bits, which of them are plugged in in six. `all`:
/// tells those that are not as 0, as readers do where the device does not name itself.
fn six_probes(data: Data<'_>, all: bool, out: &mut Readout) -> Outcome {
    let plugged = data.u8(3)?;
    let first = match plugged & 0xC0 {
        0x00 => 1,
        0x40 => 3,
        0x80 => 5,
        _ => return ensure(false),
    };
    for (at, number) in [(5, first), (12, first + 1)] {
        let is_plugged = plugged & (1 << (number - 1)) != 0;
        if !all && !is_plugged {
            continue;
        }
        let degrees = [data.le_i16(at)?, data.le_i16(at + 4)?, data.le_i16(at + 2)?]
            .map(|raw| (raw >= 0).then_some(raw));
        let names = [Q::TemperatureProbe, Q::TemperatureAlarmProbe, Q::LowTemperatureAlarmProbe];
        for (name, degrees) in names.into_iter().zip(degrees) {
            if let Some(degrees) = degrees.or_else(|| all.then_some(0)) {
                out.numbered(name, number, degrees);
            }
        }
    }
    out.number(Q::Battery, data.u8(2)? & 0x7F);
    Ok(())
}
