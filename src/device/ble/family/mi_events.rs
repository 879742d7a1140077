//! What happens at MiBeacon devices: presses, turns, doors, locks, fingerprints, tooth brushes.

use super::mi_models::Kind;
use super::{Data, Outcome, Quantity as Q, Readout, Value};

/// Reads an object of something that happened; `false` when it is none.
pub(super) fn read(id: u16, value: Data<'_>, kind: Kind, out: &mut Readout) -> Outcome<bool> {
    match id {
        0x0006 => fingerprint(value, out)?,
        0x0007 => door(value.u8(0)?, out),
        0x0008 => {
            let armed = value.u8(0)? == 0;
            out.switch(Q::Armed, armed);
            if kind == Kind::DiscoLock {
                out.switch(Q::Lock, armed);
            }
        }
        0x000B => lock(value, kind, out)?,
        0x0010 => {
            let on = value.u8(0)? == 0;
            out.switch(Q::Brushing, on);
            if let Ok(number) = value.u8(1) {
                out.number(if on { Q::Counter } else { Q::Score }, number);
            }
        }
        0x3003 => {
            match value.u8(0)? {
                0 => out.switch(Q::Brushing, true),
                1 => out.switch(Q::Brushing, false),
                _ => {}
            }
            if let Ok(score) = value.u8(5) {
                out.number(Q::Score, score);
            }
        }
        0x1001 => button(value, kind, out)?,
        0x100E if kind == Kind::DiscoLock => {
            let state = value.u8(0)?;
            out.switch(Q::Lock, state & 1 == 0);
            out.switch(Q::ChildLock, (state >> 3) & 1 == 0);
        }
        0x100F => out.switch(Q::Door, value.u8(0)? == 1),
        0x4A13 => {
            if value.u8(0)? == 1 {
                out.event(Q::Button, "press");
            }
        }
        0x4A0C | 0x4E0C | 0x560C => keys(value, kind, "press", out),
        0x4A0D | 0x4E0D | 0x560D => keys(value, kind, "double_press", out),
        0x4A0E | 0x4E0E | 0x560E => keys(value, kind, "long_press", out),
        _ => return Ok(false),
    }
    Ok(true)
}

fn door(state: u8, out: &mut Readout) {
    match state {
        0 => {
            out.switch(Q::Door, true);
            out.switch(Q::DoorStuck, false);
            out.switch(Q::DoorKnocked, false);
        }
        1 => {
            out.switch(Q::Door, false);
            out.switch(Q::DoorLeftOpen, false);
            out.switch(Q::DoorPried, false);
        }
        2 => {
            out.switch(Q::Door, true);
            out.switch(Q::DoorLeftOpen, true);
        }
        3 => {
            out.switch(Q::Door, false);
            out.switch(Q::DoorKnocked, true);
        }
        4 => {
            out.switch(Q::Door, true);
            out.switch(Q::DoorPried, true);
        }
        5 => {
            out.switch(Q::Door, false);
            out.switch(Q::DoorStuck, true);
        }
        _ => {}
    }
}

/// Keys of switches: which one, or which ones together, in the value; some say with it how they were pressed.
fn keys(value: Data<'_>, kind: Kind, press: &str, out: &mut Readout) {
    let which = value.u8(0).unwrap_or(1);
    match kind {
        Kind::CodedButton => match which {
            1 => out.event(Q::Button, "press"),
            8 => out.event(Q::Button, "long_press"),
            15 => out.event(Q::Button, "double_press"),
            _ => {}
        },
        Kind::Switch => match which {
            0 | 1 => out.event(Q::Button, press),
            3 if value.len() == 1 => {
                out.event(Q::Button, press);
                out.numbered_event(Q::Button, 2, press);
            }
            other => out.numbered_event(Q::Button, other, press),
        },
        _ => out.event(Q::Button, press),
    }
}

/// Which key, a value, how it was pressed.
fn button(value: Data<'_>, kind: Kind, out: &mut Readout) -> Outcome {
    let (key, amount, how) = (value.u8(0)?, value.u8(1)?, value.u8(2)?);
    let press = match how {
        0 | 5 => "press",
        1 => "double_press",
        2 | 6 => "long_press",
        _ => "",
    };
    match kind {
        Kind::Knob => knob(key, amount, how, out),
        Kind::Cube => match key {
            0 => out.event(Q::Cube, "rotate_right"),
            1 => out.event(Q::Cube, "rotate_left"),
            _ => {}
        },
        // Switches count a long press as 1 and a double press as 2.
        Kind::Switch => {
            let press = match how {
                0 => "press",
                1 => "long_press",
                2 => "double_press",
                _ => return Ok(()),
            };
            for place in switch_keys(key) {
                out.numbered_event(Q::Button, if *place == 1 { 0 } else { *place }, press);
            }
        }
        Kind::Remote if !press.is_empty() => {
            out.numbered_event(Q::Button, if key == 0 { 0 } else { key.saturating_add(1) }, press);
        }
        _ if !press.is_empty() => out.event(Q::Button, press),
        _ => {}
    }
    Ok(())
}

