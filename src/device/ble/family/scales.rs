//! Scales that advertise under identifiers of their own: Xiaogui, Senssun, Laica, Atomax. Facts from captures.

use super::{Frame, Outcome, ProblemKind, Quantity as Q, Readout, bad, ensure, round};

/// The address stands at the end; what state it is tells the model, too.
pub(in crate::device::ble) fn xiaogui(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(frame.id & 0xFF == 0xC0 && data.len() == 13)?;
    let address: [u8; 6] = data.array(7)?;
    ensure(address == frame.advertisement.address.0)?;
    let (model, parts, stabilized) = match data.u8(6)? {
        0x20 => ("TZC4", 10.0, false),
        0x21 => ("TZC4", 10.0, true),
        0x24 => ("QJ-J", 100.0, false),
        0x25 => ("QJ-J", 100.0, true),
        _ => return ensure(false),
    };
    out.model(model);
    let weight = f64::from(data.be_u16(0)?) / parts;
    out.number(Q::WeightUnstable, weight);
    out.switch(Q::Stabilized, stabilized);
    if stabilized {
        out.number(Q::Weight, weight);
        out.scaled(Q::Impedance, data.be_u16(2)?, 10.0);
    }
    out.packet = Some(u32::from(frame.id >> 8) << 8 | u32::from(data.u8(6)?));
    Ok(())
}

pub(in crate::device::ble) fn senssun(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(17)?;
    out.model("Senssun Smart Scale");
    let stabilized = data.u8(14)? & 0xA0 == 0xA0;
    let weight = f64::from(data.be_u16(10)?) / 100.0;
    out.number(if stabilized { Q::Weight } else { Q::WeightUnstable }, weight);
    out.number(Q::Impedance, data.be_u16(12)?);
    out.switch(Q::Stabilized, stabilized);
    Ok(())
}

/// Every byte is hidden behind 0xA0.
pub(in crate::device::ble) fn laica(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    data.exactly(12)?;
    out.model("Laica Smart Scale");
    let value = data.be_u32(6)? ^ 0xA0A0_A0A0;
    match data.u8(10)? {
        0x06 => out.number(Q::Impedance, (value >> 16).clamp(430, 630)),
        0x0D => out.number(Q::Weight, round(f64::from(value & 0x3_FFFF) / 1000.0, 1)),
        _ => return Err(bad(ProblemKind::Nothing, "the scale says nothing that is known")),
    }
    Ok(())
}

/// A coffee scale in tenths of a gram.
pub(in crate::device::ble) fn skale(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    frame.data.exactly(4)?;
    out.model("Skale");
    out.scaled(Q::Weight, frame.data.le_i16(0)?, 10_000.0);
    Ok(())
}
