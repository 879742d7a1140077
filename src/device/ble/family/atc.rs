//! The free firmwares for Xiaomi's and Qingping's thermometers under service 0x181A: ATC1441
//! (<https://github.com/atc1441/ATC_MiThermometer>) and PVVX
//! (<https://github.com/pvvx/ATC_MiThermometer>), plain and encrypted. Told apart by their length.

use super::{Data, Frame, Outcome, ProblemKind, Quantity as Q, Readout, bad, crypt, ensure};

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    ensure(frame.id == 0x181A)?;
    let data = frame.data;
    match data.len() {
        15 => {
            crypt::plain(frame.key)?;
            custom(data, out)
        }
        13 => {
            crypt::plain(frame.key)?;
            atc1441(data, out)
        }
        11 => {
            out.model("PVVX, encrypted");
            let opened = open(frame, out)?;
            sealed_custom(Data(&opened), out)
        }
        8 => {
            out.model("ATC1441, encrypted");
            let opened = open(frame, out)?;
            sealed_atc1441(Data(&opened), out)
        }
        16 | 18 | 2 => ensure(false),
        _ => Err(bad(ProblemKind::Truncated, "truncated: no format of this service has this length")),
    }
}

/// PVVX's own format, little end first.
fn custom(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.model("PVVX");
    out.scaled(Q::Temperature, data.le_i16(6)?, 100.0);
    out.scaled(Q::Humidity, data.le_u16(8)?, 100.0);
    out.scaled(Q::Voltage, data.le_u16(10)?, 1000.0);
    out.number(Q::Battery, data.u8(12)?);
    out.packet = Some(u32::from(data.u8(13)?));
    let flags = data.u8(14)?;
    out.switch(Q::Opening, flags & 1 != 0);
    out.switch(Q::Switch, flags & 2 != 0);
    Ok(())
}

/// ATC1441's format, big end first.
fn atc1441(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.model("ATC1441");
    out.scaled(Q::Temperature, data.be_i16(6)?, 10.0);
    out.number(Q::Humidity, data.u8(8)?);
    out.number(Q::Battery, data.u8(9)?);
    out.scaled(Q::Voltage, data.be_u16(10)?, 1000.0);
    out.packet = Some(u32::from(data.u8(12)?));
    Ok(())
}

/// A counter, ciphertext, a tag of four bytes. The nonce is the address reversed and the head of the field as it
/// is in the air, from its length to the counter.
fn open(frame: &Frame<'_>, out: &mut Readout) -> Outcome<Vec<u8>> {
    let data = frame.data;
    let key = frame.key.ok_or_else(crypt::no_key)?.full()?;
    let counter = data.u8(0)?;
    let length = u8::try_from(data.len() + 3).unwrap_or(u8::MAX);
    let [a, b, c, d, e, f] = frame.advertisement.address.reversed();
    let nonce = [a, b, c, d, e, f, length, 0x16, 0x1A, 0x18, counter];
    out.packet = Some(u32::from(counter));
    crypt::open(key, &nonce, &[0x11], data.rest(1)?)
}

fn sealed_custom(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.scaled(Q::Temperature, data.le_i16(0)?, 100.0);
    out.scaled(Q::Humidity, data.le_u16(2)?, 100.0);
    out.number(Q::Battery, data.u8(4)?.min(100));
    let flags = data.u8(5)?;
    out.switch(Q::Opening, flags & 1 != 0);
    out.switch(Q::Switch, flags & 2 != 0);
    Ok(())
}

/// Half degrees from -40, half percents, the battery in seven bits.
fn sealed_atc1441(data: Data<'_>, out: &mut Readout) -> Outcome {
    out.number(Q::Temperature, f64::from(data.u8(0)?) / 2.0 - 40.0);
    out.scaled(Q::Humidity, data.u8(1)?, 2.0);
    let last = data.u8(2)?;
    out.number(Q::Battery, (last & 0x7F).min(100));
    out.switch(Q::Switch, last & 0x80 != 0);
    Ok(())
}