/// Which keys of a switch a number stands for.
const fn switch_keys(key: u8) -> &'static [u8] {
    match key {
        0 => &[1],
        1 => &[2],
        2 => &[3],
        3 => &[1, 2],
        4 => &[2, 3],
        5 => &[1, 3],
        6 => &[1, 2, 3],
        _ => &[],
    }
}

fn knob(key: u8, amount: u8, how: u8, out: &mut Readout) {
    let (event, steps) = match (how, key, amount) {
        (3, 0, presses) => ("press", i32::from(presses)),
        (3, 1, duration) => ("long_press", i32::from(duration)),
        (4, 0, 0..=127) => ("rotate_right", i32::from(amount)),
        (4, 0, _) => ("rotate_left", 256 - i32::from(amount)),
        (4, 1..=127, _) => ("rotate_right_pressed", i32::from(key)),
        (4, ..) => ("rotate_left_pressed", 256 - i32::from(key)),
        _ => return,
    };
    out.event = true;
    out.put(Q::Dimmer, 0, Value::Turn { event: event.into(), steps });
}

fn fingerprint(value: Data<'_>, out: &mut Readout) -> Outcome {
    let who = value.le_u32(0)?;
    let result = match value.u8(4)? {
        0 => "match_successful",
        1 => "match_failed",
        2 => "timeout",
        3 => "low_quality",
        4 => "insufficient_area",
        5 => "skin_too_dry",
        6 => "skin_too_wet",
        _ => return Ok(()),
    };
    out.switch(Q::Fingerprint, result == "match_successful");
    out.event(Q::FingerprintResult, result);
    out.text(Q::KeyId, &key_name(who));
    Ok(())
}

fn key_name(key: u32) -> String {
    match key {
        0 => "administrator".to_owned(),
        0xFFFF_FFFF => "unknown operator".to_owned(),
        0xDEAD_BEEF => "invalid operator".to_owned(),
        key if key & 0x8000_0000 != 0 => format!("{}", key & 0xFFFF),
        key => format!("{key}"),
    }
}

fn lock(value: Data<'_>, kind: Kind, out: &mut Readout) -> Outcome {
    let head = value.u8(0)?;
    let key = value.le_u32(1)?;
    let (open, bolt, action) = match head & 0x0F {
        0x0 => (true, Q::Lock, "unlock_outside_the_door"),
        0x1 => (false, Q::Lock, "lock"),
        0x2 => (false, Q::AntiLock, "turn_on_anti_lock"),
        0x3 => (true, Q::AntiLock, "turn_off_anti_lock"),
        0x4 => (true, Q::Lock, "unlock_inside_the_door"),
        0x5 => (false, Q::Lock, "lock_inside_the_door"),
        0x6 => (false, Q::ChildLock, "turn_on_child_lock"),
        0x7 => (true, Q::ChildLock, "turn_off_child_lock"),
        0x8 => (false, Q::Lock, "lock_outside_the_door"),
        0xF => (true, Q::Lock, "abnormal"),
        _ => return Ok(()),
    };
    let method = match head >> 4 {
        0x0 => "bluetooth",
        0x1 => "password",
        0x2 => "biometrics",
        0x3 => "key",
        0x4 => "turntable",
        0x5 => "nfc",
        0x6 => "one-time password",
        0x7 => "two-step verification",
        0x8 => "coercion",
        0x9 => "homekit",
        0xA => "manual",
        0xB => "automatic",
        0xF => "abnormal",
        _ => return Ok(()),
    };
    out.switch(if kind == Kind::BoltLock { bolt } else { Q::Lock }, open);
    out.event(Q::LockAction, action);
    out.text(Q::LockMethod, method);
    match lock_error(key) {
        Some(error) => out.text(Q::Error, error),
        None => out.text(Q::KeyId, &key_name(key)),
    }
    out.number(Q::Timestamp, value.le_u32(5)?);
    Ok(())
}

fn lock_error(key: u32) -> Option<&'static str> {
    Some(match key {
        0xC0DE_0000 => "wrong password repeated",
        0xC0DE_0001 => "wrong fingerprint repeated",
        0xC0DE_0002 => "password timed out",
        0xC0DE_0003 => "lock picking",
        0xC0DE_0004 => "reset button pressed",
        0xC0DE_0005 => "wrong key repeated",
        0xC0DE_0006 => "foreign body in the keyhole",
        0xC0DE_0007 => "key left in the lock",
        0xC0DE_0008 => "wrong NFC repeated",
        0xC0DE_0009 => "not locked in time",
        0xC0DE_000A => "unlocking failed in several ways",
        0xC0DE_000B => "face repeatedly not recognised",
        0xC0DE_000C => "vein repeatedly not recognised",
        0xC0DE_000D => "hijacking alarm",
        0xC0DE_000E => "unlocked inside while armed",
        0xC0DE_000F => "palm print repeatedly not recognised",
        0xC0DE_0010 => "safe moved",
        0xC0DE_1000 => "battery below 10 %",
        0xC0DE_1001 => "battery below 5 %",
        0xC0DE_1002 => "fingerprint sensor abnormal",
        0xC0DE_1003 => "accessory battery low",
        0xC0DE_1004 => "mechanical failure",
        0xC0DE_1005 => "lock sensor faulty",
        _ => return None,
    })
}
