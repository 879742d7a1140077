//! Govee's buttons, motion, window, vibration and pressure sensors (H5121 to H5130): a frame of 24 bytes, its inner 16
//! encrypted with a key that is sent along (the time stamp ahead of them), and a checksum behind. Not secret, only
//! wrapped: the checksum, and that the wrapped part ends with zeros, are all that tells a true frame.

use super::{Data, Outcome, ProblemKind, Quantity as Q, Readout, bad, crypt, ensure};

pub(super) fn read(data: Data<'_>, name: &str, out: &mut Readout) -> Outcome {
    let wrapped: [u8; 16] = data.array(6)?;
    if checksum(&wrapped) != data.be_u16(22)? {
        // Others send 24 bytes, too: without the name of one of these it is theirs.
        ensure(name.starts_with("GV51"))?;
        return Err(bad(ProblemKind::Checksum, "the checksum of the frame does not hold"));
    }
    let stamp: [u8; 4] = data.array(2)?;
    let mut key = [0; 16];
    for (place, byte) in key.iter_mut().rev().zip(stamp) {
        *place = byte;
    }
    let mut block = wrapped;
    block.reverse();
    let mut opened = crypt::block(&key, block);
    opened.reverse();
    let opened = Data(&opened);
    // The checksum is over what is wrapped: that the key is the right one is seen by the end, where nothing stands.
    if opened.rest(8)?.iter().any(|byte| *byte != 0) {
        return Err(bad(ProblemKind::Checksum, "what was wrapped is not what these frames hold"));
    }
    let kind = opened.u8(2)?;
    let state = opened.u8(5)?;
    out.number(Q::Battery, opened.u8(4)?);
    out.packet = Some(u32::from_be_bytes(stamp));
    match kind {
        2 => {
            out.model("H5123");
            out.switch(Q::Window, state == 2);
        }
        3 => {
            out.model("H5121");
            if state == 1 {
                out.event(Q::MotionEvent, "motion");
            }
        }
        8 | 10 | 11 => {
            out.model(match kind {
                8 => "H5122",
                10 => "H5125",
                _ => "H5126",
            });
            out.numbered_event(Q::Button, if state == 0 { 0 } else { state.saturating_add(1) }, "press");
        }
        9 => {
            out.model("H5124");
            if state == 1 {
                out.event(Q::VibrationEvent, "vibration");
            }
        }
        13 => {
            out.model("H5130");
            if state & 0x10 != 0 {
                out.event(Q::Button, "press");
            }
            if state != 0x10 {
                out.switch(Q::Presence, state & 1 != 0);
            }
        }
        _ => return ensure(false),
    }
    Ok(())
}

/// CRC-16 with polynomial 0x1021 from 0x1D0F.
fn checksum(bytes: &[u8]) -> u16 {
    let mut crc = 0x1D0F_u16;
    for byte in bytes {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc
}
