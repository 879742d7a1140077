//! MiBeacon, versions 2 to 5, plain and encrypted: Xiaomi and the makers around it, under service 0xFE95.
//!
//! Frame control (two bytes), product number (two), a counter, then by the bits of frame control: the address, a
//! byte of capability (and one or two more), objects. Versions 4 and 5 seal the objects with AES-128-CCM: nonce is
//! the address reversed, product number and counter, and three bytes of a longer counter; a byte 0x11 is
//! authenticated with them. Versions 2 and 3 have a key of 12 bytes, and of the tag of 16 bytes send only the first:
//! there the objects must fill their place exactly, too, to be believed. Frame control is authenticated by versions 2
//! and 3 only.
//! Facts: <https://iot.mi.com/new/doc> (MiBeacon protocol), captures.

use std::borrow::Cow;

use super::mi_models::{self, Kind};
use super::{Data, Frame, Outcome, ProblemKind, Readout, bad, crypt, ensure, mi_objects};

const ENCRYPTED: u16 = 1 << 3;
const WITH_ADDRESS: u16 = 1 << 4;
const WITH_CAPABILITY: u16 = 1 << 5;
const WITH_OBJECTS: u16 = 1 << 6;
const MESH: u16 = 1 << 7;
/// In the byte of capability: two bytes of input and output capability follow (one before version 5).
const WITH_IO: u8 = 1 << 5;

pub(in crate::device::ble) fn read(frame: &mut Frame<'_>, out: &mut Readout) -> Outcome {
    let data = frame.data;
    let control = data.le_u16(0)?;
    let version = control >> 12;
    ensure(control & MESH == 0 && (2..=5).contains(&version))?;
    let product = data.le_u16(2)?;
    let counter = data.u8(4)?;
    let (model, kind) = match mi_models::of(product) {
        Some((model, kind)) => (Cow::Borrowed(model), kind),
        None => (Cow::Owned(format!("Xiaomi 0x{product:04X}")), Kind::Other),
    };
    out.model(model);
    out.packet = Some(u32::from(counter));
    let mut at = 5;
    let mut address = frame.advertisement.address.reversed();
    if control & WITH_ADDRESS != 0 {
        address = data.array(at)?;
        at += 6;
    }
    if control & WITH_CAPABILITY != 0 {
        at += if data.u8(at)? & WITH_IO != 0 { 2 } else { 1 };
    }
    if control & WITH_OBJECTS == 0 {
        return Err(bad(ProblemKind::Nothing, "the MiBeacon frame carries no object"));
    }
    if control & ENCRYPTED == 0 {
        crypt::plain(frame.key)?;
        return mi_objects::read(Data(data.rest(at)?), product, kind, out);
    }
    let opened = if version <= 3 { open_legacy(frame, at, address)? } else { open(frame, at, address, out)? };
    mi_objects::read(Data(&opened), product, kind, out)
}

/// Versions 4 and 5: ciphertext, three bytes of the longer counter, a tag of four.
fn open(frame: &mut Frame<'_>, at: usize, address: [u8; 6], out: &mut Readout) -> Outcome<Vec<u8>> {
    let data = frame.data;
    data.at_least(at + 8)?;
    let key = frame.key.ok_or_else(crypt::no_key)?.full()?;
    let end = data.len() - 7;
    let [low, middle, high] = data.array(end)?;
    let mut nonce = Vec::with_capacity(12);
    nonce.extend_from_slice(&address);
    nonce.extend_from_slice(data.slice(2, 3)?);
    nonce.extend_from_slice(&[low, middle, high]);
    let mut sealed = data.slice(at, end - at)?.to_vec();
    sealed.extend_from_slice(data.slice(end + 3, 4)?);
    let opened = crypt::open(key, &nonce, &[0x11], &sealed)?;
    // The byte in the frame is the lowest of a counter of four bytes.
    let counter = u32::from_le_bytes([data.u8(4)?, low, middle, high]);
    frame.memory.accept(counter)?;
    out.packet = Some(counter);
    Ok(opened)
}

/// Versions 2 and 3: ciphertext, three bytes of counter, one byte of the tag.
fn open_legacy(frame: &Frame<'_>, at: usize, address: [u8; 6]) -> Outcome<Vec<u8>> {
    let data = frame.data;
    data.at_least(at + 7)?;
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *frame.key.ok_or_else(crypt::no_key)?.short()?;
    let key = [a, b, c, d, e, f, 0x8D, 0x3D, 0x3C, 0x97, g, h, i, j, k, l];
    let end = data.len() - 4;
    let ([a, b, c, d, e], [low, middle, high, tag]) = (data.array(0)?, data.array(end)?);
    let [one, two, three, four, five, _] = address;
    let nonce = [a, b, c, d, e, low, middle, high, one, two, three, four, five];
    let opened = crypt::open_curtailed(&key, &nonce, &[0x11], data.slice(at, end - at)?, tag)?;
    if mi_objects::fill_exactly(Data(&opened)) {
        Ok(opened)
    } else {
        Err(bad(ProblemKind::WrongKey, "wrong key, or tampered with: what comes out is no MiBeacon object"))
    }
}
