//! Oral-B's tooth brushes under company 0x00DC. Facts from captures.

use super::{Frame, Outcome, Quantity as Q, Readout, ensure};

const RUNNING: u8 = 3;

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    ensure(matches!(data.len(), 9 | 11))?;
    let (model, is_io) = model(data.u8(1)?);
    out.model(model);
    let (state, flags) = (data.u8(3)?, data.u8(4)?);
    let sectors = data.u8(10).ok();
    out.number(Q::BrushTime, u16::from(data.u8(5)?) * 60 + u16::from(data.u8(6)?));
    let sector = data.u8(8)? & 0x07;
    match sector {
        _ if state != RUNNING => out.text(Q::BrushSector, "no sector"),
        0 => out.text(Q::BrushSector, "no sector"),
        // The last one, of as many as there are.
        7 => {
            let count = sectors.map_or(0, |sectors| sectors & 0x07);
            out.text(Q::BrushSector, &format!("sector {}", if count == 0 { 4 } else { count }));
        }
        sector => out.text(Q::BrushSector, &format!("sector {sector}")),
    }
    out.text(Q::BrushState, &state_name(state));
    out.text(Q::BrushPressure, pressure(flags));
    out.text(Q::Mode, &mode(data.u8(7)?, is_io));
    out.switch(Q::Brushing, state == RUNNING);
    if let (Ok(timer), Some(sectors)) = (data.u8(9), sectors) {
        out.number(Q::BrushSectorTimer, timer);
        out.number(Q::BrushSectors, sectors);
    }
    Ok(())
}

/// Buttons count more than pressure.
const fn pressure(flags: u8) -> &'static str {
    match flags {
        flags if flags & 0x08 != 0 => "power button pressed",
        flags if flags & 0x04 != 0 => "button pressed",
        flags if flags & 0x80 != 0 => "high",
        _ => "normal",
    }
}

const fn model(id: u8) -> (&'static str, bool) {
    match id {
        0..=2 => ("Triumph D36", false),
        32..=34 => ("Genius Series D701", false),
        39..=41 => ("Smart Series D700", false),
        48..=50 | 54 => ("iO Series", true),
        52 => ("iO Series 4", true),
        53 => ("iO Series 5", true),
        64..=70 => ("Smart Series D21", false),
        80..=87 => ("Pro Series D601", false),
        112..=114 | 117..=119 => ("Genius X D706", false),
        _ => ("Oral-B", false),
    }
}

fn state_name(state: u8) -> String {
    let name = match state {
        0 => "unknown",
        1 => "initializing",
        2 => "idle",
        3 => "running",
        4 => "charging",
        5 => "setup",
        6 => "flight menu",
        8 => "selection menu",
        9 => "off",
        10 => "post brushing statistics",
        113 => "final test",
        114 => "pcb test",
        115 => "sleeping",
        116 => "transport",
        other => return format!("unknown state {other}"),
    };
    name.to_owned()
}

fn mode(mode: u8, is_io: bool) -> String {
    let name = match (is_io, mode) {
        (true, 0) | (false, 1) => "daily clean",
        (true, 1) | (false, 2) => "sensitive",
        (true, 2) => "gum care",
        (true, 3) => "whiten",
        (true, 4) => "intense",
        (true, 5) => "super sensitive",
        (_, 6) => "tongue cleaning",
        (true, 8) => "settings",
        (true, 9) | (false, 0) => "off",
        (true, 11) => "smart adapt",
        (false, 3) => "massage",
        (false, 4) => "whitening",
        (false, 5) => "deep clean",
        (false, 7) => "turbo",
        (false, 255) => "unknown",
        (_, other) => return format!("unknown mode {other}"),
    };
    name.to_owned()
}
