//! Telegrams of port P1 that are encrypted, as meters of Luxembourg and Austria send them: the general global cipher of
//! DLMS (IEC 62056-5-3; Luxembourg's P1 specification, 3.2.5) with AES-128 in GCM and a tag of 12 bytes.
//!
//! ```text
//! frame = DB 08 title(8) length 30 counter(4) ciphertext tag(12)      the length counts from the 30 on
//! nonce = title counter                                               authenticated: 30 and the authentication key
//! ```
//!
//! What is inside is a telegram with a CRC of its own.

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{AesGcm, aes::Aes128};

use super::iec62056;
use crate::device::framer::Verdict;
use crate::device::problem::{Problem, ProblemKind};
use crate::device::secret::MeterKeys;
use crate::limits;

/// General global ciphering, and a system title of eight bytes.
pub(super) const START: [u8; 2] = [0xDB, 0x08];
/// Encrypted and authenticated, with the keys of suite 0.
const SECURITY: u8 = 0x30;
/// The security byte, the counter and the tag.
const AROUND: usize = 1 + 4 + 12;

type Gcm = AesGcm<Aes128, U12, U12>;

/// Judges what begins with [`START`], or with a part of it.
pub(super) fn inspect(pending: &[u8], keys: Option<&MeterKeys>, plain: &mut Vec<u8>) -> Verdict {
    let (Some(title), Some(kind)) = (pending.get(2..10), pending.get(10)) else {
        return Verdict::Incomplete;
    };
    // A length of one byte or two, as BER writes it.
    let (head, length) = match (kind, pending.get(11..13)) {
        (0x81, Some([one, _])) => (12, usize::from(*one)),
        (0x82, Some([high, low])) => (13, usize::from(u16::from_be_bytes([*high, *low]))),
        (0x81 | 0x82, None) => return Verdict::Incomplete,
        _ => return Verdict::Garbage(1),
    };
    if !(AROUND..=limits::FRAME_BYTES - head).contains(&length) {
        return Verdict::Garbage(1);
    }
    match pending.get(head) {
        None => return Verdict::Incomplete,
        Some(&SECURITY) => {}
        Some(_) => return Verdict::Garbage(1),
    }
    let Some(content) = pending.get(head + 1..head + length) else { return Verdict::Incomplete };
    let Some(keys) = keys else {
        let detail = "the meter encrypts its telegrams: give the sensor its `key`";
        return Verdict::Broken(1, Problem::new(ProblemKind::NoKey, detail));
    };
    let Some(telegram) = open(keys, title, content) else {
        let detail = "a telegram does not open: another meter's key, another authentication_key, or damaged";
        return Verdict::Broken(1, Problem::new(ProblemKind::WrongKey, detail));
    };
    match iec62056::inspect_plain(&telegram, plain) {
        Verdict::Whole(_) => Verdict::Whole(head + length),
        Verdict::Broken(_, problem) => Verdict::Broken(head + length, problem),
        _ => Verdict::Broken(
            head + length,
            Problem::new(ProblemKind::Syntax, "what was encrypted is no telegram"),
        ),
    }
}

fn open(keys: &MeterKeys, title: &[u8], content: &[u8]) -> Option<Vec<u8>> {
    let (counter, sealed) = content.split_at_checked(4)?;
    let nonce: [u8; 12] = [title, counter].concat().try_into().ok()?;
    let mut associated = [SECURITY; 17];
    for (place, byte) in associated.iter_mut().skip(1).zip(keys.authentication.bytes()) {
        *place = *byte;
    }
    let payload = Payload { msg: sealed, aad: &associated };
    Gcm::new(keys.encryption.bytes().into()).decrypt(&nonce.into(), payload).ok()
}
